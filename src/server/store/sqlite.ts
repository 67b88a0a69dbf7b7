import { closeSync, openSync } from 'node:fs';
import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite';
import { optional } from '../optional.js';
import { migrate } from './schema.js';
import { checkText, type Database, placeholder, quiet, type Row, type Sql, type Statement } from './sql.js';

/**
 * One SQLite file, or memory (`:memory:`). Programs run without a pause, so that nobody comes in between.
 *
 * Write-ahead log with `synchronous = NORMAL`: what was acknowledged survives the death of this
 * process at any moment. A power cut may take the last transactions; the file stays whole.
 * A new file is for its owner alone.
 */
export class SqliteDatabase implements Database {
  static async open(file: string): Promise<SqliteDatabase> {
    const { DatabaseSync } = await optional('@photostructure/sqlite', () => import('@photostructure/sqlite'));
    // SQLite gives its log and shared memory the mode of the database.
    if (file !== ':memory:') closeSync(openSync(file, 'a', 0o600));
    const db: DatabaseSyncInstance = new DatabaseSync(file, { timeout: 5_000, defensive: true });
    const database = new SqliteDatabase(db);
    try {
      db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF');
      database.transaction(migrate(asSqlite));
      return database;
    } catch (error) {
      db.close();
      throw error;
    }
  }

  readonly #db: DatabaseSyncInstance;
  readonly #prepared = new Map<string, Prepared>();
  readonly #version: StatementSyncInstance;
  #generation = 0;
  #dataVersion: number | undefined;
  #asked = false;
  readonly #ask = (): void => void (this.#asked = false);

  private constructor(db: DatabaseSyncInstance) {
    this.#db = db;
    this.#version = db.prepare('PRAGMA data_version');
    this.#version.setReturnArrays(true);
  }

  run<T>(program: Sql<T>): T {
    let step = program.next();
    while (step.done !== true) {
      let rows: readonly Row[];
      try {
        rows = this.#all(step.value);
      } catch (error) {
        step = program.throw(error);
        continue;
      }
      step = program.next(rows);
    }
    return step.value;
  }

  transaction<T>(program: Sql<T>): T {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const result = this.run(program);
      this.#db.exec('COMMIT');
      return result;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  /**
   * Own writes are counted; SQLite tells whether another connection has written. It is asked once in a turn of the event loop:
   * a request that is read in this turn was there before it.
   */
  generation(): number {
    if (this.#asked) return this.#generation;
    const [version] = this.#version.get() as readonly [number];
    if (version !== this.#dataVersion) this.#generation++;
    this.#dataVersion = version;
    this.#asked = true;
    setImmediate(this.#ask);
    return this.#generation;
  }

  close(): void {
    if (this.#db.isOpen) this.#db.close();
  }

  #all({ text, values, one }: Statement): readonly Row[] {
    checkText(values);
    const { statement, names, loud } = this.#prepared.get(text) ?? this.#prepare(text);
    if (loud) this.#generation++;
    const inOrder = names.map((name) => values[name]);
    if (one !== true) return statement.all(...inOrder) as readonly Row[];
    const row = statement.get(...inOrder) as Row | undefined;
    return row === undefined ? none : [row];
  }

  #prepare(text: string): Prepared {
    const names: string[] = [];
    const statement = this.#db.prepare(text.replace(placeholder, (_all, name: string) => (names.push(name), '?')));
    const prepared = { statement, names, loud: !/^\s*(SELECT|PRAGMA)\b/i.test(text) && !text.includes(quiet) };
    this.#prepared.set(text, prepared);
    return prepared;
  }
}

interface Prepared {
  readonly statement: StatementSyncInstance;
  /** By place: the binding takes names in an object several times slower. */
  readonly names: readonly string[];
  /** It writes what decisions rest on. */
  readonly loud: boolean;
}

const none: readonly Row[] = [];

/** Its own names of the types, and checks that values are of them. */
function asSqlite(definition: string): string {
  return definition.replace(/BIGINT|SERIAL8/g, 'INTEGER').replace(/FLOAT8/g, 'REAL').replace(/^(CREATE TABLE [\s\S]*)\)$/, '$1) STRICT');
}
