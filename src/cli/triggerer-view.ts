import type { TriggererEvent } from '../hosts/index.js';
import { labelOf, lasted, Progress, type ProgressOptions } from './progress.js';
import type { Style } from './table.js';
import { firstLine, visible } from './visible.js';

const styles: Readonly<Record<string, Style>> = { fired: 'green', failed: 'red', cancelled: 'dim' };

/** What a triggerer does, for a person: a line for each trigger that is over, and on a terminal one that says how many wait. As JSON for a program. */
export class TriggererView implements Disposable {
  readonly #progress: Progress;
  #waiting = 0;

  constructor(options: ProgressOptions) {
    this.#progress = new Progress('triggerer', options, () => [`${this.#waiting} waiting`]);
  }

  show(event: TriggererEvent): void {
    const progress = this.#progress;
    if (event.kind === 'trouble') return progress.trouble(event.error, event);
    progress.wentWell();
    this.#waiting = event.waiting;
    if (event.kind !== 'begun') progress.count(event.kind);
    if (progress.json) return progress.line(event);
    if (event.kind === 'begun') return progress.status();
    const { kind, ti, classpath, ms } = event;
    const why = kind === 'failed' ? `  ${firstLine(event.reasons.join(' ')).slice(0, 300)}` : '';
    progress.print(`${progress.paint(styles[kind] ?? 'cyan', kind.padEnd(9))} ${lasted(ms).padStart(7)}  ${visible(labelOf(ti))}  ${progress.paint('dim', visible(classpath) + why)}`);
  }

  trouble(error: Error): void {
    this.show({ kind: 'trouble', error });
  }

  /** What was wrong is over. */
  over(text: string): void {
    this.#progress.wentWell();
    this.say(text);
  }

  /** About the triggerer itself. */
  say(text: string): void {
    this.#progress.say(text);
  }

  summary(): void {
    this.#progress.summary('nothing was waited for');
  }

  [Symbol.dispose](): void {
    this.#progress[Symbol.dispose]();
  }
}
