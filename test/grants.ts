// What a task's messages can make the supervisor ask for, whatever they say: every call that leaves the rows is looked at.

import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Permissions } from '../lib/broker/permissions.js';
import { BrokerDenied, UpstreamFailed } from '../lib/errors.js';
import { checkDeclaration, checkGrants, type Declaration, type GrantPreset, type Grants, reachOf } from '../lib/execution-api/grants.js';
import { executionApiMethods, type Identity } from '../lib/execution-api/methods.js';
import { Masker } from '../lib/secrets/masker.js';
import { codeOf } from './helpers/code-of.js';
import { cpuMsSince } from './helpers/cpu.js';

const suiteOfGrants = suite('grants');
const own: Identity = { id: randomUUID(), dag_id: 'own-dag', run_id: 'own-run', task_id: 'own-task', map_index: 3, try_number: 2 };
const other = { id: randomUUID(), dag_id: 'other-dag', run_id: 'other-run', task_id: 'other-task' };

type Call = readonly [name: string, ...args: unknown[]];

/** A table whose calls are remembered and answered 404; nothing here is about what a server does. */
function recorded(grants: Grants | GrantPreset, declares: Declaration = {}): { calls: Call[]; ask: (type: string, params: Record<string, unknown>) => Promise<void> } {
  const calls: Call[] = [];
  const api = new Proxy({}, { get: (_, name) => (...args: unknown[]) => {
    calls.push([String(name), ...args]);
    return Promise.reject(new UpstreamFailed('GET', 404));
  } });
  const report = { claim: (_method: string, update: unknown) => void calls.push(['claim', update]), send: async () => {} };
  const permissions = new Permissions();
  permissions.grant(executionApiMethods({ api: api as never, identity: own, grants, declares, report }));
  return {
    calls,
    async ask(type, fields) {
      try {
        const { row, params } = permissions.admit(type, fields);
        await row.handler(params, { task: own.id, signal: new AbortController().signal });
      } catch (error) {
        if (!(error instanceof BrokerDenied) && !(error instanceof UpstreamFailed)) throw error;
      }
    },
  };
}

const types = Object.keys(executionApiMethods({ api: {} as never, identity: own, report: {} as never }));
/** Values of a message's fields: what would be believed if anything were, and what is of no form at all. */
const names = fc.constantFrom(...Object.values(own).map(String), ...Object.values(other), 'granted', 'grant', 'Granted', 'granted ', '*', '..', '', 'success');
const value = fc.oneof({ weight: 6, arbitrary: names }, fc.constantFrom<unknown>(null, undefined, -1, 0, 3, 4, 1.5, true, new Date(0), new Uint8Array(2), [own.run_id], [own.run_id, other.run_id], ['granted'], [['granted', 0]], [['other-task', 0]], {}, { a: NaN }, '2030-01-01T00:00:00Z'));
const fields = ['key', 'conn_id', 'dag_id', 'run_id', 'task_id', 'map_index', 'ti_id', 'try_number', 'name', 'uri', 'alias_name', 'value', 'description', 'include_prior_dates', 'offset', 'start', 'stop', 'step',
  'rendered_fields', 'rendered_map_index', 'tasks', 'classpath', 'next_method', 'trigger_kwargs', 'state', 'logical_date', 'run_ids', 'states', 'conf', 'reset_dag_run', 'options', 'subject', 'reschedule_date', 'expires_at', 'id', 'identity']; // prettier-ignore
const message = fc.record({ type: fc.constantFrom(...types), fields: fc.dictionary(fc.constantFrom(...fields), value, { maxKeys: 8 }) });
const one = (...values: readonly unknown[]) => fc.constantFrom(undefined, ...values);
const id = (field: 'dag_id' | 'run_id' | 'task_id') => fc.constantFrom(own[field], own[field], other[field], 'granted');
const named = one('granted', 'granted', 'Granted', 'other');
/** Each field of a form that fits, and of a meaning that may not be theirs: nearly what is allowed. */
const plausible = fc.record({
  type: fc.constantFrom(...types),
  fields: fc.record({
    dag_id: id('dag_id'), run_id: id('run_id'), task_id: id('task_id'), key: fc.constantFrom('granted', 'other', 'a/b'), map_index: one(null, -1, 3, 4), ti_id: one(null, own.id, own.id.toUpperCase(), other.id), try_number: one(1, 2, 3),
    conn_id: named, name: named, uri: named, alias_name: named, classpath: named, value: one('v', null), include_prior_dates: one(true, false), offset: one(0, -1), step: one(1, -1), rendered_fields: one({ a: 'b' }), rendered_map_index: one('n'),
    tasks: one(['granted'], ['granted', 'other'], [['granted', 1]], [['other', 1]]), next_method: one('next'), state: one('failed', 'success'), logical_date: one('2030-01-01T00:00:00Z', new Date(0)), run_ids: one(null, [], [own.run_id], [other.run_id], [own.run_id, other.run_id]),
    conf: one({}), reset_dag_run: one(true), options: one(['yes']), subject: one('s'), reschedule_date: one(new Date(0)), expires_at: one(null, new Date(0)), id: one(other.id), identity: one(other),
  }),
}); // prettier-ignore

type Ref = { readonly [Field in 'dag_id' | 'run_id' | 'task_id' | 'map_index' | 'key']?: unknown };
const isOwnTask = (ref: Ref): boolean => ref.dag_id === own.dag_id && ref.run_id === own.run_id && ref.task_id === own.task_id;
const isOwnXCom = (ref: Ref): boolean => isOwnTask(ref) && ref.map_index === own.map_index;
const granted = (...asked: unknown[]): boolean => asked.every((each) => each === undefined || each === 'granted');
const ownRun = ({ dag_id, run_ids }: { readonly dag_id?: unknown; readonly run_ids?: readonly unknown[] }): boolean => dag_id === own.dag_id && run_ids?.length === 1 && run_ids[0] === own.run_id;

/** What each call may be about, where only the name `granted` is granted. */
const allowed: Readonly<Record<string, (...args: never[]) => boolean>> = {
  getVariable: (key: string) => granted(key),
  setVariable: (key: string) => granted(key),
  deleteVariable: (key: string) => granted(key),
  getVariableKeys: () => true, // and each line is looked at
  getConnection: (id: string) => granted(id),
  getXCom: (ref: Ref & { readonly include_prior_dates: boolean }) => (isOwnXCom(ref) && !ref.include_prior_dates) || (granted(ref.task_id) && ref.dag_id === own.dag_id && ref.run_id === own.run_id && !ref.include_prior_dates),
  countXComs: (ref: Ref) => granted(ref.task_id) && ref.run_id === own.run_id,
  getXComItem: (ref: Ref) => granted(ref.task_id) && ref.run_id === own.run_id,
  getXComSlice: (ref: Ref, { include_prior_dates }: { readonly include_prior_dates: boolean }) => granted(ref.task_id) && ref.run_id === own.run_id && !include_prior_dates,
  setXCom: (ref: Ref) => isOwnXCom(ref),
  deleteXCom: (ref: Ref) => isOwnXCom(ref),
  getAsset: (by: { readonly name?: string; readonly uri?: string }) => granted(by.name, by.uri),
  getAssetsByAlias: (alias: string) => granted(alias),
  getAssetEvents: ({ name, uri, alias }: { readonly name?: string; readonly uri?: string; readonly alias?: string }) => granted(name, uri, alias),
  getDagRun: (dag_id: string, run_id: string) => granted(dag_id) || ownRun({ dag_id, run_ids: [run_id] }),
  getDagRunState: (dag_id: string, run_id: string) => granted(dag_id) || ownRun({ dag_id, run_ids: [run_id] }),
  getBreadcrumbs: (dag_id: string, run_id: string) => granted(dag_id) || ownRun({ dag_id, run_ids: [run_id] }),
  getPreviousDagRun: ({ dag_id }: Ref) => granted(dag_id),
  getPreviousTaskInstance: ({ dag_id }: Ref) => granted(dag_id),
  countDagRuns: (filter: Ref) => granted(filter.dag_id) || ownRun(filter),
  countTaskInstances: (filter: Ref) => granted(filter.dag_id) || ownRun(filter),
  getTaskStates: (filter: Ref) => granted(filter.dag_id) || ownRun(filter),
  getDag: (dag_id: string) => granted(dag_id) || dag_id === own.dag_id,
  triggerDagRun: (dag_id: string) => granted(dag_id),
  clearDagRun: (dag_id: string) => granted(dag_id),
  skipDownstream: (id: string, tasks: readonly (string | readonly [string])[]) => id === own.id && tasks.every((task) => granted(typeof task === 'string' ? task : task[0])),
  setRenderedFields: (id: string) => id === own.id,
  setRenderedMapIndex: (id: string) => id === own.id,
  getPreviousSuccessfulRun: (id: string) => id === own.id,
  getInactiveAssets: (id: string) => id === own.id,
  getRescheduleStart: (id: string, try_number: number) => id === own.id && try_number <= own.try_number,
  askHuman: ({ ti_id }: { readonly ti_id: string }) => ti_id === own.id,
  getHumanAnswer: (id: string) => id === own.id,
  getTaskStateStore: (id: string) => id === own.id,
  setTaskStateStore: (id: string, _key: string, { value }: { readonly value: unknown }) => id === own.id && value != null,
  deleteTaskStateStore: (id: string) => id === own.id,
  clearTaskStateStore: (id: string) => id === own.id,
  getAssetStateStore: (by: { readonly name?: string; readonly uri?: string }) => granted(by.name, by.uri),
  setAssetStateStore: (by: { readonly name?: string; readonly uri?: string }, _key: string, value: unknown) => granted(by.name, by.uri) && value != null,
  deleteAssetStateStore: (by: { readonly name?: string; readonly uri?: string }) => granted(by.name, by.uri),
  clearAssetStateStore: (by: { readonly name?: string; readonly uri?: string }) => granted(by.name, by.uri),
  claim: (update: { readonly state: string; readonly classpath?: string }) => update.state !== 'deferred' || granted(update.classpath),
};

const onlyGranted: Grants = {
  variables: ['granted'], writableVariables: ['granted'], connections: ['granted'], xcoms: [{ task_id: 'granted' }], outlets: ['granted'], assets: ['granted'], assetStates: ['granted'], dags: ['granted'], triggers: ['granted'], skips: ['granted'], defers: ['granted'],
}; // prettier-ignore

for (const [what, messages, least] of [['of any form', message, 8], ['that are nearly right', plausible, 15]] as const) {
  suiteOfGrants(`messages ${what} make the supervisor ask for what was granted, in the task's own name`, async () => {
    const reached = new Set<string>();
    const { calls, ask } = recorded(onlyGranted);
    await fc.assert(fc.asyncProperty(messages, async ({ type, fields: asked }) => {
      calls.length = 0;
      await ask(type, asked);
      for (const [name, ...args] of calls) {
        reached.add(name);
        assert.ok(allowed[name]?.(...(args as never[])) === true, `${type} ${JSON.stringify(asked)} -> ${name} ${JSON.stringify(args)}`);
      }
    }), { numRuns: 5_000 });
    assert.ok(reached.size >= least, [...reached].join()); // control: some get through
  });
}

suiteOfGrants('a declaration that is slow to compare does not hold the others up', async () => {
  const slow = (kind: string): string[] => Array.from({ length: 1_000 }, (_, index) => `*${'a'.repeat(750)}${kind}${index}*`);
  const { calls, ask } = recorded('declared', { outlets: [...slow('o'), 'mine'], xcoms: slow('x').map((pattern) => `${pattern}/*/*`), skips: ['mine*'] });
  const long = 'a'.repeat(1 << 20);
  const before = process.cpuUsage();
  await ask('SucceedTask', { task_outlets: Array.from({ length: 3_000 }, (_, index) => ({ name: `${'a'.repeat(1_000)}${index}`, type: 'Asset' })), outlet_events: [] });
  await ask('SucceedTask', { task_outlets: [{ name: long, type: 'Asset' }], outlet_events: [] });
  await ask('GetXCom', { key: 'k', dag_id: long, run_id: own.run_id, task_id: 't' });
  await ask('SkipDownstreamTasks', { tasks: [`mine${long}`] });
  assert.equal(calls, []);
  assert.ok(cpuMsSince(before) < 2_000, `${cpuMsSince(before)} ms`); // a minute and more, each of the first three
  await ask('SucceedTask', { task_outlets: [{ name: 'mine', type: 'Asset' }], outlet_events: [] }); // control
  await ask('SkipDownstreamTasks', { tasks: ['mine1'] });
  assert.equal(calls.map(([name]) => name), ['claim', 'skipDownstream']);
});

suiteOfGrants('what a task has hidden is bounded by its lines too, and is looked through at once', async () => {
  using masker = new Masker();
  const lines = (count: number): string => Array.from({ length: count }, (_, index) => `a line of a secret ${index}`).join('\n');
  const api = { getVariable: async (key: string) => ({ value: key === 'large_password' || key === 'large_text' ? lines(150_000) : lines(100) }), setVariable: async () => {} };
  const permissions = new Permissions();
  permissions.grant(executionApiMethods({ api: api as never, identity: own, grants: 'airflow', report: {} as never, masker }));
  const code = (error: unknown): unknown => (error as NodeJS.ErrnoException).code;
  const ask = async (type: string, fields: object): Promise<unknown> => {
    const before = process.cpuUsage();
    const { row, params } = permissions.admit(type, fields);
    const answer = await row.handler(params, { task: own.id, signal: new AbortController().signal });
    assert.ok(cpuMsSince(before) < 2_000, `${type} ${cpuMsSince(before)} ms`);
    return answer;
  };
  assert.is(await ask('GetVariable', { key: 'large_password' }).catch(code), 'ERR_BROKER_DENIED'); // hours, where each is compared with each
  assert.is(await ask('MaskSecret', { value: lines(2_500) }).catch(code), 'ERR_BROKER_DENIED');
  await ask('PutVariable', { key: 'own_password', value: lines(150_000) });
  assert.is(masker.size, 0);
  assert.ok(await ask('GetVariable', { key: 'large_text' })); // nothing of it is hidden
  assert.is(masker.size, 0);
  assert.ok(await ask('GetVariable', { key: 'small_password' })); // control
  assert.is(masker.redact('see a line of a secret 17'), 'see ***');
});

suiteOfGrants('with everything granted a task still speaks for itself alone', async () => {
  const self = new Set(['setXCom', 'deleteXCom', 'setRenderedFields', 'setRenderedMapIndex', 'getPreviousSuccessfulRun', 'getInactiveAssets', 'getRescheduleStart', 'askHuman', 'getHumanAnswer', 'getTaskStateStore', 'setTaskStateStore', 'deleteTaskStateStore', 'clearTaskStateStore']);
  const reached = new Set<string>();
  const { calls, ask } = recorded('airflow');
  await fc.assert(fc.asyncProperty(plausible, async ({ type, fields: asked }) => {
    calls.length = 0;
    await ask(type, asked);
    for (const [name, ...args] of calls) {
      reached.add(name);
      if (self.has(name)) assert.ok(allowed[name]?.(...(args as never[])) === true, `${type} -> ${name} ${JSON.stringify(args)}`);
      if (name === 'skipDownstream') assert.is(args[0], own.id);
    }
  }), { numRuns: 5_000 });
  assert.ok(reached.size >= 20, [...reached].join());
});

suiteOfGrants('names are taken to the letter, patterns by what they cover, and a preset by its name', () => {
  const has = (grants: Grants | GrantPreset, declares: Declaration, name: string): boolean => reachOf(grants, declares, own).has('variables', name);
  assert.equal(['etl_a', 'etl_*', 'etl_'].map((name) => has({ variables: ['etl_*'] }, {}, name)), [false, true, false]);
  assert.equal(['etl_a', 'etl_*', 'etl_', 'etl', 'x_etl_a'].map((name) => has('declared', { variables: ['etl_*'] }, name)), [true, true, true, false, false]);
  assert.equal([has('declared', {}, 'a'), has({ variables: 'any' }, {}, 'a'), has('airflow', {}, 'a'), has({}, { variables: ['*'] }, 'a')], [false, true, true, false]);
  for (const name of ['__proto__', 'constructor', 'toString']) assert.not.ok(has({ variables: [] }, {}, name) || has('declared', {}, name), name);
});

suiteOfGrants('of XComs a grant says which, and of earlier runs only what it says', () => {
  const name = { dag_id: own.dag_id, run_id: own.run_id, task_id: 'extract', key: 'k' };
  const has = (grants: Grants | GrantPreset, change: object = {}, prior = false, declares: Declaration = {}): boolean => reachOf(grants, declares, own).hasXCom({ ...name, ...change }, prior);
  const grant = { xcoms: [{ task_id: 'extract', key: 'k' }] };
  assert.equal([has(grant), has(grant, { key: 'l' }), has(grant, { run_id: 'r' }), has(grant, { dag_id: 'd' }), has(grant, { task_id: 't' }), has(grant, {}, true)], [true, false, false, false, false, false]);
  assert.ok(has({ xcoms: [{ task_id: 'extract', priorRuns: true }] }, {}, true));
  assert.ok(has({ xcoms: 'any' }, { dag_id: 'd', run_id: 'r' }, true));
  const declares = { xcoms: ['own-dag/ex*/k'] };
  assert.equal([has('declared', {}, false, declares), has('declared', { run_id: 'earlier' }, true, declares), has('declared', { key: 'l' }, false, declares), has('declared', { dag_id: 'own-dag/ex' }, false, declares)], [true, true, false, false]);
});

suiteOfGrants('what is no grant or declaration is refused by name', () => {
  const code = (grants: unknown): string | undefined => codeOf(() => checkGrants('options.grants', grants));
  for (const grants of ['declared', 'airflow', {}, { variables: 'any', xcoms: 'any', dags: [] }, { xcoms: [{ task_id: 't', key: 'k', priorRuns: true }] }, { variables: undefined }]) assert.is(code(grants), undefined, JSON.stringify(grants));
  for (const grants of ['any', 'Airflow', { variable: [] }, { xcoms: [{ task_id: 't', keys: ['k'] }] }]) assert.is(code(grants), 'ERR_OUT_OF_RANGE', JSON.stringify(grants));
  for (const grants of [null, 1, [], { variables: 'all' }, { variables: [1] }, { variables: { a: 1 } }, { xcoms: ['own/t/k'] }, { xcoms: [{ key: 'k' }] }, { xcoms: [{ task_id: 't', priorRuns: 'yes' }] }, { xcoms: [{ task_id: 't', run_id: 1 }] }]) assert.is(code(grants), 'ERR_INVALID_ARG_TYPE', JSON.stringify(grants));
  const declared = (declares: unknown): string | undefined => codeOf(() => checkDeclaration('options.declares', declares));
  assert.equal([declared({ variables: ['*'], defers: [] }), declared({ variables: 'any' }), declared({ variable: [] }), declared(null)], [undefined, 'ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_TYPE']);
});

suiteOfGrants.run();
