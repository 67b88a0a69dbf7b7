import type { AssetEvent, ConsumedAssetEvent } from '../../execution-api/schema.js';
import type { OutletChange } from '../outlets.js';
import type { TaskInstance } from '../state.js';
import { asAsset, type AssetRow } from './assets.js';
import { all, insertInto, isOneOf, one, run, type Sql, type Value } from './sql.js';
import { fromStored, shown, toStored } from './time.js';

const find = { both: 'name = :name AND uri = :uri', name: 'name = :name', uri: 'uri = :uri' } as const;
/** The team's whose task makes it: one that was nobody's beside it would take it from the team. */
const addAsset = `INSERT INTO assets (name, uri, extra, team)
  VALUES (:name, :uri, :extra, (SELECT bundles.team FROM dags JOIN bundles ON bundles.name = dags.bundle WHERE dags.dag_id = :dag_id)) ON CONFLICT DO NOTHING`;
const addAlias = insertInto('asset_aliases', ['alias', 'name', 'uri'], 'ON CONFLICT DO NOTHING');
const addEventAlias = insertInto('asset_event_aliases', ['alias', 'event_id']);
const addEvent = `INSERT INTO asset_events (name, uri, timestamp, extra, source_dag_id, source_run_id, source_task_id, source_map_index, partition_key)
  VALUES (:name, :uri, :timestamp, :extra, :dag_id, :run_id, :task_id, :map_index, (SELECT partition_key FROM dag_runs WHERE dag_id = :dag_id AND run_id = :run_id)) RETURNING id`;

/** In the transaction in which the task instance succeeds. What is no active asset makes no event, unless an alias stands for it. */
export function* registerOutlets({ dag_id, run_id, task_id, map_index }: TaskInstance, changes: readonly OutletChange[], timestamp: string): Sql<void> {
  for (const { extra, ...change } of changes) {
    const asset = change.by === 'aliases' ? change : yield* active(change.by, change);
    if (asset === undefined) continue;
    const { name, uri } = asset;
    if (change.by === 'aliases') yield* run(addAsset, { name, uri, extra: change.asset_extra, dag_id });
    const { id } = (yield* one<{ id: number }>(addEvent, { name, uri, timestamp, extra, dag_id, run_id, task_id, map_index })) as { id: number };
    for (const alias of change.by === 'aliases' ? change.aliases : []) {
      yield* run(addAlias, { alias, name, uri });
      yield* run(addEventAlias, { alias, event_id: id });
    }
  }
}

function active(by: keyof typeof find, { name, uri }: { readonly name: string; readonly uri: string }): Sql<{ name: string; uri: string } | undefined> {
  const values = { ...(by !== 'uri' && { name }), ...(by !== 'name' && { uri }) };
  return one(`SELECT name, uri FROM assets WHERE ${find[by]} AND is_active = 1 ORDER BY name, uri LIMIT 1`, values);
}

export interface EventFilter {
  readonly name?: string;
  readonly uri?: string;
  readonly alias?: string;
  readonly after?: string;
  readonly before?: string;
  readonly ascending: boolean;
  readonly limit?: number;
  readonly partition_key?: string;
  /** Names of an event's extra, each with the text that it has. */
  readonly extra?: readonly (readonly [name: string, value: string])[];
}

interface EventRow extends AssetRow {
  readonly id: number;
  readonly timestamp: string;
  readonly event_extra: string;
  readonly source_task_id: string | null;
  readonly source_dag_id: string | null;
  readonly source_run_id: string | null;
  readonly source_map_index: number | null;
  readonly partition_key: string | null;
}

const columns = 'event.id, event.timestamp, event.extra AS event_extra, event.source_task_id, event.source_dag_id, event.source_run_id, event.source_map_index, event.partition_key';
const ofAsset = 'asset.name, asset.uri, asset.asset_group, asset.extra';
const joined = 'FROM asset_events AS event JOIN assets AS asset ON asset.name = event.name AND asset.uri = event.uri';
const from = `SELECT ${columns}, ${ofAsset} ${joined}`;

/** What of the events is read. By name or URI alone those of active assets; by both, or an alias, of any. */
function selection({ name, uri, alias, after, before, ascending, limit, partition_key, extra = [] }: EventFilter): readonly [string, Record<string, Value>] {
  const values: Record<string, Value> = {};
  const where: string[] = [];
  const only = (condition: string, key: string, value: Value | undefined): void => {
    if (value === undefined) return;
    where.push(condition);
    values[key] = value;
  };
  only('event.name = :name', 'name', name);
  only('event.uri = :uri', 'uri', uri);
  only('EXISTS (SELECT 1 FROM asset_event_aliases AS source WHERE source.event_id = event.id AND source.alias = :alias)', 'alias', alias);
  if (alias === undefined && (name === undefined || uri === undefined)) where.push('asset.is_active = 1');
  only('event.timestamp >= :after', 'after', after === undefined ? undefined : toStored(after));
  only('event.timestamp <= :before', 'before', before === undefined ? undefined : toStored(before));
  only('event.partition_key = :partition_key', 'partition_key', partition_key);
  const direction = ascending ? 'ASC' : 'DESC';
  // The databases have no one word for what JSON says: with a look into it, all are read and then cut.
  const cut = extra.length === 0 ? limit : undefined;
  if (cut !== undefined) values['limit'] = cut;
  return [`WHERE ${where.join(' AND ')} ORDER BY event.timestamp ${direction}, event.id ${direction} ${cut === undefined ? '' : 'LIMIT :limit'}`, values];
}

/** Of an event without anything of its own. */
const leastBytes = 256;

/** About how many bytes {@link getAssetEvents} would read, which reads none of them. */
export function* sizeOfAssetEvents(filter: EventFilter): Sql<number> {
  const [which, values] = selection(filter);
  const sizes = `SELECT ${leastBytes} + octet_length(event.extra) + octet_length(asset.extra) AS bytes ${joined} ${which}`;
  return (yield* one<{ bytes: number | null }>(`SELECT sum(bytes) AS bytes FROM (${sizes}) AS sizes`, values))?.bytes ?? 0;
}

export function* getAssetEvents(filter: EventFilter): Sql<readonly AssetEvent[]> {
  const { extra = [], limit } = filter;
  const [which, values] = selection(filter);
  const found = yield* all<EventRow>(`${from} ${which}`, values);
  const rows = extra.length === 0 ? found : found.filter(({ event_extra }) => holds(event_extra, extra)).slice(0, limit);
  const runs = yield* createdRuns(rows.map(({ id }) => id));
  return rows.map(({ name: _n, uri: _u, asset_group: _g, extra: _e, event_extra, ...row }, index) => ({
    ...row,
    timestamp: fromStored(row.timestamp),
    extra: JSON.parse(event_extra) as Record<string, unknown>,
    asset: asAsset(rows[index] as EventRow),
    created_dagruns: runs.get(row.id) ?? [],
  }));
}

function holds(json: string, extra: readonly (readonly [string, string])[]): boolean {
  const said = new Map(Object.entries(JSON.parse(json) as object));
  return extra.every(([name, value]) => said.get(name) === value);
}

type CreatedRun = AssetEvent['created_dagruns'][number];

const created = `SELECT consumed.event_id, run.run_id, run.dag_id, run.logical_date, run.start_date, run.end_date, run.state, run.data_interval_start, run.data_interval_end, run.partition_key
  FROM consumed_asset_events AS consumed JOIN dag_runs AS run ON run.dag_id = consumed.dag_id AND run.run_id = consumed.run_id
  WHERE ${isOneOf('CAST(consumed.event_id AS TEXT)', 'ids')} ORDER BY run.run_after`;

function* createdRuns(ids: readonly number[]): Sql<ReadonlyMap<number, CreatedRun[]>> {
  const found = new Map<number, CreatedRun[]>();
  if (ids.length === 0) return found;
  for (const { event_id, ...row } of yield* all<CreatedRun & { event_id: number }>(created, { ids: JSON.stringify(ids.map(String)) })) {
    const times = { logical_date: shown(row.logical_date), start_date: shown(row.start_date), end_date: shown(row.end_date) };
    const run = { ...row, ...times, data_interval_start: shown(row.data_interval_start), data_interval_end: shown(row.data_interval_end) };
    found.set(event_id, [...(found.get(event_id) ?? []), run]);
  }
  return found;
}

/** What comes with the start of a task must fit its start message, whatever producers said: the newest so many events, and of the newest so many bytes what they and their assets say. */
const mostConsumed = 2048;
const mostConsumedBytes = 1 << 20;

const ifItFits = (column: string): string => `CASE WHEN bytes <= ${mostConsumedBytes} THEN ${column} ELSE '{}' END AS ${column}`;
const consumed = `SELECT id, timestamp, source_task_id, source_dag_id, source_run_id, source_map_index, name, uri, ${ifItFits('event_extra')}, ${ifItFits('extra')}
  FROM (SELECT ${columns}, ${ofAsset}, sum(octet_length(event.extra) + octet_length(asset.extra)) OVER (ORDER BY event.timestamp DESC, event.id DESC) AS bytes
    ${joined} JOIN consumed_asset_events AS consumed ON consumed.event_id = event.id
    WHERE consumed.dag_id = :dag_id AND consumed.run_id = :run_id ORDER BY event.timestamp DESC, event.id DESC LIMIT ${mostConsumed}) AS newest
  ORDER BY timestamp, id`;
const aliases = `SELECT alias, event_id FROM asset_event_aliases WHERE event_id IN
  (SELECT event_id FROM consumed_asset_events WHERE dag_id = :dag_id AND run_id = :run_id) ORDER BY alias`;

/** What a run was started for. */
export function* getConsumedAssetEvents(dag_id: string, run_id: string): Sql<ConsumedAssetEvent[]> {
  const rows = yield* all<EventRow>(consumed, { dag_id, run_id });
  if (rows.length === 0) return [];
  const sources = yield* all<{ alias: string; event_id: number }>(aliases, { dag_id, run_id });
  return rows.map(({ id, timestamp, event_extra, name, uri, extra, source_task_id, source_dag_id, source_run_id, source_map_index }) => ({
    asset: { name, uri, extra: JSON.parse(extra) as Record<string, unknown> },
    extra: JSON.parse(event_extra) as Record<string, unknown>,
    source_task_id,
    source_dag_id,
    source_run_id,
    source_map_index,
    source_aliases: sources.filter(({ event_id }) => event_id === id).map(({ alias }) => ({ name: alias })),
    timestamp: fromStored(timestamp),
  }));
}
