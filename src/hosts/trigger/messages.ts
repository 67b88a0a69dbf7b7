import { type Static, Type } from '@sinclair/typebox';

const Id = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const many = { maxItems: 10_000 };

/** What a child says of its triggers. Airflow's TriggerStateChanges. */
export const StateChanges = Type.Object({
  events: Type.Optional(Type.Union([Type.Array(Type.Tuple([Id, Type.Object({ payload: Type.Unknown() })]), many), Type.Null()])),
  finished: Type.Optional(Type.Union([Type.Array(Id, many), Type.Null()])),
  failures: Type.Optional(Type.Union([Type.Array(Type.Tuple([Id, Type.Union([Type.Array(Type.String({ maxLength: 8000 }), { maxItems: 100 }), Type.Null()])]), many), Type.Null()])),
});
export type StateChanges = Static<typeof StateChanges>;

/** What became of triggers. Airflow's names. */
export interface TriggerStateChanges {
  /** In the order in which each trigger fired. JSON, from code of users: nothing in it is to be trusted. */
  readonly events: readonly (readonly [id: number, event: { readonly payload: unknown }])[];
  /** They have fired, and have ended. */
  readonly finished: readonly number[];
  /** They have ended otherwise, and why, in the trigger's words or the host's. */
  readonly failures: readonly (readonly [id: number, reasons: readonly string[]])[];
}

export const idsOf = ({ events, finished, failures }: StateChanges): number[] => [...(events ?? []).map(([id]) => id), ...(finished ?? []), ...(failures ?? []).map(([id]) => id)];
