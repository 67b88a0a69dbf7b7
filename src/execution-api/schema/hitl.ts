import { type Static, Type } from '@sinclair/typebox';
import { JsonObject, Maybe } from './common.js';

export const HitlUser = Type.Object({ id: Type.String(), name: Type.String() });
export type HitlUser = Static<typeof HitlUser>;
const Options = Type.Array(Type.String(), { minItems: 1 });

// Airflow's models of these take fields that they do not know, and its client sends one: `type`.

/** POST hitlDetails/{id}: what a human is asked. */
export const HitlRequest = Type.Object({
  ti_id: Type.String(),
  options: Options,
  subject: Type.String(),
  body: Maybe(Type.String()),
  defaults: Maybe(Type.Array(Type.String())),
  multiple: Maybe(Type.Boolean()),
  params: Maybe(JsonObject),
  assigned_users: Maybe(Type.Array(HitlUser)),
});
export type HitlRequest = Static<typeof HitlRequest>;

/** PATCH hitlDetails/{id}: an answer that the task gives itself, as its defaults after a time. */
export const HitlAnswer = Type.Object({ ti_id: Type.String(), chosen_options: Options, params_input: Maybe(JsonObject) });
export type HitlAnswer = Static<typeof HitlAnswer>;

/** GET hitlDetails/{id}. */
export const HitlResponse = Type.Object({
  response_received: Type.Boolean(),
  responded_by_user: Maybe(HitlUser),
  responded_at: Maybe(Type.String()),
  chosen_options: Maybe(Type.Array(Type.String())),
  params_input: Maybe(JsonObject),
});
export type HitlResponse = Static<typeof HitlResponse>;
