import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { errorResponse, method, type ErrorType, type MethodTable } from '../broker/index.js';
import { BrokerDenied, UpstreamFailed } from '../errors.js';
import type { Masker } from '../secrets/masker.js';
import type { ExecutionApi } from './client.js';
import type { StateUpdate } from './schema.js';

/** What a task may ask for beyond its own XComs. Nothing that is not named. */
export interface Grants {
  /** Keys of variables it may read, or any. @default [] */
  readonly variables?: readonly string[] | 'any';
  /** Ids of connections it may read, or any. @default [] */
  readonly connections?: readonly string[] | 'any';
  /** XComs of others it may read. @default [] */
  readonly xcoms?: readonly XComGrant[];
  /** Names of assets it may report as updated. @default [] */
  readonly outlets?: readonly string[] | 'any';
}

/** XComs that one task pushed. */
export interface XComGrant {
  readonly task_id: string;
  /** @default the task's own */
  readonly dag_id?: string;
  /** @default the task's own */
  readonly run_id?: string;
  /** @default every key */
  readonly key?: string;
  /** Also those of earlier runs, which the task asks for by `include_prior_dates`. @default false */
  readonly priorRuns?: boolean;
}

/** Whom the channel belongs to: known from the descriptor, never from a message. */
export interface Identity {
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
}

/** Takes the task's word on what became of it. */
export interface FinalReport {
  /** @throws {BrokerDenied} There was one before: the first word stands. */
  claim(method: string, update: StateUpdate, reason?: string | null): void;
  /** Tells the server now. */
  send(): Promise<void>;
}

export interface MethodOptions {
  readonly api: Pick<ExecutionApi, 'getConnection' | 'getVariable' | 'getXCom' | 'setXCom'>;
  readonly identity: Identity;
  readonly grants: Grants;
  readonly report: FinalReport;
  /** Is told what the task is given and must not be printed. @default nothing is */
  readonly masker?: Masker;
}

const Nullish = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));
const Name = Type.String({ minLength: 1, maxLength: 1024 });
const MapIndex = Nullish(Type.Integer({ minimum: -1 }));
/** Airflow's fields of identity: compared with the task's own where they are there. */
const owner = { dag_id: Nullish(Type.String()), run_id: Nullish(Type.String()), task_id: Nullish(Type.String()), map_index: MapIndex };
/** `end_date` is accepted for Airflow's sake; the supervisor's clock is what gets reported. */
const ended = { end_date: Type.Optional(Type.Unknown()), rendered_map_index: Nullish(Type.String({ maxLength: 250 })) };
/** Airflow's field of 2026-10-30; kept for the outcome, and not sent to a server of an earlier version. */
const unwell = { ...ended, retry_reason: Nullish(Type.String({ maxLength: 2000 })) };

const GetXCom = Type.Object({ key: Name, ...owner, include_prior_dates: Nullish(Type.Boolean()) });
const SetXCom = Type.Object({ key: Name, value: Type.Unknown(), ...owner, mapped_length: Nullish(Type.Integer({ minimum: 0 })) });
const Outlet = Type.Object({ name: Type.String(), uri: Type.String(), type: Type.String() });
const OutletEvent = Type.Object({ dest_asset_key: Type.Object({ name: Type.String(), uri: Type.String() }) });
const SucceedTask = Type.Object({ ...ended, task_outlets: Type.Optional(Type.Array(Outlet)), outlet_events: Type.Optional(Type.Array(OutletEvent)) });
const MaskSecret = Type.Object({ value: Type.Unknown(), name: Nullish(Type.String({ maxLength: 1024 })) });
const TaskState = Type.Object({ ...unwell, state: Type.Union([Type.Literal('failed'), Type.Literal('skipped'), Type.Literal('removed')]) });

/** Airflow's messages as rows of a task's method table: who may ask, and which call of the API answers. */
export function executionApiMethods({ api, identity, grants, report, masker }: MethodOptions): MethodTable {
  const variable = granted(grants.variables);
  const connection = granted(grants.connections);
  const outlet = granted(grants.outlets);
  const hide = (reason: string | null | undefined): string | null | undefined => (typeof reason === 'string' ? (masker?.redact(reason) ?? reason) : reason);
  let room = mostMasked;

  return {
    GetVariable: method({
      params: Type.Object({ key: Name }),
      permit: ({ key }) => variable(key, (own) => ({ key: own })),
      handler: ({ key }, { signal }) => found('VARIABLE_NOT_FOUND', { key }, async () => {
        const { value } = await api.getVariable(key, { signal });
        masker?.add(value, key);
        return { type: 'VariableResult', key, value };
      }),
    }),

    GetConnection: method({
      params: Type.Object({ conn_id: Name }),
      permit: ({ conn_id }) => connection(conn_id, (own) => ({ conn_id: own })),
      handler: ({ conn_id }, { signal }) => found('CONNECTION_NOT_FOUND', { conn_id }, async () => {
        const { conn_type, host, schema, login, password, port, extra } = await api.getConnection(conn_id, { signal });
        masker?.add([password, extra, fieldsOf(extra)]);
        return { type: 'ConnectionResult', conn_id, conn_type, host, schema, login, password, port, extra };
      }),
    }),

    GetXCom: method({
      params: GetXCom,
      permit: (params) => readable(params, identity, grants.xcoms ?? []),
      handler: async ({ key, include_prior_dates, ...ref }, { signal }) => {
        const { value } = await api.getXCom({ ...ref as Identity, key, include_prior_dates: include_prior_dates === true }, { signal });
        return { type: 'XComResult', key, value };
      },
    }),

    SetXCom: method({
      params: SetXCom,
      permit: (params) => {
        if (!isOwn(params, identity)) throw new BrokerDenied('SetXCom', "names another task's XCom");
        if (!isJson(params.value)) throw new BrokerDenied('SetXCom', 'has a value that is not JSON');
        return { ...params, ...identity };
      },
      handler: ({ key, value, mapped_length }, { signal }) =>
        api.setXCom({ ...identity, key }, value, { signal, ...(typeof mapped_length === 'number' && { mapped_length }) }),
    }),

    SucceedTask: method({
      params: SucceedTask,
      permit: (params) => {
        const { task_outlets = [], outlet_events = [] } = params;
        const names = [...task_outlets.map(({ name }) => name), ...outlet_events.map((event) => event.dest_asset_key.name)];
        if (!names.every((name) => outlet(name, () => true))) throw new BrokerDenied('SucceedTask', 'reports an asset that is not granted');
        if (!isJson(outlet_events)) throw new BrokerDenied('SucceedTask', 'has an event that is not JSON');
        return params;
      },
      handler: async ({ task_outlets = [], outlet_events = [], rendered_map_index }) => {
        const outlets = task_outlets.map(({ name, uri, type }) => ({ name, uri, type }));
        report.claim('SucceedTask', { state: 'success', end_date: now(), task_outlets: outlets, outlet_events, ...rendered(rendered_map_index) });
        await report.send();
      },
    }),

    RetryTask: method({
      params: Type.Object(unwell),
      handler: async ({ rendered_map_index, retry_reason }) => {
        report.claim('RetryTask', { state: 'up_for_retry', end_date: now(), ...rendered(rendered_map_index) }, hide(retry_reason));
        await report.send();
      },
    }),

    // Only remembered: Airflow reports it after the task has ended.
    TaskState: method({
      params: TaskState,
      handler: ({ state, rendered_map_index, retry_reason }) => report.claim('TaskState', { state, end_date: now(), ...rendered(rendered_map_index) }, hide(retry_reason)),
    }),

    MaskSecret: method({
      params: MaskSecret,
      permit: (params) => {
        if (!isJson(params.value)) throw new BrokerDenied('MaskSecret', 'has a value that is not JSON');
        const text = JSON.stringify(params.value);
        room -= text.length + bytesForEachMasked * text.split(',').length;
        if (room < 0) throw new BrokerDenied('MaskSecret', 'comes after more than one task may have hidden');
        return params;
      },
      handler: ({ value, name }) => {
        masker?.add(value, name ?? undefined);
        return null;
      },
    }),
  };
}

/** What a task may have hidden takes of the supervisor's locked memory, which is little: its bytes, and so many for each value's tables. */
const mostMasked = 64 << 10;
const bytesForEachMasked = 512;

/** A connection's extra, which is JSON more often than not. */
function fieldsOf(extra: string | null | undefined): unknown {
  try {
    return JSON.parse(extra ?? '');
  } catch {
    return undefined;
  }
}

const now = (): string => new Date().toISOString();
const rendered = (rendered_map_index: string | null | undefined) => (typeof rendered_map_index === 'string' ? { rendered_map_index } : {});

/** Looks a name up and goes on with the grant's own copy of it. */
function granted(names: readonly string[] | 'any' = []): <T>(asked: string, use: (own: string) => T) => T | undefined {
  if (names === 'any') return (asked, use) => use(asked);
  const own = new Set(names);
  return (asked, use) => (own.has(asked) ? use(asked) : undefined);
}

/** A 404 is an answer, and Airflow's children look for it in the body. */
async function found(error: ErrorType, detail: Record<string, string>, call: () => Promise<unknown>): Promise<unknown> {
  try {
    return await call();
  } catch (refusal) {
    if (refusal instanceof UpstreamFailed && refusal.status === 404) return errorResponse(error, detail);
    throw refusal;
  }
}

type Owner = { readonly [Field in keyof Identity]?: Identity[Field] | null | undefined };

/** What is left out or nil is the task's own. */
function isOwn(asked: Owner, identity: Identity): boolean {
  return (Object.keys(identity) as (keyof Identity)[]).every((field) => asked[field] == null || asked[field] === identity[field]);
}

function readable(asked: Static<typeof GetXCom>, identity: Identity, grants: readonly XComGrant[]): Static<typeof GetXCom> | undefined {
  const include_prior_dates = asked.include_prior_dates === true;
  if (isOwn(asked, identity) && !include_prior_dates) return { ...identity, key: asked.key, include_prior_dates };
  const ref = { dag_id: asked.dag_id ?? identity.dag_id, run_id: asked.run_id ?? identity.run_id, task_id: asked.task_id ?? identity.task_id };
  const covers = (grant: XComGrant): boolean =>
    grant.task_id === ref.task_id
    && (grant.dag_id ?? identity.dag_id) === ref.dag_id
    && (grant.run_id ?? identity.run_id) === ref.run_id
    && (grant.key ?? asked.key) === asked.key
    && (grant.priorRuns === true || !include_prior_dates);
  return grants.some(covers) ? { ...ref, map_index: asked.map_index ?? -1, key: asked.key, include_prior_dates } : undefined;
}

/** What JSON.stringify would write faithfully: msgpack also has bytes, dates, NaN and integers beyond a number. */
function isJson(value: unknown): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true;
  if (typeof value === 'number') return Number.isFinite(value);
  if (Array.isArray(value)) return value.every(isJson);
  return typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype && Object.values(value).every(isJson);
}
