import type { TaskInstance } from '../types.js';

/** What a trigger is called with. */
export interface TriggerContext {
  /** What the task deferred with. */
  readonly kwargs: Readonly<Record<string, unknown>>;
  /** Aborted when nobody waits for it any more: end then. */
  readonly signal: AbortSignal;
  /** The task instance that waits; null for a trigger of no task. */
  readonly ti: TaskInstance | null;
}

/**
 * A trigger: waits for something without keeping a process, since all triggers of a team share one. Each value that it yields is
 * an event's payload, as JSON; a function that yields nothing returns the only one. It may be started again from its beginning.
 */
export type TriggerFunction = (context: TriggerContext) => AsyncIterable<unknown> | Promise<unknown>;

/** One trigger to run, as a host tells it. Airflow's RunTrigger, and where its file is. */
export interface RunTrigger {
  readonly id: number;
  readonly ti: TaskInstance | null;
  readonly kwargs: Readonly<Record<string, unknown>>;
  readonly file: string;
  /** The export that is the trigger. */
  readonly name: string;
}
