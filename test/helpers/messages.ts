import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import * as assert from 'uvu/assert';
import type { Authorizer } from '../../lib/authorization/index.js';
import { serve, type AuditRecord } from '../../lib/broker/index.js';
import { authorized } from '../../lib/execution-api/authorized.js';
import { ExecutionApi } from '../../lib/execution-api/client.js';
import { type Declaration, type GrantPreset, type Grants, executionApiMethods, type Identity } from '../../lib/execution-api/methods.js';
import { Masker } from '../../lib/secrets/masker.js';
import { Secret } from '../../lib/secrets/secret.js';
import { Report } from '../../lib/supervisor/report.js';
import { type ApiServer, dagRun } from './api-server.js';
import { Peer, type Reply } from './peer.js';
import { socketPair } from './socket-pair.js';

const { dag_id, run_id } = dagRun;
const date = '2026-04-05T00:00:00Z';
export const trigger = 'lib.triggers.Timer';

export const seed = {
  variables: { colour: 'green', 'team/size': '3', api_key: 'hunter2-hunter2', mine: 'old' },
  connections: [{ conn_id: 'db', conn_type: 'postgres', host: 'h', password: 'hunter3-hunter3', extra: '{"token":"hunter4-hunter4"}' }],
  assets: [{ name: 'report', uri: 's3://report' }, { name: 'other', uri: 's3://other' }],
  dagRuns: [{ dag_id, run_id: 'earlier', logical_date: date, state: 'success' as const, conf: { of: 'earlier' } }, { dag_id: 'weekly', run_id: 'w1', logical_date: date }, { ...dagRun, logical_date: '2026-04-06T00:00:00Z' }],
  dags: [{ dag_id: 'weekly' }, { dag_id, task_assets: {} }],
};

/** One task's channel, its broker and the server behind it. */
export class Scene {
  static async start(server: ApiServer, how: { grants?: Grants | GrantPreset; declares?: Declaration; ti?: { map_index?: number }; authorizer?: Authorizer } = {}): Promise<Scene> {
    const id = randomUUID();
    const identity: Identity = { id, ...dagRun, task_id: `task-${id}`, map_index: -1, try_number: 1, ...how.ti };
    await server.server.seed({ taskInstances: [{ ...identity }] });
    const api = new ExecutionApi({ baseUrl: server.url, token: Secret.fromBytes(Buffer.from(await server.issuer.issue({ sub: id, scope: 'execution' }))) });
    await api.run(id, { hostname: 'h', unixname: 'u', pid: 1, start_date: date });
    const { near, far } = await socketPair();
    const audit: AuditRecord[] = [];
    const masker = new Masker();
    const report = new Report(api, id, { hostname: 'h', pid: 1 }, () => {});
    const { grants, declares, authorizer } = how;
    const granted = executionApiMethods({ api, identity, report, masker, ...(grants !== undefined && { grants }), ...(declares && { declares }) });
    const methods = authorizer === undefined ? granted : authorized(granted, authorizer, { ...identity, standing: 'live', declares: declares ?? null });
    const broker = serve(near, { task: id, methods, audit: (record) => audit.push(record), onViolation: (violation) => assert.unreachable(String(violation)) });
    return new Scene(identity, api, far, audit, masker, async () => {
      await broker[Symbol.asyncDispose]();
      await api.close();
      masker.destroy();
      far.destroy();
    });
  }

  #lastId = 0;
  readonly #end: () => Promise<void>;
  readonly self: Identity;
  readonly api: ExecutionApi;
  /** The task's end of the channel, for a task of the test's own. */
  readonly far: Socket;
  #peer: Peer | undefined;
  readonly audit: AuditRecord[];
  readonly masker: Masker;
  constructor(self: Identity, api: ExecutionApi, far: Socket, audit: AuditRecord[], masker: Masker, end: () => Promise<void>) {
    this.self = self;
    this.api = api;
    this.far = far;
    this.audit = audit;
    this.masker = masker;
    this.#end = end;
  }

  get ofXCom(): { dag_id: string; run_id: string; task_id: string } {
    return { dag_id, run_id, task_id: this.self.task_id };
  }

  /** The one reply to a message, and the one record of it. */
  async ask(message: Record<string, unknown>): Promise<Reply> {
    const before = this.audit.length;
    this.#peer ??= new Peer(this.far);
    const reply = await this.#peer.ask([++this.#lastId, message]);
    assert.is(reply[0], this.#lastId);
    assert.is(this.audit.length, before + 1, 'one record');
    assert.is(this.audit.at(-1)?.method, message['type']);
    return reply;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#end();
  }
}

export interface Case {
  readonly type: string;
  readonly ask: (scene: Scene) => Record<string, unknown>;
  /** What it takes; nothing for what is a task's own. */
  readonly grants?: Grants;
  /** The same, as a workload declares it. */
  readonly declares?: Declaration;
  /** What is there before. */
  readonly given?: (scene: Scene) => Promise<unknown>;
  /** The reply's body, or a look at it and at the server. */
  readonly answer: unknown | ((body: Record<string, unknown> | null, scene: Scene) => unknown);
  /** In the name of another, or of what was not granted: denied with the same grants. */
  readonly denied: readonly ((scene: Scene) => Record<string, unknown>)[];
  /** Those of `denied` that are so even where everything is granted: they are in another's name. */
  readonly never?: readonly ((scene: Scene) => Record<string, unknown>)[];
}

const otherId = randomUUID();
const stateIs = (state: string) => async (body: unknown, { api, self }: Scene): Promise<void> => {
  assert.is(body, null);
  const states = await api.getTaskStates({ dag_id, run_ids: [run_id], task_ids: [self.task_id] });
  assert.is(states.task_states[run_id]?.[self.task_id], state);
};
const push = (key: string, value: unknown) => ({ api, self }: Scene): Promise<void> => api.setXCom({ ...self, key }, value);
const keep = (key: string, value: unknown) => ({ api, self }: Scene): Promise<void> => api.setTaskStateStore(self.id, key, { value });
const ok = { type: 'OKResponse', ok: true };
/** Whether it is found; anything but a 404 is no answer to that. */
const has = (call: () => Promise<unknown>): Promise<boolean> => call().then(() => true, (error: { status?: number }) => (assert.is(error.status, 404), false));
export const others = { dag_id, run_id, task_id: 'other' };
/** A message that names its task instance, and may leave that out. */
const ofItself = (type: string, more: Record<string, unknown> = {}) => ({
  type,
  ask: ({ self }: Scene) => ({ ti_id: self.id, ...more }),
  denied: [],
  never: [() => ({ ti_id: otherId, ...more })],
});
const ofRun = (type: string, more: Record<string, unknown> = {}) => ({ type, grants: { dags: ['weekly'] }, declares: { dags: ['week*'] }, ask: () => ({ dag_id: 'weekly', run_id: 'w1', ...more }), denied: [() => ({ dag_id, run_id: 'earlier', ...more }), () => ({ dag_id: 'monthly', run_id: 'w1', ...more })] });

/** The four messages about an asset's state store, by its name or its URI. */
const ofAssetState = (suffix: 'ByName' | 'ByUri', by: { readonly name: string } | { readonly uri: string }, notGranted: Readonly<Record<string, string>>): Case[] => {
  const [asset = ''] = Object.values(by);
  const shared = { grants: { assetStates: [asset] }, declares: { assetStates: [`${asset.slice(0, -1)}*`] } };
  // Nothing that another of these cases has left.
  const given = async ({ api }: Scene): Promise<void> => {
    await api.clearAssetStateStore(by);
    await api.setAssetStateStore(by, 'at', { row: 7 });
  };
  const gone = async (body: unknown, { api }: Scene): Promise<void> => assert.equal([body, await has(() => api.getAssetStateStore(by, 'at'))], [ok, false]);
  return [
    { ...shared, type: `GetAssetStateStore${suffix}`, given, ask: () => ({ ...by, key: 'at' }), answer: { type: 'AssetStateStoreResult', value: { row: 7 } }, denied: [() => ({ ...notGranted, key: 'at' })] },
    { ...shared, type: `SetAssetStateStore${suffix}`, given, ask: () => ({ ...by, key: 'a/b c', value: false }), answer: async (body: unknown, { api }: Scene) => assert.equal([body, await api.getAssetStateStore(by, 'a/b c')], [ok, false]), denied: [() => ({ ...notGranted, key: 'at', value: 1 })] },
    { ...shared, type: `DeleteAssetStateStore${suffix}`, given, ask: () => ({ ...by, key: 'at' }), answer: gone, denied: [() => ({ ...notGranted, key: 'at' })] },
    { ...shared, type: `ClearAssetStateStore${suffix}`, given, ask: () => by, answer: gone, denied: [() => notGranted] },
  ];
};

/** All that there are. test/messages.ts compares them with the table. */
export const cases: readonly Case[] = [
  { type: 'GetVariable', grants: { variables: ['colour'] }, declares: { variables: ['colo*'] }, ask: () => ({ key: 'colour' }), answer: { type: 'VariableResult', key: 'colour', value: 'green' }, denied: [() => ({ key: 'mine' }), () => ({ key: 'Colour' })] },
  { type: 'GetVariableKeys', grants: { variables: ['team/size'] }, declares: { variables: ['team/*'] }, ask: () => ({ prefix: null }), answer: { type: 'VariableKeysResult', keys: ['team/size'], total_entries: 1 }, denied: [] },
  {
    type: 'PutVariable', grants: { writableVariables: ['mine'] }, declares: { writableVariables: ['mi*'] }, ask: () => ({ key: 'mine', value: 'new', description: null }), denied: [() => ({ key: 'colour', value: 'red', description: null })],
    answer: async (body: unknown, { api }: Scene) => assert.equal([body, await api.getVariable('mine')], [null, { key: 'mine', value: 'new' }]),
  },
  {
    type: 'DeleteVariable', grants: { writableVariables: ['gone'] }, declares: { writableVariables: ['gone'] }, given: ({ api }) => api.setVariable('gone', { val: '1' }), ask: () => ({ key: 'gone' }), denied: [() => ({ key: 'colour' })],
    answer: async (body: unknown, { api }: Scene) => assert.equal([body, (await api.getVariableKeys('gone')).keys], [{ type: 'OKResponse', ok: true }, []]),
  },
  {
    type: 'GetConnection', grants: { connections: ['db'] }, declares: { connections: ['d*'] }, ask: () => ({ conn_id: 'db' }), denied: [() => ({ conn_id: 'warehouse' })],
    answer: (body: Record<string, unknown> | null, { masker }: Scene) => assert.equal([body?.['type'], body?.['password'], masker.redact('hunter3-hunter3 hunter4-hunter4')], ['ConnectionResult', 'hunter3-hunter3', '*** ***']),
  },
  { type: 'GetXCom', given: push('k', { rows: 1 }), ask: ({ ofXCom }) => ({ key: 'k', ...ofXCom, map_index: -1 }), answer: { type: 'XComResult', key: 'k', value: { rows: 1 } }, denied: [() => ({ key: 'k', ...others }), ({ ofXCom }) => ({ key: 'k', ...ofXCom, run_id: 'earlier' }), ({ ofXCom }) => ({ key: 'k', ...ofXCom, dag_id: 'weekly' }), ({ ofXCom }) => ({ key: 'k', ...ofXCom, map_index: 3 }), ({ ofXCom }) => ({ key: 'k', ...ofXCom, include_prior_dates: true })] },
  { type: 'GetNumberXComs', given: push('k', 1), ask: ({ ofXCom }) => ({ key: 'k', ...ofXCom }), answer: { type: 'XComLengthResponse', len: 1 }, denied: [() => ({ key: 'k', ...others })] },
  { type: 'GetXComCount', given: push('k', 1), ask: ({ ofXCom }) => ({ key: 'k', ...ofXCom }), answer: { type: 'XComCountResponse', len: 1 }, denied: [() => ({ key: 'k', ...others })] },
  { type: 'GetXComSequenceItem', given: push('k', [7]), ask: ({ ofXCom }) => ({ key: 'k', ...ofXCom, offset: 0 }), answer: { type: 'XComSequenceIndexResult', root: [7] }, denied: [() => ({ key: 'k', ...others, offset: 0 })] },
  { type: 'GetXComSequenceSlice', given: push('k', 7), ask: ({ ofXCom }) => ({ key: 'k', ...ofXCom, start: null, stop: null, step: -1 }), answer: { type: 'XComSequenceSliceResult', root: [7] }, denied: [() => ({ key: 'k', ...others, start: null, stop: null, step: null }), ({ ofXCom }) => ({ key: 'k', ...ofXCom, include_prior_dates: true })] },
  {
    type: 'SetXCom', ask: ({ ofXCom }) => ({ key: 'k', value: [1], ...ofXCom, map_index: null, mapped_length: null, dag_result: false }), denied: [],
    answer: async (body: unknown, { api, self }: Scene) => assert.equal([body, (await api.getXCom({ ...self, key: 'k' })).value], [null, [1]]),
    never: [() => ({ key: 'k', value: 1, ...others }), ({ ofXCom }) => ({ key: 'k', value: 1, ...ofXCom, map_index: 0 }), ({ ofXCom }) => ({ key: 'k', value: 1, ...ofXCom, run_id: 'earlier' })],
  },
  {
    type: 'DeleteXCom', given: push('k', 1), ask: ({ ofXCom }) => ({ key: 'k', ...ofXCom }), denied: [],
    answer: async (body: unknown, { api, self }: Scene) => assert.equal([body, (await api.getXCom({ ...self, key: 'k' })).value], [null, null]),
    never: [() => ({ key: 'k', ...others }), ({ ofXCom }) => ({ key: 'k', ...ofXCom, dag_id: 'weekly' })],
  },
  { ...ofItself('GetTaskStateStore', { key: 'at' }), given: keep('at', { row: 7 }), answer: { type: 'TaskStateStoreResult', value: { row: 7 } } },
  {
    ...ofItself('SetTaskStateStore', { key: 'a/b c', value: [1, 'two'], expires_at: new Date('2099-01-01') }),
    answer: async (body: unknown, { api, self }: Scene) => assert.equal([body, await api.getTaskStateStore(self.id, 'a/b c')], [ok, [1, 'two']]),
  },
  {
    ...ofItself('DeleteTaskStateStore', { key: 'at' }), given: keep('at', 1),
    answer: async (body: unknown, { api, self }: Scene) => assert.equal([body, await has(() => api.getTaskStateStore(self.id, 'at'))], [ok, false]),
  },
  {
    ...ofItself('ClearTaskStateStore'), given: keep('at', 1),
    answer: async (body: unknown, { api, self }: Scene) => assert.equal([body, await has(() => api.getTaskStateStore(self.id, 'at'))], [ok, false]),
  },
  { type: 'GetAssetByName', grants: { assets: ['report'] }, declares: { assets: ['rep*'] }, ask: () => ({ name: 'report' }), answer: (body: Record<string, unknown> | null) => assert.equal([body?.['type'], body?.['uri']], ['AssetResult', 's3://report']), denied: [() => ({ name: 'other' })] },
  { type: 'GetAssetByUri', grants: { assets: ['s3://report'] }, declares: { assets: ['s3://r*'] }, ask: () => ({ uri: 's3://report' }), answer: (body: Record<string, unknown> | null) => assert.equal([body?.['type'], body?.['name']], ['AssetResult', 'report']), denied: [() => ({ uri: 's3://other' })] },
  { type: 'GetAssetsByAlias', grants: { assets: ['daily'] }, declares: { assets: ['daily'] }, ask: () => ({ alias_name: 'daily' }), answer: { type: 'AssetsByAliasResult', assets: [] }, denied: [() => ({ alias_name: 'weekly' })] },
  { type: 'GetAssetEventByAsset', grants: { assets: ['report', 's3://report'] }, declares: { assets: ['*report'] }, ask: () => ({ name: 'report', uri: 's3://report', after: new Date(0), before: null, limit: 5, ascending: true }), answer: { type: 'AssetEventsResult', asset_events: [] }, denied: [() => ({ name: 'report', uri: 's3://other' }), () => ({ name: 'other', uri: null }), () => ({ name: '', uri: '' })] },
  { type: 'GetAssetEventByAssetAlias', grants: { assets: ['daily'] }, declares: { assets: ['dai*'] }, ask: () => ({ alias_name: 'daily' }), answer: { type: 'AssetEventsResult', asset_events: [] }, denied: [() => ({ alias_name: 'weekly' })] },
  ...ofAssetState('ByName', { name: 'report' }, { name: 'other' }),
  ...ofAssetState('ByUri', { uri: 's3://other' }, { uri: 's3://report' }),
  { ...ofRun('GetDagRun'), answer: (body: Record<string, unknown> | null) => assert.equal([body?.['type'], body?.['run_id']], ['DagRunResult', 'w1']) },
  { ...ofRun('GetDagRunState'), answer: { type: 'DagRunStateResult', state: 'running' } },
  { ...ofRun('GetTaskBreadcrumbs'), answer: { type: 'TaskBreadcrumbsResult', breadcrumbs: [] } },
  { type: 'GetPreviousDagRun', grants: { dags: [dag_id] }, declares: { dags: ['d*y'] }, ask: () => ({ dag_id, logical_date: new Date('2026-04-06'), state: 'success' }), answer: (body: { dag_run?: { run_id?: string } } | null) => assert.is(body?.dag_run?.run_id, 'earlier'), denied: [() => ({ dag_id: 'weekly', logical_date: date })] },
  { type: 'GetDRCount', grants: { dags: [dag_id] }, declares: { dags: [dag_id] }, ask: () => ({ dag_id, logical_dates: null, run_ids: ['earlier'], states: ['success'] }), answer: { type: 'DRCount', count: 1 }, denied: [() => ({ dag_id: 'weekly' })] },
  { type: 'GetDag', grants: { dags: ['weekly'] }, declares: { dags: ['weekly'] }, ask: () => ({ dag_id: 'weekly' }), answer: (body: Record<string, unknown> | null) => assert.equal([body?.['type'], body?.['dag_id']], ['DagResult', 'weekly']), denied: [() => ({ dag_id: 'monthly' })] },
  { type: 'GetTICount', grants: { dags: [dag_id] }, declares: { dags: [dag_id] }, ask: ({ self }) => ({ dag_id, task_ids: [self.task_id], map_index: null, states: ['running'], logical_dates: [new Date('2026-04-06')] }), answer: { type: 'TICount', count: 1 }, denied: [() => ({ dag_id: 'weekly', run_ids: ['w1'] })] },
  { type: 'GetTaskStates', grants: { dags: ['weekly'] }, declares: { dags: ['weekly'] }, ask: () => ({ dag_id: 'weekly' }), answer: { type: 'TaskStatesResult', task_states: {} }, denied: [() => ({ dag_id, run_ids: [run_id, 'earlier'] }), () => ({ dag_id })] },
  { type: 'GetPreviousTI', grants: { dags: ['weekly'] }, declares: { dags: ['weekly'] }, ask: () => ({ dag_id: 'weekly', task_id: 't', logical_date: null, map_index: -1, state: null }), answer: { type: 'PreviousTIResult', task_instance: null }, denied: [({ ofXCom }) => ({ dag_id, task_id: ofXCom.task_id })] },
  {
    type: 'TriggerDagRun', grants: { triggers: ['weekly'] }, declares: { triggers: ['weekl*'] }, ask: ({ self }) => ({ dag_id: 'weekly', run_id: self.id, conf: { a: 1 }, note: 'n', logical_date: null, reset_dag_run: false }), denied: [() => ({ dag_id, run_id: 'new' }), () => ({ dag_id: 'monthly', run_id: 'new' })],
    answer: async (body: unknown, { api, self }: Scene) => assert.equal([body, (await api.getDagRun('weekly', self.id)).conf], [{ type: 'OKResponse', ok: true }, { a: 1 }]),
  },
  { ...ofItself('GetPrevSuccessfulDagRun'), answer: (body: Record<string, unknown> | null) => assert.is(body?.['type'], 'PrevSuccessfulDagRunResult') },
  { ...ofItself('ValidateInletsAndOutlets'), answer: { type: 'InactiveAssetsResult', inactive_assets: [] } },
  { ...ofItself('GetTaskRescheduleStartDate', { try_number: 1 }), answer: { type: 'TaskRescheduleStartDate', start_date: null }, never: [() => ({ ti_id: otherId, try_number: 1 }), ({ self }) => ({ ti_id: self.id, try_number: 2 })] },
  { ...ofItself('CreateHITLDetailPayload', { options: ['yes', 'no'], subject: 'go?', defaults: null, params: { a: 1 } }), answer: (body: Record<string, unknown> | null, { self }: Scene) => assert.equal([body?.['type'], body?.['ti_id']], ['HITLDetailRequestResult', self.id]) },
  { ...ofItself('GetHITLDetailResponse'), given: ({ api, self }) => api.askHuman({ ti_id: self.id, options: ['yes'], subject: 's' }), answer: (body: Record<string, unknown> | null) => assert.equal([body?.['type'], body?.['response_received']], ['HITLDetailResponseResult', false]) },
  { type: 'SetRenderedFields', ask: () => ({ rendered_fields: { sql: 'SELECT 1' } }), answer: null, denied: [] },
  { type: 'SetRenderedMapIndex', ask: () => ({ rendered_map_index: 'north' }), answer: null, denied: [] },
  { type: 'MaskSecret', ask: () => ({ value: 'hunter5-hunter5' }), answer: (body: unknown, { masker }: Scene) => assert.equal([body, masker.redact('hunter5-hunter5')], [null, '***']), denied: [] },
  {
    type: 'SkipDownstreamTasks', grants: { skips: ['left'] }, declares: { skips: ['le*'] }, ask: () => ({ tasks: ['left', ['left', 2]] }), denied: [() => ({ tasks: ['left', 'right'] }), () => ({ tasks: [['right', 1]] })],
    answer: null,
  },
  { type: 'SucceedTask', grants: { outlets: ['report'] }, declares: { outlets: ['report'] }, ask: () => ({ state: 'success', end_date: date, task_outlets: [{ name: 'report', uri: 's3://report', type: 'Asset' }], outlet_events: [{ dest_asset_key: { name: 'report', uri: 's3://report' }, extra: { rows: 1 } }] }), answer: stateIs('success'), denied: [() => ({ task_outlets: [{ name: 'other', uri: 's3://other', type: 'Asset' }] }), () => ({ task_outlets: [{ name: null, uri: 's3://other', type: 'AssetUriRef' }] }), () => ({ outlet_events: [{ dest_asset_key: { name: 'report', uri: 'u' }, source_alias_name: 'all' }] })] },
  { type: 'RetryTask', ask: () => ({ state: 'up_for_retry', end_date: date }), answer: stateIs('up_for_retry'), denied: [] },
  { type: 'TaskState', ask: () => ({ state: 'skipped', end_date: date }), answer: stateIs('running'), denied: [] }, // told when the task has ended
  { type: 'DeferTask', grants: { defers: [trigger] }, declares: { defers: ['lib.triggers.*'] }, ask: () => ({ state: 'deferred', classpath: trigger, trigger_kwargs: { at: 1 }, trigger_timeout: 'P1DT2.5S', next_method: 'done', next_kwargs: { a: 1 } }), answer: stateIs('deferred'), denied: [() => ({ classpath: 'os.system', next_method: 'done' })] },
  { type: 'AwaitInputTask', given: ({ api, self }) => api.askHuman({ ti_id: self.id, options: ['yes', 'no'], subject: 'go?' }), ask: () => ({ state: 'awaiting_input', timeout: 'P1D', next_method: 'done', next_kwargs: { a: 1 }, rendered_map_index: null }), answer: stateIs('awaiting_input'), denied: [] },
  { type: 'RescheduleTask', ask: () => ({ state: 'up_for_reschedule', reschedule_date: new Date('2030-01-01'), end_date: date }), answer: stateIs('up_for_reschedule'), denied: [] },
]; // prettier-ignore
