import type { Breadcrumbs, PreviousTaskInstance } from '../../execution-api/schema.js';
import { finished, type TaskInstanceState } from '../state.js';
import { all, isOneOf, one, type Sql, type Value } from './sql.js';
import { secondsBetween, shown, toStored } from './time.js';

/** Which task instances of a DAG. A list that is left out or empty leaves none out, as in Airflow. */
export interface TaskFilter {
  readonly dag_id: string;
  readonly task_ids?: readonly string[];
  readonly task_group_id?: string;
  readonly map_index?: number;
  readonly logical_dates?: readonly string[];
  readonly run_ids?: readonly string[];
  /** `null` stands for none yet. */
  readonly states?: readonly string[];
}

// A group's tasks are named after it unless its author says otherwise: Airflow's `prefix_group_id`. The server has no DAG to ask.
const inGroup = `substr(task_id, 1, length(CAST(:group AS TEXT)) + 1) = :group || '.'`;

function conditions(filter: TaskFilter, ofTasks: 'and' | 'or'): { readonly where: string; readonly values: Record<string, Value> } {
  const { dag_id, task_ids = [], task_group_id, map_index, logical_dates = [], run_ids = [], states = [] } = filter;
  const where = ['dag_id = :dag_id'];
  const values: Record<string, Value> = { dag_id };
  const list = (name: string, items: readonly string[]): string => {
    values[name] = JSON.stringify(items);
    return isOneOf(name.slice(0, -1), name);
  };
  const tasks: string[] = [];
  if (task_ids.length > 0) tasks.push(list('task_ids', task_ids));
  if (task_group_id !== undefined) {
    values['group'] = task_group_id;
    tasks.push(inGroup);
  }
  if (tasks.length > 0) where.push(`(${tasks.join(` ${ofTasks} `)})`);
  if (run_ids.length > 0) where.push(list('run_ids', run_ids));
  if (states.length > 0) where.push(states.includes('null') ? `(state IS NULL OR ${list('states', states)})` : list('states', states));
  if (map_index !== undefined) {
    where.push('map_index = :map_index');
    values['map_index'] = map_index;
  }
  if (logical_dates.length > 0) {
    values['dates'] = JSON.stringify(logical_dates.map(toStored));
    where.push(`run_id IN (SELECT run_id FROM dag_runs WHERE dag_id = :dag_id AND ${isOneOf('logical_date', 'dates')})`);
  }
  return { where: where.join(' AND '), values };
}

/** Latest tries only, as in all of these. */
export function* countTaskInstances(filter: TaskFilter): Sql<number> {
  const { where, values } = conditions(filter, 'and');
  return (yield* one<{ count: number }>(`SELECT count(*) AS count FROM latest_tries WHERE ${where}`, values))?.count ?? 0;
}

export function* hasTaskGroup(dag_id: string, group: string): Sql<boolean> {
  return (yield* one(`SELECT 1 AS found FROM task_instances WHERE dag_id = :dag_id AND ${inGroup} LIMIT 1`, { dag_id, group })) !== undefined;
}

interface TaskState {
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly state: TaskInstanceState | null;
}

/** By run and task; those of a group beside those that are named. */
export function* getTaskStates(filter: TaskFilter): Sql<Record<string, Record<string, TaskInstanceState | null>>> {
  const { where, values } = conditions(filter, 'or');
  const found = new Map<string, Map<string, TaskInstanceState | null>>();
  for (const { run_id, task_id, map_index, state } of yield* all<TaskState>(`SELECT run_id, task_id, map_index, state FROM latest_tries WHERE ${where}`, values)) {
    let run = found.get(run_id);
    if (run === undefined) found.set(run_id, (run = new Map()));
    run.set(map_index < 0 ? task_id : `${task_id}_${map_index}`, state);
  }
  return Object.fromEntries([...found].map(([run_id, tasks]) => [run_id, Object.fromEntries(tasks)]));
}

export interface PreviousFilter {
  readonly dag_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly logical_date?: string;
  readonly state?: string;
}

/** Of the newest run by logical date, before `logical_date` where that is given. */
export function* getPreviousTaskInstance({ logical_date, state, ...of }: PreviousFilter): Sql<PreviousTaskInstance | null> {
  const values = { ...of, ...(logical_date !== undefined && { before: toStored(logical_date) }), ...(state !== undefined && { state }) };
  const row = yield* one<PreviousTaskInstance & { start_date: string | null; end_date: string | null }>(
    `SELECT ti.task_id, ti.dag_id, ti.run_id, run.logical_date, ti.start_date, ti.end_date, ti.state, ti.try_number, ti.map_index
     FROM latest_tries AS ti JOIN dag_runs AS run ON run.dag_id = ti.dag_id AND run.run_id = ti.run_id
     WHERE ti.dag_id = :dag_id AND ti.task_id = :task_id AND ti.map_index = :map_index
       ${logical_date === undefined ? '' : 'AND run.logical_date < :before'} ${state === undefined ? '' : 'AND ti.state = :state'}
     ORDER BY run.logical_date IS NULL, run.logical_date DESC, run.run_after DESC LIMIT 1`,
    values,
  );
  if (row === undefined) return null;
  return { ...row, logical_date: shown(row.logical_date), start_date: shown(row.start_date), end_date: shown(row.end_date), duration: secondsBetween(row.start_date, row.end_date) };
}

interface Ended {
  readonly task_id: string;
  readonly map_index: number;
  readonly state: string;
  readonly operator: string | null;
  readonly start_date: string | null;
  readonly end_date: string | null;
}

/** What is over in a run. */
export function* getBreadcrumbs(dag_id: string, run_id: string): Sql<Breadcrumbs['breadcrumbs']> {
  const rows = yield* all<Ended>(
    `SELECT task_id, map_index, state, operator, start_date, end_date FROM latest_tries
     WHERE dag_id = :dag_id AND run_id = :run_id AND state IN (${finished.map((state) => `'${state}'`).join(', ')}) ORDER BY task_id, map_index`,
    { dag_id, run_id },
  );
  return rows.map(({ start_date, end_date, ...row }) => ({ ...row, duration: secondsBetween(start_date, end_date) }));
}
