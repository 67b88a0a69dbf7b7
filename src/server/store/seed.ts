import type { Seed } from '../seed.js';
import { assignments, insertInto, run, type Sql, type Value } from './sql.js';
import { storedNow, toStored } from './time.js';

type Values = Record<string, Value>;
type SeedDagRun = NonNullable<Seed['dagRuns']>[number];

/** An INSERT that leaves what is there, or replaces all but its key. */
function add(table: string, row: Values, key: readonly string[], replace = false): Sql<void> {
  const columns = Object.keys(row);
  const rest = columns.filter((column) => !key.includes(column));
  const conflict = replace && rest.length > 0 ? `DO UPDATE SET ${assignments(rest)}` : 'DO NOTHING';
  return run(insertInto(table, columns, `ON CONFLICT (${key.join(', ')}) ${conflict}`), row);
}

const bare = { bundle: null, bundle_version: null, relative_fileloc: null, owners: null };
const nothing = { host: null, schema: null, login: null, password: null, port: null, extra: null };

/** In a transaction. Adds what is new and replaces teams' things, variables and connections; runs and task instances that exist stay as they are. */
export function* seedAll({ teams = [], bundles = [], dags = [], variables = {}, connections = [], assets = [], dagRuns = [], taskInstances = [] }: Seed, at: number): Sql<void> {
  const now = storedNow(at);
  for (const name of teams) yield* add('teams', { name }, ['name']);
  for (const { name, team = null } of bundles) yield* add('bundles', { name, team }, ['name'], true);
  for (const { dag_id, is_paused = false, has_import_errors = false, tags = [], next_dagrun, declares, task_assets = {}, ...rest } of dags) {
    const row = { ...bare, ...rest, dag_id, is_paused: Number(is_paused), has_import_errors: Number(has_import_errors), tags: JSON.stringify(tags), next_dagrun: stored(next_dagrun), declares: declares === undefined ? null : JSON.stringify(declares), task_assets: JSON.stringify(task_assets) };
    yield* add('dags', row, ['dag_id'], true);
  }
  for (const [key, variable] of Object.entries(variables)) {
    const { value, team = null, description = null } = typeof variable === 'string' ? { value: variable } : variable;
    yield* add('variables', { key, value, team, description }, ['key'], true);
  }
  for (const { team = null, ...connection } of connections) yield* add('connections', { ...nothing, ...connection, team }, ['conn_id'], true);
  for (const { name, uri, group = 'asset', extra = {}, is_active = true, team = null } of assets) {
    yield* add('assets', { name, uri, asset_group: group, extra: JSON.stringify(extra), is_active: Number(is_active), team }, ['name', 'uri'], true);
  }
  const named: SeedDagRun[] = [...dagRuns, ...taskInstances.map(({ dag_id, run_id }) => ({ dag_id, run_id }))];
  for (const { dag_id, run_id, conf = {}, state = 'running', run_type = 'manual', triggering_user_name = null, partition_key = null, note = null, consumes = [], ...rest } of named) {
    yield* add('dags', { dag_id }, ['dag_id']);
    const times = {
      logical_date: stored(rest.logical_date),
      data_interval_start: stored(rest.data_interval_start),
      data_interval_end: stored(rest.data_interval_end),
      run_after: stored(rest.run_after) ?? now,
      start_date: stored(rest.start_date) ?? (state === 'queued' ? null : now),
      end_date: stored(rest.end_date),
    };
    yield* add('dag_runs', { dag_id, run_id, ...times, state, run_type, conf: JSON.stringify(conf), triggering_user_name, partition_key, note }, ['dag_id', 'run_id']);
    for (const { name, uri } of consumes) yield* run(consume, { dag_id, run_id, name, uri });
  }
  for (const ti of taskInstances) yield* add('task_instances', { map_index: -1, try_number: 1, max_tries: 0, queue: 'default', state: 'queued', ...ti }, ['id']);
}

const consume = `INSERT INTO consumed_asset_events (event_id, dag_id, run_id)
  SELECT id, :dag_id, :run_id FROM asset_events
  WHERE name = :name AND uri = :uri AND NOT EXISTS (SELECT 1 FROM consumed_asset_events AS consumed WHERE consumed.event_id = asset_events.id AND consumed.dag_id = :dag_id)`;

const stored = (timestamp: string | undefined): string | null => (timestamp === undefined ? null : toStored(timestamp));
