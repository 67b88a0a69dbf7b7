// What the server asks of its database, written once for every database: a program yields
// statements and is given their rows. Who runs it decides whether that takes a promise.

import type { Awaitable } from '../awaitable.js';

export type Value = string | number | null;
/** By name: `:key` in the text. Nothing else reaches a statement. */
export type Values = Readonly<Record<string, Value>>;

export interface Statement {
  readonly text: string;
  readonly values: Values;
  /** Nobody looks at more than its first row. */
  readonly one?: true;
}

/** A value's place in a statement's text; `::` is a type in PostgreSQL. */
export const placeholder = /(?<![:\w]):([a-z]\w*)/g;

export type Row = Readonly<Record<string, Value>>;
export type Sql<T> = Generator<Statement, T, readonly Row[]>;

/** Behind a SELECT whose rows its transaction will write: nobody else writes them in between. */
export const forUpdate = ' /* FOR UPDATE */';

/** In a write that no decision rests on: what is remembered of who may do what stays true. */
export const quiet = ' /* quiet */';

export function* all<T>(text: string, values: Values = {}): Sql<readonly T[]> {
  return (yield { text, values }) as readonly unknown[] as readonly T[];
}

export function* one<T>(text: string, values: Values = {}): Sql<T | undefined> {
  return (yield { text, values, one: true })[0] as unknown as T | undefined;
}

export function* run(text: string, values: Values = {}): Sql<void> {
  yield { text, values };
}

/**
 * Before a statement runs. SQLite's binding ends text at a NUL, PostgreSQL has none in text, and half of a surrogate pair
 * would be kept as another character: what was acknowledged would not be what is there.
 *
 * @throws An Error with `statusCode` 422, and no part of the text.
 */
export function checkText(values: Values): void {
  for (const name in values) {
    const value = values[name];
    if (typeof value === 'string' && (value.includes('\0') || !value.isWellFormed())) {
      throw Object.assign(new Error('text must be Unicode without NUL'), { statusCode: 422, code: 'ERR_INVALID_ARG_VALUE' });
    }
  }
}

/** What it acknowledged is there for any later reader, also of another process. */
export interface Database {
  /** Each statement for itself. */
  run<T>(program: Sql<T>): Awaitable<T>;
  /** All statements or none. A program that throws has changed nothing. */
  transaction<T>(program: Sql<T>): Awaitable<T>;
  /** Another number whenever something may have been written that is not {@link quiet}, by whomever; undefined where that cannot be told. */
  generation(): number | undefined;
  /** Ends the connections. Twice is fine. */
  close(): Awaitable<void>;
}

/** `INSERT INTO table (columns) VALUES (…)`, each value by its column's name. */
export function insertInto(table: string, columns: readonly string[], conflict = ''): string {
  return `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map((column) => `:${column}`).join(', ')}) ${conflict}`;
}

/** `column = :column, …`, for an UPDATE. */
export const assignments = (columns: readonly string[]): string => columns.map((column) => `${column} = :${column}`).join(', ');

/** `column` is one of a list of any length, which its value has as JSON: one text for all lengths, and so one prepared statement. */
export const isOneOf = (column: string, name: string): string => `${column} IN (SELECT value FROM json_each(:${name}))`;
