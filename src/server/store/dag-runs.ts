import type { DagRun } from '../../execution-api/schema.js';
import { one, type Sql, type Value } from './sql.js';
import { fromStored } from './time.js';

const times = ['logical_date', 'data_interval_start', 'data_interval_end', 'run_after', 'start_date', 'end_date'];

export function* getDagRun(dag_id: string, run_id: string): Sql<DagRun | undefined> {
  const row = yield* one<Readonly<Record<string, Value>>>('SELECT * FROM dag_runs WHERE dag_id = :dag_id AND run_id = :run_id', { dag_id, run_id });
  if (row === undefined) return undefined;
  const shown = Object.entries(row).map(([name, value]) => [name, times.includes(name) && value !== null ? fromStored(String(value)) : value]);
  return { ...(Object.fromEntries(shown) as DagRun), conf: JSON.parse(String(row['conf'])) as Record<string, unknown>, consumed_asset_events: [] };
}
