import { Type } from '@sinclair/typebox';
import { DagRunState } from '../../execution-api/schema.js';
import { Nullable } from '../../execution-api/schema/common.js';
import type { App } from '../app.js';
import { notFound, Problem } from '../problem.js';
import { Id, SeedDagRun } from '../seed.js';
import { changeDagRun, getDagRun, listDagRuns } from '../store/dag-runs.js';
import { seedAll } from '../store/seed.js';
import type { Sql } from '../store/sql.js';
import { storedNow } from '../store/time.js';
import type { AdminOptions } from './index.js';
import { asProblem } from './problem.js';

const closed = { additionalProperties: false } as const;
const params = Type.Object({ dag_id: Id, run_id: Id });
const query = Type.Object({ dag_id: Type.Optional(Id), state: Type.Optional(DagRunState), limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })), offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 })) });
const NewRun = Type.Omit(SeedDagRun, ['dag_id', 'run_id'], closed);
const Update = Type.Object({ state: Type.Optional(DagRunState), note: Type.Optional(Nullable(Type.String())) }, closed);
const url = '/dag-runs/:dag_id/:run_id';

/** Runs of DAGs. None is taken away: they are what happened. */
export function dagRuns(app: App, { database, now }: AdminOptions): void {
  app.get('/dag-runs', { schema: { querystring: query } }, async (request) => {
    const { limit = 100, offset = 0, ...filter } = request.query;
    return { dag_runs: await database.run(listDagRuns(filter, limit, offset)) };
  });

  app.get(url, { schema: { params } }, async (request) => {
    const { dag_id, run_id } = request.params;
    const run = await database.run(getDagRun(dag_id, run_id));
    if (run === undefined) throw notFound('DAG run');
    return run;
  });

  app.put(url, { schema: { params, body: NewRun } }, async (request, reply) => {
    const { dag_id, run_id } = request.params;
    const at = now();
    const made = await asProblem(async () =>
      database.transaction(
        (function* (): Sql<boolean> {
          if ((yield* getDagRun(dag_id, run_id)) !== undefined) return false;
          yield* seedAll({ dagRuns: [{ ...request.body, dag_id, run_id }] }, at);
          return true;
        })(),
      ),
    );
    if (!made) throw new Problem(409, { reason: 'already_exists', message: 'There is one already' });
    return reply.code(201).send(await database.run(getDagRun(dag_id, run_id)));
  });

  app.patch(url, { schema: { params, body: Update } }, async (request) => {
    const { dag_id, run_id } = request.params;
    if (!(await database.run(changeDagRun(dag_id, run_id, request.body, storedNow(now()))))) throw notFound('DAG run');
    return database.run(getDagRun(dag_id, run_id));
  });
}
