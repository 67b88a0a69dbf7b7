import { toStored } from './store/time.js';
import type { EnterRunning, Heartbeat, StateUpdate } from '../execution-api/schema.js';

export type TaskInstanceState =
  | 'scheduled'
  | 'queued'
  | 'restarting'
  | 'running'
  | 'deferred'
  | 'awaiting_input'
  | 'up_for_retry'
  | 'up_for_reschedule'
  | 'success'
  | 'failed'
  | 'skipped'
  | 'removed'
  | 'upstream_failed';

/** One try of one task. Its id is what a token's `sub` names; a retry is another one. */
export interface TaskInstance {
  readonly id: string;
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly try_number: number;
  readonly max_tries: number;
  readonly queue: string;
  readonly state: TaskInstanceState | null;
  readonly hostname: string | null;
  readonly unixname: string | null;
  readonly pid: number | null;
  readonly start_date: string | null;
  readonly end_date: string | null;
  readonly last_heartbeat_at: string | null;
  readonly rendered_map_index: string | null;
  readonly task_reschedule_count: number;
  readonly reschedule_date: string | null;
  /** JSON: what a deferred task waits for, and how it goes on. */
  readonly trigger: string | null;
  readonly next_method: string | null;
  readonly next_kwargs: string | null;
  /** How long after its end its next try should begin, and why, where the task said so: for who schedules. */
  readonly retry_delay_seconds: number | null;
  readonly retry_reason: string | null;
  /** Whether there is a later try of the task: 0 or 1. */
  readonly replaced: number;
}

/** Airflow's words for a 409, and for the 410 of a try that has been replaced. */
export type Conflict =
  | { readonly reason: 'not_found'; readonly message: string; readonly previous_state: TaskInstanceState | null }
  | { readonly reason: 'invalid_state'; readonly message: string; readonly previous_state: TaskInstanceState | null }
  | { readonly reason: 'running_elsewhere'; readonly message: string; readonly current_hostname: string | null; readonly current_pid: number | null }
  | { readonly reason: 'not_running'; readonly message: string; readonly current_state: TaskInstanceState | null; readonly previous_state?: TaskInstanceState };

/** One round of a task that comes back later. */
export interface Reschedule {
  readonly start_date: string;
  readonly end_date: string;
  readonly reschedule_date: string;
}

/** What a request does to a task instance: new values, perhaps none, or a refusal. */
export type Change = { readonly set: Partial<Omit<TaskInstance, 'id' | 'replaced'>>; readonly reschedule?: Reschedule } | { readonly conflict: Conflict };

/** The answer to whoever still runs it: its task was cleared, or is tried again. How it ended is for who says that again, because no answer came. */
const gone = ({ state }: TaskInstance): Change => ({ conflict: { reason: 'not_found', message: 'Task Instance not found, it may have been moved to the Task Instance History table', previous_state: state } });

/** PATCH …/run. Asked twice by the same process it says yes twice, for an answer can get lost. */
export function enterRunning(ti: TaskInstance, { hostname, unixname, pid, start_date }: EnterRunning, now: string): Change {
  if (ti.replaced === 1) return gone(ti);
  if (ti.state === 'running' && ti.hostname === hostname && ti.unixname === unixname && ti.pid === pid) return { set: {} };
  if (ti.state !== 'queued' && ti.state !== 'restarting') {
    return { conflict: { reason: 'invalid_state', message: 'TI was not in a state where it could be marked as running', previous_state: ti.state } };
  }
  // A task that comes back from being deferred began when it first ran.
  const began = ti.next_method === null ? toStored(start_date) : (ti.start_date ?? toStored(start_date));
  return { set: { state: 'running', hostname, unixname, pid, start_date: began, end_date: null, last_heartbeat_at: now } };
}

/** PUT …/heartbeat. Who runs it is asked before whether it runs, as Airflow does. */
export function heartbeat(ti: TaskInstance, { hostname, pid }: Heartbeat, at: string | null): Change {
  if (ti.replaced === 1) return gone(ti);
  if (ti.hostname !== hostname || ti.pid !== pid) {
    return { conflict: { reason: 'running_elsewhere', message: 'TI is already running elsewhere', current_hostname: ti.hostname, current_pid: ti.pid } };
  }
  if (ti.state !== 'running') {
    return { conflict: { reason: 'not_running', message: 'TI is no longer in the running state and task should terminate', current_state: ti.state } };
  }
  return { set: { last_heartbeat_at: at } };
}

/** A task's own words are shown in lists of a thousand. */
const mostReasonChars = 2000;

/** PATCH …/state: out of `running`, and out of nothing else. */
export function leaveRunning(ti: TaskInstance, update: StateUpdate): Change {
  if (ti.replaced === 1) return gone(ti);
  if (ti.state !== 'running') {
    return { conflict: { reason: 'invalid_state', message: 'TI was not in the running state so it cannot be updated', previous_state: ti.state } };
  }
  const { state } = update;
  const rendered = 'rendered_map_index' in update && update.rendered_map_index !== undefined ? { rendered_map_index: update.rendered_map_index } : {};
  if (state === 'deferred') {
    const { classpath, trigger_kwargs, trigger_timeout, queue, next_method, next_kwargs } = update;
    const trigger = JSON.stringify({ classpath, trigger_kwargs, trigger_timeout, queue });
    return { set: { state, trigger, next_method, next_kwargs: next_kwargs === undefined ? null : JSON.stringify(next_kwargs), ...rendered } };
  }
  if (state === 'awaiting_input') {
    const { next_method, next_kwargs } = update;
    return { set: { state, trigger: null, next_method, next_kwargs: next_kwargs == null ? null : JSON.stringify(next_kwargs), ...rendered } };
  }
  const end_date = toStored(update.end_date);
  const over = { state, end_date, trigger: null, next_method: null, next_kwargs: null };
  if (state === 'up_for_reschedule') {
    const reschedule_date = toStored(update.reschedule_date);
    return {
      set: { ...over, reschedule_date, task_reschedule_count: ti.task_reschedule_count + 1 },
      reschedule: { start_date: ti.start_date ?? end_date, end_date, reschedule_date },
    };
  }
  if (state === 'up_for_retry') {
    const { retry_delay_seconds = null, retry_reason = null } = update;
    return { set: { ...over, ...rendered, retry_delay_seconds, retry_reason: retry_reason?.slice(0, mostReasonChars) ?? null } };
  }
  return { set: { ...over, ...rendered } };
}

/** What a deferred task goes on with: its trigger's event; or that the trigger has failed, or was waited for too long. */
export type Resumption = { readonly event: unknown } | { readonly failure: readonly string[] } | 'timeout';

/** Airflow's next_method of a task that is to fail where it goes on. */
export const failsWhereItGoesOn = '__fail__';

/** Airflow's handle_event_submit, submit_failure and check_trigger_timeouts: the same try waits for a worker again, and what it waited for is over. */
export function resume(ti: TaskInstance, how: Resumption, from: 'deferred' | 'awaiting_input' = 'deferred'): Change {
  if (ti.replaced === 1) return gone(ti);
  if (ti.state !== from) return { conflict: { reason: 'invalid_state', message: `TI does not wait for ${from === 'deferred' ? 'a trigger' : 'input'}`, previous_state: ti.state } };
  const queued = { state: 'queued', trigger: null } as const;
  if (how === 'timeout') return { set: { ...queued, next_method: failsWhereItGoesOn, next_kwargs: JSON.stringify({ error: 'Trigger timeout' }) } };
  if ('failure' in how) return { set: { ...queued, next_method: failsWhereItGoesOn, next_kwargs: JSON.stringify({ error: 'Trigger failure', traceback: how.failure }) } };
  return { set: { ...queued, next_kwargs: JSON.stringify(withEvent(JSON.parse(ti.next_kwargs ?? 'null'), how.event)) } };
}

/** Python's tasks of before 3.2 send a dict as `{"__type": "dict", "__var": {…}}`. */
function withEvent(kwargs: unknown, event: unknown): object {
  if (typeof kwargs !== 'object' || kwargs === null || Array.isArray(kwargs)) return { event };
  const { __type, __var } = kwargs as { readonly __type?: unknown; readonly __var?: unknown };
  return __type === 'dict' && typeof __var === 'object' ? { ...kwargs, __var: { ...__var, event } } : { ...kwargs, event };
}

/**
 * What a scheduler or an operator does: what waits or was put off goes on to `scheduled` or `queued`, and whatever has not
 * ended is ended. Whoever runs it learns of that at the next heartbeat.
 */
export function move(ti: TaskInstance, state: 'scheduled' | 'queued' | 'success' | 'failed' | 'skipped' | 'upstream_failed' | 'removed', now: string): Change {
  if (ti.replaced === 1) return gone(ti);
  if (ti.state === state) return { set: {} };
  const goesOn = state === 'scheduled' || state === 'queued';
  const may = goesOn ? waiting.includes(ti.state) : ti.state === null || !finished.includes(ti.state);
  if (!may) return { conflict: { reason: 'invalid_state', message: `TI cannot become ${state}`, previous_state: ti.state } };
  return { set: goesOn ? { state } : { state, end_date: now, trigger: null, next_method: null, next_kwargs: null } };
}

const waiting: readonly (TaskInstanceState | null)[] = [null, 'scheduled', 'queued', 'deferred', 'up_for_reschedule'];

/** States in which a task instance stays until somebody clears it. */
export const finished: readonly TaskInstanceState[] = ['success', 'failed', 'skipped', 'upstream_failed', 'removed'];

/** What another task's skip leaves as it is: Airflow's own three. */
export const notSkippable: readonly TaskInstanceState[] = ['running', 'success', 'failed'];

/** Airflow's is_eligible_to_retry: whether a failure of this try is `up_for_retry` or `failed`. */
export function shouldRetry({ state, try_number, max_tries }: TaskInstance): boolean {
  return state === 'restarting' || (max_tries > 0 && try_number <= max_tries);
}
