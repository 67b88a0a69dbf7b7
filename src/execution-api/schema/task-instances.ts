import { type Static, Type } from '@sinclair/typebox';
import { closed, JsonObject, Maybe } from './common.js';

/** PATCH task-instances/{id}/skip-downstream: a task id, of an instance that is not mapped, or with its map index. */
export const SkipDownstream = Type.Object({ tasks: Type.Array(Type.Union([Type.String(), Type.Tuple([Type.String(), Type.Integer({ minimum: -1, maximum: 2 ** 31 - 1 })])])) }, closed);
export type SkipDownstream = Static<typeof SkipDownstream>;

/** PUT task-instances/{id}/rtif: template fields as they came out. */
export const RenderedFields = JsonObject;
/** PATCH task-instances/{id}/rendered-map-index: 250 is Airflow's column. */
export const RenderedMapIndex = Type.String({ minLength: 1, maxLength: 250 });
/** PATCH task-instances/{id}/dag-run-note, since 2026-10-30. */
export const DagRunNote = Type.Object({ note: Maybe(Type.String({ maxLength: 1000 })) }, closed);

/** GET task-instances/{id}/previous-successful-dagrun. */
export const PreviousSuccessfulRun = Type.Object({
  data_interval_start: Maybe(Type.String()),
  data_interval_end: Maybe(Type.String()),
  start_date: Maybe(Type.String()),
  end_date: Maybe(Type.String()),
});
export type PreviousSuccessfulRun = Static<typeof PreviousSuccessfulRun>;

/** GET task-instances/previous/{dag_id}/{task_id}. */
export const PreviousTaskInstance = Type.Object({
  task_id: Type.String(),
  dag_id: Type.String(),
  run_id: Type.String(),
  logical_date: Maybe(Type.String()),
  start_date: Maybe(Type.String()),
  end_date: Maybe(Type.String()),
  state: Maybe(Type.String()),
  try_number: Type.Integer(),
  map_index: Maybe(Type.Integer()),
  /** Seconds. */
  duration: Maybe(Type.Number()),
});
export type PreviousTaskInstance = Static<typeof PreviousTaskInstance>;

/** GET task-instances/states: by run, and there by task id, with `_` and the map index behind that of a mapped one. */
export const TaskStates = Type.Object({ task_states: Type.Record(Type.String(), Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()]))) });
export type TaskStates = Static<typeof TaskStates>;

const Breadcrumb = Type.Object({ task_id: Type.String(), map_index: Type.Integer(), state: Type.String(), operator: Maybe(Type.String()), duration: Maybe(Type.Number()) });
/** GET task-instances/breadcrumbs: what is over in a run. */
export const Breadcrumbs = Type.Object({ breadcrumbs: Type.Array(Breadcrumb) });
export type Breadcrumbs = Static<typeof Breadcrumbs>;
