import { randomUUID } from 'node:crypto';
import type { DagRun, PreviousSuccessfulRun, TriggerDagRun } from '../../execution-api/schema.js';
import { finished, type TaskInstanceState } from '../state.js';
import { getConsumedAssetEvents } from './asset-events.js';
import { all, assignments, forUpdate, insertInto, isOneOf, one, run, type Sql, type Value } from './sql.js';
import { shown, toStored } from './time.js';

const columns = `dag_id, run_id, logical_date, data_interval_start, data_interval_end, run_after, start_date, end_date,
  clear_number, run_type, state, conf, triggering_user_name, partition_key, note`;

type Row = Omit<DagRun, 'conf'> & { readonly conf: string };

export function* getDagRun(dag_id: string, run_id: string): Sql<DagRun | undefined> {
  return yield* asDagRun(yield* one<Row>(`SELECT ${columns} FROM dag_runs WHERE dag_id = :dag_id AND run_id = :run_id`, { dag_id, run_id }));
}

/** By DAG, the newest first. */
export function* listDagRuns(filter: Readonly<Partial<Record<'dag_id' | 'state', string>>>, limit: number, offset: number): Sql<readonly DagRun[]> {
  const where = ['1 = 1', ...Object.keys(filter).map((column) => `${column} = :${column}`)].join(' AND ');
  const rows = yield* all<Row>(`SELECT ${columns} FROM dag_runs WHERE ${where} ORDER BY dag_id, run_after DESC, run_id LIMIT :limit OFFSET :offset`, { ...filter, limit, offset });
  const runs: DagRun[] = [];
  for (const row of rows) runs.push((yield* asDagRun(row)) as DagRun);
  return runs;
}

/** A state has its dates with it: a run begins when it first runs, and ends when it has succeeded or failed. @returns False where there is none. */
export function* changeDagRun(dag_id: string, run_id: string, { state, note }: { readonly state?: string; readonly note?: string | null }, now: string): Sql<boolean> {
  const set: Record<string, Value> = { ...(state !== undefined && { state, end_date: state === 'success' || state === 'failed' ? now : null }), ...(note !== undefined && { note }) };
  const begun = state === 'running' ? ['start_date = COALESCE(start_date, :now)'] : [];
  const text = `UPDATE dag_runs SET ${['run_id = run_id', ...begun, assignments(Object.keys(set))].filter((part) => part !== '').join(', ')} WHERE dag_id = :dag_id AND run_id = :run_id RETURNING run_id`;
  return (yield* one(text, { ...set, dag_id, run_id, ...(begun.length > 0 && { now }) })) !== undefined;
}

/** The newest before a date. */
export function* getPreviousDagRun(dag_id: string, logical_date: string, state?: string): Sql<DagRun | undefined> {
  const ofState = state === undefined ? '' : 'AND state = :state';
  const text = `SELECT ${columns} FROM dag_runs WHERE dag_id = :dag_id AND logical_date < :before ${ofState} ORDER BY logical_date DESC LIMIT 1`;
  return yield* asDagRun(yield* one<Row>(text, { dag_id, before: toStored(logical_date), ...(state !== undefined && { state }) }));
}

/** In the order that Airflow declares the fields. */
function* asDagRun(row: Row | undefined): Sql<DagRun | undefined> {
  if (row === undefined) return undefined;
  const { dag_id, run_id } = row;
  return {
    ...row,
    logical_date: shown(row.logical_date),
    data_interval_start: shown(row.data_interval_start),
    data_interval_end: shown(row.data_interval_end),
    run_after: shown(row.run_after) ?? '',
    start_date: shown(row.start_date),
    end_date: shown(row.end_date),
    conf: JSON.parse(row.conf) as Record<string, unknown>,
    consumed_asset_events: yield* getConsumedAssetEvents(dag_id, run_id),
  };
}

const beforeOwn = `SELECT earlier.data_interval_start, earlier.data_interval_end, earlier.start_date, earlier.end_date
  FROM task_instances AS ti
  JOIN dag_runs AS own ON own.dag_id = ti.dag_id AND own.run_id = ti.run_id
  JOIN dag_runs AS earlier ON earlier.dag_id = own.dag_id AND earlier.logical_date < own.logical_date AND earlier.state = 'success'
  WHERE ti.id = :id ORDER BY earlier.logical_date DESC LIMIT 1`;

/** Of a task instance's DAG, before its own run. All null where there is none, as Airflow has it. */
export function* getPreviousSuccessfulRun(id: string): Sql<PreviousSuccessfulRun> {
  const row = yield* one<PreviousSuccessfulRun>(beforeOwn, { id });
  return {
    data_interval_start: shown(row?.data_interval_start),
    data_interval_end: shown(row?.data_interval_end),
    start_date: shown(row?.start_date),
    end_date: shown(row?.end_date),
  };
}

export function* getDagRunState(dag_id: string, run_id: string): Sql<string | undefined> {
  return (yield* one<{ state: string }>('SELECT state FROM dag_runs WHERE dag_id = :dag_id AND run_id = :run_id', { dag_id, run_id }))?.state;
}

export interface RunFilter {
  readonly logical_dates?: readonly string[];
  readonly run_ids?: readonly string[];
  readonly states?: readonly string[];
}

/** A list that is left out or empty leaves none out, as in Airflow. */
export function* countDagRuns(dag_id: string, { logical_dates = [], run_ids = [], states = [] }: RunFilter): Sql<number> {
  const lists = { logical_date: logical_dates.map(toStored), run_id: run_ids, state: states };
  const given = Object.entries(lists).filter(([, items]) => items.length > 0);
  const values: Record<string, Value> = { dag_id, ...Object.fromEntries(given.map(([column, items]) => [`${column}s`, JSON.stringify(items)])) };
  const where = ['dag_id = :dag_id', ...given.map(([column]) => isOneOf(column, `${column}s`))].join(' AND ');
  return (yield* one<{ count: number }>(`SELECT count(*) AS count FROM dag_runs WHERE ${where}`, values))?.count ?? 0;
}

const add = `INSERT INTO dag_runs (dag_id, run_id, logical_date, data_interval_start, data_interval_end, run_after, state, conf, partition_key, note, triggering_user_name)
  VALUES (:dag_id, :run_id, :date, :date, :date, :now, 'queued', :conf, :partition_key, :note,
    (SELECT parent.triggering_user_name FROM task_instances AS ti JOIN dag_runs AS parent ON parent.dag_id = ti.dag_id AND parent.run_id = ti.run_id WHERE ti.id = :by))
  ON CONFLICT DO NOTHING RETURNING run_id`;

/**
 * A manual run that waits to be scheduled, for the user whose run the task belongs to.
 *
 * @param by The task instance that asks.
 * @returns False where the DAG has a run of that name, or of that logical date.
 */
export function* triggerDagRun(dag_id: string, run_id: string, { logical_date, conf, partition_key = null, note = null }: TriggerDagRun, by: string, now: string): Sql<boolean> {
  const date = logical_date == null ? null : toStored(logical_date);
  return (yield* one(add, { dag_id, run_id, date, now, conf: JSON.stringify(conf ?? {}), partition_key, note, by })) !== undefined;
}

interface Try {
  readonly id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly try_number: number;
  readonly max_tries: number;
  readonly queue: string;
  readonly operator: string | null;
  readonly state: TaskInstanceState | null;
}

// In the order of ids, as everything that writes several: so no two wait for each other.
const tries = `SELECT id, task_id, map_index, try_number, max_tries, queue, operator, state FROM latest_tries
  WHERE dag_id = :dag_id AND run_id = :run_id AND state IS NOT NULL ORDER BY id${forUpdate}`;
const addTry = insertInto('task_instances', ['id', 'dag_id', 'run_id', 'task_id', 'map_index', 'try_number', 'max_tries', 'queue', 'operator', 'state']);
const again = `UPDATE dag_runs SET clear_number = clear_number + 1${['start_date', 'end_date'].map((column) => `, ${column} = CASE WHEN state IN ('success', 'failed') THEN NULL ELSE ${column} END`).join('')},
  state = CASE WHEN state IN ('success', 'failed') THEN 'queued' ELSE state END WHERE dag_id = :dag_id AND run_id = :run_id`;

/**
 * In a transaction: all tasks of a run once more. Each try so far is replaced by another, with an id of its own, so that
 * whoever runs the old one is told so at its next heartbeat; the next of one that runs is `restarting`, as in Airflow,
 * and what was not over has failed.
 *
 * @returns False where there is no such run.
 */
export function* clearDagRun(dag_id: string, run_id: string, now: string): Sql<boolean> {
  const of = { dag_id, run_id };
  if ((yield* one(`SELECT run_id FROM dag_runs WHERE dag_id = :dag_id AND run_id = :run_id${forUpdate}`, of)) === undefined) return false;
  for (const { id, try_number, max_tries, state, ...task } of yield* all<Try>(tries, of)) {
    // Airflow's limit where it does not know the task: the greater of the two.
    const next = { try_number: try_number + 1, max_tries: Math.max(max_tries, try_number), state: state === 'running' ? 'restarting' : null };
    if (state !== null && !finished.includes(state)) yield* run(`UPDATE task_instances SET state = 'failed', end_date = :now WHERE id = :id`, { id, now });
    yield* run(addTry, { ...task, ...of, ...next, id: randomUUID() });
  }
  yield* run(again, of);
  return true;
}

