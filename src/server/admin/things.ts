import { type TSchema, Type } from '@sinclair/typebox';
import type { App } from '../app.js';
import { notFound } from '../problem.js';
import { Id, type Seed, SeedBundle, SeedConnection, SeedDag, SeedVariable } from '../seed.js';
import { countRows, deleteRow, getRow, listRows, type Shown } from '../store/rows.js';
import { seedAll } from '../store/seed.js';
import type { AdminOptions } from './index.js';
import { asProblem } from './problem.js';

/** What is kept by one name, and put in whole. Secrets are written and never read: a variable's value, a connection's password and extra. */
interface Thing extends Shown {
  readonly body: TSchema;
  /** The same, as a seed has it. */
  readonly seed: (name: string, body: object) => object;
}

const closed = { additionalProperties: false } as const;

const kinds: Readonly<Record<string, Thing>> = {
  teams: { table: 'teams', key: 'name', columns: { name: 'text' }, body: Type.Object({}, closed), seed: (name) => ({ teams: [name] }) },
  bundles: { table: 'bundles', key: 'name', columns: { name: 'text', team: 'text' }, body: Type.Omit(SeedBundle, ['name'], closed), seed: (name, body) => ({ bundles: [{ ...body, name }] }) },
  dags: {
    table: 'dags',
    key: 'dag_id',
    columns: { dag_id: 'text', bundle: 'text', bundle_version: 'text', is_paused: 'truth', has_import_errors: 'truth', relative_fileloc: 'text', owners: 'text', tags: 'json', next_dagrun: 'time', declares: 'json', task_assets: 'json' },
    body: Type.Omit(SeedDag, ['dag_id'], closed),
    seed: (dag_id, body) => ({ dags: [{ ...body, dag_id }] }),
  },
  variables: { table: 'variables', key: 'key', columns: { key: 'text', description: 'text', team: 'text' }, body: SeedVariable, seed: (key, body) => ({ variables: { [key]: body } }) },
  connections: {
    table: 'connections',
    key: 'conn_id',
    columns: { conn_id: 'text', conn_type: 'text', host: 'text', schema: 'text', login: 'text', port: 'text', team: 'text' },
    body: Type.Omit(SeedConnection, ['conn_id'], closed),
    seed: (conn_id, body) => ({ connections: [{ ...body, conn_id }] }),
  },
};

const Page = Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })), after: Type.Optional(Type.String()) });
const params = Type.Object({ '*': Id });

/** GET, PUT and DELETE of each, and a listing by name. */
export function things(app: App, { database, now }: AdminOptions): void {
  for (const [path, { body, seed, ...shown }] of Object.entries(kinds)) {
    const one = (name: string) => getRow(shown, name);

    app.get(`/${path}`, { schema: { querystring: Page } }, async (request) => {
      const { limit = 100, after = '' } = request.query;
      return { [path]: await database.run(listRows(shown, after, limit)), total_entries: await database.run(countRows(shown)) };
    });

    app.get(`/${path}/*`, { schema: { params } }, async (request) => {
      const row = await database.run(one(request.params['*']));
      if (row === undefined) throw notFound(shown.table.slice(0, -1));
      return row;
    });

    app.put(`/${path}/*`, { schema: { params, body } }, async (request) => {
      const name = request.params['*'];
      await asProblem(async () => database.transaction(seedAll(seed(name, request.body as object) as Seed, now())));
      return database.run(one(name));
    });

    app.delete(`/${path}/*`, { schema: { params } }, async (request, reply) => {
      if (!(await asProblem(async () => database.run(deleteRow(shown, request.params['*']))))) throw notFound(shown.table.slice(0, -1));
      return reply.code(204).send();
    });
  }
}
