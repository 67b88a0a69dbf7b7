import { SupervisorClosed, checkOptions, outOfRange } from '../errors.js';
import { isUnchanging, type Policy } from '../policy/policy.js';
import { launch } from '../task/launch.js';
import { Pool } from '../task/pool.js';
import type { Task } from '../task/task.js';
import { policyFor, taskMain } from './runtime.js';

export interface WarmOptions {
  /** How many processes wait for each bundle and policy, from its first task on. */
  readonly size: number;
  /** The longest that one waits, in milliseconds; pools that nobody uses empty. @default 300000 */
  readonly maxWaitMs?: number;
  /** For how many pairs of bundle and policy; the one that was used longest ago makes room. @default 8 */
  readonly maxPools?: number;
}

const mostPools = 8;

/** Starts the processes that run task files, before there is a task where that is wanted. */
export class TaskProcesses implements AsyncDisposable {
  readonly #options: WarmOptions | undefined;
  /** In the order of their last use. */
  readonly #pools = new Map<Policy, Pool>();
  readonly #ending = new Set<Promise<void>>();
  #disposed = false;

  /** @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE` */
  constructor(options: WarmOptions | undefined) {
    this.#options = options;
    if (options === undefined) return;
    checkOptions('options.warm', options, ['size', 'maxWaitMs', 'maxPools']);
    for (const [name, most] of [['size', 1000], ['maxWaitMs', 2 ** 31 - 1], ['maxPools', 1000]] as const) {
      const value = options[name];
      if (value === undefined && name !== 'size') continue;
      if (!Number.isSafeInteger(value) || (value as number) < 1 || (value as number) > most) throw outOfRange(`options.warm.${name}`, `a whole number from 1 to ${most}`);
    }
  }

  /**
   * A process for one task of the bundle at `root`: it waits for its start message on `channel`. A policy that may change between two
   * tasks is launched each time.
   *
   * @throws What `launch()` throws, and `signal.reason` when aborted.
   */
  async take(root: string, wanted: Policy | undefined, signal: AbortSignal): Promise<Task> {
    const policy = policyFor(root, wanted);
    const argv = [process.execPath, taskMain, root];
    if (this.#options === undefined || (wanted !== undefined && !isUnchanging(wanted))) return launch(argv, { policy, signal, channel: true, logs: true });
    return this.#poolFor(argv, policy, this.#options).take({ signal });
  }

  /** Starts what will wait for a bundle's first tasks, and resolves when it waits. */
  async fill(root: string, wanted: Policy | undefined): Promise<void> {
    if (this.#options !== undefined) await this.#poolFor([process.execPath, taskMain, root], policyFor(root, wanted), this.#options).filled();
  }

  /** Ends what waits; nothing is taken any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    for (const pool of this.#pools.values()) this.#end(pool);
    this.#pools.clear();
    await Promise.all(this.#ending);
  }

  #poolFor(argv: readonly string[], policy: Policy, { size, maxWaitMs, maxPools = mostPools }: WarmOptions): Pool {
    if (this.#disposed) throw new SupervisorClosed('takes no more');
    const pool = this.#pools.get(policy) ?? new Pool(argv, { policy, logs: true, size, ...(maxWaitMs !== undefined && { maxWaitMs }) });
    this.#pools.delete(policy);
    this.#pools.set(policy, pool);
    for (const [other, unused] of this.#pools) {
      if (this.#pools.size <= maxPools) break;
      this.#pools.delete(other);
      this.#end(unused);
    }
    return pool;
  }

  #end(pool: Pool): void {
    const ended = pool[Symbol.asyncDispose]().finally(() => this.#ending.delete(ended));
    this.#ending.add(ended);
  }
}
