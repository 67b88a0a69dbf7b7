import { PostgresDatabase, type PostgresOptions } from './postgres.js';
import type { Database } from './sql.js';
import { SqliteDatabase } from './sqlite.js';

/** Brings its tables to this build's version. */
export function openDatabase(where: string | PostgresOptions): Promise<Database> {
  return typeof where === 'string' ? SqliteDatabase.open(where) : PostgresDatabase.open(where);
}

export type { PostgresOptions } from './postgres.js';
export type { Database } from './sql.js';
