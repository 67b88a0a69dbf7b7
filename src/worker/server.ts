import { setTimeout as sleep } from 'node:timers/promises';
import { checkOptions, invalidArgument, outOfRange, UpstreamFailed } from '../errors.js';
import { ExecutionApi } from '../execution-api/client.js';
import { Secret } from '../secrets/secret.js';
import type { Claim, WorkQueue } from './queue.js';

export interface ServerQueueOptions {
  /** Of a `sallyport/server`. It stays the caller's. */
  readonly api: ExecutionApi;
  /** The worker's own, as `server.addWorker()` gave it: it says which queues and which team. It stays the caller's. */
  readonly credential: Secret;
  /** How long to wait when nothing waits, in milliseconds. @default 1000 */
  readonly pollMs?: number;
}

/** For how long a task instance that this worker has no use for is left to others: each time that its token is asked for, they do not see it for a while. */
const refusedForMs = 600_000;
/** Where no token was given, or somebody else was faster: the same one may wait again soon, as after a reschedule. */
const shortlyMs = 10_000;
const mostAsked = 100;

/** What waits at a `sallyport/server`: it is claimed by asking for its token, and runs once, whoever else asked. */
export class ServerQueue implements WorkQueue {
  readonly #api: ExecutionApi;
  readonly #credential: Secret;
  readonly #pollMs: number;
  readonly #claimed = new Set<string>();
  readonly #refused = new Map<string, number>();

  /** @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE` */
  constructor(options: ServerQueueOptions) {
    checkOptions('options', options, ['api', 'credential', 'pollMs']);
    const { api, credential, pollMs = 1_000 } = options;
    if (!(api instanceof ExecutionApi)) throw invalidArgument('options.api', 'an ExecutionApi', api);
    if (!(credential instanceof Secret)) throw invalidArgument('options.credential', 'a Secret, as of Secret.fromBytes() or Secret.fromFile()', credential);
    if (!Number.isSafeInteger(pollMs) || pollMs < 1 || pollMs > 2 ** 31 - 1) throw outOfRange('options.pollMs', 'a whole number of milliseconds');
    this.#api = api;
    this.#credential = credential;
    this.#pollMs = pollMs;
  }

  async claim(count: number, signal: AbortSignal): Promise<readonly Claim[]> {
    const now = performance.now();
    for (const [id, until] of this.#refused) if (until < now) this.#refused.delete(id);
    const known = this.#claimed.size + this.#refused.size;
    // However many there are that nobody can run, there may be others behind them.
    for (let offset = 0; ; ) {
      const waiting = await this.#api.waitingWork(this.#credential, { limit: Math.min(count + known, mostAsked), offset, signal });
      const own = waiting.filter(({ ti }) => !this.#claimed.has(ti.id) && !this.#refused.has(ti.id)).slice(0, count);
      if (own.length > 0 || waiting.length === 0) return own.map(({ declares, ...workload }) => this.#claim(workload.ti.id, workload, declares));
      offset += waiting.length;
    }
  }

  async changed(signal: AbortSignal): Promise<void> {
    await sleep(this.#pollMs, undefined, { signal }).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #claim(id: string, workload: object, declares: Claim['declares'] | null): Claim {
    this.#claimed.add(id);
    let asked = false;
    const forget = async (): Promise<void> => void this.#claimed.delete(id);
    return {
      name: id,
      workload,
      ...(declares !== null && declares !== undefined && { declares }),
      token: async (aborted) => {
        const token = await this.#api.firstToken(id, this.#credential, { signal: aborted });
        asked = true;
        return token;
      },
      settle: forget, // the server was told
      refuse: async (_reason, error) => {
        const isElsewhere = error instanceof UpstreamFailed && (error.status === 409 || error.status === 410);
        this.#refused.set(id, performance.now() + (asked && !isElsewhere ? refusedForMs : shortlyMs));
        await forget();
      },
      release: forget,
    };
  }
}
