import { all, one, type Row, type Sql, type Value } from './sql.js';
import { shown as shownTime } from './time.js';

/** A table with a key of one column, and what of a row is shown as what. All of it is this program's own text. */
export interface Shown {
  readonly table: string;
  readonly key: string;
  readonly columns: Readonly<Record<string, 'text' | 'json' | 'truth' | 'time'>>;
}

export function* listRows({ table, key, columns }: Shown, after: string, limit: number): Sql<readonly object[]> {
  const rows = yield* all<Row>(`SELECT ${Object.keys(columns).join(', ')} FROM ${table} WHERE ${key} > :after ORDER BY ${key} LIMIT :limit`, { after, limit });
  return rows.map((row) => show(row, columns));
}

export function* countRows({ table }: Shown): Sql<number> {
  return (yield* one<{ count: number }>(`SELECT count(*) AS count FROM ${table}`))?.count ?? 0;
}

export function* getRow({ table, key, columns }: Shown, name: string): Sql<object | undefined> {
  const row = yield* one<Row>(`SELECT ${Object.keys(columns).join(', ')} FROM ${table} WHERE ${key} = :name`, { name });
  return row === undefined ? undefined : show(row, columns);
}

/** @returns False where there is none. */
export function* deleteRow({ table, key }: Shown, name: string): Sql<boolean> {
  return (yield* one(`DELETE FROM ${table} WHERE ${key} = :name RETURNING ${key}`, { name })) !== undefined;
}

export function show(row: Row, columns: Shown['columns']): object {
  return Object.fromEntries(Object.entries(columns).map(([name, kind]) => [name, shapes[kind](row[name] ?? null)]));
}

const shapes: Readonly<Record<Shown['columns'][string], (value: Value) => unknown>> = {
  text: (value) => value,
  json: (value) => (value === null ? null : JSON.parse(String(value))),
  truth: (value) => value === 1,
  time: (value) => shownTime(value === null ? null : String(value)),
};
