import { EventEmitter } from 'node:events';
import { constants } from 'node:os';
import type { Duplex, Readable, Writable } from 'node:stream';
import { outOfRange, TaskLimitExceeded } from '../errors.js';
import { native } from '../native.js';
import type { Plan } from '../policy/plan.js';
import { TextCollector } from './collect.js';
import type { Launched, ProcessExit } from './events.js';
import type { TaskStdio } from './stdio.js';
import type { RefusedCall, Trace } from './trace.js';

/** How a task ended. */
export type TaskExit =
  | ProcessExit
  /** The supervisor ended it: broken protocol, time limit, or an abort, whose reason `violation` is. */
  | { readonly kind: 'ended'; readonly violation: Error };

/** @internal */
export interface TaskParts {
  readonly plan: Plan;
  readonly program: string;
  readonly argv: readonly string[];
  readonly stdio: TaskStdio;
  /** What descriptor 0 is by now. */
  readonly input: () => 'stdin' | 'channel' | 'methods';
  readonly trace: Trace | undefined;
}

/** What a `ChildProcess` emits too; `exited` says more, and never `error`, which nobody must listen for. */
export interface TaskEvents {
  /** With `exited`: the exit code, or else the signal. A task that was ended for a violation has `null, 'SIGKILL'`, whatever it exited with. */
  exit: [code: number | null, signal: NodeJS.Signals | null];
  /** After `exit`, when the streams of descriptors 1 to 3 that somebody asked for have ended. */
  close: [code: number | null, signal: NodeJS.Signals | null];
}

/**
 * A running program that was locked before its first instruction. Made by `launch()`. It has the habits of a `ChildProcess`;
 * but a launch that fails rejects instead of emitting `error`, and output that nobody reads is kept, not thrown away.
 * Dispose it (`await using`) to end it and give back what it holds; a task that ended by
 * itself needs no disposing unless output was left unread.
 */
export class Task extends EventEmitter<TaskEvents> implements AsyncDisposable {
  /** The main process, as this process's PID namespace numbers it. Signal it through `kill()`, which cannot hit another one. */
  readonly pid: number;
  /**
   * The scratch folder, null when it has none; gone when `exited` resolves. What a task leaves there may be anything: open nothing in it
   * without O_NOFOLLOW, and no path of more than one component that a living task could be changing.
   */
  readonly scratch: string | null;
  /** What the task may do, and what each guarantee rests on. */
  readonly plan: Plan;
  /** The program's file. */
  readonly spawnfile: string;
  /** The program as it was named, and its arguments. */
  readonly spawnargs: readonly string[];
  /** Resolves when the main process has ended, no process that it or its children started is left, and its scratch folder is gone. Never rejects. */
  readonly exited: Promise<TaskExit>;

  readonly #id: number;
  readonly #stdio: TaskStdio;
  readonly #input: TaskParts['input'];
  readonly #trace: Trace | undefined;
  #violation: Error | undefined;
  #exitCode: number | null = null;
  #signalCode: NodeJS.Signals | null = null;
  #killed = false;

  /** @internal */
  constructor(launched: Launched, { plan, program, argv, stdio, input, trace }: TaskParts) {
    super();
    this.pid = launched.pid;
    this.scratch = launched.scratch;
    this.plan = plan;
    this.spawnfile = program;
    this.spawnargs = Object.freeze([...argv]);
    this.#id = launched.id;
    this.#stdio = stdio;
    this.#input = input;
    this.#trace = trace;
    this.exited = launched.ended.then(({ exit, violation }) => {
      stdio.settle();
      trace?.end();
      const why = this.#violation ?? violation;
      if (why !== undefined) this.#signalCode = 'SIGKILL';
      else if (exit.kind === 'exited') this.#exitCode = exit.exitCode;
      else this.#signalCode = exit.signal;
      // Later than what awaits the launch, so that no listener comes too late, and outside of any promise, so that what one throws is not lost.
      setImmediate(() => this.#emitEnd());
      return why === undefined ? exit : { kind: 'ended', violation: why };
    });
  }

  /**
   * Calls that the policy has refused so far, in the order in which each was first made; at most 1024 kinds. Empty unless launched with
   * `trace`, but for a call of another ABI (i386, x32), which ends a task with SIGSYS.
   */
  get refused(): readonly RefusedCall[] {
    const refused = this.#trace?.refused ?? [];
    return this.#signalCode !== 'SIGSYS' ? refused : [...refused, { call: 'a call of another ABI (i386 or x32)', action: 'SIGSYS', count: 1 }];
  }

  /** What it exited with; null while it runs, and when a signal or a violation ended it. */
  get exitCode(): number | null {
    return this.#exitCode;
  }

  /** The signal that ended it; null while it runs, and when it exited. */
  get signalCode(): NodeJS.Signals | null {
    return this.#signalCode;
  }

  /** Whether `kill()` has sent it a signal. */
  get killed(): boolean {
    return this.#killed;
  }

  /** `stdin`, `stdout` and `stderr`. */
  get stdio(): readonly [Writable | null, Readable | null, Readable | null] {
    return [this.stdin, this.stdout, this.stderr];
  }

  /** Descriptor 0 as the task reads it; null unless launched with `stdin: 'pipe'`. */
  get stdin(): Writable | null {
    return this.#input() === 'stdin' ? this.#stdio.input : null;
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
    return this.#input() === 'channel' ? this.#stdio.input : null;
  }

  /**
   * One more stream of logs, and the task's end of it: a descriptor to send it and to close. Held to the limits of descriptor 3.
   * @internal
   */
  openLog(): { readonly stream: Readable; readonly theirs: number } {
    return this.#stdio.openLog();
  }

  /**
   * Bytes on the channel with a descriptor attached to the first of them, past `channel`, which must have nothing to write.
   * @returns How many went. @throws System errors, EAGAIN among them.
   * @internal
   */
  sendDescriptor(fd: number, bytes: Uint8Array): number {
    return this.#stdio.sendDescriptor(fd, bytes);
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
      const text = new TextCollector();
      for await (const chunk of stream ?? []) {
        text.write((chunk as Buffer).subarray(0, Math.max(left, 0)));
        left -= (chunk as Buffer).byteLength;
        if (left < 0) this.end(new TaskLimitExceeded('outputBytes'));
      }
      return text.end();
    };
    const [stdout, stderr, exit] = await Promise.all([read(this.stdout), read(this.stderr), this.exited]);
    return { exit, stdout, stderr };
  }

  /**
   * Sends a signal to the main process, through its pidfd.
   *
   * @param options.group Also to what it started in its own process group, as a terminal's Ctrl-C does. Before Linux 6.9 to it alone. @default false
   * @returns false when it has ended.
   * @throws RangeError `ERR_OUT_OF_RANGE` for a signal that does not exist.
   */
  kill(signal: NodeJS.Signals | number = 'SIGTERM', { group = false }: { readonly group?: boolean } = {}): boolean {
    const number = typeof signal === 'number' ? signal : constants.signals[signal];
    if (!Number.isInteger(number) || number < 0 || number > 64) throw outOfRange('signal', 'a signal name or a number from 0 to 64');
    const sent = native().signalTask(this.#id, number, group);
    if (sent && number > 0) this.#killed = true;
    return sent;
  }

  /** Kills the task for a reason; `exited` then says so. The first reason stands. */
  end(violation: Error): void {
    if (!this.kill(0)) return;
    this.#violation ??= violation;
    this.kill('SIGKILL');
  }

  #emitEnd(): void {
    this.emit('exit', this.#exitCode, this.#signalCode);
    void this.#stdio.ended().then(() => setImmediate(() => this.emit('close', this.#exitCode, this.#signalCode)));
  }

  /** Kills it if it still runs, waits until nothing of it is left and closes its streams. Never rejects; twice is fine. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.kill('SIGKILL');
    await this.exited;
    this.#stdio.close();
  }
}
