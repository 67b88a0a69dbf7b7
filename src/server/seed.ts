import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { outOfRange } from '../errors.js';
import { Connection, DagRunState } from '../execution-api/schema.js';
import { Timestamp } from '../execution-api/schema/common.js';

const closed = { additionalProperties: false } as const;
export const Id = Type.String({ minLength: 1, maxLength: 250 });

const Team = Type.Optional(Id);

export const SeedTaskInstance = Type.Object(
  {
    id: Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }),
    dag_id: Id,
    run_id: Id,
    task_id: Id,
    map_index: Type.Optional(Type.Integer({ minimum: -1, maximum: 2 ** 31 - 1 })),
    try_number: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 })),
    max_tries: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 })),
    queue: Type.Optional(Id),
    /** The operator's class, as breadcrumbs show it. */
    operator: Type.Optional(Type.String()),
    state: Type.Optional(Type.Union([Type.Literal('scheduled'), Type.Literal('queued'), Type.Literal('restarting')])),
  },
  closed,
);

const AssetKey = Type.Object({ name: Type.String({ minLength: 1 }), uri: Type.String({ minLength: 1 }) }, closed);

/** A run of a DAG. One that a task instance names and that is not given comes into being as a manual run. */
export const SeedDagRun = Type.Object(
  {
    dag_id: Id,
    run_id: Id,
    logical_date: Type.Optional(Timestamp),
    run_after: Type.Optional(Timestamp),
    start_date: Type.Optional(Timestamp),
    end_date: Type.Optional(Timestamp),
    data_interval_start: Type.Optional(Timestamp),
    data_interval_end: Type.Optional(Timestamp),
    run_type: Type.Optional(Type.Union([Type.Literal('backfill'), Type.Literal('scheduled'), Type.Literal('manual'), Type.Literal('asset_triggered'), Type.Literal('asset_materialization')])),
    state: Type.Optional(DagRunState),
    triggering_user_name: Type.Optional(Type.String()),
    partition_key: Type.Optional(Id),
    note: Type.Optional(Type.String()),
    /** Started for all events of these assets that no run of the DAG was started for yet. */
    consumes: Type.Optional(Type.Array(AssetKey)),
    conf: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  closed,
);

const Names = Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 2048 })));

/**
 * What a DAG says it needs; with pre-declaration any other variable, connection or XCom is refused. Names, or patterns with `*` for any
 * characters. A worker that takes from the server grants all of it by the preset `declared`.
 */
const Declares = Type.Object(
  {
    variables: Type.Optional(Type.Array(Id)),
    connections: Type.Optional(Type.Array(Id)),
    writableVariables: Names,
    outlets: Names,
    assets: Names,
    dags: Names,
    triggers: Names,
    skips: Names,
    defers: Names,
    /** `dag_id/task_id/key`. */
    xcoms: Type.Optional(Type.Array(Type.String({ pattern: '^[^/]+/[^/]+/.+$', maxLength: 1024 }))),
    /** Assets, by name or URI, whose state stores its tasks share, with pre-declaration or without. */
    assetStates: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 1500 }))),
  },
  closed,
);

export const SeedBundle = Type.Object({ name: Id, team: Team }, closed);

/** One that a run names and that is not given comes into being without a bundle, and so without a team. */
export const SeedDag = Type.Object(
  {
    dag_id: Id,
    bundle: Type.Optional(Id),
    bundle_version: Type.Optional(Type.String()),
    is_paused: Type.Optional(Type.Boolean()),
    has_import_errors: Type.Optional(Type.Boolean()),
    relative_fileloc: Type.Optional(Type.String()),
    owners: Type.Optional(Type.String()),
    tags: Type.Optional(Type.Array(Type.String())),
    next_dagrun: Type.Optional(Timestamp),
    declares: Type.Optional(Declares),
    /** By task id: its inlets and outlets. Before it runs, a task asks which of them are not active. */
    task_assets: Type.Optional(Type.Record(Type.String(), Type.Array(AssetKey))),
  },
  closed,
);
const SeedAsset = Type.Object(
  {
    name: Type.String({ minLength: 1 }),
    uri: Type.String({ minLength: 1 }),
    group: Type.Optional(Type.String()),
    extra: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    is_active: Type.Optional(Type.Boolean()),
    team: Team,
  },
  closed,
);
export const SeedVariable = Type.Union([Type.String(), Type.Object({ value: Type.String(), description: Type.Optional(Type.String()), team: Team }, closed)]);
/** Closed: its fields become names of columns. */
export const SeedConnection = Type.Composite([Connection, Type.Object({ team: Team })], closed);

export const Seed = Type.Object(
  {
    teams: Type.Optional(Type.Array(Id)),
    bundles: Type.Optional(Type.Array(SeedBundle)),
    dags: Type.Optional(Type.Array(SeedDag)),
    /** By key; one with a team is that team's alone. */
    variables: Type.Optional(Type.Record(Type.String({ minLength: 1 }), SeedVariable)),
    connections: Type.Optional(Type.Array(SeedConnection)),
    assets: Type.Optional(Type.Array(SeedAsset)),
    dagRuns: Type.Optional(Type.Array(SeedDagRun)),
    taskInstances: Type.Optional(Type.Array(SeedTaskInstance)),
  },
  closed,
);
/** What a server starts with: teams, bundles and DAGs, variables by key, connections, runs, and task instances that wait in `queued`. */
export type Seed = Static<typeof Seed>;

/** @throws {RangeError} `ERR_OUT_OF_RANGE`, naming the field and not its value. */
export function checkSeed(value: unknown): asserts value is Seed {
  const error = Value.Errors(Seed, value).First();
  if (error !== undefined) throw outOfRange(`seed${error.path}`, error.message.toLowerCase());
}
