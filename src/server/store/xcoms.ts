import { all, one, quiet, run, type Sql } from './sql.js';

/** Names one XCom. */
export interface XComKey {
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly key: string;
}

/** Names the XComs of a mapped task, one for each map index. */
export type XComsKey = Omit<XComKey, 'map_index'>;

const ofTask = 'dag_id = :dag_id AND task_id = :task_id AND key = :key';
const here = `FROM xcoms WHERE ${ofTask} AND run_id = :run_id`;
// Airflow's date of a run, for one that was triggered has no other.
const date = 'coalesce(logical_date, run_after)';
/** As `here`, and in each run of the DAG up to this one. */
const prior = `FROM xcoms JOIN dag_runs USING (dag_id, run_id)
  WHERE ${ofTask} AND (run_id = :run_id OR ${date} <= (SELECT ${date} FROM dag_runs WHERE dag_id = :dag_id AND run_id = :run_id))`;

// JSON text as it was written, everywhere: parsing it here would round Python's integers.

export function* getXCom(key: XComKey): Sql<string | undefined> {
  return (yield* one<{ value: string }>(`SELECT value ${here} AND map_index = :map_index`, { ...key }))?.value;
}

/** The same of the newest run up to this one that has it. */
export function* getPriorXCom(key: XComKey): Sql<string | undefined> {
  const newest = `ORDER BY CASE WHEN run_id = :run_id THEN 0 ELSE 1 END, ${date} DESC LIMIT 1`;
  return (yield* one<{ value: string }>(`SELECT value ${prior} AND map_index = :map_index ${newest}`, { ...key }))?.value;
}

export function* countXComs(key: XComsKey, includePriorDates = false): Sql<number> {
  return (yield* one<{ count: number }>(`SELECT count(*) AS count ${includePriorDates ? prior : here}`, { ...key }))?.count ?? 0;
}

/** Some of them in the order of their map indexes. */
export function* getXComs(key: XComsKey, offset: number, limit: number, includePriorDates = false): Sql<readonly string[]> {
  const rows = yield* all<{ value: string }>(`SELECT value ${includePriorDates ? prior : here} ORDER BY ${orderOf(includePriorDates)} LIMIT :limit OFFSET :offset`, { ...key, limit, offset });
  return rows.map(({ value }) => value);
}

/** How many bytes of text {@link getXComs} would read, which reads none of it. */
export function* sizeOfXComs(key: XComsKey, offset: number, limit: number, includePriorDates = false): Sql<number> {
  const sizes = `SELECT octet_length(value) AS bytes ${includePriorDates ? prior : here} ORDER BY ${orderOf(includePriorDates)} LIMIT :limit OFFSET :offset`;
  return (yield* one<{ bytes: number | null }>(`SELECT sum(bytes) AS bytes FROM (${sizes}) AS sizes`, { ...key, limit, offset }))?.bytes ?? 0;
}

const orderOf = (includePriorDates: boolean): string => (includePriorDates ? `map_index, ${date}` : 'map_index');

const ofTaskInstance = 'FROM xcoms WHERE dag_id = :dag_id AND run_id = :run_id AND task_id = :task_id AND map_index = CAST(:map_index AS INTEGER)';
const upsert = `INSERT INTO xcoms (dag_id, run_id, task_id, map_index, key, value, mapped_length)
  SELECT :dag_id, :run_id, :task_id, CAST(:map_index AS INTEGER), :key, :value, CAST(:mapped_length AS INTEGER) FROM dag_runs WHERE dag_id = :dag_id AND run_id = :run_id
    AND (SELECT count(*) FROM (SELECT 1 ${ofTaskInstance} AND key <> :key LIMIT CAST(:most AS INTEGER)) AS others) < CAST(:most AS INTEGER)
  ON CONFLICT (dag_id, run_id, task_id, key, map_index) DO UPDATE SET value = excluded.value, mapped_length = excluded.mapped_length
  RETURNING map_index${quiet}`;

/**
 * @param most How many keys a task instance has at most.
 * @returns Undefined where it was set; else why not: there is no such run, or the task instance has as many other keys as it may.
 */
export function* setXCom(key: XComKey, value: string, mapped_length: number | null, most: number): Sql<'no run' | 'full' | undefined> {
  if ((yield* one(upsert, { ...key, value, mapped_length, most })) !== undefined) return undefined;
  const { dag_id, run_id } = key;
  return (yield* one('SELECT 1 AS found FROM dag_runs WHERE dag_id = :dag_id AND run_id = :run_id', { dag_id, run_id })) === undefined ? 'no run' : 'full';
}

export function deleteXCom(key: XComKey): Sql<void> {
  return run(`DELETE ${here} AND map_index = :map_index`, { ...key });
}

/** What an earlier try left. Of one that is not mapped, those of its mapped instances too, as Airflow has it. */
export function* getXComKeys({ dag_id, run_id, task_id, map_index }: Omit<XComKey, 'key'>): Sql<string[]> {
  const ofIndex = map_index < 0 ? '' : 'AND map_index = :map_index';
  const values = { dag_id, run_id, task_id, ...(map_index >= 0 && { map_index }) };
  return (yield* all<{ key: string }>(`SELECT DISTINCT key FROM xcoms WHERE dag_id = :dag_id AND run_id = :run_id AND task_id = :task_id ${ofIndex} ORDER BY key`, values)).map(({ key }) => key);
}
