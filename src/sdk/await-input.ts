import { invalidArgument, outOfRange } from '../errors.js';
import { client } from './client.js';
import { context } from './context.js';
import { TaskError } from './error.js';
import { TaskOutcome } from './outcome.js';

type Fields = Readonly<Record<string, unknown>>;

/** What people are asked, and how the task goes on. */
export interface InputRequest {
  readonly subject: string;
  readonly body?: string;
  /** Of which one is chosen, or with `multiple` some. */
  readonly options: readonly string[];
  /** @default false */
  readonly multiple?: boolean;
  /** The answer when nobody has given one in time. @default none: the task fails then */
  readonly defaults?: readonly string[];
  /** What else is asked for, by name, each with a value to begin with; Airflow's Params too. */
  readonly params?: Fields;
  /** Who may answer. @default whoever the server lets */
  readonly assigned_users?: readonly { readonly id: string; readonly name: string }[];
  /** The task goes on by this export of its file, called with the context and, as its second argument, `kwargs` and the `event`: a {@link HumanAnswer}. */
  readonly method_name: string;
  readonly kwargs?: Fields;
  /** For how long an answer is waited for. @default for ever */
  readonly timeoutMs?: number;
}

/** The `event` with which a task goes on that has waited for people. */
export interface HumanAnswer {
  readonly chosen_options: readonly string[];
  readonly params_input: Fields;
  /** ISO 8601. */
  readonly responded_at: string;
  /** null for the defaults. */
  readonly responded_by_user: { readonly id: string; readonly name: string } | null;
  /** Nobody has answered in time: these are the defaults. */
  readonly timedout: boolean;
}

/** Among its kwargs, so that what comes back is known for what it is: an event of a trigger's may look like an answer. */
const mark = 'sallyport.awaits_input';

/**
 * Asks people, ends this process, and has the task go on when one of them has answered: `return awaitInput({ ... })`. Like `defer()` it never
 * returns; who answers is no task. Needs a server of Airflow 3.3, or `sallyport/server`, whose admin API takes the answers.
 *
 * @throws {TaskError} The question could not be asked. TypeError, RangeError: it is none.
 */
export async function awaitInput(request: InputRequest): Promise<never> {
  const { subject, body = null, options, multiple = false, defaults, params = {}, assigned_users = [], method_name, kwargs = {}, timeoutMs } = request;
  for (const [name, value] of Object.entries({ subject, method_name })) if (typeof value !== 'string' || value === '') throw invalidArgument(name, 'a string', value);
  if (!Array.isArray(options) || !options.every((option) => typeof option === 'string')) throw invalidArgument('options', 'an array of strings', options);
  if (options.length === 0 || new Set(options).size < options.length) throw outOfRange('options', 'at least one, and each once');
  if (defaults !== undefined && (defaults.length === 0 || !defaults.every((each) => options.includes(each)) || (!multiple && defaults.length > 1))) throw outOfRange('defaults', 'of the options, and one of them without multiple');
  if (timeoutMs !== undefined && !(timeoutMs > 0 && timeoutMs < Number.MAX_SAFE_INTEGER)) throw outOfRange('timeoutMs', 'a number of milliseconds');
  await client().request('CreateHITLDetailPayload', { ti_id: context.ti.id, options, subject, body, defaults: defaults ?? null, multiple, params, assigned_users });
  const timeout = timeoutMs === undefined ? null : `PT${(timeoutMs / 1000).toFixed(3)}S`;
  throw new TaskOutcome('awaitInput()', { type: 'AwaitInputTask', fields: { state: 'awaiting_input', timeout, next_method: method_name, next_kwargs: { ...kwargs, [mark]: true } } });
}

/**
 * What a task goes on with, as its author looks at it: of an answer its time as text.
 * @throws {TaskError} `ERR_INPUT_TIMEOUT`: it was waited for in vain.
 */
export function goesOnWith(kwargs: Fields): Fields {
  const { [mark]: awaited, ...own } = kwargs;
  if (awaited !== true) return kwargs;
  const event = own['event'] as Fields | undefined;
  if (event?.['error_type'] === 'timeout') throw new TaskError('ERR_INPUT_TIMEOUT', 'nobody has answered in time what the task has asked');
  const responded_at = timeOf(event?.['responded_at']);
  return { ...own, event: { ...event, ...(responded_at !== undefined && { responded_at }) } };
}

/** Airflow's servers send it as its serde writes it: seconds since 1970. */
function timeOf(value: unknown): string | undefined {
  const seconds = (value as { readonly __data__?: { readonly timestamp?: unknown } } | null | undefined)?.__data__?.timestamp;
  return typeof seconds === 'number' && Math.abs(seconds) < 8e12 ? new Date(Math.round(seconds * 1000)).toISOString() : undefined;
}
