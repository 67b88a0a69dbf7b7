import type { TriggererEvent } from '../hosts/index.js';
import { harmless } from '../supervisor/logs/record.js';
import { paintFor, type Style } from './table.js';
import { visible } from './visible.js';

export interface TriggererViewOptions {
  readonly json: boolean;
  readonly stdout?: NodeJS.WriteStream;
  readonly stderr?: NodeJS.WriteStream;
}

const clearLine = '\r\x1b[K';
const everyMs = 250;
const styles: Readonly<Record<string, Style>> = { fired: 'green', failed: 'red', cancelled: 'dim' };

/** What a triggerer does, for a person: a line for each trigger that is over, and on a terminal one that says how many wait. As JSON for a program. */
export class TriggererView implements Disposable {
  readonly #json: boolean;
  readonly #out: NodeJS.WriteStream;
  readonly #err: NodeJS.WriteStream;
  readonly #counts = new Map<string, number>();
  readonly #timer: NodeJS.Timeout | undefined;
  #waiting = 0;
  #shown = false;
  /** What was said of since something went well. */
  readonly #troubles = new Set<string>();

  constructor({ json, stdout = process.stdout, stderr = process.stderr }: TriggererViewOptions) {
    this.#json = json;
    this.#out = stdout;
    this.#err = stderr;
    // Who has gone that read it keeps no trigger from being waited for.
    for (const stream of [stdout, stderr]) stream.on('error', () => {});
    if (!json && stdout.isTTY) this.#timer = setInterval(() => this.#status(), everyMs).unref();
  }

  show(event: TriggererEvent): void {
    if (event.kind === 'trouble') return this.#failed(event.error);
    this.#troubles.clear();
    this.#waiting = event.waiting;
    if (event.kind !== 'begun') this.#counts.set(event.kind, (this.#counts.get(event.kind) ?? 0) + 1);
    if (this.#json) return this.#line(event);
    if (event.kind === 'begun') return this.#status();
    const { ti, classpath, ms } = event;
    const label = `${ti.dag_id}.${ti.task_id}${ti.map_index < 0 ? '' : `[${ti.map_index}]`} ${ti.run_id}`;
    const why = event.kind === 'failed' ? `  ${visible(event.reasons.join(' ').split('\n')[0] ?? '').slice(0, 300)}` : '';
    const paint = paintFor(this.#out);
    this.#print(`${paint(styles[event.kind] ?? 'cyan', event.kind.padEnd(9))} ${lasted(ms).padStart(7)}  ${visible(label)}  ${paint('dim', visible(classpath) + why)}`);
  }

  /** About the triggerer itself. */
  say(text: string): void {
    if (this.#shown) this.#out.write(clearLine);
    this.#shown = false;
    this.#err.write(`sallyport triggerer: ${text}\n`);
    this.#status();
  }

  summary(): void {
    this.say([...this.#counts].map(([kind, count]) => `${count} ${kind}`).join(', ') || 'nothing was waited for');
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    if (this.#shown) this.#out.write(clearLine);
    this.#shown = false;
  }

  #failed(error: Error): void {
    // Once for what comes again every second, and in turn: asking and telling both fail while the server is away.
    if (this.#troubles.has(error.message)) return;
    this.#troubles.add(error.message);
    if (this.#json) this.#line({ kind: 'trouble', error });
    else this.say(visible(error.message));
  }

  #line(event: TriggererEvent): void {
    const plain = (_key: string, value: unknown): unknown => (value instanceof Error ? { code: (value as NodeJS.ErrnoException).code ?? value.name, message: value.message } : value);
    this.#out.write(`${harmless(JSON.stringify({ at: new Date().toISOString(), ...event }, plain))}\n`);
  }

  #print(line: string): void {
    this.#out.write(`${this.#shown ? clearLine : ''}${line}\n`);
    this.#shown = false;
    this.#status();
  }

  #status(): void {
    if (this.#timer === undefined) return;
    const counts = [...this.#counts].map(([kind, count]) => `${count} ${kind}`);
    const text = [`${this.#waiting} waiting`, ...counts, ...[...this.#troubles].slice(-1).map(visible)].join('  ');
    this.#out.write(`${clearLine}${paintFor(this.#out)('dim', text.slice(0, (this.#out.columns ?? 80) - 1))}`);
    this.#shown = true;
  }
}

function lasted(ms: number): string {
  if (ms < 99_500) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 99 * 60_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
}
