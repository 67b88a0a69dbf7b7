import { one, type Sql } from './sql.js';

export function* getVariable(key: string): Sql<string | undefined> {
  return (yield* one<{ value: string }>('SELECT value FROM variables WHERE key = :key', { key }))?.value;
}
