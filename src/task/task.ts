import { constants } from 'node:os';
import type { Duplex, Readable, Writable } from 'node:stream';
import { outOfRange, TaskLimitExceeded } from '../errors.js';
import { native } from '../native.js';
import type { Plan } from '../policy/plan.js';
import type { Launched, ProcessExit } from './events.js';
import type { TaskStdio } from './stdio.js';

/** How a task ended. */
export type TaskExit =
  | ProcessExit
  /** The supervisor ended it: broken protocol, time limit, or an abort, whose reason `violation` is. */
  | { readonly kind: 'ended'; readonly violation: Error };

/**
 * A running program that was locked before its first instruction. Made by `launch()`.
 * Dispose it (`await using`) to end it and give back what it holds; a task that ended by
 * itself needs no disposing unless output was left unread.
 */
export class Task implements AsyncDisposable {
  /** The main process, as this process's PID namespace numbers it. Signal it through `kill()`, which cannot hit another one. */
  readonly pid: number;
  /** What the task may do, and what each guarantee rests on. */
  readonly plan: Plan;
  /** Resolves when the main process has ended and no process that it or its children started is left. Never rejects. */
  readonly exited: Promise<TaskExit>;

  readonly #id: number;
  readonly #stdio: TaskStdio;
  readonly #input: 'stdin' | 'channel' | 'methods';
  #violation: Error | undefined;

  /** @internal */
  constructor(launched: Launched, plan: Plan, stdio: TaskStdio, input: 'stdin' | 'channel' | 'methods') {
    this.pid = launched.pid;
    this.plan = plan;
    this.#id = launched.id;
    this.#stdio = stdio;
    this.#input = input;
    this.exited = launched.ended.then(({ exit, violation }) => {
      stdio.settle();
      const why = this.#violation ?? violation;
      return why === undefined ? exit : { kind: 'ended', violation: why };
    });
  }

  /** Descriptor 0 as the task reads it; null unless launched with `stdin: 'pipe'`. */
  get stdin(): Writable | null {
    return this.#input === 'stdin' ? this.#stdio.input : null;
  }

  /** Descriptor 1. Read it or the task waits once a pipe (64 KiB) is full. */
  get stdout(): Readable | null {
    return this.#stdio.output(1);
  }

  /** Descriptor 2, likewise. */
  get stderr(): Readable | null {
    return this.#stdio.output(2);
  }

  /** Descriptor 3, JSON lines by contract; null unless launched with `logs: true`. */
  get logs(): Readable | null {
    return this.#stdio.output(3);
  }

  /** Descriptor 0 as a duplex stream of frames; null unless launched with `channel: true`. */
  get channel(): Duplex | null {
    return this.#input === 'channel' ? this.#stdio.input : null;
  }

  /**
   * Reads all that the task writes to descriptors 1 and 2, as UTF-8, and waits for its end. Use it instead of reading
   * the streams. `exited` alone can resolve before the last output was read.
   *
   * @param options.maxBytes Of both together; a task that writes more is killed, `exit` says so, and what came before is
   *   returned. @default 16 MiB
   */
  async output({ maxBytes = 1 << 24 }: { readonly maxBytes?: number } = {}): Promise<{ readonly exit: TaskExit; readonly stdout: string; readonly stderr: string }> {
    let left = maxBytes;
    const read = async (stream: Readable | null): Promise<string> => {
      const chunks: Buffer[] = [];
      for await (const chunk of stream ?? []) {
        chunks.push((chunk as Buffer).subarray(0, Math.max(left, 0)));
        left -= (chunk as Buffer).byteLength;
        if (left < 0) this.end(new TaskLimitExceeded('outputBytes'));
      }
      return Buffer.concat(chunks).toString();
    };
    const [stdout, stderr, exit] = await Promise.all([read(this.stdout), read(this.stderr), this.exited]);
    return { exit, stdout, stderr };
  }

  /**
   * Sends a signal to the main process, through its pidfd.
   *
   * @returns false when it has ended.
   * @throws RangeError `ERR_OUT_OF_RANGE` for a signal that does not exist.
   */
  kill(signal: NodeJS.Signals | number = 'SIGTERM'): boolean {
    const number = typeof signal === 'number' ? signal : constants.signals[signal];
    if (!Number.isInteger(number) || number < 0 || number > 64) throw outOfRange('signal', 'a signal name or a number from 0 to 64');
    return native().signalTask(this.#id, number);
  }

  /** Kills the task for a reason; `exited` then says so. The first reason stands. */
  end(violation: Error): void {
    if (!this.kill(0)) return;
    this.#violation ??= violation;
    this.kill('SIGKILL');
  }

  /** Kills it if it still runs, waits until nothing of it is left and closes its streams. Never rejects; twice is fine. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.kill('SIGKILL');
    await this.exited;
    this.#stdio.close();
  }
}
