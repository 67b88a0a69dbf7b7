import { invalidArgument, outOfRange } from '../errors.js';

const brand: unique symbol = Symbol.for('sallyport.task.outcome') as never;

interface FinalMessage {
  readonly type: 'AwaitInputTask' | 'DeferTask' | 'RescheduleTask' | 'TaskState';
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What `defer()`, `awaitInput()`, `reschedule()`, `skip()` and `fail()` throw, for the runner. Not a failure: let it through. */
export class TaskOutcome extends Error {
  static { Object.defineProperty(this.prototype, 'name', { value: 'TaskOutcome', writable: true, configurable: true }); }
  readonly code = 'ERR_TASK_OUTCOME';
  readonly [brand]: FinalMessage;

  constructor(what: string, message: FinalMessage) {
    super(`${what} ends the task by what it throws; a catch around it has to throw that again`);
    this[brand] = message;
  }
}

/** The final message that a thrown value stands for, whichever copy of this module it is from. */
export function finalMessage(thrown: unknown): FinalMessage | undefined {
  return typeof thrown === 'object' && thrown !== null ? (thrown as { readonly [brand]?: FinalMessage })[brand] : undefined;
}

export interface Deferral {
  /** The trigger's class, by its path, as the triggerer imports it. The supervisor must grant it: `defers`. */
  readonly trigger: string;
  /** What the trigger is made with: any JSON. */
  readonly trigger_kwargs?: Readonly<Record<string, unknown>>;
  /** The task goes on by this export of its file, called with the context and, as its second argument, `kwargs` and the trigger's `event`. */
  readonly method_name: string;
  readonly kwargs?: Readonly<Record<string, unknown>>;
  /** When the task is failed if the trigger has not fired. @default never */
  readonly timeoutMs?: number;
}

/** Ends this process, and has the task go on when a trigger fires. Airflow's defer(). */
export function defer({ trigger, trigger_kwargs = {}, method_name, kwargs = {}, timeoutMs }: Deferral): never {
  for (const [name, value] of Object.entries({ trigger, method_name })) if (typeof value !== 'string' || value === '') throw invalidArgument(name, 'a string', value);
  if (timeoutMs !== undefined && !(timeoutMs > 0 && timeoutMs < Number.MAX_SAFE_INTEGER)) throw outOfRange('timeoutMs', 'a number of milliseconds');
  const trigger_timeout = timeoutMs === undefined ? null : `PT${(timeoutMs / 1000).toFixed(3)}S`;
  throw new TaskOutcome('defer()', { type: 'DeferTask', fields: { state: 'deferred', classpath: trigger, trigger_kwargs, trigger_timeout, next_method: method_name, next_kwargs: kwargs } });
}

/** Ends this process, and has the task run again, from its beginning, at a time. For a sensor that looks now and then. */
export function reschedule(when: Date): never {
  if (!(when instanceof Date)) throw invalidArgument('when', 'a Date', when);
  if (Number.isNaN(when.getTime())) throw outOfRange('when', 'a valid Date');
  throw new TaskOutcome('reschedule()', { type: 'RescheduleTask', fields: { state: 'up_for_reschedule', reschedule_date: when.toISOString(), end_date: new Date().toISOString() } });
}

const ended = (state: 'failed' | 'skipped', reason: string | undefined): FinalMessage => ({
  type: 'TaskState',
  fields: { state, end_date: new Date().toISOString(), ...(reason !== undefined && { retry_reason: String(reason).slice(0, 2000) }) },
});

/** Ends the task as skipped: it was not needed. */
export function skip(reason?: string): never {
  throw new TaskOutcome('skip()', ended('skipped', reason));
}

/** Ends the task as failed, and not to be tried again, whatever tries it has left. To be tried again, throw an error. */
export function fail(reason?: string): never {
  throw new TaskOutcome('fail()', ended('failed', reason));
}
