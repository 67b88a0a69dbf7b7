import type { ExecutionApi, WrittenUpdate } from '../execution-api/client.js';
import type { StateUpdate } from '../execution-api/schema.js';
import { checkOptions, invalidArgument, outOfRange } from '../errors.js';
import { Secret } from '../secrets/secret.js';
import { toJson } from './json.js';
import { type Head, toFile } from './kept-report.js';
import { Replay } from './replay.js';
import { ReportFolder } from './report-folder.js';

export interface ReportsOptions {
  /**
   * Of this supervisor's own, mode 0700; made where there is none. One file for each try that the server has not been told of: what became of it,
   * which may hold what the task said, and no token in the clear. No task may be granted it.
   */
  readonly folder: string;
  /**
   * At least 32 bytes, the same at each start: seals tokens in the files (AES-256-GCM), so that whoever starts next in this folder can report what
   * this process could not, and that tasks ended with it. It stays the caller's. @default none: reports are sent again for as long as this
   * process lives, and afterwards are a record
   */
  readonly key?: Secret;
  /** How many are kept at most, of tries that run included; what comes on top is sent as without this option. @default 1000 */
  readonly maxReports?: number;
  /** A report that the server has not taken by then is set aside. @default 86400000, a day */
  readonly maxAgeMs?: number;
  /** The shortest wait before all are tried again; it doubles each time, up to a minute. @default 1000 */
  readonly retryDelayMs?: number;
  /** Told what became of each report that was kept longer than the run. */
  readonly onReport?: (result: ReportResult) => void;
}

/** What became of a report after its run was over. */
export interface ReportResult {
  /** The task instance's id. */
  readonly task: string;
  /** Whose it is, by name. */
  readonly ti: Head['task'];
  readonly state: StateUpdate['state'];
  /** `refused`: the server does not want it, or its token. `expired`: nobody answered for `maxAgeMs`. Both leave a file without the token in `refused/`. */
  readonly result: 'taken' | 'refused' | 'expired';
  /** Why it was not taken. */
  readonly error?: Error;
}

/** Whose report it is. */
export type Try = Pick<Head, 'task' | 'owner'>;

/** Reports of one supervisor, from its tasks' starts to the server's taking them. */
export class Reports {
  readonly #options: Required<Pick<ReportsOptions, 'maxReports'>> & ReportsOptions;
  readonly #folder: ReportFolder;
  readonly #replay: Replay;
  readonly #shared: ExecutionApi;
  #files: number;
  #warned = false;

  /** @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`: also where the folder is not ours alone. */
  constructor(options: ReportsOptions, api: ExecutionApi) {
    checkOptions('options.reports', options, ['folder', 'key', 'maxReports', 'maxAgeMs', 'retryDelayMs', 'onReport']);
    const { folder, key, maxReports = 1000, maxAgeMs = 86_400_000, retryDelayMs = 1_000, onReport } = options;
    if (typeof folder !== 'string' || folder === '') throw invalidArgument('options.reports.folder', 'the path of a folder', folder);
    if (key !== undefined && !(key instanceof Secret)) throw invalidArgument('options.reports.key', 'a Secret, as of Secret.fromBytes() or Secret.fromFile()', key);
    if (key !== undefined && key.byteLength < 32) throw outOfRange('options.reports.key', 'of at least 32 bytes');
    for (const [name, value] of Object.entries({ maxReports, maxAgeMs, retryDelayMs })) {
      if (!Number.isSafeInteger(value) || value < 1) throw outOfRange(`options.reports.${name}`, 'a whole number of at least 1');
    }
    if (onReport !== undefined && typeof onReport !== 'function') throw invalidArgument('options.reports.onReport', 'a function', onReport);
    this.#options = { ...options, maxReports };
    this.#shared = api;
    this.#folder = new ReportFolder(folder);
    const left = this.#folder.names();
    this.#files = left.length;
    const over = (result: ReportResult | undefined): void => {
      this.#files--;
      if (result !== undefined) this.#tell(result);
    };
    this.#replay = new Replay({ folder: this.#folder, api, key, maxAgeMs, maxReports, retryDelayMs, over });
    for (const name of left) this.#replay.add(name);
  }

  /** How many are sent again and again, those of an earlier process included. */
  get waiting(): number {
    return this.#replay.waiting;
  }

  /**
   * Begins to keep a try. Without a key nothing is written yet: nobody could report it in this process's place.
   *
   * @returns Undefined where there are too many. Never rejects.
   */
  async begin(whose: Try, api: ExecutionApi, shouldRetry: boolean): Promise<Kept | undefined> {
    if (this.#files >= this.#options.maxReports) {
      this.#warn('as many reports are kept as may be: what comes on top is lost where the server cannot be told');
      return undefined;
    }
    this.#files++;
    const { key } = this.#options;
    const credential = api === this.#shared ? 'shared' : 'own';
    const kept = new Kept({
      write: async ({ state, json, apiVersion, ended }) => {
        const head: Head = { version: 2, at: new Date().toISOString(), ...whose, ended, state, ...(apiVersion !== undefined && { apiVersion }), credential };
        const parts = await toFile({ head, update: json }, key, (fn) => api.useToken(fn));
        await (ended ? this.#folder.write(name, parts) : this.#folder.note(name, parts));
      },
      over: async () => {
        this.#files--;
        this.#replay.wake();
        await this.#folder.remove(name).catch((error: unknown) => this.#warn('a report that is over could not be removed', error));
      },
      failed: (error) => this.#warn('a report could not be written, and is lost where the server cannot be told', error),
      later: () => this.#replay.add(name, credential === 'own' ? api : undefined),
    });
    const name = this.#folder.newName(whose.task.id);
    if (key === undefined && credential === 'own') return kept;
    await kept.expect({ state: shouldRetry ? 'up_for_retry' : 'failed', end_date: new Date().toISOString() });
    if (credential === 'own') api.onFreshToken = () => void kept.rewrite();
    return kept;
  }

  /** Tries all that wait once more, now. Never rejects. */
  async flush(): Promise<void> {
    await this.#replay.round();
  }

  /** What waits is left to whoever uses the folder next. Never rejects; twice is fine. */
  async close(): Promise<void> {
    await this.#replay.close();
    this.#folder.close();
  }

  #tell(result: ReportResult): void {
    try {
      this.#options.onReport?.(Object.freeze(result));
    } catch (error) {
      this.#warn('`reports.onReport` threw', error);
    }
  }

  #warn(message: string, error?: unknown): void {
    if (!this.#warned) process.emitWarning(message, { type: 'SallyportWarning', detail: String(error ?? '') });
    this.#warned = true;
  }
}

/** What is to be reported. */
interface Word extends WrittenUpdate {
  readonly ended: boolean;
}

interface KeptFile {
  readonly write: (word: Word) => Promise<void>;
  readonly over: () => Promise<void>;
  readonly later: () => void;
  readonly failed: (error: unknown) => void;
}

/** One try's file. Writes come one after the other, and none after its end. Nothing here rejects: a full disk fails no task. */
export class Kept {
  readonly #file: KeptFile;
  #word: Word | undefined;
  #over = false;
  /** Whether what is written is what was to be written last. */
  #writing: Promise<boolean> = Promise.resolve(false);

  constructor(file: KeptFile) {
    this.#file = file;
  }

  /** What is to be reported where nobody lives to say more. */
  async expect(update: StateUpdate): Promise<void> {
    this.#word = { state: update.state, json: await toJson(update), ended: false };
    await this.rewrite();
  }

  /** What is to be reported, before the server is asked. */
  async save(written: WrittenUpdate): Promise<void> {
    this.#word = { ...written, ended: true };
    await this.rewrite();
  }

  /** With the token that is in use now. */
  async rewrite(): Promise<void> {
    const word = this.#word;
    if (word === undefined || this.#over) return;
    this.#writing = this.#writing.then(() => this.#write(word));
    await this.#writing;
  }

  /** The server knows, or nobody wants to. */
  async release(): Promise<void> {
    this.#over = true;
    await this.#writing;
    await this.#file.over();
  }

  /** To be sent again from now on, by a client that is taken over. @returns False where it could not be written, and is not. */
  async later(): Promise<boolean> {
    this.#over = true;
    const isWritten = await this.#writing;
    if (isWritten) this.#file.later();
    else await this.#file.over();
    return isWritten;
  }

  async #write(word: Word): Promise<boolean> {
    try {
      await this.#file.write(word);
      return true;
    } catch (error) {
      this.#file.failed(error);
      return false;
    }
  }
}
