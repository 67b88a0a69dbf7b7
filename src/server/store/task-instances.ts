import type { Change, TaskInstance } from '../state.js';
import { assignments, forUpdate, one, run, type Sql } from './sql.js';

const columns = [
  'dag_id', 'run_id', 'task_id', 'map_index', 'try_number', 'max_tries', 'queue', 'state', 'hostname', 'unixname', 'pid', 'start_date', 'end_date',
  'last_heartbeat_at', 'rendered_map_index', 'task_reschedule_count', 'reschedule_date', 'trigger', 'next_method', 'next_kwargs',
] as const satisfies readonly (keyof TaskInstance)[]; // prettier-ignore

const select = `SELECT id, ${columns.join(', ')} FROM task_instances WHERE id = :id`;

export function getTaskInstance(id: string): Sql<TaskInstance | undefined> {
  return one(select, { id });
}

/** In a transaction: reads, lets `decide` look, and writes what it wants. */
export function* changeTaskInstance(id: string, decide: (ti: TaskInstance) => Change): Sql<{ readonly change: Change; readonly before: TaskInstance } | undefined> {
  const before = yield* one<TaskInstance>(select + forUpdate, { id });
  if (before === undefined) return undefined;
  const change = decide(before);
  if ('set' in change && Object.keys(change.set).length > 0) {
    const changed = columns.filter((column) => column in change.set);
    yield* run(`UPDATE task_instances SET ${assignments(changed)} WHERE id = :id`, { ...change.set, id });
  }
  return { change, before };
}
