import { FirstToken } from '../../execution-api/schema.js';
import type { Identity } from '../../authorization/index.js';
import { type AccessOptions, invalidCredential, workerOf } from '../access.js';
import type { App } from '../app.js';
import { Problem } from '../problem.js';
import { findWork } from '../store/workers.js';
import { bindingOf } from '../worker.js';
import { ofTaskInstance as params } from './params.js';

/** Where a server is the sole issuer: a worker that was told of a task instance asks for the token to start it with. */
export function firstToken(app: App, { database, tokens, authorizer }: AccessOptions): void {
  app.post('/sallyport/v1/task-instances/:id/token', { config: { access: 'worker' }, schema: { params, response: { 201: FirstToken } } }, async (request, reply) => {
    const worker = workerOf(request);
    const id = request.params.id.toLowerCase();
    const work = await database.run(findWork(id));
    const decide = (allowed: boolean, reason: string): void => {
      const identity: Pick<Identity, 'id'> & Partial<Identity> = work ?? { id };
      authorizer.recordFor(worker.name, identity, 'transition', { kind: 'task_instance', dag_id: work?.dag_id ?? '', run_id: work?.run_id, task_id: work?.task_id }, { allowed, rule: 'worker', reason });
    };
    const binding = work && bindingOf(worker, work);
    if (work === undefined || binding === undefined) {
      decide(false, work === undefined ? 'unknown' : 'not_bound');
      // The same for what is not there: a worker learns nothing about other queues.
      throw new Problem(403, { reason: 'access_denied', message: 'Worker does not have access to this task instance' });
    }
    if (work.replaced === 1) {
      decide(false, 'replaced');
      throw new Problem(410, { reason: 'not_found', message: 'Task Instance not found: a later try has taken its place' });
    }
    if (work.state !== 'queued' && work.state !== 'restarting') {
      decide(false, 'not_waiting');
      throw new Problem(409, { reason: 'invalid_state', message: 'TI was not in a state where it could be marked as running', previous_state: work.state });
    }
    const signed = await tokens.issueTo(worker.name, { sub: work.id, scope: 'workload', dag_id: work.dag_id });
    if (signed === undefined) throw invalidCredential(); // revoked while it asked
    decide(true, binding);
    return reply.code(201).header('cache-control', 'no-store').send({ token: signed.token, scope: 'workload', expires_at: new Date(signed.record.exp * 1000).toISOString() });
  });
}
