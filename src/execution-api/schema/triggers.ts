import { type Static, Type } from '@sinclair/typebox';
import type { Declares } from '../../authorization/index.js';
import { closed, Maybe } from './common.js';

// What a triggerer and a `sallyport/server` tell each other, which is not Airflow's: there a triggerer has the database. The names are.

const TriggerId = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Names = Type.Optional(Type.Array(Type.String()));

/** PUT /sallyport/v1/triggerers/{triggerer}: that it lives, what it has room for, and what it runs. */
export const TriggererState = Type.Object(
  {
    /** Whose code it has. */
    bundles: Type.Array(Type.String({ minLength: 1, maxLength: 250 }), { maxItems: 1000 }),
    /** How many triggers it wants at most; none with 0, but for those that it has. */
    capacity: Type.Integer({ minimum: 0, maximum: 10_000 }),
    running: Type.Array(TriggerId, { maxItems: 20_000 }),
  },
  closed,
);
export type TriggererState = Static<typeof TriggererState>;

/** A deferral, handed out: Airflow's RunTrigger, and whose code it is. */
export const HandedTrigger = Type.Object({
  type: Type.Literal('RunTrigger'),
  id: TriggerId,
  ti: Type.Object({ id: Type.String(), dag_id: Type.String(), run_id: Type.String(), task_id: Type.String(), map_index: Type.Integer(), try_number: Type.Integer() }),
  classpath: Type.String(),
  /** Text where the task has encrypted them. */
  kwargs: Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.String()]),
  timeout_after: Maybe(Type.String()),
  bundle_info: Type.Object({ name: Type.String(), version: Maybe(Type.String()) }),
  team_name: Maybe(Type.String()),
  /** What its DAG declares; null where that says nothing. */
  declares: Maybe(Type.Unsafe<Declares>(Type.Object({ variables: Names, connections: Names, xcoms: Names }))),
});
export type HandedTrigger = Static<typeof HandedTrigger>;

/** The answer: Airflow's TriggerStateSync. What is neither in it nor was running comes next time. */
export const TriggererSync = Type.Object({ to_create: Type.Array(HandedTrigger), to_cancel: Type.Array(TriggerId) });
export type TriggererSync = Static<typeof TriggererSync>;

/** POST …/triggers/{id}/event. */
export const TriggerEvent = Type.Object({ payload: Type.Unknown() }, closed);
/** POST …/triggers/{id}/failure. */
export const TriggerFailure = Type.Object({ reasons: Type.Array(Type.String({ maxLength: 16_000 }), { maxItems: 100 }) }, closed);
