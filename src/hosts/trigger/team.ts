import { Cell } from './cell.js';
import type { CellEnd, CellOptions, Entry } from './cell-options.js';
import type { TriggerStateChanges } from './messages.js';
import type { RunTrigger } from './run-trigger.js';

export interface TeamOptions extends Omit<CellOptions, 'onIdle'> {
  /** Processes at once. */
  readonly maxProcesses: number;
}

/** How long a process without triggers waits for more. */
const idleMs = 10_000;
const retryMs = 1_000;
/** How often the triggers of a process are believed that what ended it was left behind by one that is gone. */
const mostExcuses = 2;

/**
 * A team's triggers: in one process as long as all goes well. When that process is blocked or ends, whoever is said to be the
 * reason goes on in a process of its own, and the others in another; where nobody is, each half in one. So what is said, which
 * code of users can falsify, costs a trigger a new start at most. One that is alone when its process is blocked or ends is the reason.
 */
export class Team {
  readonly #options: TeamOptions;
  /** With what ends those that have nothing to do. */
  readonly #cells = new Map<Cell, NodeJS.Timeout | undefined>();
  readonly #ending = new Set<Promise<void>>();
  readonly #excuses = new WeakMap<RunTrigger, number>();
  #closed = false;

  constructor(options: TeamOptions) {
    this.#options = options;
  }

  /** Of the processes that run. */
  get pids(): number[] {
    return [...this.#cells.keys()].flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  }

  create(entry: Entry): void {
    const [most] = [...this.#cells.keys()].sort((a, b) => b.size - a.size);
    if (most === undefined) return this.#start([entry]);
    clearTimeout(this.#cells.get(most));
    most.add(entry);
  }

  cancel(id: number): void {
    for (const cell of this.#cells.keys()) cell.cancel(id);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...[...this.#cells.keys()].map((cell) => cell.close()), ...this.#ending]);
  }

  #start(entries: readonly Entry[]): void {
    if (entries.length === 0 || this.#closed) return;
    const cell: Cell = new Cell({ ...this.#options, onIdle: () => this.#rest(cell) }, entries);
    this.#cells.set(cell, undefined);
    void cell.ended.then((end) => this.#lost(cell, end));
  }

  #rest(cell: Cell): void {
    if (!this.#cells.has(cell)) return;
    clearTimeout(this.#cells.get(cell));
    this.#cells.set(cell, setTimeout(() => {
      if (cell.size > 0) return;
      this.#cells.delete(cell); // and so gets no more
      const ending = cell.close().finally(() => this.#ending.delete(ending));
      this.#ending.add(ending);
    }, idleMs));
  }

  #lost(cell: Cell, { cause, suspect, unstarted }: CellEnd): void {
    clearTimeout(this.#cells.get(cell));
    this.#cells.delete(cell);
    if (this.#closed) return;
    if (unstarted) return this.#fail(cell.entries, cause);
    const entries = cell.entries.filter(({ trigger }) => cell.tried(trigger.id));
    this.#judge(entries, cause, suspect);
    for (const entry of cell.entries) if (!entries.includes(entry)) this.create(entry);
  }

  /** What becomes of triggers whose process has ended. */
  #judge(entries: readonly Entry[], cause: string, suspect: number | undefined): void {
    if (suspect !== undefined && !entries.some(({ trigger }) => trigger.id === suspect) && this.#excused(entries)) return this.#start(entries);
    if (entries.length <= 1) return this.#fail(entries, cause);
    const room = this.#cells.size + 2 <= this.#options.maxProcesses;
    const suspected = entries.filter(({ trigger }) => trigger.id === suspect);
    if (suspected.length > 0) {
      if (room) this.#start(suspected);
      else this.#fail(suspected, cause);
      return this.#start(entries.filter((entry) => !suspected.includes(entry)));
    }
    if (!room) return this.#fail(entries, `${cause}, or another of its team's did`);
    const half = entries.length >> 1;
    this.#start(entries.slice(0, half));
    this.#start(entries.slice(half));
  }

  /** A trigger that has ended may have left something that runs. */
  #excused(entries: readonly Entry[]): boolean {
    const excuses = Math.max(0, ...entries.map(({ trigger }) => this.#excuses.get(trigger) ?? 0));
    for (const { trigger } of entries) this.#excuses.set(trigger, excuses + 1);
    return excuses < mostExcuses;
  }

  #fail(entries: readonly Entry[], cause: string): void {
    if (entries.length === 0) return;
    void this.#told({ events: [], finished: [], failures: entries.map(({ trigger }) => [trigger.id, [cause]] as const) });
  }

  /** Until it is heard. */
  async #told(changes: TriggerStateChanges): Promise<void> {
    while (!this.#closed) {
      try {
        return await this.#options.deliver(changes);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, retryMs).unref()); // the host has warned of it
      }
    }
  }
}
