import { endUnanswered } from './questions.js';
import type { Resumption } from './state.js';
import { findUnanswered } from './store/hitl.js';
import type { Database } from './store/sql.js';
import { storedNow } from './store/time.js';
import { findTimedOut, goOn, type Held, TakenOver } from './store/triggers.js';

const everyMs = 1_000;
const atOnce = 100;

/**
 * Ends a wait: the task goes on, in one transaction with the end of its trigger.
 *
 * @param self The triggerer that says so. @default the server itself
 * @returns False where nobody waits for it any more, or the trigger is another triggerer's: nothing was changed.
 */
export async function endWait(database: Database, wait: Pick<Held, 'id' | 'task_instance_id'>, how: Resumption, now: number, self?: string): Promise<boolean> {
  try {
    return await database.transaction(goOn(wait, how, storedNow(now), self));
  } catch (error) {
    if (error instanceof TakenOver) return false;
    throw error;
  }
}

/** Ends what waits for a trigger, or for people, longer than it wanted to, also where no triggerer is there: in Airflow the scheduler does. */
export class Waits {
  readonly #database: Database;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  #looking: Promise<void> | undefined;

  /** @param onError Told what the database said. It is asked again. */
  constructor(database: Database, now: () => number, onError: (error: Error) => void) {
    this.#database = database;
    this.#now = now;
    this.#timer = setInterval(() => {
      this.#looking ??= this.#look().catch(onError).finally(() => { this.#looking = undefined; });
    }, everyMs).unref();
  }

  async #look(): Promise<void> {
    const now = this.#now();
    for (const wait of await this.#database.run(findTimedOut(storedNow(now), atOnce))) await endWait(this.#database, wait, 'timeout', now);
    for (const id of await this.#database.run(findUnanswered(storedNow(now), atOnce))) await this.#database.transaction(endUnanswered(id, storedNow(now)));
  }

  /** When it looks no more. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }
}
