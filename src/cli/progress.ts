import { harmless } from '../supervisor/logs/record.js';
import { clip, paintFor, type Paint } from './table.js';
import { firstLine, inline } from './visible.js';

export interface ProgressOptions {
  readonly json: boolean;
  readonly stdout?: NodeJS.WriteStream;
  readonly stderr?: NodeJS.WriteStream;
}

const clearLine = '\r\x1b[K';
const everyMs = 250;

/** What a command that runs on tells: lines on standard output, words about itself on standard error, and on a terminal a last line that says how things stand. */
export class Progress implements Disposable {
  readonly json: boolean;
  readonly paint: Paint;
  readonly #command: string;
  readonly #out: NodeJS.WriteStream;
  readonly #err: NodeJS.WriteStream;
  readonly #standing: () => readonly string[];
  readonly #counts = new Map<string, number>();
  /** What was said of since something went well. */
  readonly #troubles = new Set<string>();
  readonly #timer: NodeJS.Timeout | undefined;
  #shown = false;

  /** @param standing What the last line begins with, then what it ends with. */
  constructor(command: string, { json, stdout = process.stdout, stderr = process.stderr }: ProgressOptions, standing: () => readonly [now: string, ...rest: string[]]) {
    this.json = json;
    this.#command = command;
    this.#out = stdout;
    this.#err = stderr;
    this.#standing = standing;
    this.paint = paintFor(stdout);
    // Who has gone that read it, as `head` does, keeps nothing from being run.
    for (const stream of [stdout, stderr]) stream.on('error', () => {});
    if (!json && stdout.isTTY) this.#timer = setInterval(() => this.status(), everyMs).unref();
  }

  count(kind: string): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
  }

  /** About the command itself. */
  say(text: string): void {
    this.#clear();
    this.#err.write(`sallyport ${this.#command}: ${text}\n`);
    this.status();
  }

  /** What went wrong with the command itself: once for what comes again every second, and in turn. */
  trouble(error: Error, event: object): void {
    if (this.#troubles.has(error.message)) return;
    this.#troubles.add(error.message);
    if (this.json) this.line(event);
    else this.say(firstLine(error.message));
  }

  /** For the last line alone, until something goes well. */
  note(trouble: string): void {
    this.#troubles.add(trouble);
  }

  wentWell(): void {
    this.#troubles.clear();
  }

  /** @param nothing What to say where there was nothing to count. */
  summary(nothing: string, without?: string): void {
    this.say([...this.#counts].filter(([kind]) => kind !== without).map(([kind, count]) => `${count} ${kind}`).join(', ') || nothing);
  }

  /** For a program. */
  line(event: object): void {
    const plain = (_key: string, value: unknown): unknown => (value instanceof Error ? { code: (value as NodeJS.ErrnoException).code ?? value.name, message: value.message } : value);
    this.#out.write(`${harmless(JSON.stringify({ at: new Date().toISOString(), ...event }, plain))}\n`);
  }

  /** For a person. */
  print(line: string): void {
    this.#clear();
    this.#out.write(`${line}\n`);
    this.status();
  }

  /** Writes the last line again. */
  status(): void {
    if (this.#timer === undefined) return;
    const [now = '', ...rest] = this.#standing();
    const counts = [...this.#counts].map(([kind, count]) => `${count} ${kind}`);
    const text = [now, ...counts, ...[...this.#troubles].slice(-1).map(firstLine).map(inline), ...rest.map(inline)].join('  ');
    this.#out.write(`${clearLine}${this.paint('dim', clip(text, (this.#out.columns ?? 80) - 1))}`);
    this.#shown = true;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#clear();
  }

  #clear(): void {
    if (this.#shown) this.#out.write(clearLine);
    this.#shown = false;
  }
}

/** Of whom a line speaks. */
export function labelOf({ dag_id, run_id, task_id, map_index }: { readonly dag_id: string; readonly run_id: string; readonly task_id: string; readonly map_index: number }): string {
  return `${dag_id}.${task_id}${map_index < 0 ? '' : `[${map_index}]`} ${run_id}`;
}

export function lasted(ms: number): string {
  if (ms < 99_500) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 99 * 60_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
}
