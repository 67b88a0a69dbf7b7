import type { Database } from './store/sql.js';

const mostKept = 10_000;

/**
 * What was read from the database, for as long as nothing is written there that decisions rest on, by this server or another.
 * It is asked of the database each time, so that what is kept is what would be read again; where a database cannot tell, nothing is kept.
 */
export class Memo {
  readonly #database: Database;
  readonly #kept = new Map<string, unknown>();
  #generation: number | undefined;

  constructor(database: Database) {
    this.#database = database;
  }

  /** To be asked before anything is read or got. */
  generation(): number | undefined {
    const generation = this.#database.generation();
    if (generation !== this.#generation || this.#kept.size >= mostKept) this.#kept.clear();
    return (this.#generation = generation);
  }

  get<T>(key: string): T | undefined {
    return this.#kept.get(key) as T | undefined;
  }

  /** @param generation As it was before the value was read: what was read before a write is not kept behind it. */
  keep(key: string, value: unknown, generation: number | undefined): void {
    if (generation !== undefined && generation === this.#generation) this.#kept.set(key, value);
  }
}
