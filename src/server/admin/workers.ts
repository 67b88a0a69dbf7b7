import { Type } from '@sinclair/typebox';
import type { App } from '../app.js';
import { notFound, Problem } from '../problem.js';
import { storedNow } from '../store/time.js';
import { getWorkers, revokeWorker, type Worker } from '../store/workers.js';
import { enrol, WorkerOptions } from '../worker.js';
import type { AdminOptions } from './index.js';

const params = Type.Object({ '*': WorkerOptions.properties.name });
const body = Type.Object({ queues: WorkerOptions.properties.queues, team: WorkerOptions.properties.team }, { additionalProperties: false, minProperties: 1 });

const Workers = Type.Object({ workers: Type.Unsafe<readonly Worker[]>(Type.Array(Type.Object({ name: Type.String(), queues: Type.Array(Type.String()), team: Type.Union([Type.String(), Type.Null()]) }))) });

/** Who may ask for first tokens. A credential is told once, to whom the worker is added by. */
export function workers(app: App, { database, now }: AdminOptions): void {
  app.get('/workers', { schema: { response: { 200: Workers } } }, async () => ({ workers: await database.run(getWorkers()) }));

  app.put('/workers/*', { schema: { params, body, response: { 201: Type.Object({ credential: Type.String() }) } } }, async (request, reply) => {
    const { credential, wrong } = await enrol(database, { ...request.body, name: request.params['*'] });
    if (wrong === 'name') throw new Problem(409, { reason: 'already_exists', message: 'There is a worker of this name: revoke it first' });
    if (wrong === 'team') throw new Problem(409, { reason: 'unknown_name', message: 'There is no such team' });
    return reply.code(201).header('cache-control', 'no-store').send({ credential });
  });

  app.delete('/workers/*', { schema: { params, response: { 200: Type.Object({ revoked: Type.Integer() }) } } }, async (request) => {
    const revoked = await database.transaction(revokeWorker(request.params['*'], storedNow(now())));
    if (revoked === undefined) throw notFound('Worker');
    return { revoked };
  });
}
