import { closeSync, openSync } from 'node:fs';
import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite';
import { optional } from '../optional.js';
import { migrate } from './schema.js';
import { checkText, type Database, quiet, type Row, type Sql, type Statement } from './sql.js';

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
  readonly #statements = new Map<string, { readonly statement: StatementSyncInstance; readonly loud: boolean }>();
  #generation = 0;
  #dataVersion: unknown;

  private constructor(db: DatabaseSyncInstance) {
    this.#db = db;
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

  /** Own writes are counted; SQLite tells whether another connection has written. */
  generation(): number {
    const version = this.#all(dataVersion)[0]?.['data_version'];
    if (version !== this.#dataVersion) this.#generation++;
    this.#dataVersion = version;
    return this.#generation;
  }

  close(): void {
    if (this.#db.isOpen) this.#db.close();
  }

  #all({ text, values }: Statement): readonly Row[] {
    checkText(values);
    let known = this.#statements.get(text);
    if (known === undefined) this.#statements.set(text, (known = { statement: this.#db.prepare(text), loud: !/^\s*(SELECT|PRAGMA)\b/i.test(text) && !text.includes(quiet) }));
    if (known.loud) this.#generation++;
    return known.statement.all(values as Record<string, string>) as unknown as readonly Row[];
  }
}

const dataVersion: Statement = { text: 'PRAGMA data_version', values: {} };

/** Its own names of the types, and checks that values are of them. */
function asSqlite(definition: string): string {
  return definition.replace(/BIGINT|SERIAL8/g, 'INTEGER').replace(/^(CREATE TABLE [\s\S]*)\)$/, '$1) STRICT');
}
