import { Socket } from 'node:net';
import { isMainThread } from 'node:worker_threads';
import { FrameDecoder, encodeRequest } from '../broker/frame.js';
import { statOf } from './descriptor.js';
import { TaskError } from './error.js';
import type { StartDetails } from './types.js';

type Reply = Readonly<Record<string, unknown>>;

const isErrorResponse = (reply: unknown): reply is Reply => (reply as Reply | null)?.['type'] === 'ErrorResponse';

/** The supervisor's replies are not hostile; its own limit is what bounds them. */
const replyLimits = { maxFrameBytes: 2 ** 32 - 1, maxDepth: 512, maxValues: Number.MAX_SAFE_INTEGER, maxKeys: Number.MAX_SAFE_INTEGER };

/** Where a task's requests go: the channel, or what stands for it in an author's tests. */
export interface Supervisor {
  /** The first message. */
  readonly start: StartDetails;
  /** @throws {TaskError} */
  request(type: string, fields: Readonly<Record<string, unknown>>): Promise<unknown>;
}

/** The task's side of the channel. */
export class Client implements Supervisor {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, { resolve(reply: unknown): void; reject(lost: TaskError): void }>();
  #lost: TaskError | undefined;
  #lastId = 0; // the start message has 0
  #start: StartDetails | undefined;

  /** Takes over `fd`. */
  constructor(fd: number) {
    const socket = new Socket({ fd, readable: true, writable: true });
    const decoder = new FrameDecoder(replyLimits);
    this.#socket = socket;
    const lost = (): void => {
      this.#lost ??= new TaskError('ERR_BROKER_CLOSED', 'the supervisor closed the channel');
      for (const { reject } of this.#waiting.values()) reject(this.#lost);
    };
    socket.on('error', lost);
    socket.on('close', lost);
    socket.on('data', (chunk) => {
      for (const { value } of decoder.push(chunk)) {
        const [id, body = null, error = null] = value as [number, unknown, unknown];
        this.#waiting.get(id)?.resolve(error ?? body);
      }
    });
    socket.unref();
  }

  /** The supervisor's first message, which starts a task instance. @throws {TaskError} `ERR_TASK_OUTSIDE`: there was none. */
  get start(): StartDetails {
    if (this.#start === undefined) throw new TaskError('ERR_TASK_OUTSIDE', 'this works in a task that a Supervisor started; in a unit test, fakeSupervisor() of sallyport/task/testing stands in for one');
    return this.#start;
  }

  async awaitStart(): Promise<void> {
    this.#start = (await this.first('StartupDetails')) as unknown as StartDetails;
  }

  /** The supervisor's first message, of the type that says what this process is for. Ask for it before anything else. */
  async first(type: string): Promise<Reply> {
    const message = (await this.#reply(0)) as Reply | null;
    if (message?.['type'] !== type) throw new TaskError('ERR_TASK_PROTOCOL', 'the first message did not start the task');
    return message;
  }

  /** What comes with this id. The process is kept running for as long as something is awaited, and not by the channel itself. */
  async #reply(id: number): Promise<unknown> {
    if (this.#lost !== undefined) throw this.#lost;
    // No race with the channel's end: what awaits a promise that never settles is never given back.
    const replied = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#socket.ref();
    try {
      return await replied;
    } finally {
      this.#waiting.delete(id);
      if (this.#waiting.size === 0) this.#socket.unref();
    }
  }

  /**
   * Asks the supervisor, and waits for the one reply to this request.
   * @throws {TaskError} With Airflow's error type or the supervisor's code.
   * @throws RangeError `ERR_OUT_OF_RANGE`: larger than a supervisor accepts; nothing was sent. TypeError `ERR_INVALID_ARG_TYPE`: holds a function or the like.
   */
  async request(type: string, fields: Readonly<Record<string, unknown>>): Promise<unknown> {
    const id = ++this.#lastId;
    const frame = encodeRequest([id, { ...fields, type }], type);
    const replied = this.#reply(id);
    this.#socket.write(frame);
    const reply = await replied;
    if (isErrorResponse(reply)) throw TaskError.from(type, reply);
    return reply;
  }

  /** Closes our side once everything written has left. */
  end(): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.once('close', () => resolve());
      this.#socket.end(() => resolve());
    });
  }
}

/** One a process, wherever this module was loaded from: see shared.ts. */
const slot: unique symbol = Symbol.for('sallyport.task.client') as never;
const holder = globalThis as { [slot]?: Supervisor | undefined };

/** @param supervisor undefined: this process asks nobody any more. */
export function setClient(supervisor: Supervisor | undefined): void {
  holder[slot] = supervisor;
}

export const hasClient = (): boolean => holder[slot] !== undefined;

/** `node --test` gives each file a socket for its standard input, on which nobody would answer. No task has this variable, whose environment is made from scratch. */
const isNodesTest = (): boolean => process.env['NODE_TEST_CONTEXT'] !== undefined;

/**
 * Whom this process asks; its channel is opened here when the runner has not.
 * @throws {TaskError} `ERR_TASK_OUTSIDE`: descriptor 0 is no channel; or this is a worker thread, for which it would be torn in two.
 */
export function client(): Supervisor {
  if (holder[slot] === undefined) {
    if (!isMainThread) throw new TaskError('ERR_TASK_OUTSIDE', 'this works in the main thread of a task, and not in its workers');
    if (statOf(0)?.isSocket() !== true || isNodesTest()) throw new TaskError('ERR_TASK_OUTSIDE', 'this works in a task that a supervisor started with methods; in a unit test, fakeSupervisor() of sallyport/task/testing stands in for one');
    holder[slot] = new Client(0);
  }
  return holder[slot];
}
