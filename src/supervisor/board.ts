import type { Audit, AuditRecord } from '../broker/index.js';
import type { TaskRef, TaskStep, TaskSteps } from './events.js';

/** What one task may use at most; null: no bound. */
export interface ShownLimits {
  readonly memoryBytes: number | null;
  readonly processes: number | null;
  readonly wallTimeMs: number | null;
}

/** One try that has not ended. `ending`: it has said what became of it, or was asked to end. */
export interface ShownTask {
  readonly task: TaskRef;
  readonly state: 'starting' | 'running' | 'ending';
  readonly pid: number;
  /** ISO 8601, UTC: when it was launched. */
  readonly since: string;
  readonly limits: ShownLimits;
  readonly requests: number;
  readonly denied: number;
  /** The last method that it asked for, in printable characters. */
  readonly lastMethod: string | null;
  /** Heartbeats in a row that failed. */
  readonly failedHeartbeats: number;
}

export interface EndedTask {
  readonly task: TaskRef;
  /** `refused`: it did not run. */
  readonly state: string;
  readonly at: string;
  readonly durationMs: number | null;
  readonly reported: boolean;
  /** The server is told later. */
  readonly kept: boolean;
}

type Entry = { -readonly [K in keyof ShownTask]: ShownTask[K] };

/** So many that have ended are remembered. */
const mostEnded = 20;

/** What runs now, and what has become of what ran: kept up to date step by step, for whoever looks. */
export class Board {
  readonly #running = new Map<TaskRef, Entry>();
  readonly #byId = new Map<string, Entry>();
  readonly #ended: EndedTask[] = [];
  readonly #totals: Record<string, number> = {};
  #requests = 0;
  #denied = 0;

  /** As it is now: the others go on. */
  get running(): readonly ShownTask[] {
    return Array.from(this.#running.values(), (entry) => ({ ...entry }));
  }

  /** The newest first. */
  get ended(): readonly EndedTask[] {
    return [...this.#ended];
  }

  /** How many came to each state, since the supervisor began, and all that was asked for. */
  get totals(): { readonly states: Readonly<Record<string, number>>; readonly requests: number; readonly denied: number } {
    return { states: { ...this.#totals }, requests: this.#requests, denied: this.#denied };
  }

  tell<S extends TaskStep>(step: S, facts: TaskSteps[S]): void {
    this.#steps[step](facts as never);
  }

  /** An audit that counts as well. */
  audited(audit: Audit | undefined): Audit {
    return (record) => {
      audit?.(record);
      this.#requested(record);
    };
  }

  #requested({ task, method, outcome }: AuditRecord): void {
    this.#requests++;
    if (outcome === 'denied') this.#denied++;
    const entry = this.#byId.get(task);
    if (entry === undefined) return;
    entry.requests++;
    if (outcome === 'denied') entry.denied++;
    entry.lastMethod = method;
  }

  readonly #steps: { readonly [S in TaskStep]: (facts: TaskSteps[S]) => void } = {
    launch: ({ task, pid, limits }) => void this.#running.set(task, {
      task, pid, limits, state: 'starting', since: new Date().toISOString(), requests: 0, denied: 0, lastMethod: null, failedHeartbeats: 0,
    }),
    start: ({ task }) => {
      const entry = this.#running.get(task);
      if (entry === undefined) return;
      entry.state = 'running';
      this.#byId.set(task.id, entry);
    },
    heartbeat: ({ task, error }) => {
      const entry = this.#running.get(task);
      if (entry !== undefined) entry.failedHeartbeats = error === undefined ? 0 : entry.failedHeartbeats + 1;
    },
    final: ({ task }) => this.#ends(task),
    terminate: ({ task }) => this.#ends(task),
    end: ({ task, durationMs, outcome: { state, reported, kept = false } }) => this.#remove({ task, state, durationMs, reported, kept }),
    refuse: ({ task }) => this.#remove({ task, state: 'refused', durationMs: null, reported: false, kept: false }),
  };

  #ends(task: TaskRef): void {
    const entry = this.#running.get(task);
    if (entry !== undefined) entry.state = 'ending';
  }

  #remove(ended: Omit<EndedTask, 'at'>): void {
    const { task, state } = ended;
    if (this.#byId.get(task.id) === this.#running.get(task)) this.#byId.delete(task.id);
    this.#running.delete(task);
    this.#totals[state] = (this.#totals[state] ?? 0) + 1;
    this.#ended.unshift({ ...ended, at: new Date().toISOString() });
    this.#ended.length = Math.min(this.#ended.length, mostEnded);
  }
}
