import { closeSync, openSync } from 'node:fs';
import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite';
import { optional } from '../optional.js';
import { migrate } from './schema.js';
import { checkText, type Database, type Row, type Sql, type Statement } from './sql.js';

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
  readonly #statements = new Map<string, StatementSyncInstance>();

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

  close(): void {
    if (this.#db.isOpen) this.#db.close();
  }

  #all({ text, values }: Statement): readonly Row[] {
    checkText(values);
    let statement = this.#statements.get(text);
    if (statement === undefined) this.#statements.set(text, (statement = this.#db.prepare(text)));
    return statement.all(values as Record<string, string>) as unknown as readonly Row[];
  }
}

/** Its own names of the types, and checks that values are of them. */
function asSqlite(definition: string): string {
  return definition.replace(/BIGINT|SERIAL8/g, 'INTEGER').replace(/^(CREATE TABLE [\s\S]*)\)$/, '$1) STRICT');
}
