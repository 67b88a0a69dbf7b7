import { type Static, Type } from '@sinclair/typebox';
import type { Declares } from '../authorization/index.js';
import { AssetProfile, ConsumedAssetEvent, OutletEvent } from './schema/assets.js';
import { closed, Nullable, Timestamp } from './schema/common.js';

export * from './schema/assets.js';
export * from './schema/dags.js';
export * from './schema/hitl.js';
export * from './schema/state-stores.js';
export * from './schema/task-instances.js';
export * from './schema/triggers.js';

/**
 * The bodies of Airflow's Execution API at this version, once: the client checks what it is
 * answered, the embedded server checks what it is sent, and both take their types from here.
 * What a client sends is closed, as Airflow's is; what a server answers stays open, for a
 * newer one adds fields.
 */
export const apiVersion = '2026-04-06';

/** GET health. */
export const Health = Type.Object({ status: Type.Literal('healthy') });

const Hostname = Type.String({ maxLength: 1000 });
const Pid = Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 });
const rendered_map_index = Type.Optional(Nullable(Type.String({ maxLength: 250 })));

/** PATCH task-instances/{id}/run: Airflow's TIEnterRunningPayload. */
export const EnterRunning = Type.Object(
  { state: Type.Literal('running'), hostname: Hostname, unixname: Type.String({ maxLength: 1000 }), pid: Pid, start_date: Timestamp },
  closed,
);
export type EnterRunning = Static<typeof EnterRunning>;

/** PUT task-instances/{id}/heartbeat. */
export const Heartbeat = Type.Object({ hostname: Hostname, pid: Pid }, closed);
export type Heartbeat = Static<typeof Heartbeat>;

/** PATCH task-instances/{id}/state: Airflow's TIStateUpdate, told apart by `state`. */
export const StateUpdate = Type.Union([
  Type.Object(
    {
      state: Type.Union([Type.Literal('failed'), Type.Literal('skipped'), Type.Literal('removed'), Type.Literal('upstream_failed')]),
      end_date: Timestamp,
      rendered_map_index,
    },
    closed,
  ),
  Type.Object(
    {
      state: Type.Literal('success'),
      end_date: Timestamp,
      task_outlets: Type.Optional(Type.Array(AssetProfile)),
      outlet_events: Type.Optional(Type.Array(OutletEvent)),
      rendered_map_index,
    },
    closed,
  ),
  Type.Object(
    {
      state: Type.Literal('up_for_retry'),
      end_date: Timestamp,
      rendered_map_index,
      // Since 2026-06-30: a client of it sends them with each.
      retry_delay_seconds: Type.Optional(Nullable(Type.Number({ minimum: 0 }))),
      retry_reason: Type.Optional(Nullable(Type.String())),
    },
    closed,
  ),
  Type.Object({ state: Type.Literal('up_for_reschedule'), reschedule_date: Timestamp, end_date: Timestamp }, closed),
  Type.Object(
    {
      state: Type.Literal('deferred'),
      classpath: Type.String(),
      trigger_kwargs: Type.Optional(Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.String()])),
      trigger_timeout: Type.Optional(Nullable(Type.String())),
      queue: Type.Optional(Nullable(Type.String())),
      next_method: Type.String(),
      next_kwargs: Type.Optional(Type.Unknown()),
      rendered_map_index,
    },
    closed,
  ),
  // Since 2026-06-30.
  Type.Object(
    {
      state: Type.Literal('awaiting_input'),
      timeout: Type.Optional(Nullable(Type.String())),
      next_method: Type.String(),
      next_kwargs: Type.Optional(Nullable(Type.Record(Type.String(), Type.Unknown()))),
      rendered_map_index,
    },
    closed,
  ),
]);
export type StateUpdate = Static<typeof StateUpdate>;

export const DagRun = Type.Object({
  dag_id: Type.String(),
  run_id: Type.String(),
  logical_date: Type.Optional(Nullable(Type.String())),
  data_interval_start: Type.Optional(Nullable(Type.String())),
  data_interval_end: Type.Optional(Nullable(Type.String())),
  run_after: Type.String(),
  start_date: Type.Optional(Nullable(Type.String())),
  end_date: Type.Optional(Nullable(Type.String())),
  clear_number: Type.Optional(Type.Integer()),
  run_type: Type.String(),
  state: Type.Optional(Type.String()),
  conf: Type.Optional(Nullable(Type.Record(Type.String(), Type.Unknown()))),
  triggering_user_name: Type.Optional(Nullable(Type.String())),
  consumed_asset_events: Type.Optional(Type.Array(ConsumedAssetEvent)),
  partition_key: Type.Optional(Nullable(Type.String())),
  note: Type.Optional(Nullable(Type.String())),
});
export type DagRun = Static<typeof DagRun>;

/** What PATCH …/run answers: Airflow's TIRunContext. Fields without a value may be left out. */
export const RunContext = Type.Object({
  dag_run: DagRun,
  task_reschedule_count: Type.Optional(Type.Integer()),
  max_tries: Type.Integer(),
  variables: Type.Optional(Type.Array(Type.Unknown())),
  connections: Type.Optional(Type.Array(Type.Unknown())),
  next_method: Type.Optional(Nullable(Type.String())),
  next_kwargs: Type.Optional(Type.Unknown()),
  xcom_keys_to_clear: Type.Optional(Type.Array(Type.String())),
  should_retry: Type.Optional(Type.Boolean()),
  start_date: Type.Optional(Nullable(Type.String())),
});
export type RunContext = Static<typeof RunContext>;

export const Variable = Type.Object({ key: Type.String(), value: Nullable(Type.String()) });
export type Variable = Static<typeof Variable>;

/** PUT variables/{key}: Airflow's VariablePostBody. */
export const SetVariable = Type.Object({ val: Nullable(Type.String()), description: Type.Optional(Nullable(Type.String())) }, closed);
export type SetVariable = Static<typeof SetVariable>;

/** GET variables/keys, since 2026-06-30. */
export const VariableKeys = Type.Object({ keys: Type.Array(Type.String()), total_entries: Type.Integer() });
export type VariableKeys = Static<typeof VariableKeys>;

/** POST /sallyport/v1/task-instances/{id}/token, which is not Airflow's. */
export const FirstToken = Type.Object({ token: Type.String(), scope: Type.Literal('workload'), expires_at: Timestamp });
export type FirstToken = Static<typeof FirstToken>;

const Names = Type.Optional(Type.Array(Type.String()));

/** GET /sallyport/v1/workloads, which is not Airflow's: what waits for a worker, as an ExecuteTask without a token. */
export const WaitingWork = Type.Object({
  workloads: Type.Array(
    Type.Object({
      type: Type.Literal('ExecuteTask'),
      ti: Type.Object({ id: Type.String(), dag_id: Type.String(), run_id: Type.String(), task_id: Type.String(), map_index: Type.Integer(), try_number: Type.Integer(), queue: Type.String() }),
      dag_rel_path: Type.String(),
      bundle_info: Type.Object({ name: Type.String(), version: Nullable(Type.String()) }),
      /** What its DAG declares; null where that says nothing. */
      declares: Nullable(Type.Unsafe<Declares>(Type.Object({ variables: Names, connections: Names, xcoms: Names, assetStates: Names }))),
    }),
  ),
});
export type WaitingWork = Static<typeof WaitingWork>;

export const Connection = Type.Object({
  conn_id: Type.String(),
  conn_type: Type.String(),
  host: Type.Optional(Nullable(Type.String())),
  schema: Type.Optional(Nullable(Type.String())),
  login: Type.Optional(Nullable(Type.String())),
  password: Type.Optional(Nullable(Type.String())),
  port: Type.Optional(Nullable(Type.Integer({ minimum: -(2 ** 31), maximum: 2 ** 31 - 1 }))),
  extra: Type.Optional(Nullable(Type.String())),
});
export type Connection = Static<typeof Connection>;

export const XCom = Type.Object({ key: Type.String(), value: Type.Unknown() });
export type XCom = Static<typeof XCom>;

/** The errors Airflow words itself: `{"detail": {"reason": …}}`. */
export const ErrorBody = Type.Object({
  detail: Type.Object({
    reason: Type.String({ pattern: '^[a-z][a-z0-9_]{0,63}$' }),
    previous_state: Type.Optional(Type.Unknown()),
  }),
});
