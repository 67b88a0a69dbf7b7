import { channel } from 'node:diagnostics_channel';
import type { Readable } from 'node:stream';

/** One line that a task wrote: text, whatever it looks like. */
export interface LogLine {
  /** The task instance's id. */
  readonly task: string;
  /** `log` is descriptor 3, where a line should be a JSON object with `level` and `event`. */
  readonly source: 'stdout' | 'stderr' | 'log';
  readonly line: string;
  /** It was longer than a line may be, and the rest is gone. */
  readonly cut: boolean;
}

/** Every line of every task in this process is published here. */
export const lineChannel = channel('sallyport:log');

/** The longest line that is kept. A task decides where its lines end, so something else must. */
export const maxLineBytes = 64 << 10;

/** Cuts bytes into lines. Keeps at most one line, in memory that grows with it. */
export class LineCutter {
  readonly #emit: (line: string, cut: boolean) => void;
  #kept = Buffer.alloc(0);
  #length = 0;
  #cut = false;

  constructor(emit: (line: string, cut: boolean) => void) {
    this.#emit = emit;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      this.#keep(chunk.subarray(start, end));
      this.#flush();
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
  }

  /** The stream has ended: a last line may lack its newline. */
  end(): void {
    if (this.#length > 0) this.#flush();
  }

  #keep(part: Buffer): void {
    if (part.length > maxLineBytes - this.#length) {
      part = part.subarray(0, maxLineBytes - this.#length);
      this.#cut = true;
    }
    if (this.#length + part.length > this.#kept.length) {
      const grown = Buffer.alloc(Math.min(maxLineBytes, Math.max(256, this.#kept.length * 2, this.#length + part.length)));
      this.#kept.copy(grown, 0, 0, this.#length);
      this.#kept = grown;
    }
    this.#length += part.copy(this.#kept, this.#length);
  }

  #flush(): void {
    this.#emit(this.#kept.toString('utf8', 0, this.#length), this.#cut);
    if (this.#kept.length > 4096) this.#kept = Buffer.alloc(0); // one long line is not paid for ever after
    this.#length = 0;
    this.#cut = false;
  }
}

/**
 * Reads a task's output to its end, so that the task never waits for it. Settles, never rejects.
 *
 * @param onLine Called for each line. If it throws it is not called again: a log must end neither task nor supervisor.
 */
export function drain(stream: Readable | null, task: string, source: LogLine['source'], onLine: ((line: LogLine) => void) | undefined): Promise<void> {
  if (stream === null) return Promise.resolve();
  let listener = onLine;
  const cutter = new LineCutter((line, cut) => {
    if (listener === undefined && !lineChannel.hasSubscribers) return;
    const entry = Object.freeze({ task, source, line, cut });
    try {
      listener?.(entry);
    } catch (error) {
      listener = undefined;
      process.emitWarning('a listener for log lines threw and gets no more of this stream', { type: 'SallyportWarning', detail: String(error) });
    }
    lineChannel.publish(entry);
  });
  return new Promise((resolve) => {
    stream.on('data', (chunk: Buffer) => cutter.push(chunk));
    stream.once('close', () => {
      cutter.end();
      resolve();
    });
  });
}
