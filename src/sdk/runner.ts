import { goesOnWith } from './await-input.js';
import { client, type Supervisor } from './client.js';
import { TaskError } from './error.js';
import { context } from './context.js';
import { deferralFailure, failsWhereItGoesOn } from './deferral.js';
import { killSwitch } from './kill.js';
import { log } from './log.js';
import { finalMessage } from './outcome.js';
import { outletFields } from './outlets.js';
import { xcom } from './xcom.js';
import type { TaskFunction } from './types.js';

export interface Ran {
  /** The final message that was sent. */
  readonly type: string;
  readonly fields: Readonly<Record<string, unknown>>;
  /** What the task threw, if that is why. */
  readonly error?: unknown;
}

/** What a task file exports. */
export type TaskModule = Readonly<Record<string, unknown>>;

/**
 * Runs a task and says what became of it.
 *
 * @param broken Rejects with why the task's promise is not going to settle, or is not to be waited for any more.
 * @throws When not even a failure could be reported.
 */
export async function runTask(load: () => Promise<TaskModule>, broken: Promise<never>): Promise<Ran> {
  const supervisor = client();
  let ran: Ran;
  try {
    const result = await Promise.race([broken, killSwitch().killed, load().then((module) => call(module, supervisor))]);
    if (result !== undefined) await xcom.push('return_value', result);
    ran = { type: 'SucceedTask', fields: { state: 'success', end_date: now(), ...outletFields() } };
  } catch (error) {
    ran = endedBy(error, supervisor);
  }
  try {
    await tell(supervisor, ran);
    return ran;
  } catch (error) {
    // Who asked it to end knows why, and may listen no more.
    if (isKilled(ran.error) && (error as Partial<TaskError>).code === 'ERR_BROKER_DENIED') return ran;
    if ('error' in ran) throw error; // a failure that cannot be told: nor can another
    // An outlet or a trigger that was not granted, an argument that is not JSON.
    const failed = failure(error, supervisor);
    await tell(supervisor, failed);
    return failed;
  }
}

const isKilled = (error: unknown): boolean => error instanceof TaskError && error.code === 'ERR_TASK_KILLED';

const now = (): string => new Date().toISOString();

/** A task that comes back from a trigger goes on where it said; one that begins has nothing of what an earlier try has pushed, as in Airflow. */
async function call(module: TaskModule, { start }: Supervisor): Promise<unknown> {
  const { next_method = null, next_kwargs, xcom_keys_to_clear = [] } = start.ti_context;
  if (next_method === null) {
    for (const key of xcom_keys_to_clear) await xcom.delete(key);
    return entryOf(module)(context);
  }
  if (next_method === failsWhereItGoesOn) throw deferralFailure(next_kwargs);
  const method = module[next_method] ?? (module['default'] as TaskModule | undefined)?.[next_method];
  if (typeof method !== 'function') throw new TaskError('ERR_TASK_FILE', `the task file exports no function "${next_method}", by which it is to go on`);
  return (method as TaskFunction)(context, goesOnWith(next_kwargs ?? {}));
}

function entryOf({ default: exported }: TaskModule): TaskFunction {
  // A CommonJS file that a compiler made from `export default` has it one level down.
  const entry = typeof exported === 'function' ? exported : (exported as { default?: unknown } | undefined)?.default;
  if (typeof entry !== 'function') throw new TaskError('ERR_TASK_FILE', 'the task file has no function as its default export');
  return entry as TaskFunction;
}

function endedBy(thrown: unknown, supervisor: Supervisor): Ran {
  const message = finalMessage(thrown);
  return message === undefined ? failure(thrown, supervisor) : message;
}

function failure(error: unknown, { start }: Supervisor): Ran {
  log.error('the task failed', { error });
  const why = { end_date: now(), retry_reason: describe(error).slice(0, 2000) };
  if (start.ti_context.should_retry === true) return { type: 'RetryTask', fields: { ...why, state: 'up_for_retry' }, error };
  return { type: 'TaskState', fields: { ...why, state: 'failed' }, error };
}

/** One line for whoever looks at the outcome; the log has it all. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? ` [${error.code}]` : '';
  return `${error.name}: ${error.message}${code}`;
}

/** A server that does not answer now is the supervisor's to tell later: it has the task's word, and an orderly end confirms it. */
async function tell(supervisor: Supervisor, { type, fields }: Ran): Promise<void> {
  try {
    await supervisor.request(type, fields);
  } catch (error) {
    const { code, detail } = error as Partial<TaskError>;
    const isPassing = code === 'ERR_UPSTREAM_UNREACHABLE' || (code === 'API_SERVER_ERROR' && Number(detail?.['status_code']) >= 500);
    if (!isPassing) throw error;
    log.warning('the final state could not be told yet', { error });
  }
}
