import { type Static, Type } from '@sinclair/typebox';
import { closed, JsonObject, Maybe, Nullable, Timestamp } from './common.js';

export const DagRunState = Type.Union([Type.Literal('queued'), Type.Literal('running'), Type.Literal('success'), Type.Literal('failed')]);

/** GET dag-runs/{dag_id}/{run_id}/state. */
export const DagRunStateAnswer = Type.Object({ state: DagRunState });

/** POST dag-runs/{dag_id}/{run_id}: Airflow's TriggerDAGRunPayload. `reset_dag_run` is the client's: it clears after a 409. */
export const TriggerDagRun = Type.Object(
  {
    logical_date: Maybe(Timestamp),
    conf: Maybe(JsonObject),
    reset_dag_run: Type.Optional(Type.Boolean()),
    partition_key: Maybe(Type.String({ maxLength: 250 })),
    note: Maybe(Type.String({ maxLength: 1000 })),
  },
  closed,
);
export type TriggerDagRun = Static<typeof TriggerDagRun>;

/** GET dags/{dag_id}. */
export const Dag = Type.Object({
  dag_id: Type.String(),
  is_paused: Type.Boolean(),
  bundle_name: Maybe(Type.String()),
  bundle_version: Maybe(Type.String()),
  relative_fileloc: Maybe(Type.String()),
  owners: Maybe(Type.String()),
  tags: Type.Array(Type.String()),
  next_dagrun: Maybe(Type.String()),
});
export type Dag = Static<typeof Dag>;

/** GET dags/{dag_id}/state, of versions before 2026-04-06. */
export const DagState = Type.Object({ is_paused: Type.Boolean() });

/** GET task-reschedules/{id}/start_date. */
export const RescheduleStart = Nullable(Type.String());
