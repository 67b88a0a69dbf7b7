import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { KeyAgentFailed } from '../../errors.js';
import { linesOf } from './lines.js';
import { type Answer, channelDescriptor, type Configuration, errorFrom, maxLineBytes, type PublishedKey, type Request } from './protocol.js';

/** A request without the number that the connection gives it. */
type Question = Request extends infer Each ? (Each extends unknown ? Omit<Each, 'id'> : never) : never;

interface Waiting {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** The number that the agent's first answer is waited for under; requests count from 1. */
const start = 0;

export function notStarted(cause?: unknown): KeyAgentFailed {
  return new KeyAgentFailed('ended', 'its process could not be started', { cause });
}

/** The supervisor's side of an agent's channel, and the agent's process. */
export class AgentConnection {
  readonly pid: number;
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  readonly #channel: Socket;
  readonly #timeoutMs: number;
  readonly #waiting = new Map<number, Waiting>();
  #last = start;
  #failure: KeyAgentFailed | undefined;

  constructor(child: ChildProcess, timeoutMs: number) {
    this.#child = child;
    this.#timeoutMs = timeoutMs;
    this.pid = child.pid ?? -1;
    this.ended = new Promise((resolve) => {
      child.once('error', (cause) => {
        this.#fail(notStarted(cause));
        if (child.pid === undefined) resolve();
      });
      child.once('exit', (code, signal) => {
        this.#fail(new KeyAgentFailed('ended', `it has ended, ${signal === null ? `with exit code ${code}` : `by ${signal}`}`));
        resolve();
      });
    });
    // Node makes no streams where there was no descriptor left for one; what it met is on its way to the listener above.
    const channel = (child.stdio as ChildProcess['stdio'] | undefined)?.[channelDescriptor];
    if (channel === undefined) throw notStarted();
    this.#channel = channel as Socket;
    child.unref();
    this.#channel.on('error', () => {}); // the process that ended tells
    void this.#read();
  }

  /** What is not answered is not asked: the first line. */
  tell(configuration: Configuration): void {
    this.#channel.write(`${JSON.stringify(configuration)}\n`);
  }

  /** The agent's keys, once it is hardened and has read them. */
  async ready(): Promise<readonly PublishedKey[]> {
    const { ready } = await this.#wait<{ ready: readonly PublishedKey[] }>(start);
    return ready;
  }

  /** @throws What the agent could not or would not do; {@link KeyAgentFailed} once it has ended. */
  ask<T>(question: Question): Promise<T> {
    const id = ++this.#last;
    const answer = this.#wait<T>(id);
    if (this.#failure === undefined) this.#channel.write(`${JSON.stringify({ id, ...question })}\n`);
    return answer;
  }

  async close(): Promise<void> {
    this.#channel.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), this.#timeoutMs);
    this.#child.ref();
    await this.ended;
    clearTimeout(timer);
  }

  #wait<T>(id: number): Promise<T> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#channel.ref();
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#fail(new KeyAgentFailed('timeout', `it did not answer within ${this.#timeoutMs} ms`));
        this.#child.kill('SIGKILL');
      }, this.#timeoutMs);
      this.#waiting.set(id, { resolve, reject, timer });
    });
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    // An agent that nobody waits for keeps no event loop alive.
    if (this.#waiting.size === 0) this.#channel.unref();
    return waiting;
  }

  async #read(): Promise<void> {
    try {
      for await (const line of linesOf(this.#channel, maxLineBytes)) this.#answered(JSON.parse(line ?? '') as Answer);
    } catch {
      this.#fail(new KeyAgentFailed('ended', 'its channel broke'));
      this.#child.kill('SIGKILL');
    }
  }

  #answered(answer: Answer): void {
    if ('ready' in answer) return this.#take(start)?.resolve(answer as never);
    const waiting = this.#take(answer.id ?? start);
    if ('error' in answer) waiting?.reject(errorFrom(answer.error));
    else waiting?.resolve(answer as never);
  }

  /** The first failure is the one that every call is told. */
  #fail(failure: KeyAgentFailed): void {
    this.#failure ??= failure;
    for (const id of [...this.#waiting.keys()]) this.#take(id)?.reject(this.#failure);
  }
}
