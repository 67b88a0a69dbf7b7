import { notJson } from '../../broker/frame.js';
import { TaskError } from '../error.js';
import type { StoredXCom, World } from './world.js';

type Fields = Readonly<Record<string, unknown>>;

/** What a supervisor would reply to a message's fields. */
export type Answer = (fields: Fields) => unknown;

const ok = { type: 'OKResponse', ok: true };

function absent(code: string, detail: Fields): never {
  throw new TaskError(code, `the fake supervisor has none: ${JSON.stringify(detail)}`, detail);
}

function assertJson(type: string, field: string, value: unknown): void {
  const found = notJson(value ?? null);
  if (found !== undefined) throw new TaskError('ERR_BROKER_DENIED', `method "${type}" has a value that is not JSON: /${field}${found.path}: ${found.kind}`);
}

function assertState(type: string, value: unknown): void {
  if (value == null) throw new TaskError('ERR_BROKER_DENIED', `method "${type}" has no value`);
  assertJson(type, 'value', value);
}

/** The messages that the fake knows, as a supervisor answers them. */
export function answers(world: World): Readonly<Record<string, Answer>> {
  const matching = (wanted: Fields): StoredXCom[] =>
    world.xcoms
      .filter((each) => (['key', 'dag_id', 'task_id'] as const).every((field) => each[field] === wanted[field]) && (wanted['include_prior_dates'] === true || each.run_id === wanted['run_id']))
      .sort((a, b) => a.map_index - b.map_index);
  const asset = (wanted: Fields) => world.assets.find(({ name, uri }) => Object.entries(wanted).every(([field, value]) => value == null || { name, uri }[field] === value));
  const assetState = (by: 'name' | 'uri', called: unknown) => world.assetStates.get(asset({ [by]: called })?.name ?? '');
  const assetStates = (suffix: 'ByName' | 'ByUri', by: 'name' | 'uri'): Readonly<Record<string, Answer>> => {
    const kept = ({ [by]: called }: Fields) => assetState(by, called) ?? absent('API_SERVER_ERROR', { status_code: 404, [by]: called });
    return {
      [`GetAssetStateStore${suffix}`]: ({ key, [by]: called }) => ({ type: 'AssetStateStoreResult', value: assetState(by, called)?.get(String(key)) ?? absent('ASSET_STORE_NOT_FOUND', { key }) }),
      [`SetAssetStateStore${suffix}`]: ({ key, value, ...asked }) => {
        assertState(`SetAssetStateStore${suffix}`, value);
        kept(asked).set(String(key), value);
        return ok;
      },
      [`DeleteAssetStateStore${suffix}`]: ({ key, ...asked }) => {
        kept(asked).delete(String(key));
        return ok;
      },
      [`ClearAssetStateStore${suffix}`]: (asked) => {
        kept(asked).clear();
        return ok;
      },
    };
  };
  const whole = ({ name, uri, group = 'asset', extra = {} }: World['assets'][number]) => ({ name, uri, group, extra });
  const run = ({ dag_id, run_id }: Fields) =>
    world.dagRuns.find((each) => each['dag_id'] === dag_id && each['run_id'] === run_id) ?? absent('API_SERVER_ERROR', { status_code: 404, dag_id, run_id });
  const last = (_fields: Fields): null => null;

  function events(of: readonly World['assets'][number][], { after, before, limit, ascending, partition_key, extra }: Fields): unknown {
    const within = (timestamp: string): boolean => (after == null || timestamp >= String(after)) && (before == null || timestamp <= String(before));
    const all = of.flatMap((each) => (each.events ?? []).map((event, id) => ({ id, timestamp: new Date(0).toISOString(), extra: {}, ...event, asset: whole(each) })));
    const wanted = Object.entries((extra ?? {}) as Fields);
    const isWanted = (event: Fields): boolean => (partition_key == null || event['partition_key'] === partition_key) && wanted.every(([name, value]) => (event['extra'] as Fields | null)?.[name] === value);
    const sorted = all.filter((event) => within(event.timestamp) && isWanted(event)).sort((a, b) => a.timestamp.localeCompare(b.timestamp));
    if (ascending === false) sorted.reverse();
    return { type: 'AssetEventsResult', asset_events: sorted.slice(0, typeof limit === 'number' && limit > 0 ? limit : undefined) };
  }

  return {
    GetVariable: ({ key }) => ({ type: 'VariableResult', key, value: world.variables.get(String(key)) ?? absent('VARIABLE_NOT_FOUND', { key }) }),
    PutVariable: ({ key, value }) => void world.variables.set(String(key), String(value)),
    DeleteVariable: ({ key }) => {
      world.variables.delete(String(key));
      return ok;
    },
    GetVariableKeys: ({ prefix, limit, offset }) => {
      const keys = [...world.variables.keys()].filter((key) => key.startsWith(String(prefix ?? ''))).sort();
      return { type: 'VariableKeysResult', keys: keys.slice(Number(offset), Number(offset) + Number(limit)), total_entries: keys.length };
    },
    GetConnection: ({ conn_id }) => ({ type: 'ConnectionResult', conn_id, conn_type: 'generic', ...(world.connections.get(String(conn_id)) ?? absent('CONNECTION_NOT_FOUND', { conn_id })) }),

    GetXCom: (wanted) => {
      const own = (['dag_id', 'run_id', 'task_id'] as const).every((field) => wanted[field] === world.ti[field]);
      const map_index = wanted['map_index'] ?? (own ? world.ti.map_index : -1);
      return { type: 'XComResult', key: wanted['key'], value: matching(wanted).find((each) => each.map_index === map_index)?.value ?? null };
    },
    GetXComCount: (wanted) => ({ type: 'XComCountResponse', len: matching(wanted).length }),
    GetXComSequenceItem: (wanted) => ({ type: 'XComSequenceIndexResult', root: (matching(wanted).at(Number(wanted['offset'])) ?? absent('XCOM_NOT_FOUND', wanted)).value }),
    GetXComSequenceSlice: (wanted) => {
      const { start, stop, step } = wanted;
      if (step != null && step !== 1) throw new TaskError('ERR_BROKER_DENIED', 'the fake supervisor slices by steps of 1; give it an answer of your own');
      return { type: 'XComSequenceSliceResult', root: matching(wanted).slice((start as number | null) ?? 0, (stop as number | null) ?? undefined).map(({ value }) => value) };
    },
    SetXCom: ({ key, value }) => {
      if (value === undefined) throw new TaskError('ERR_BROKER_DENIED', 'method "SetXCom" has a field that does not fit: /value: Expected required property');
      assertJson('SetXCom', 'value', value);
      world.pushed.set(String(key), value);
    },
    DeleteXCom: ({ key }) => void world.pushed.delete(String(key)),

    GetTaskStateStore: ({ key }) => ({ type: 'TaskStateStoreResult', value: world.state.get(String(key)) ?? absent('TASK_STORE_NOT_FOUND', { key }) }),
    SetTaskStateStore: ({ key, value }) => {
      assertState('SetTaskStateStore', value);
      world.state.set(String(key), value);
      return ok;
    },
    DeleteTaskStateStore: ({ key }) => {
      world.state.delete(String(key));
      return ok;
    },
    ClearTaskStateStore: () => {
      world.state.clear();
      return ok;
    },

    ...assetStates('ByName', 'name'),
    ...assetStates('ByUri', 'uri'),

    GetAssetByName: ({ name }) => ({ type: 'AssetResult', ...whole(asset({ name }) ?? absent('ASSET_NOT_FOUND', { name })) }),
    GetAssetByUri: ({ uri }) => ({ type: 'AssetResult', ...whole(asset({ uri }) ?? absent('ASSET_NOT_FOUND', { uri })) }),
    GetAssetEventByAsset: ({ name, uri, ...range }) => {
      const found = asset({ name, uri });
      return events(found === undefined ? [] : [found], range);
    },
    GetAssetEventByAssetAlias: ({ alias_name, ...range }) => events(world.assets.filter(({ aliases = [] }) => aliases.includes(String(alias_name))), range),

    GetDagRun: (wanted) => ({ type: 'DagRunResult', ...run(wanted) }),
    GetDagRunState: (wanted) => ({ type: 'DagRunStateResult', state: run(wanted)['state'] }),
    TriggerDagRun: ({ type: _, ...wanted }) => {
      assertJson('TriggerDagRun', 'conf', wanted['conf']);
      const { dag_id, run_id, conf, reset_dag_run } = wanted;
      const known = world.dagRuns.find((each) => each['dag_id'] === dag_id && each['run_id'] === run_id);
      if (known !== undefined && reset_dag_run !== true) absent('DAGRUN_ALREADY_EXISTS', { dag_id, run_id });
      world.triggered.push(wanted);
      if (known === undefined) world.dagRuns.push({ dag_id, run_id, run_type: 'manual', conf: conf ?? {}, state: 'queued' });
      else known['state'] = 'queued';
      return ok;
    },

    MaskSecret: ({ value, name }) => {
      assertJson('MaskSecret', 'value', value);
      world.mask(value, typeof name === 'string' ? name : undefined);
    },
    SkipDownstreamTasks: ({ tasks }) => void world.skipped.push(...(tasks as readonly unknown[])),
    CreateHITLDetailPayload: ({ type: _, ...question }) => {
      assertJson('CreateHITLDetailPayload', 'params', question['params']);
      world.questions.push(question);
      return { type: 'HITLDetailRequestResult', ...question };
    },
    AwaitInputTask: ({ next_kwargs }) => assertJson('AwaitInputTask', 'next_kwargs', next_kwargs),
    SucceedTask: last, RetryTask: last, TaskState: last, RescheduleTask: last,
    DeferTask: ({ trigger_kwargs, next_kwargs }) => {
      assertJson('DeferTask', 'trigger_kwargs', trigger_kwargs);
      assertJson('DeferTask', 'next_kwargs', next_kwargs);
    },
  }; // prettier-ignore
}
