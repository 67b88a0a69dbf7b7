import { hash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { DagRunNote, EnterRunning, Heartbeat, InactiveAssets, PreviousSuccessfulRun, RenderedFields, RenderedMapIndex, RunContext, SkipDownstream, StateUpdate } from '../../execution-api/schema.js';
import { claimsOf, idempotencyKeyOf, isAllowed, refreshedToken, type AccessOptions } from '../access.js';
import type { App } from '../app.js';
import { durationMs } from '../duration.js';
import { type OutletChange, outletChanges } from '../outlets.js';
import { invalidToken, notFound, Problem } from '../problem.js';
import { awaitAnswer } from '../questions.js';
import { type Change, enterRunning, heartbeat, leaveRunning, shouldRetry, type TaskInstance } from '../state.js';
import { registerOutlets } from '../store/asset-events.js';
import { isAlias } from '../store/assets.js';
import { getDagRun, getPreviousSuccessfulRun } from '../store/dag-runs.js';
import { getInactiveAssets } from '../store/dags.js';
import type { Sql } from '../store/sql.js';
import type { TokenRecord } from '../../tokens/index.js';
import { beatTaskInstance, changeTaskInstance, getTaskInstance, setDagRunNote, setRenderedFields, setRenderedMapIndex, skipTasks } from '../store/task-instances.js';
import { fromStored, storedNow } from '../store/time.js';
import { exchangeToken, keepLastWord } from '../store/tokens.js';
import { addTrigger } from '../store/triggers.js';
import { getXComKeys } from '../store/xcoms.js';
import { Message, NoContent, ofTaskInstance as params } from './params.js';

/** Which states may follow is state.ts's to say. What became of a try can still be said when its token has ended in an outage. */
const mayBeLate = { access: 'self', mayBeLate: true } as const;
const reads = { access: 'self', resource: { kind: 'task_instance', action: 'read' } } as const;
const writes = { access: 'self', resource: { kind: 'task_instance', action: 'write' } } as const;

/** What a task instance does with itself. */
export function taskInstances(app: App, { database, tokens, authorization, authorizer, now }: AccessOptions): void {
  const timestamp = (): string => storedNow(now());

  async function change(id: string, decide: (ti: TaskInstance) => Change, also?: (ti: TaskInstance) => Sql<void>): Promise<{ before: TaskInstance; after: TaskInstance }> {
    const result = await database.transaction(changeTaskInstance(id.toLowerCase(), decide, also));
    if (result === undefined) throw notFound('Task Instance');
    if ('conflict' in result.change) throw new Problem(result.change.conflict.reason === 'not_found' ? 410 : 409, result.change.conflict);
    return { before: result.before, after: { ...result.before, ...result.change.set } };
  }

  function* exchangeOnce({ jti, record, key }: { readonly jti: string; readonly record: TokenRecord; readonly key: string | undefined }, { dag_id, run_id, task_id, state }: TaskInstance): Sql<void> {
    const given_for = key === undefined ? null : hash('sha256', `${jti} ${key}`, 'hex');
    if (yield* exchangeToken(jti, record, timestamp(), { given_for, again: state === 'running' })) return;
    authorizer.refuse({ id: record.sub }, 'transition', { kind: 'task_instance', dag_id, run_id, task_id }, 'token', 'used');
    throw invalidToken('used');
  }

  app.patch('/task-instances/:id/run', { config: { access: 'self-or-workload' }, schema: { params, body: EnterRunning, response: { 200: RunContext } } }, async (request, reply) => {
    const { jti, sub, scope, dag_id } = claimsOf(request);
    // Signed before the transaction, which has no time to wait, and worth nothing until that has registered it.
    const fresh = scope === 'workload' ? await tokens.sign({ sub, scope: 'execution', ...(dag_id !== undefined && { dag_id }) }) : undefined;
    const exchange = fresh && authorization === 'own' ? { jti, record: fresh.record, key: idempotencyKeyOf(request) } : undefined;
    const { before, after: ti } = await change(request.params.id, (row) => enterRunning(row, request.body, timestamp()), exchange && ((row) => exchangeOnce(exchange, row)));
    const dag_run = await database.run(getDagRun(ti.dag_id, ti.run_id));
    if (dag_run === undefined) throw notFound('DAG run');
    if (fresh !== undefined) reply.header(refreshedToken, fresh.token);
    const { next_method } = ti;
    return {
      dag_run,
      task_reschedule_count: ti.task_reschedule_count,
      max_tries: ti.max_tries,
      variables: [],
      connections: [],
      // What is left of an earlier try; one that was deferred goes on with its own.
      xcom_keys_to_clear: next_method === null ? await database.run(getXComKeys(ti)) : [],
      should_retry: shouldRetry(before),
      ...(next_method !== null && { next_method, next_kwargs: JSON.parse(ti.next_kwargs ?? 'null') as unknown, start_date: ti.start_date === null ? null : fromStored(ti.start_date) }),
    };
  });

  /** What of an outlet the task may write. One by aliases may come into being, and must not make another team's URI or alias that of two. */
  async function writableOf(request: FastifyRequest, outlet: OutletChange): Promise<OutletChange | undefined> {
    const { by, name, uri } = outlet;
    if (by !== 'uri' && !(await isAllowed(request, { kind: 'asset', name }))) return undefined;
    if ((by === 'uri' || by === 'aliases') && !(await isAllowed(request, { kind: 'asset', uri }))) return undefined;
    if (by !== 'aliases') return outlet;
    const aliases: string[] = [];
    for (const alias of outlet.aliases) {
      if (!(await database.run(isAlias(alias))) || (await isAllowed(request, { kind: 'asset', alias }))) aliases.push(alias);
    }
    return aliases.length === 0 ? undefined : { ...outlet, aliases };
  }

  /** The wait that a state begins, if it is one: for a trigger, for people, or for its time. */
  function begun(body: StateUpdate): ((ti: TaskInstance) => Sql<void>) | undefined {
    switch (body.state) {
      case 'deferred': {
        const wait = { queue: body.queue ?? null, now: timestamp(), timeout_at: endOf('trigger_timeout', body.trigger_timeout, now()) };
        return (ti) => addTrigger(ti.id, wait);
      }
      case 'awaiting_input': {
        const deadline = endOf('timeout', body.timeout, now());
        return (ti) => awaitAnswer(ti, deadline, timestamp());
      }
      case 'up_for_reschedule':
        return function* () {};
      default:
        return undefined;
    }
  }

  /** The leg's tokens keep its word, for whoever says it again because no answer came; some waits are over at once, and with them the tokens. */
  function* putOff({ state }: StateUpdate, ti: TaskInstance, wait: (ti: TaskInstance) => Sql<void>): Sql<void> {
    if (authorization === 'own') yield* keepLastWord(ti.id, state);
    yield* wait(ti);
  }

  app.patch('/task-instances/:id/state', { config: mayBeLate, schema: { params, body: StateUpdate, response: { 204: NoContent } } }, async (request, reply) => {
    const { body } = request;
    // An asset that the task may not write has no event of it; its success stands.
    const outlets: OutletChange[] = [];
    for (const outlet of body.state === 'success' ? outletChanges(body.task_outlets ?? [], body.outlet_events ?? []) : []) {
      const writable = await writableOf(request, outlet);
      if (writable !== undefined) outlets.push(writable);
    }
    const wait = begun(body);
    await change(request.params.id, (row) => leaveRunning(row, body), (ti) => (wait === undefined ? registerOutlets(ti, outlets, timestamp()) : putOff(body, ti, wait)));
    return reply.code(204).send();
  });

  app.put('/task-instances/:id/heartbeat', { config: mayBeLate, schema: { params, body: Heartbeat, response: { 204: NoContent } } }, async (request, reply) => {
    const { hostname, pid } = request.body;
    const { late } = request;
    const alive = !late && (await database.run(beatTaskInstance(request.params.id.toLowerCase(), hostname, pid, timestamp())));
    // A late one asks whether the try is still this process's, and is no sign of life: the next one would be refused for it.
    if (!alive) await change(request.params.id, (row) => heartbeat(row, request.body, late ? row.last_heartbeat_at : timestamp()));
    return reply.code(204).send();
  });

  app.patch('/task-instances/:id/skip-downstream', { config: writes, schema: { params, body: SkipDownstream, response: { 204: NoContent } } }, async (request, reply) => {
    const ti = await database.run(getTaskInstance(request.params.id.toLowerCase()));
    if (ti === undefined) throw notFound('Task Instance');
    await database.run(skipTasks(ti, request.body.tasks, timestamp()));
    return reply.code(204).send();
  });

  app.put('/task-instances/:id/rtif', { config: writes, schema: { params, body: RenderedFields, response: { 201: Message } } }, async (request, reply) => {
    if (!(await database.run(setRenderedFields(request.params.id.toLowerCase(), request.body)))) throw notFound('Task Instance');
    return reply.code(201).send({ message: 'Rendered task instance fields successfully set' });
  });

  app.patch('/task-instances/:id/rendered-map-index', { config: writes, schema: { params, body: RenderedMapIndex, response: { 204: NoContent } } }, async (request, reply) => {
    if (!(await database.run(setRenderedMapIndex(request.params.id.toLowerCase(), request.body)))) throw notFound('Task Instance');
    return reply.code(204).send();
  });

  // As Airflow since 2026-10-30: an empty note takes it away, and none leaves it.
  app.patch('/task-instances/:id/dag-run-note', { config: writes, schema: { params, body: DagRunNote, response: { 204: NoContent } } }, async (request, reply) => {
    const { note } = request.body;
    const id = request.params.id.toLowerCase();
    const known = note == null ? (await database.run(getTaskInstance(id))) !== undefined : await database.run(setDagRunNote(id, note === '' ? null : note));
    if (!known) throw notFound('Task Instance');
    return reply.code(204).send();
  });

  app.get('/task-instances/:id/previous-successful-dagrun', { config: reads, schema: { params, response: { 200: PreviousSuccessfulRun } } }, (request) =>
    database.run(getPreviousSuccessfulRun(request.params.id.toLowerCase())),
  );

  app.get('/task-instances/:id/validate-inlets-and-outlets', { config: reads, schema: { params, response: { 200: InactiveAssets } } }, async (request) => {
    const inactive_assets = await database.run(getInactiveAssets(request.params.id.toLowerCase()));
    if (inactive_assets === undefined) throw notFound('Task Instance');
    return { inactive_assets: [...inactive_assets] };
  });
}

/** When a wait that begins now is over. @throws {Problem} 422: it is no duration, or ends in no year that there is. */
function endOf(field: string, timeout: string | null | undefined, now: number): string | null {
  if (timeout == null) return null;
  const at = now + (durationMs(timeout) ?? Infinity);
  if (!(Math.abs(at) < 8e15)) throw new Problem(422, [{ loc: ['body', field], msg: 'must be a duration of ISO 8601', type: 'time_delta_parsing' }]);
  return storedNow(at);
}
