import { Type } from '@sinclair/typebox';
import type { App } from '../app.js';
import { notFound, Problem } from '../problem.js';
import { storedNow } from '../store/time.js';
import { revokeTriggerer } from '../store/triggers.js';
import { getWorkers, revokeWorker, type Role, type Worker } from '../store/workers.js';
import { enrol, WorkerOptions } from '../worker.js';
import type { AdminOptions } from './index.js';

const params = Type.Object({ '*': WorkerOptions.properties.name });
const body = Type.Object({ queues: WorkerOptions.properties.queues, team: WorkerOptions.properties.team }, { additionalProperties: false, minProperties: 1 });

const Listed = Type.Unsafe<readonly Worker[]>(Type.Array(Type.Object({ name: Type.String(), queues: Type.Array(Type.String()), team: Type.Union([Type.String(), Type.Null()]) })));

/** Who may ask for first tokens, and who for triggers. A credential is told once, to whom the worker is added by. */
export function workers(app: App, { database, now }: AdminOptions): void {
  const add = async (role: Role, name: string, options: object): Promise<{ credential: string }> => {
    const { credential, wrong } = await enrol(database, role, { ...options, name });
    if (wrong === 'name') throw new Problem(409, { reason: 'already_exists', message: 'There is a worker or a triggerer of this name: revoke it first' });
    if (wrong === 'team') throw new Problem(409, { reason: 'unknown_name', message: 'There is no such team' });
    return { credential };
  };

  for (const role of ['worker', 'triggerer'] as const) {
    const path = `${role}s`;
    app.get(`/${path}`, { schema: { response: { 200: Type.Object({ [path]: Listed }) } } }, async () => ({ [path]: await database.run(getWorkers(role)) }));

    app.put(`/${path}/*`, { schema: { params, body, response: { 201: Type.Object({ credential: Type.String() }) } } }, async (request, reply) => {
      const added = await add(role, request.params['*'], request.body);
      return reply.code(201).header('cache-control', 'no-store').send(added);
    });
  }

  app.delete('/workers/*', { schema: { params, response: { 200: Type.Object({ revoked: Type.Integer() }) } } }, async (request) => {
    const revoked = await database.transaction(revokeWorker(request.params['*'], storedNow(now())));
    if (revoked === undefined) throw notFound('Worker');
    return { revoked };
  });

  app.delete('/triggerers/*', { schema: { params, response: { 204: Type.Undefined() } } }, async (request, reply) => {
    if (!(await database.transaction(revokeTriggerer(request.params['*'], storedNow(now()))))) throw notFound('Triggerer');
    return reply.code(204).send();
  });
}
