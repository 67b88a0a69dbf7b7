import { SecretRefused, UpstreamFailed } from '../errors.js';
import type { ExecutionApi } from '../execution-api/client.js';
import type { Secret } from '../secrets/secret.js';
import { toJson } from './json.js';
import { type Contents, fromFile, tokenOf, toFile, toRecord } from './kept-report.js';
import { isPassing, sayAgain } from './report.js';
import type { ReportFolder } from './report-folder.js';
import type { ReportResult } from './reports.js';

export interface ReplayOptions {
  readonly folder: ReportFolder;
  /** For its connections, and for reports that are made with its token. */
  readonly api: ExecutionApi;
  readonly key: Secret | undefined;
  readonly maxAgeMs: number;
  readonly maxReports: number;
  readonly retryDelayMs: number;
  /** One more does not wait any longer; without a result where its file was none of ours. Never throws. */
  readonly over: (result: ReportResult | undefined) => void;
}

const atOnce = 8;
const maxDelayMs = 60_000;
/** Between two rounds that an answer to another task brought about: one report may fail for ever while all others are taken. */
const leastWakeMs = 1_000;

/** Sends reports again until the server has taken or refused them. Nobody waits for it, and no process is kept running by it. */
export class Replay {
  readonly #options: ReplayOptions;
  /** By file, with the client that has the try's token; a file of an earlier process has it sealed. The ones that wait longest come first. */
  readonly #waiting = new Map<string, ExecutionApi | undefined>();
  readonly #closing = new AbortController();
  #delayMs: number;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;
  #lastRoundAt = -Infinity;

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#delayMs = options.retryDelayMs;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** @param api Taken over: closed when the report is over. */
  add(name: string, api?: ExecutionApi): void {
    this.#waiting.set(name, api);
    this.#arm();
  }

  /** The server has answered somebody: what waits need not wait for its time. */
  wake(): void {
    if (this.#waiting.size > 0 && !this.#closing.signal.aborted && performance.now() - this.#lastRoundAt >= leastWakeMs) void this.round();
  }

  /** All once, a few at a time, unless the server turns out to be away. */
  round(): Promise<void> {
    this.#round ??= this.#all().finally(() => {
      this.#round = undefined;
      this.#arm();
    });
    return this.#round;
  }

  /** Twice is fine. */
  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    await this.#round;
    clearTimeout(this.#timer);
    await Promise.all(Array.from(this.#waiting.values(), (api) => api?.close()));
    this.#waiting.clear();
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#waiting.size === 0 || this.#closing.signal.aborted) return;
    // Not all supervisors of a server that comes back in the same moment.
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.round();
    }, this.#delayMs * (0.5 + Math.random() / 2)).unref();
  }

  async #all(): Promise<void> {
    this.#lastRoundAt = performance.now();
    const names = [...this.#waiting.keys()];
    let inARow = 0;
    let taken = 0;
    const some = async (): Promise<void> => {
      for (let name = names.shift(); name !== undefined && inARow < atOnce && !this.#closing.signal.aborted; name = names.shift()) {
        const isOver = await this.#one(name);
        inARow = isOver ? 0 : inARow + 1;
        if (isOver) taken++;
      }
    };
    await Promise.all(Array.from({ length: atOnce }, some));
    this.#delayMs = taken > 0 ? this.#options.retryDelayMs : Math.min(maxDelayMs, this.#delayMs * 2);
  }

  /** @returns Whether it is over. Never rejects. */
  async #one(name: string): Promise<boolean> {
    const { folder, maxReports, maxAgeMs } = this.#options;
    let read: ReturnType<typeof fromFile>;
    try {
      read = fromFile(await folder.read(name));
    } catch (error) {
      process.emitWarning(`${name} among the kept reports is none`, { type: 'SallyportWarning', detail: String(error) });
      await folder.setAside(name, undefined, maxReports).catch(() => {});
      return this.#over(name, undefined);
    }
    const { sealed, ...contents } = read;
    const { task: ti, state, at } = contents.head;
    const own = this.#waiting.get(name);
    let api = own;
    let isFresh = false;
    try {
      api ??= await this.#clientFor(contents, sealed);
      if (api !== this.#options.api) api.onFreshToken = () => (isFresh = true);
      await tell(api, contents, this.#closing.signal);
      await folder.remove(name);
      return await this.#over(name, { task: ti.id, ti, state, result: 'taken' });
    } catch (caught) {
      const error = caught as Error;
      const mayPass = this.#closing.signal.aborted || isPassing(error);
      const isOld = Date.now() - Date.parse(at) > maxAgeMs;
      if (mayPass && !isOld) {
        // The server answers something: it is the newest token that whoever comes next has to have.
        if (isFresh) await toFile(contents, this.#options.key, (fn) => api?.useToken(fn)).then((parts) => folder.write(name, parts)).catch(() => {});
        this.#waiting.delete(name);
        this.#waiting.set(name, own); // behind the others
        return false;
      }
      const why = error instanceof UpstreamFailed ? { status: error.status, reason: error.reason } : { message: error.message };
      await folder.setAside(name, toRecord(contents, why), maxReports).catch(() => {});
      return await this.#over(name, { task: ti.id, ti, state, result: mayPass ? 'expired' : 'refused', error });
    } finally {
      if (api !== own && api !== this.#options.api) await api?.close();
    }
  }

  async #over(name: string, result: ReportResult | undefined): Promise<true> {
    await this.#waiting.get(name)?.close();
    this.#waiting.delete(name);
    this.#options.over(result);
    return true;
  }

  async #clientFor(contents: Contents, sealed: string | null): Promise<ExecutionApi> {
    const { api, key } = this.#options;
    if (contents.head.credential === 'shared') return api;
    if (sealed === null || key === undefined) throw new SecretRefused('a kept report', 'an earlier process had its token, and sealed it with no key');
    try {
      return api.withToken(await tokenOf(contents, sealed, key));
    } catch (cause) {
      throw new SecretRefused('a kept report', 'it was sealed with another key, or changed', { cause });
    }
  }
}

async function tell(api: ExecutionApi, { head: { task: { id }, owner, ended, state, apiVersion }, update }: Contents, signal: AbortSignal): Promise<void> {
  // Of one whose supervisor died the end is now; what a task said goes on as it is.
  const json = ended ? update : await toJson({ ...(JSON.parse(Buffer.from(update).toString()) as object), end_date: new Date().toISOString() });
  await sayAgain(api, id, owner, { state, json, apiVersion }, { attempts: 1, signal });
}
