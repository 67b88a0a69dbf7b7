import type { Outcome } from '../supervisor/index.js';
import { harmless } from '../supervisor/logs/record.js';
import type { Subject, WorkerEvent } from '../worker/index.js';
import { clip, paintFor, type Style } from './table.js';
import { inline, visible } from './visible.js';

export interface WorkerViewOptions {
  readonly json: boolean;
  readonly stdout?: NodeJS.WriteStream;
  readonly stderr?: NodeJS.WriteStream;
}

const clearLine = '\r\x1b[K';
const everyMs = 250;

const styles: Readonly<Record<string, Style>> = { success: 'green', failed: 'red', up_for_retry: 'yellow', server_terminated: 'yellow', refused: 'red' };

/** What a worker does, for a person: a line for each end, and on a terminal one that says how things stand. As JSON for a program. */
export class WorkerView implements Disposable {
  readonly #json: boolean;
  readonly #out: NodeJS.WriteStream;
  readonly #err: NodeJS.WriteStream;
  readonly #counts = new Map<string, number>();
  readonly #since = new Map<string, { readonly at: number; readonly label: string }>();
  readonly #timer: NodeJS.Timeout | undefined;
  #shown = false;
  #trouble = '';

  constructor({ json, stdout = process.stdout, stderr = process.stderr }: WorkerViewOptions) {
    this.#json = json;
    this.#out = stdout;
    this.#err = stderr;
    // Who has gone that read it, as `head` does, keeps no task from being run.
    for (const stream of [stdout, stderr]) stream.on('error', () => {});
    if (!json && stdout.isTTY) this.#timer = setInterval(() => this.#status(), everyMs).unref();
  }

  show(event: WorkerEvent): void {
    if (event.kind === 'failed') return this.#failed(event.error);
    const label = labelOf(event);
    if (event.kind === 'started') {
      this.#since.set(event.name, { at: performance.now(), label });
      if (this.#json) this.#line(event);
      return this.#status();
    }
    this.#since.delete(event.name);
    this.#trouble = event.kind === 'released' ? event.reason : '';
    const state = event.kind === 'ended' ? event.outcome.state : event.kind;
    this.#counts.set(state, (this.#counts.get(state) ?? 0) + 1);
    if (this.#json) return this.#line(event);
    if (event.kind === 'released') return this.#status(); // it will be seen again
    const why = event.kind === 'refused' ? event.reason : (event.outcome.reason ?? event.outcome.error?.message ?? howItEnded(event.outcome));
    const took = event.kind === 'ended' ? `${seconds(event.ms).padStart(7)} ` : '        ';
    const told = event.kind === 'ended' && !event.outcome.reported && event.outcome.state !== 'server_terminated' ? ' (the server has not been told)' : '';
    const paint = paintFor(this.#out);
    this.#print(`${paint(styles[state] ?? 'cyan', state.padEnd(12))} ${took} ${visible(label)}${told}${why === '' ? '' : paint('dim', `  ${visible(why).slice(0, 300)}`)}`);
  }

  /** About the worker itself. */
  say(text: string): void {
    if (this.#shown) this.#out.write(clearLine);
    this.#shown = false;
    this.#err.write(`sallyport worker: ${text}\n`);
    this.#status();
  }

  summary(): void {
    this.say([...this.#counts].filter(([state]) => state !== 'released').map(([state, count]) => `${count} ${state}`).join(', ') || 'nothing was run');
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    if (this.#shown) this.#out.write(clearLine);
    this.#shown = false;
  }

  #failed(error: Error): void {
    // Once for what comes again every second.
    if (error.message === this.#trouble) return;
    this.#trouble = error.message;
    if (this.#json) this.#line({ kind: 'failed', error });
    else this.say(visible(error.message));
  }

  #line(event: WorkerEvent): void {
    const plain = (_key: string, value: unknown): unknown => (value instanceof Error ? { code: (value as NodeJS.ErrnoException).code ?? value.name, message: value.message } : value);
    this.#out.write(`${harmless(JSON.stringify({ at: new Date().toISOString(), ...event }, plain))}\n`);
  }

  #print(line: string): void {
    this.#out.write(`${this.#shown ? clearLine : ''}${line}\n`);
    this.#shown = false;
    this.#status();
  }

  /** The last line of a terminal: how many of what, and what has run longest. */
  #status(): void {
    if (this.#timer === undefined) return;
    const paint = paintFor(this.#out);
    const counts = [...this.#counts].map(([state, count]) => `${count} ${state}`);
    const longest = [...this.#since.values()].map(({ at, label }) => `${inline(label)} ${seconds(performance.now() - at)}`);
    const text = [`${this.#since.size} running`, ...counts, ...(this.#trouble === '' ? [] : [inline(this.#trouble)]), ...longest].join('  ');
    this.#out.write(`${clearLine}${paint('dim', clip(text, (this.#out.columns ?? 80) - 1))}`);
    this.#shown = true;
  }
}

/** Of a process that said nothing: `process.exit(3)`, a crash. */
function howItEnded({ state, exit }: Outcome): string {
  if (state === 'success' || exit.kind === 'ended') return '';
  if (exit.kind === 'signaled') return exit.signal;
  return exit.exitCode === 0 ? '' : `exit code ${exit.exitCode}`;
}

function labelOf({ name, ti }: Subject): string {
  if (ti === undefined) return name;
  return `${ti.dag_id}.${ti.task_id}${ti.map_index < 0 ? '' : `[${ti.map_index}]`} ${ti.run_id}`;
}

const seconds = (ms: number): string => (ms < 99_500 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60_000)} min`);
