import { type Awaitable, chain } from './awaitable.js';
import type { Database, Sql } from './store/sql.js';

const mostKept = 10_000;

/**
 * What was read from the database, for as long as nothing is written there that decisions rest on, by this server or another.
 * It is asked of the database each time, so that what is kept is what would be read again; where a database cannot tell, nothing is kept.
 */
export class Memo {
  readonly #database: Database;
  readonly #kept = new Map<unknown, { readonly value: unknown }>();
  #generation: number | undefined;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Runs a program that reads, unless what it read is known.
   *
   * @param key No two programs have the same: a text, or an object that stands for one thing.
   * @param isKept Asked of what was read.
   */
  read<T>(key: unknown, program: () => Sql<T>, isKept: (value: T) => boolean): Awaitable<T> {
    const generation = this.#database.generation();
    if (generation !== this.#generation || this.#kept.size >= mostKept) this.#kept.clear();
    this.#generation = generation;
    const known = this.#kept.get(key);
    if (known !== undefined) return known.value as T;
    return chain(this.#database.run(program()), (value) => {
      // What was read before a write is not kept behind it.
      if (generation !== undefined && generation === this.#generation && isKept(value)) this.#kept.set(key, { value });
      return value;
    });
  }
}
