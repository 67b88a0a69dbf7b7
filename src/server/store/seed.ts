import type { Seed } from '../seed.js';
import { assignments, insertInto, run, type Sql, type Value } from './sql.js';
import { storedNow, toStored } from './time.js';

type Values = Record<string, Value>;

/** An INSERT that leaves what is there, or replaces all but its key. */
function add(table: string, row: Values, key: readonly string[], replace = false): Sql<void> {
  const columns = Object.keys(row);
  const rest = columns.filter((column) => !key.includes(column));
  const conflict = replace && rest.length > 0 ? `DO UPDATE SET ${assignments(rest)}` : 'DO NOTHING';
  return run(insertInto(table, columns, `ON CONFLICT (${key.join(', ')}) ${conflict}`), row);
}

const nothing = { host: null, schema: null, login: null, password: null, port: null, extra: null };

/** In a transaction. Adds what is new and replaces teams' things, variables and connections; runs and task instances that exist stay as they are. */
export function* seedAll({ teams = [], bundles = [], dags = [], variables = {}, connections = [], dagRuns = [], taskInstances = [] }: Seed, at: number): Sql<void> {
  const now = storedNow(at);
  for (const name of teams) yield* add('teams', { name }, ['name']);
  for (const { name, team = null } of bundles) yield* add('bundles', { name, team }, ['name'], true);
  for (const { dag_id, bundle = null, bundle_version = null, is_paused = false, declares } of dags) {
    yield* add('dags', { dag_id, bundle, bundle_version, is_paused: is_paused ? 1 : 0, declares: declares === undefined ? null : JSON.stringify(declares) }, ['dag_id'], true);
  }
  for (const [key, variable] of Object.entries(variables)) {
    const { value, team = null, description = null } = typeof variable === 'string' ? { value: variable } : variable;
    yield* add('variables', { key, value, team, description }, ['key'], true);
  }
  for (const { team = null, ...connection } of connections) yield* add('connections', { ...nothing, ...connection, team }, ['conn_id'], true);
  const named = [...dagRuns, ...taskInstances.map(({ dag_id, run_id }) => ({ dag_id, run_id }))] as NonNullable<Seed['dagRuns']>;
  for (const { dag_id, run_id, logical_date, conf = {}, state = 'running', ...rest } of named) {
    yield* add('dags', { dag_id }, ['dag_id']);
    const row = { dag_id, run_id, logical_date: stored(logical_date), run_after: stored(rest.run_after) ?? now, start_date: stored(rest.start_date) ?? now, end_date: stored(rest.end_date), state, conf: JSON.stringify(conf) };
    yield* add('dag_runs', row, ['dag_id', 'run_id']);
  }
  for (const ti of taskInstances) yield* add('task_instances', { map_index: -1, try_number: 1, max_tries: 0, queue: 'default', state: 'queued', ...ti }, ['id']);
}

const stored = (timestamp: string | undefined): string | null => (timestamp === undefined ? null : toStored(timestamp));
