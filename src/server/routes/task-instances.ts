import { Type } from '@sinclair/typebox';
import { EnterRunning, Heartbeat, RunContext, StateUpdate } from '../../execution-api/schema.js';
import { claimsOf, refreshedToken, type AccessOptions } from '../access.js';
import type { App } from '../app.js';
import { notFound, Problem } from '../problem.js';
import { fromStored, storedNow } from '../store/time.js';
import { getDagRun } from '../store/dag-runs.js';
import { changeTaskInstance } from '../store/task-instances.js';
import { type Change, enterRunning, heartbeat, leaveRunning, shouldRetry, type TaskInstance } from '../state.js';

const params = Type.Object({ id: Type.String({ pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' }) });

export function taskInstances(app: App, { database, issuer, now }: AccessOptions): void {
  const timestamp = (): string => storedNow(now());

  async function change(id: string, decide: (ti: TaskInstance) => Change): Promise<{ before: TaskInstance; after: TaskInstance }> {
    const result = await database.transaction(changeTaskInstance(id.toLowerCase(), decide));
    if (result === undefined) throw notFound('Task Instance');
    if ('conflict' in result.change) throw new Problem(409, result.change.conflict);
    return { before: result.before, after: { ...result.before, ...result.change.set } };
  }

  app.patch('/task-instances/:id/run', { config: { access: 'self-or-workload' }, schema: { params, body: EnterRunning, response: { 200: RunContext } } }, async (request, reply) => {
    const { before, after: ti } = await change(request.params.id, (row) => enterRunning(row, request.body, timestamp()));
    const dag_run = await database.run(getDagRun(ti.dag_id, ti.run_id));
    if (dag_run === undefined) throw notFound('DAG run');
    if (claimsOf(request).scope === 'workload') {
      reply.header(refreshedToken, await issuer.issue({ sub: ti.id, scope: 'execution', dag_id: ti.dag_id }));
    }
    return {
      dag_run,
      task_reschedule_count: ti.task_reschedule_count,
      max_tries: ti.max_tries,
      variables: [],
      connections: [],
      ...(ti.next_method !== null && { next_method: ti.next_method, next_kwargs: JSON.parse(ti.next_kwargs ?? 'null') as unknown }),
      xcom_keys_to_clear: [],
      should_retry: shouldRetry(before),
      start_date: ti.start_date === null ? null : fromStored(ti.start_date),
    };
  });

  app.patch('/task-instances/:id/state', { config: { access: 'self' }, schema: { params, body: StateUpdate } }, async (request, reply) => {
    await change(request.params.id, (row) => leaveRunning(row, request.body));
    return reply.code(204).send();
  });

  app.put('/task-instances/:id/heartbeat', { config: { access: 'self' }, schema: { params, body: Heartbeat } }, async (request, reply) => {
    await change(request.params.id, (row) => heartbeat(row, request.body, timestamp()));
    return reply.code(204).send();
  });
}
