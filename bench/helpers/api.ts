// A server to measure, in a process of its own, forked by ../server.ts: Fastify with one bare route, or the Execution API on a SQLite file.

import { randomBytes, randomUUID } from 'node:crypto';
import { fastify } from 'fastify';
import { Secret } from '../../lib/index.js';
import { createServer } from '../../lib/server/index.js';
import { getVariable } from '../../lib/server/store/variables.js';
import { openDatabase } from '../../lib/server/store/index.js';

/** How many task instances run, and where the data is. */
export interface ApiOptions {
  readonly tasks: number;
  readonly database: string;
}
export interface Api {
  readonly port: number;
  readonly tasks: readonly { readonly id: string; readonly token: string }[];
}
export type Order = 'cpu' | { readonly reads: number };
/** Microseconds of processor time so far, or that the reads took. */
export type Told = number;

const start = { hostname: 'bench', unixname: 'bench', pid: 1, state: 'running', start_date: '2026-04-06T00:00:00Z' };

async function bare(): Promise<Api> {
  const app = fastify();
  app.get('/execution/variables/*', () => ({ key: 'region', value: 'north' }));
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  return { port: Number(new URL(url).port), tasks: [] };
}

async function api({ tasks, database }: ApiOptions): Promise<Api> {
  const server = await createServer({ database, signingKey: Secret.fromBytes(randomBytes(64)), multiTeam: true, tokenLifetimeSeconds: 3600 });
  const ids = Array.from({ length: tasks }, () => randomUUID());
  await server.seed({ teams: ['red'], bundles: [{ name: 'reds', team: 'red' }], dags: [{ dag_id: 'daily', bundle: 'reds' }], variables: { region: { value: 'north', team: 'red' } }, taskInstances: ids.map((id) => ({ id, dag_id: 'daily', run_id: 'r', task_id: id })) });
  const url = await server.listen();
  const running = await Promise.all(
    ids.map(async (id) => {
      const response = await fetch(`${url}task-instances/${id}/run`, { method: 'PATCH', headers: { authorization: `Bearer ${await server.issueWorkloadToken(id)}`, 'content-type': 'application/json' }, body: JSON.stringify(start) });
      await response.arrayBuffer();
      return { id, token: response.headers.get('refreshed-api-token') ?? '' };
    }),
  );
  return { port: Number(new URL(url).port), tasks: running };
}

const options = JSON.parse(process.argv[2] ?? 'null') as ApiOptions | null;
process.send?.(options === null ? await bare() : await api(options));
const database = options === null ? undefined : await openDatabase(options.database);

process.on('message', async (order: Order) => {
  if (order === 'cpu') {
    const { user, system } = process.cpuUsage();
    return process.send?.(user + system);
  }
  const begun = process.hrtime.bigint();
  for (let i = 0; i < order.reads; i++) await database?.run(getVariable('region'));
  process.send?.(Number(process.hrtime.bigint() - begun) / 1000);
});
process.on('disconnect', () => process.exit());
