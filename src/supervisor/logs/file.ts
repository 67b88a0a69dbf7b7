import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { LineSink, LogLine } from '../lines.js';
import { onDisk } from './disk.js';
import type { OpenFolder } from './folder.js';
import { supervisorRecord, taskRecord } from './record.js';

/** What was kept of a task's output. */
export interface LogSummary {
  /** The newest file; what was rotated out of it lies beside it as `.1`, `.2` and so on. */
  readonly path: string;
  /** Lines that were written. */
  readonly lines: number;
  /** Lines that were not: the disk was full, failed, or took too long. */
  readonly lost: number;
}

export interface LogFileLimits {
  readonly maxBytes: number;
  readonly maxFiles: number;
  /** How long the disk may take for one write before lines are given up. */
  readonly stallMs: number;
}

/** What may wait for the disk; the task waits beyond it. */
const mostWaiting = 1 << 20;
/** What is written at once. */
const batchBytes = 1 << 18;
/** After a failure. */
const pauseMs = 1000;

interface Opened {
  readonly file: FileHandle;
  readonly size: number;
  readonly torn?: boolean;
}

interface Folder extends Pick<OpenFolder, 'path' | 'rotate' | 'close'> {
  append(name: string): Promise<Opened>;
}

interface Waiting {
  readonly text: string;
  readonly bytes: number;
}

/**
 * One try's log. Nothing here holds the event loop up: lines wait in a bounded queue and one write is under way at a time. When
 * the disk is slow the task waits; when it hangs or fails, lines are counted instead of kept, and the log says so when it can.
 */
export class LogFile implements LineSink {
  readonly #folder: Folder;
  readonly #name: string;
  readonly #limits: LogFileLimits;
  #file: FileHandle;
  #size: number;
  readonly #queue: Waiting[] = [];
  #queued = 0;
  #writing: Promise<void> | undefined;
  #stalled = false;
  #torn: boolean;
  #lines = 0;
  /** In the write that is under way. */
  #inFlight = 0;
  #lost = 0;
  /** Of those, how many the log itself does not tell of yet. */
  #untold = 0;
  #why = '';
  #warned = false;
  #closed: Promise<LogSummary> | undefined;
  readonly #wake: (() => void)[] = [];
  #hurry: (() => void) | undefined;

  private constructor(folder: Folder, name: string, { file, size, torn }: Opened, limits: LogFileLimits) {
    this.#folder = folder;
    this.#name = name;
    this.#limits = limits;
    this.#file = file;
    this.#size = size;
    this.#torn = torn === true;
  }

  /** Takes the folder over. @throws As {@link OpenFolder.append}. */
  static async open(folder: Folder, name: string, limits: LogFileLimits): Promise<LogFile> {
    try {
      return new LogFile(folder, name, await onDisk(() => folder.append(name)), limits);
    } catch (error) {
      await folder.close();
      throw error;
    }
  }

  get path(): string {
    return join(this.#folder.path, this.#name);
  }

  write(line: LogLine): void {
    this.#push(taskRecord(line));
  }

  /** A line of the supervisor's own. */
  note(level: 'info' | 'warning' | 'error', event: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#push(supervisorRecord(level, event, fields));
  }

  room(): Promise<void> | undefined {
    return this.#queued < mostWaiting || this.#stalled ? undefined : new Promise((resolve) => this.#wake.push(resolve));
  }

  /** Writes what waits, for as long as the disk goes on. Never rejects; twice gives the same. */
  close(): Promise<LogSummary> {
    return (this.#closed ??= this.#finish());
  }

  #push(record: string): void {
    const text = `${record}\n`;
    if (this.#stalled || this.#closed !== undefined) return this.#lose(1, this.#why);
    const bytes = Buffer.byteLength(text);
    this.#queue.push({ text, bytes });
    this.#queued += bytes;
    this.#writing ??= this.#writeAll();
  }

  #lose(lines: number, why: string): void {
    this.#lost += lines;
    this.#untold += lines;
    this.#why = why;
    if (this.#warned) return;
    this.#warned = true;
    process.emitWarning('lines of a task are not in its log', { type: 'SallyportWarning', code: 'SALLYPORT_LOG', detail: `${this.path}: ${why}` });
  }

  async #writeAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#take();
      this.#inFlight = batch.length;
      try {
        await this.#inTime(onDisk(() => this.#append(batch)));
        this.#lines += batch.length;
      } catch (error) {
        const why = (error as NodeJS.ErrnoException).code ?? String(error);
        this.#lose(batch.length, why);
        this.#inFlight = 0;
        await this.#pause(why);
      }
      this.#inFlight = 0;
      this.#letOn();
    }
    this.#writing = undefined;
  }

  /** Nothing is kept, and nobody waits, until `#stalled` is taken back. */
  #giveUp(why: string): void {
    this.#stalled = true;
    this.#lose(this.#queue.length, why);
    this.#queue.length = 0;
    this.#queued = 0;
    this.#letOn();
  }

  #letOn(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** A disk that is full is not asked again for each line. */
  async #pause(why: string): Promise<void> {
    if (this.#closed !== undefined) return;
    this.#giveUp(why);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pauseMs);
      this.#hurry = () => (clearTimeout(timer), resolve());
    });
    this.#stalled = false;
  }

  #take(): Waiting[] {
    let bytes = 0;
    const first = this.#queue.findIndex((line) => (bytes += line.bytes) > Math.min(batchBytes, this.#limits.maxBytes));
    const batch = this.#queue.splice(0, first < 0 ? this.#queue.length : Math.max(first, 1));
    for (const line of batch) this.#queued -= line.bytes;
    return batch;
  }

  async #append(batch: readonly Waiting[]): Promise<void> {
    const told = this.#untold;
    const before = `${this.#torn ? '\n' : ''}${told > 0 ? `${supervisorRecord('warning', `${told} lines are missing here`, { lost: told, reason: this.#why })}\n` : ''}`;
    const bytes = Buffer.from(before + batch.map(({ text }) => text).join(''));
    if (this.#size > 0 && this.#size + bytes.length > this.#limits.maxBytes) await this.#rotate();
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, at);
      if (bytesWritten === 0) throw Object.assign(new Error('nothing was written'), { code: 'EIO' });
      at += bytesWritten;
      this.#size += bytesWritten;
      this.#torn = at < bytes.length; // what comes next must not go on a line that was broken off
    }
    this.#untold -= told;
  }

  /** The new file is opened first, so that a failure leaves the old one in use. */
  async #rotate(): Promise<void> {
    await this.#folder.rotate(this.#name, this.#limits.maxFiles - 1);
    const { file, size, torn } = await this.#folder.append(this.#name);
    const old = this.#file;
    this.#file = file;
    this.#size = size;
    this.#torn = torn === true;
    await old.close();
  }

  async #inTime(writing: Promise<void>): Promise<void> {
    const { stallMs } = this.#limits;
    const timer = setTimeout(() => this.#giveUp(`a write takes more than ${stallMs} ms`), stallMs);
    try {
      await writing;
    } finally {
      clearTimeout(timer);
      this.#stalled = false;
    }
  }

  async #finish(): Promise<LogSummary> {
    this.#hurry?.();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, this.#limits.stallMs)));
    await Promise.race([this.#end(), late]); // a write that hangs gives its descriptors back when it ends
    clearTimeout(timer);
    return Object.freeze({ path: this.path, lines: this.#lines, lost: this.#lost + this.#queue.length + this.#inFlight });
  }

  async #end(): Promise<void> {
    try {
      await this.#writing;
      if (this.#untold > 0) await onDisk(() => this.#append([]));
    } catch {
      // The warning and the summary tell of it.
    }
    await Promise.allSettled([this.#file.close(), this.#folder.close()]);
  }
}
