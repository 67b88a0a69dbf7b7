/**
 * `sallyport/task/testing`: runs a task function in an author's own unit test, without a supervisor. What a task asks is
 * answered from what the test has put there, in the same words as by a real supervisor; nothing is refused for want of a grant.
 */

import { encodeRequest, FrameDecoder } from '../broker/frame.js';
import { hasClient, setClient } from './client.js';
import { TaskError } from './error.js';
import { answers, type Answer } from './testing/answers.js';
import { killSwitch } from './kill.js';
import { runTask, type TaskModule } from './runner.js';
import { shared } from './shared.js';
import { checkFakeOptions } from './testing/options.js';
import { type FakeContext, type FakeSeed, startDetails, World } from './testing/world.js';
import type { StartDetails, TaskFunction } from './types.js';

export type { Answer } from './testing/answers.js';
export type { FakeContext, FakeXCom } from './testing/world.js';

export interface FakeOptions extends FakeSeed {
  /** What the task finds in its context. */
  readonly context?: FakeContext;
  /** By message, for what the fake does not know, or is to answer otherwise: what the supervisor would reply, or throw a TaskError. */
  readonly answers?: Readonly<Record<string, Answer>>;
}

/** What became of a task. */
export interface FakeOutcome {
  readonly state: 'success' | 'failed' | 'skipped' | 'up_for_retry' | 'up_for_reschedule' | 'deferred' | 'awaiting_input';
  /** What it returned: its XCom `return_value`. */
  readonly returned: unknown;
  /** What it threw, where that is why it failed. */
  readonly error?: unknown;
  /** Why, of `skip()` and `fail()`, and the error's message. */
  readonly reason?: string;
  /** The final message, as the supervisor would get it: a deferral's trigger, a date, outlets. */
  readonly message: Readonly<Record<string, unknown>>;
}

/** A request that the task made. */
export interface FakeRequest {
  readonly type: string;
  readonly [field: string]: unknown;
}

const finalStates: Readonly<Record<string, FakeOutcome['state']>> = { SucceedTask: 'success', RetryTask: 'up_for_retry', DeferTask: 'deferred', AwaitInputTask: 'awaiting_input', RescheduleTask: 'up_for_reschedule' };

/** Stands in for a supervisor. Its maps may be looked at and changed at any time. */
export class FakeSupervisor extends World {
  /** All requests, in order. */
  readonly requests: FakeRequest[] = [];
  /** Lines of `log`. */
  readonly logs: Readonly<Record<string, unknown>>[] = [];
  readonly #start: StartDetails;
  readonly #answers: Readonly<Record<string, Answer>>;

  /** @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`: an option that is none. */
  constructor(options: FakeOptions = {}) {
    checkFakeOptions(options);
    const start = startDetails(options.context);
    super(options, start.ti);
    this.#start = start;
    this.#answers = { ...answers(this), ...options.answers };
  }

  /**
   * Runs a task as its process would: the default export of a module, or one that it goes on by after a deferral where `context.next_method` says so.
   *
   * @param task The task's function, or all that its file exports: `import * as load`.
   */
  async run(task: TaskFunction | TaskModule): Promise<FakeOutcome> {
    const module = typeof task === 'function' ? { default: task } : task;
    const never = new Promise<never>(() => {});
    const { type, fields, error } = await this.within(() => runTask(async () => module, never));
    const { retry_reason: reason, state } = fields;
    const returned = this.pushed.get('return_value') ?? null;
    return { state: finalStates[type] ?? (state as 'failed'), returned, message: { type, ...fields }, ...(error !== undefined && { error }), ...(typeof reason === 'string' && { reason }) };
  }

  /** Calls a function that uses `sallyport/task`, in the place of a whole task. One at a time in a process. */
  async within<T>(use: () => T | Promise<T>): Promise<T> {
    if (hasClient()) throw new TaskError('ERR_TASK_TESTING', 'another task is running in this process; fakes run one at a time');
    setClient({ start: this.#start, request: (type, fields) => this.#request(type, fields) });
    shared.onLog = (line) => void this.logs.push(JSON.parse(line) as Readonly<Record<string, unknown>>);
    try {
      return await use();
    } finally {
      shared.kill?.end();
      setClient(undefined);
      Object.assign(shared, { onLog: undefined, kill: undefined, outlets: undefined });
    }
  }

  /** What SIGTERM does to the task that runs: its signal is aborted, its `onKill` hooks are called. Resolves when they are done. */
  async kill(): Promise<void> {
    await killSwitch().kill();
  }

  /** A request goes the way that it would over the channel: what cannot be sent throws, and what is answered is a copy. */
  async #request(type: string, fields: Readonly<Record<string, unknown>>): Promise<unknown> {
    const [, body] = copied(encodeRequest([0, { ...fields, type }], type)) as [number, FakeRequest];
    this.requests.push(body);
    const answer = this.#answers[type];
    if (answer === undefined) throw new TaskError('ERR_BROKER_DENIED', `the fake supervisor knows no answer to "${type}"; give it one in options.answers`);
    return structuredClone(await answer(body)) ?? null;
  }
}

function copied(frame: Uint8Array): unknown {
  const [decoded] = new FrameDecoder().push(frame);
  return decoded?.value;
}

/** A supervisor for a unit test: `const fake = fakeSupervisor({ variables: { region: 'north' } }); const outcome = await fake.run(task)`. */
export function fakeSupervisor(options: FakeOptions = {}): FakeSupervisor {
  return new FakeSupervisor(options);
}
