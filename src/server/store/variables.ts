import type { SetVariable } from '../../execution-api/schema.js';
import { all, insertInto, one, run, type Sql } from './sql.js';

/** Undefined where there is none; its value may be null. */
export function* getVariable(key: string): Sql<string | null | undefined> {
  return (yield* one<{ value: string | null }>('SELECT value FROM variables WHERE key = :key', { key }))?.value;
}

export function* getVariableKeys(prefix: string): Sql<readonly string[]> {
  const rows = yield* all<{ key: string }>('SELECT key FROM variables WHERE substr(key, 1, length(CAST(:prefix AS TEXT))) = :prefix ORDER BY key', { prefix });
  return rows.map(({ key }) => key);
}

const upsert = insertInto('variables', ['key', 'value', 'description'], 'ON CONFLICT (key) DO UPDATE SET value = excluded.value, description = excluded.description');

/** A new one is nobody's; one that is there stays whose it was. */
export function setVariable(key: string, { val, description = null }: SetVariable): Sql<void> {
  return run(upsert, { key, value: val, description });
}

export function deleteVariable(key: string): Sql<void> {
  return run('DELETE FROM variables WHERE key = :key', { key });
}
