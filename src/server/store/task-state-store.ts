import { forUpdate, one, quiet, run, type Sql } from './sql.js';

// A task's state store is that of all its tries in one run, so that a try finds what the one before has left.

const key = ['dag_id', 'run_id', 'task_id', 'map_index', 'key'] as const;
const ofTaskInstance = '(dag_id, run_id, task_id, map_index) = (SELECT dag_id, run_id, task_id, map_index FROM task_instances WHERE id = :id)';
const current = '(expires_at IS NULL OR expires_at > :now)';

/** JSON text; undefined where there is none, or it has expired. */
export function* getTaskState(id: string, name: string, now: string): Sql<string | undefined> {
  return (yield* one<{ value: string }>(`SELECT value FROM task_state_store WHERE ${ofTaskInstance} AND key = :name AND ${current}`, { id, name, now }))?.value;
}

/** How many keys one task instance has at most, of which some may have expired: it keeps its place there, and not its data. */
export const mostKeys = 1000;

const upsert = `INSERT INTO task_state_store (${key.join(', ')}, value, expires_at)
  SELECT dag_id, run_id, task_id, map_index, :name, :value, :expires_at FROM task_instances WHERE id = :id
    AND (SELECT count(*) FROM task_state_store WHERE ${ofTaskInstance} AND key <> :name) < ${mostKeys}
  ON CONFLICT (${key.join(', ')}) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at RETURNING key${quiet}`;

/** @returns False where there is no such task instance, or it has as many other keys as it may. */
export function* setTaskState(id: string, name: string, { value, expires_at }: { readonly value: string; readonly expires_at: string | null }, now: string): Sql<boolean> {
  const values = { id, name, value, expires_at };
  if ((yield* one(upsert, values)) !== undefined) return true;
  // What has expired takes room until it is forgotten, or a task could fill the disk with what has expired already.
  yield* run(`DELETE FROM task_state_store WHERE ${ofTaskInstance} AND NOT ${current}${quiet}`, { id, now });
  return (yield* one(upsert, values)) !== undefined;
}

export function deleteTaskState(id: string, name: string): Sql<void> {
  return run(`DELETE FROM task_state_store WHERE ${ofTaskInstance} AND key = :name${quiet}`, { id, name });
}

export function clearTaskState(id: string): Sql<void> {
  return run(`DELETE FROM task_state_store WHERE ${ofTaskInstance}${quiet}`, { id });
}

const purge = `DELETE FROM task_state_store WHERE (${key.join(', ')}) IN
  (SELECT ${key.join(', ')} FROM task_state_store WHERE expires_at <= :now ORDER BY expires_at, ${key.join(', ')} LIMIT 1000${forUpdate})${quiet}`;

/** Forgets what has expired, some of it: nobody is answered it any more. */
export function purgeTaskStates(now: string): Sql<void> {
  return run(purge, { now });
}
