import { Socket } from 'node:net';
import { FrameDecoder, encodeFrame } from '../broker/frame.js';
import { TaskError } from './error.js';
import type { StartDetails } from './types.js';

type Reply = Readonly<Record<string, unknown>> | null;

/** The supervisor's replies are not hostile; its own limit is what bounds them. */
const replyLimits = { maxFrameBytes: 2 ** 32 - 1, maxDepth: 512, maxValues: Number.MAX_SAFE_INTEGER };

/** The task's side of the channel. */
export class Client {
  /** The supervisor's first message, which starts the task. */
  readonly start: StartDetails;
  readonly #socket: Socket;
  readonly #waiting: Map<number, (reply: unknown) => void>;
  readonly #lost: Promise<never>;
  #lastId = 0; // the start message has 0

  private constructor(socket: Socket, waiting: Map<number, (reply: unknown) => void>, lost: Promise<never>, start: StartDetails) {
    this.#socket = socket;
    this.#waiting = waiting;
    this.#lost = lost;
    this.start = start;
  }

  /** Takes over `fd` and waits for the start message. */
  static async connect(fd: number): Promise<Client> {
    const socket = new Socket({ fd, readable: true, writable: true });
    const waiting = new Map<number, (reply: unknown) => void>();
    const decoder = new FrameDecoder(replyLimits);
    const lost = new Promise<never>((_, reject) => {
      socket.on('error', () => reject(new TaskError('ERR_BROKER_CLOSED', 'the supervisor closed the channel')));
      socket.on('close', () => reject(new TaskError('ERR_BROKER_CLOSED', 'the supervisor closed the channel')));
    });
    lost.catch(() => {}); // each waiting request sees it
    const started = new Promise<unknown>((resolve) => waiting.set(0, resolve));
    socket.on('data', (chunk) => {
      for (const { value } of decoder.push(chunk)) {
        const [id, body = null, error = null] = value as [number, unknown, unknown];
        const settle = waiting.get(id);
        waiting.delete(id);
        settle?.(error ?? body);
      }
    });
    const start = await Promise.race([started, lost]) as StartDetails & { type?: unknown };
    if (start?.type !== 'StartupDetails') throw new TaskError('ERR_TASK_PROTOCOL', 'the first message did not start the task');
    return new Client(socket, waiting, lost, start);
  }

  /**
   * Asks the supervisor, and waits for the one reply to this request.
   * @throws {TaskError} With Airflow's error type or the supervisor's code.
   */
  async request(type: string, fields: Readonly<Record<string, unknown>>): Promise<Reply> {
    const id = ++this.#lastId;
    const frame = encodeFrame([id, { type, ...fields }]);
    const replied = new Promise<unknown>((resolve) => this.#waiting.set(id, resolve));
    this.#socket.write(frame);
    const reply = await Promise.race([replied, this.#lost]) as Reply;
    if (reply?.['type'] === 'ErrorResponse') throw TaskError.from(type, reply);
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

/** One client a process, wherever this module was loaded from: the runner's copy and the one a task file finds may differ. */
const slot: unique symbol = Symbol.for('sallyport.task.client') as never;
const shared = globalThis as { [slot]?: Client };

export function setClient(client: Client): void {
  shared[slot] = client;
}

/** @throws {TaskError} `ERR_TASK_OUTSIDE`: this process was not started as a task. */
export function client(): Client {
  const current = shared[slot];
  if (current === undefined) throw new TaskError('ERR_TASK_OUTSIDE', 'this works in a task that a supervisor started');
  return current;
}
