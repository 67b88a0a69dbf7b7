import { channel } from 'node:diagnostics_channel';
import type { Readable } from 'node:stream';
import { Lane } from '../broker/turns.js';
import type { Masker } from '../secrets/masker.js';

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

/** Where lines are kept. */
export interface LineSink {
  /** Never throws, never waits. */
  write(line: LogLine): void;
  /** What to wait for before more is read; undefined: there is room. Settles in any case. */
  room(): Promise<void> | undefined;
}

/** Every line of every task in this process is published here. */
export const lineChannel = channel('sallyport:log');

/** The longest line that is kept. A task decides where its lines end, so something else must. */
export const maxLineBytes = 64 << 10;

const newline = 10;
/** Between two of these other channels and other tasks' output may have their turn: so many lines or, passed by at most one line, bytes. */
const linesAtOnce = 64;
const bytesAtOnce = 16 << 10;

type Cut = Pick<LogLine, 'line' | 'cut'>;

/** Cuts bytes into lines. Keeps at most one line, in memory that grows with it. */
class LineCutter {
  #kept = Buffer.alloc(0);
  #length = 0;
  #cut = false;
  /** The beginning of the line that is being read was not kept. */
  #lost = false;

  /** The lines that end in `chunk`, each made when it is asked for. Exhaust it before the next chunk. */
  *push(chunk: Buffer): Generator<Cut, void, undefined> {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      if (this.#lost) this.#lost = false;
      else {
        this.#keep(chunk.subarray(start, end));
        yield this.#line();
      }
      start = end + 1;
    }
    if (!this.#lost) this.#keep(chunk.subarray(start));
  }

  /** Nobody wants what is in `chunk`: keeps no more of it than whether a line was begun. */
  skip(chunk: Buffer): void {
    const begun = this.#lost || this.#length > 0;
    this.#length = 0;
    this.#cut = false;
    this.#lost = chunk.at(-1) !== newline && (begun || chunk.length > 0);
  }

  /** The stream has ended: a last line may lack its newline. */
  *end(): Generator<Cut, void, undefined> {
    if (this.#length > 0) yield this.#line();
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

  #line(): Cut {
    const made = { line: this.#kept.toString('utf8', 0, this.#length), cut: this.#cut };
    if (this.#kept.length > 4096) this.#kept = Buffer.alloc(0); // one long line is not paid for ever after
    this.#length = 0;
    this.#cut = false;
    return made;
  }
}

/**
 * Reads a task's output to its end, so that the task never waits for it for long. What lines cost is shared out as what requests
 * cost: see src/broker/turns.ts. What nobody listens to costs little more than the reading. Settles, never rejects.
 *
 * @param masker Hides secrets before anything is cut or shown: in bytes, so that one of several lines is hidden too, and by
 *   their names in what is written to descriptor 3.
 * @param lane The task's place in the queue of all.
 * @param sink Keeps each line; while it has no room the task waits.
 * @param onLine Called for each line. If it throws it is not called again: a log must end neither task nor supervisor.
 */
export async function drain(stream: Readable | null, task: string, source: LogLine['source'], onLine: ((line: LogLine) => void) | undefined, masker?: Masker, sink?: LineSink, lane = new Lane()): Promise<void> {
  if (stream === null) return;
  let listener = onLine;
  const publish = ({ line, cut }: Cut): void => {
    const entry = Object.freeze({ task, source, line: source === 'log' ? (masker?.redactFields(line) ?? line) : line, cut });
    try {
      listener?.(entry);
    } catch (error) {
      listener = undefined;
      process.emitWarning('a listener for log lines threw and gets no more of this stream', { type: 'SallyportWarning', detail: String(error) });
    }
    lineChannel.publish(entry);
    sink?.write(entry);
  };
  const cutter = new LineCutter();
  const mask = masker?.mask();
  const publishSome = (lines: Generator<Cut, void, undefined>): boolean => {
    for (let [count, length] = [0, 0]; count < linesAtOnce && length < bytesAtOnce; count++) {
      const { value, done } = lines.next();
      if (done === true) return false;
      length += value.line.length;
      publish(value);
    }
    return true;
  };
  // A chunk can be nothing but newlines. The task waits meanwhile, once its pipe is full.
  const publishAll = async (lines: Generator<Cut, void, undefined>): Promise<void> => {
    while (await lane.run(() => publishSome(lines))) await sink?.room();
    await sink?.room();
  };
  const publishMasked = async (masked: () => Buffer): Promise<void> => publishAll(cutter.push(await lane.run(masked)));
  try {
    for await (const chunk of stream) {
      if (listener === undefined && sink === undefined && !lineChannel.hasSubscribers) {
        if (mask !== undefined) cutter.skip(mask.forget());
        cutter.skip(chunk as Buffer);
        continue;
      }
      for (let at = 0; at < (chunk as Buffer).length; at += bytesAtOnce) {
        const part = (chunk as Buffer).subarray(at, at + bytesAtOnce);
        if (mask === undefined) await publishAll(cutter.push(part));
        else await publishMasked(() => mask.push(part));
      }
    }
  } catch {
    // Broken off: an end like any other.
  }
  try {
    if (mask !== undefined) await publishMasked(() => mask.end());
    await publishAll(cutter.end());
  } catch {
    // The masker is destroyed, and lets nothing more through.
  }
}
