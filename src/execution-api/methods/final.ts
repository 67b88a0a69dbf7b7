import { Type } from '@sinclair/typebox';
import { AssetProfile, OutletEvent, type StateUpdate } from '../schema.js';
import { JsonObject } from '../schema/common.js';
import { assertJson, iso, Moment, Name, now, Nullish } from './fields.js';
import { nobodyElses, row, type Question, type RowOptions, type Rows } from './row.js';

/** Takes the task's word on what became of it. */
export interface FinalReport {
  /** @throws {BrokerDenied} There was one before: the first word stands. */
  claim(method: string, update: StateUpdate, reason?: string | null): void;
  /** Tells the server now. */
  send(): Promise<void>;
}

/** `state` says no more than the message's name; `end_date` is accepted for Airflow's sake, and the supervisor's clock is what gets reported. */
const ended = { end_date: Type.Optional(Type.Unknown()), rendered_map_index: Nullish(Type.String({ maxLength: 250 })) };
/** Airflow's field of 2026-10-30; kept for the outcome, and not sent to a server of an earlier version. */
const unwell = { ...ended, retry_reason: Nullish(Type.String({ maxLength: 2000 })) };
/** ISO 8601, as pydantic writes and reads a timedelta. */
const Duration = Type.String({ maxLength: 64, pattern: '^[+-]?P(?=.)(\\d+(\\.\\d+)?[YMWD])*(T(?=.)(\\d+(\\.\\d+)?[HMS])*)?$' });

const Profile = Type.Object(AssetProfile.properties);

const SucceedTask = Type.Object({ ...ended, task_outlets: Type.Optional(Type.Array(Profile)), outlet_events: Type.Optional(Type.Array(OutletEvent)) });
/** The delay is Airflow's of 3.3, whose tasks decide about it. */
const RetryTask = Type.Object({ ...unwell, retry_delay_seconds: Nullish(Type.Number({ minimum: 0 })) });
const TaskState = Type.Object({ ...unwell, state: Type.Union([Type.Literal('failed'), Type.Literal('skipped'), Type.Literal('removed')]) });
const DeferTask = Type.Object({
  classpath: Name,
  trigger_kwargs: Nullish(Type.Union([JsonObject, Type.String()])),
  trigger_timeout: Nullish(Duration),
  queue: Nullish(Type.String({ maxLength: 250 })),
  next_method: Name,
  next_kwargs: Type.Optional(Type.Unknown()),
  rendered_map_index: Nullish(Type.String({ maxLength: 250 })),
});
const AwaitInputTask = Type.Object({ timeout: Nullish(Duration), next_method: Name, next_kwargs: Nullish(JsonObject), rendered_map_index: ended.rendered_map_index });
const RescheduleTask = Type.Object({ reschedule_date: Moment, end_date: ended.end_date });

/** The messages with which a task says what becomes of it: one of them, once. All but TaskState are sent to the server before they are answered. */
export function final({ reach, masking }: RowOptions, report: FinalReport): Rows {
  const rendered = (name: string | null | undefined) => (typeof name === 'string' ? { rendered_map_index: masking.redact(name) } : {});
  const reason = (said: string | null | undefined): string | null => (typeof said === 'string' ? masking.redact(said) : null);
  async function tell(method: string, update: StateUpdate, why: string | null = null): Promise<void> {
    report.claim(method, update, why);
    await report.send();
  }

  return {
    SucceedTask: row({
      params: SucceedTask,
      grant: 'outlets',
      permit: ({ task_outlets = [], outlet_events = [], rendered_map_index }) => {
        const names = [
          ...task_outlets.map(({ name, uri }) => name ?? uri),
          ...outlet_events.flatMap(({ dest_asset_key: key, source_alias_name: alias }) => [key?.name, ...(alias == null ? [] : [alias])]),
        ];
        if (!reach.hasAllOf('outlets', names.filter((name) => name != null))) return undefined;
        assertJson('SucceedTask', 'outlet_events', outlet_events);
        return { task_outlets, outlet_events, rendered_map_index };
      },
      about: ({ task_outlets, outlet_events }) => {
        const known = task_outlets.filter(({ type }) => type !== 'AssetAlias');
        const byAlias = outlet_events.flatMap(({ dest_asset_key: key, source_alias_name: alias }) => (key === undefined || alias == null ? [] : [key]));
        return [...known, ...byAlias].flatMap(({ name, uri }): Question[] => (name != null ? [['write', { kind: 'asset', name }]] : uri != null ? [['write', { kind: 'asset', uri }]] : []));
      },
      handler: ({ task_outlets, outlet_events, rendered_map_index }) => tell('SucceedTask', { state: 'success', end_date: now(), task_outlets, outlet_events, ...rendered(rendered_map_index) }),
    }),

    RetryTask: row({
      params: RetryTask,
      permit: (said) => said,
      about: nobodyElses,
      handler: ({ rendered_map_index, retry_reason, retry_delay_seconds }) => {
        const why = reason(retry_reason);
        // A task that says when is of a version whose server knows both.
        const delayed = retry_delay_seconds == null ? {} : { retry_delay_seconds, retry_reason: why };
        return tell('RetryTask', { state: 'up_for_retry', end_date: now(), ...rendered(rendered_map_index), ...delayed }, why);
      },
    }),

    // Only remembered: Airflow reports it after the task has ended.
    TaskState: row({
      params: TaskState,
      permit: (said) => said,
      about: nobodyElses,
      handler: ({ state, rendered_map_index, retry_reason }) => report.claim('TaskState', { state, end_date: now(), ...rendered(rendered_map_index) }, reason(retry_reason)),
    }),

    DeferTask: row({
      params: DeferTask,
      grant: 'defers',
      permit: (said) => {
        if (!reach.has('defers', said.classpath)) return undefined;
        assertJson('DeferTask', 'trigger_kwargs', said.trigger_kwargs);
        assertJson('DeferTask', 'next_kwargs', said.next_kwargs);
        return said;
      },
      about: nobodyElses,
      handler: ({ classpath, trigger_kwargs, trigger_timeout, queue, next_method, next_kwargs, rendered_map_index }) =>
        tell('DeferTask', {
          state: 'deferred',
          classpath,
          trigger_kwargs: trigger_kwargs ?? {},
          trigger_timeout: trigger_timeout ?? null,
          ...(queue != null && { queue }),
          next_method,
          next_kwargs: next_kwargs ?? {},
          ...rendered(rendered_map_index),
        }),
    }),

    // Of Airflow 3.3. Whom it waits for it has asked before, by CreateHITLDetailPayload, and who answers is no task.
    AwaitInputTask: row({
      params: AwaitInputTask,
      permit: (said) => {
        assertJson('AwaitInputTask', 'next_kwargs', said.next_kwargs);
        return said;
      },
      about: nobodyElses,
      handler: ({ timeout, next_method, next_kwargs, rendered_map_index }) =>
        tell('AwaitInputTask', { state: 'awaiting_input', timeout: timeout ?? null, next_method, next_kwargs: next_kwargs ?? {}, ...rendered(rendered_map_index) }),
    }),

    RescheduleTask: row({
      params: RescheduleTask,
      permit: ({ reschedule_date }) => ({ reschedule_date: iso(reschedule_date) }),
      about: nobodyElses,
      handler: ({ reschedule_date }) => tell('RescheduleTask', { state: 'up_for_reschedule', reschedule_date, end_date: now() }),
    }),
  };
}
