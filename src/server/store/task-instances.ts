import { type Change, notSkippable, type TaskInstance } from '../state.js';
import { all, assignments, forUpdate, insertInto, isOneOf, one, quiet, run, type Sql } from './sql.js';

const columns = [
  'dag_id', 'run_id', 'task_id', 'map_index', 'try_number', 'max_tries', 'queue', 'state', 'hostname', 'unixname', 'pid', 'start_date', 'end_date',
  'last_heartbeat_at', 'rendered_map_index', 'task_reschedule_count', 'reschedule_date', 'trigger', 'next_method', 'next_kwargs', 'retry_delay_seconds', 'retry_reason',
] as const satisfies readonly (keyof TaskInstance)[]; // prettier-ignore

const later = `EXISTS (SELECT 1 FROM task_instances AS later WHERE later.dag_id = ti.dag_id AND later.run_id = ti.run_id AND later.task_id = ti.task_id
  AND later.map_index = ti.map_index AND later.try_number > ti.try_number)`;
const selectAny = `SELECT id, ${columns.join(', ')}, CASE WHEN ${later} THEN 1 ELSE 0 END AS replaced FROM task_instances AS ti`;
const select = `${selectAny} WHERE id = :id`;

export function getTaskInstance(id: string): Sql<TaskInstance | undefined> {
  return one(select, { id });
}

/** All tries, by run, task and number. */
export function listTaskInstances(filter: Readonly<Partial<Record<'dag_id' | 'run_id' | 'task_id' | 'state', string>>>, limit: number, offset: number): Sql<readonly TaskInstance[]> {
  const where = ['1 = 1', ...Object.keys(filter).map((column) => `${column} = :${column}`)].join(' AND ');
  return all(`${selectAny} WHERE ${where} ORDER BY dag_id, run_id, task_id, map_index, try_number LIMIT :limit OFFSET :offset`, { ...filter, limit, offset });
}

export interface Changed {
  readonly change: Change;
  readonly before: TaskInstance;
}

const addReschedule = insertInto('task_reschedules', ['task_instance_id', 'number', 'start_date', 'end_date', 'reschedule_date']);

/** In a transaction: reads, lets `decide` look, and writes what it wants; then what else belongs to that change. */
export function* changeTaskInstance(id: string, decide: (ti: TaskInstance) => Change, also?: (ti: TaskInstance) => Sql<void>): Sql<Changed | undefined> {
  const before = yield* one<TaskInstance>(select + forUpdate, { id });
  if (before === undefined) return undefined;
  const change = decide(before);
  if ('conflict' in change) return { change, before };
  const changed = columns.filter((column) => column in change.set);
  if (changed.length > 0) yield* run(`UPDATE task_instances SET ${assignments(changed)} WHERE id = :id`, { ...change.set, id });
  if (change.reschedule !== undefined) yield* run(addReschedule, { ...change.reschedule, task_instance_id: id, number: before.task_reschedule_count });
  if (also !== undefined) yield* also(before);
  return { change, before };
}

const beat = `UPDATE task_instances AS ti SET last_heartbeat_at = :now WHERE id = :id AND state = 'running' AND hostname = :hostname AND pid = :pid AND NOT ${later} RETURNING id${quiet}`;

/** A heartbeat of one that runs there, in one statement. @returns False where it is otherwise: then ask why. */
export function* beatTaskInstance(id: string, hostname: string, pid: number, now: string): Sql<boolean> {
  return (yield* one(beat, { id, hostname, pid, now })) !== undefined;
}

/** @returns False where there is no such task instance; so do the next two. */
export function* setRenderedFields(id: string, fields: object): Sql<boolean> {
  return (yield* one('UPDATE task_instances SET rendered_fields = :fields WHERE id = :id RETURNING id', { id, fields: JSON.stringify(fields) })) !== undefined;
}

export function* setRenderedMapIndex(id: string, label: string): Sql<boolean> {
  return (yield* one('UPDATE task_instances SET rendered_map_index = :label WHERE id = :id RETURNING id', { id, label })) !== undefined;
}

const writeNote = 'UPDATE dag_runs SET note = :note WHERE (dag_id, run_id) = (SELECT dag_id, run_id FROM task_instances WHERE id = :id) RETURNING run_id';

/** Of the run that it belongs to. */
export function* setDagRunNote(id: string, note: string | null): Sql<boolean> {
  return (yield* one(writeNote, { id, note })) !== undefined;
}

const skip = `UPDATE task_instances SET state = 'skipped', start_date = :now, end_date = :now
  WHERE id IN (SELECT id FROM latest_tries WHERE dag_id = :dag_id AND run_id = :run_id AND ${isOneOf(`task_id || ' ' || map_index`, 'names')}
    AND (state IS NULL OR state NOT IN (${notSkippable.map((state) => `'${state}'`).join(', ')})) ORDER BY id${forUpdate})`;

/** Of the same run; what runs or has ended stays. */
export function skipTasks({ dag_id, run_id }: TaskInstance, tasks: readonly (string | readonly [string, number])[], now: string): Sql<void> {
  const names = tasks.map((task) => (typeof task === 'string' ? `${task} -1` : `${task[0]} ${task[1]}`));
  return run(skip, { dag_id, run_id, now, names: JSON.stringify(names) });
}

/** When its first round began, of a task that was put off; null where it never was. */
export function* getRescheduleStart(id: string): Sql<string | null> {
  const row = yield* one<{ start_date: string }>('SELECT start_date FROM task_reschedules WHERE task_instance_id = :id ORDER BY number LIMIT 1', { id });
  return row?.start_date ?? null;
}
