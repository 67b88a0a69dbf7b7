import type { Outcome, ReportResult } from '../supervisor/index.js';
import type { Subject, WorkerEvent } from '../worker/index.js';
import { labelOf, lasted, Progress, type ProgressOptions } from './progress.js';
import type { Style } from './table.js';
import { firstLine, visible } from './visible.js';

const styles: Readonly<Record<string, Style>> = { success: 'green', failed: 'red', up_for_retry: 'yellow', server_terminated: 'yellow', refused: 'red' };
/** The longest of Airflow's states. */
const stateWidth = 'up_for_reschedule'.length;

/** What a worker does, for a person: a line for each end, and on a terminal one that says how many run, and which the longest. As JSON for a program. */
export class WorkerView implements Disposable {
  readonly #progress: Progress;
  readonly #since = new Map<string, { readonly at: number; readonly label: string }>();

  constructor(options: ProgressOptions) {
    const longest = (): string[] => [...this.#since.values()].map(({ at, label }) => `${label} ${lasted(performance.now() - at)}`);
    this.#progress = new Progress('worker', options, () => [`${this.#since.size} running`, ...longest()]);
  }

  show(event: WorkerEvent): void {
    const progress = this.#progress;
    if (event.kind === 'failed') return progress.trouble(event.error, event);
    const label = nameOf(event);
    if (event.kind === 'started') {
      this.#since.set(event.name, { at: performance.now(), label });
      if (progress.json) progress.line(event);
      return progress.status();
    }
    this.#since.delete(event.name);
    progress.wentWell();
    if (event.kind === 'released') progress.note(event.reason);
    const state = event.kind === 'ended' ? event.outcome.state : event.kind;
    progress.count(state);
    if (progress.json) return progress.line(event);
    if (event.kind === 'released') return progress.status(); // it will be seen again
    const why = firstLine(event.kind === 'refused' ? event.reason : (event.outcome.reason ?? event.outcome.error?.message ?? howItEnded(event.outcome)));
    const took = event.kind === 'ended' ? `${lasted(event.ms).padStart(7)} ` : '        ';
    const told = event.kind === 'ended' && !event.outcome.reported && event.outcome.state !== 'server_terminated' ? (event.outcome.kept === true ? ' (kept, and told later)' : ' (the server has not been told)') : '';
    progress.print(`${progress.paint(styles[state] ?? 'cyan', state.padEnd(stateWidth))} ${took} ${visible(label)}${told}${why === '' ? '' : progress.paint('dim', `  ${why.slice(0, 300)}`)}`);
  }

  trouble(error: Error): void {
    this.show({ kind: 'failed', error });
  }

  /** What was wrong is over. */
  over(text: string): void {
    this.#progress.wentWell();
    this.say(text);
  }

  /** What became of a final state that was kept: nobody else says so. */
  report(result: ReportResult): void {
    const progress = this.#progress;
    if (progress.json) return progress.line({ kind: 'report', ...result });
    const what = result.result === 'taken' ? 'the server has been told now' : `the server was not told: ${result.result}; its file is in refused/`;
    progress.print(`${progress.paint(result.result === 'taken' ? (styles[result.state] ?? 'cyan') : 'red', result.state.padEnd(stateWidth))}         ${visible(labelOf(result.ti))} (${what})${result.error === undefined ? '' : progress.paint('dim', `  ${firstLine(result.error.message)}`)}`);
  }

  /** About the worker itself. */
  say(text: string): void {
    this.#progress.say(text);
  }

  summary(): void {
    this.#progress.summary('nothing was run', 'released');
  }

  [Symbol.dispose](): void {
    this.#progress[Symbol.dispose]();
  }
}

/** Of a process that said nothing: `process.exit(3)`, a crash. */
function howItEnded({ state, exit }: Outcome): string {
  if (state === 'success' || exit.kind === 'ended') return '';
  if (exit.kind === 'signaled') return exit.signal;
  return exit.exitCode === 0 ? '' : `exit code ${exit.exitCode}`;
}

const nameOf = ({ name, ti }: Subject): string => (ti === undefined ? name : labelOf(ti));
