import { insertInto, one, run, type Sql } from './sql.js';

/** Names one XCom. */
export interface XComKey {
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly key: string;
}

const matches = 'dag_id = :dag_id AND task_id = :task_id AND map_index = :map_index AND key = :key';

/** JSON text as it was written: parsing it here would round Python's integers. */
export function* getXCom(key: XComKey): Sql<string | undefined> {
  return (yield* one<{ value: string }>(`SELECT value FROM xcoms WHERE ${matches} AND run_id = :run_id`, { ...key }))?.value;
}

/** The same of the newest run up to this one that has it, by logical date. */
export function* getPriorXCom(key: XComKey): Sql<string | undefined> {
  const row = yield* one<{ value: string }>(
    `SELECT value FROM xcoms JOIN dag_runs AS run USING (dag_id, run_id)
     WHERE ${matches} AND (run_id = :run_id OR run.logical_date <=
       (SELECT logical_date FROM dag_runs WHERE dag_id = :dag_id AND run_id = :run_id))
     ORDER BY CASE WHEN run_id = :run_id THEN 0 ELSE 1 END, run.logical_date DESC LIMIT 1`,
    { ...key },
  );
  return row?.value;
}

const upsert = insertInto('xcoms', ['dag_id', 'run_id', 'task_id', 'map_index', 'key', 'value'], 'ON CONFLICT (dag_id, run_id, task_id, key, map_index) DO UPDATE SET value = excluded.value');

export function setXCom(key: XComKey, value: string): Sql<void> {
  return run(upsert, { ...key, value });
}
