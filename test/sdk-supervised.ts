// sallyport/task as an author uses it: the same task files under a real supervisor, locked, before a real server, and with
// sallyport/task/testing, in the test's own process. What they return and what becomes of them must be the same.

import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ExecutionApi, Secret, Supervisor, type LogLine, type Outcome, type RunOptions, type SupervisorOptions } from '../lib/index.js';
import { fakeSupervisor, type FakeOptions, type FakeOutcome } from '../lib/sdk/testing.js';
import { createServer, type Seed, type Server } from '../lib/server/index.js';

const sdk = suite('sdk-supervised');

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-sdk-')));
const bundle = join(folder, 'bundle');
mkdirSync(bundle);
const lib = new URL('../lib/', import.meta.url).href;
let server: Server;
let adminUrl: string;
const credential = randomBytes(32).toString('hex');

sdk.before(async () => {
  server = await createServer({ signingKey: Secret.fromBytes(randomBytes(64)), adminCredential: Secret.fromBytes(Buffer.from(credential)) });
  await server.listen();
  adminUrl = await server.listenAdmin();
});
sdk.after(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** What a scheduler or an operator does. */
async function move(id: string, state: 'queued' | 'failed'): Promise<void> {
  const answer = await fetch(new URL(`task-instances/${id}`, adminUrl), { method: 'PATCH', headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' }, body: JSON.stringify({ state }) });
  assert.is(answer.status, 200, await answer.text());
}

let files = 0;
/** In the bundle, which has no package: what it imports is the supervisor's. */
function bundled(source: string, ending: string): string {
  const name = `task-${++files}.${ending}`;
  writeFileSync(join(bundle, name), source);
  return name;
}

interface Ran { readonly outcome: Outcome; readonly lines: readonly LogLine[]; readonly api: ExecutionApi; readonly id: string; readonly task_id: string; readonly run_id: string }
interface How { readonly seed?: Seed; readonly extracted?: unknown; readonly ending?: string; readonly max_tries?: number; readonly options?: RunOptions; readonly more?: Partial<SupervisorOptions>; readonly during?: (id: string, line: LogLine) => void }

const dag_id = 'daily';

/** Under a supervisor, in a run of its own. `look` is called before the connections are closed, and sees the server as another task would. */
async function supervised(source: string, { seed = {}, extracted, ending = 'mjs', max_tries = 0, options = {}, more = {}, during }: How, look: (ran: Ran) => unknown): Promise<void> {
  const id = randomUUID();
  const ti = { id, dag_id, run_id: id, task_id: 'load', map_index: -1 };
  const onlooker = { ...ti, id: randomUUID(), task_id: 'onlooker' };
  await server.seed(seed);
  await server.seed({ taskInstances: [{ ...ti, max_tries, state: 'queued' }, { ...onlooker, state: 'queued' }] });
  const token = async (of: string): Promise<Secret> => Secret.fromBytes(Buffer.from(await server.issueWorkloadToken(of)));
  const lines: LogLine[] = [];
  await using api = new ExecutionApi({ baseUrl: server.url ?? '' });
  if (extracted !== undefined) {
    const before = { ...ti, id: randomUUID(), task_id: 'extract' };
    await server.seed({ taskInstances: [before] });
    await using extract = api.withToken(await token(before.id));
    await extract.run(before.id, { hostname: 'h', unixname: 'u', pid: 1, start_date: new Date().toISOString() });
    await extract.setXCom({ ...before, key: 'return_value' }, extracted);
  }
  const onLog = (line: LogLine): void => {
    lines.push(line);
    during?.(id, line);
  };
  await using supervisor = new Supervisor({ api, bundles: { b: bundle }, onLog, heartbeatIntervalMs: 200, ...more });
  const workload = { type: 'ExecuteTask', ti: { ...ti, try_number: 1 }, dag_rel_path: bundled(source, ending), bundle_info: { name: 'b' } };
  const outcome = await supervisor.run(workload, { token: await token(id), ...options });
  await using others = api.withToken(await token(onlooker.id));
  await others.run(onlooker.id, { hostname: 'h', unixname: 'u', pid: 1, start_date: new Date().toISOString() });
  await look({ outcome, lines, api: others, id, task_id: 'load', run_id: id });
}

/** With the fake, from the same source. */
async function faked(source: string, options: FakeOptions, ending = 'mjs'): Promise<FakeOutcome & { fake: ReturnType<typeof fakeSupervisor> }> {
  const file = join(folder, `faked-${++files}.${ending}`);
  writeFileSync(file, source.replaceAll(/(['"])sallyport\/task\1/g, JSON.stringify(ending === 'cjs' ? new URL('sdk/index.js', lib).pathname : new URL('sdk/index.js', lib).href)));
  const fake = fakeSupervisor(options);
  return { ...(await fake.run((await import(pathToFileURL(file).href)) as Record<string, unknown>)), fake };
}

const everything = `
  import { assets, connections, context, dagRuns, log, maskSecret, skipDownstream, state, TaskError, triggerDagRun, variables, xcom } from 'sallyport/task';
  const code = async (promise) => { try { await promise; return 'done'; } catch (error) { return [error instanceof TaskError, error.code]; } };
  export default async (given) => {
    const { dag_id, run_id } = context.ti;
    const seen = { conf: given.dag_run.conf, max_tries: given.max_tries, reschedules: given.task_reschedule_count, map_index: given.ti.map_index, aborted: given.signal.aborted };
    seen.colour = [await variables.get('colour'), await variables.get('none', { default: 7 }), await code(variables.get('none'))];
    await variables.set('cursor', '41', { description: 'where we are' });
    await variables.set('cursor', '42');
    seen.cursor = await variables.get('cursor');
    await variables.delete('old');
    seen.keys = await variables.keys({ prefix: 'c' });
    const { conn_id, conn_type, login, port } = await connections.get('db');
    seen.connection = { conn_id, conn_type, login, port };
    seen.none = await code(connections.get('none'));
    await xcom.push('rows', { n: 3 });
    await xcom.push('mistake', 1);
    await xcom.delete('mistake');
    seen.own = [await xcom.pull({ key: 'rows' }), await xcom.pull({ key: 'mistake' }), await xcom.pullAll({ key: 'rows' })];
    seen.others = [await xcom.pull({ task_id: 'extract' }), await xcom.pull({ task_id: 'extract', key: 'other', map_index: 1 })];
    seen.notJson = await code(xcom.push('date', new Date(0)));
    seen.state = [await state.get('offset'), await state.get('offset', { default: 0 })];
    await state.set('offset', { row: 7 }, { retentionMs: 60_000 });
    await state.set('a/b c', false, { retentionMs: Infinity });
    await state.set('gone', 1);
    await state.delete('gone');
    seen.kept = [await state.get('offset'), await state.get('a/b c', { default: true }), await state.get('gone'), await code(state.set('d', new Date(0))), await code(state.set('n', null))];
    await state.clear();
    seen.cleared = await state.get('offset');
    seen.asset = [(await assets.get({ name: 'report' })).uri, (await assets.get({ uri: 's3://report' })).name, await code(assets.get({ name: 'none' }))];
    seen.events = await assets.events({ name: 'report' }, { limit: 1, after: new Date(0) });
    assets.updated({ name: 'report', uri: 's3://report' }, { extra: { rows: 3 } });
    const watermark = assets.state({ name: 'report' });
    seen.watermark = [await watermark.get('rows'), await watermark.get('rows', { default: 0 })];
    await watermark.set('rows', 41);
    seen.marked = [await assets.state({ uri: 's3://report' }).get('rows'), await code(watermark.set('d', new Date(0))), await code(assets.state({ name: 'none' }).get('rows')), await code(assets.state({ name: 'none' }).set('rows', 1))];
    await watermark.set('left', [1]);
    await watermark.delete('rows');
    seen.left = [await watermark.get('rows'), await watermark.get('left')];
    seen.run = [(await dagRuns.get(dag_id, run_id)).run_id === run_id, await dagRuns.state(dag_id, run_id), await code(dagRuns.state(dag_id, 'none'))];
    const started = await triggerDagRun('weekly', { conf: { from: 'here' } });
    seen.started = [typeof started, await dagRuns.state('weekly', started), await code(triggerDagRun('weekly', { run_id: started }))];
    await triggerDagRun('weekly', { run_id: started, reset_dag_run: true });
    await skipDownstream(['clean', ['clean', 1]]);
    await maskSecret('hunter2-hunter2');
    console.log('say hunter2-hunter2');
    log.info('done', { rows: 3 });
    return seen;
  };
`;
const grants = {
  variables: ['colour', 'none', 'cursor'], writableVariables: ['cursor', 'old'], connections: ['db', 'none'], xcoms: [{ task_id: 'extract' }], outlets: ['report'],
  assets: ['report', 's3://report', 'none'], assetStates: ['report', 's3://report', 'none'], dags: [dag_id, 'weekly'], triggers: ['weekly'], skips: ['clean'],
}; // prettier-ignore

sdk('all that a task can do, under a supervisor and with the fake', async () => {
  const faking = await faked(everything, {
    variables: { colour: 'green', old: '1', size: '3' },
    connections: { db: { conn_type: 'postgres', login: 'me' } },
    assets: [{ name: 'report', uri: 's3://report' }],
    context: { dag_run: { dag_id } },
  });
  assert.is(faking.state, 'success', JSON.stringify(faking.error));
  const seed: Seed = { variables: { colour: 'green', old: '1', size: '3' }, connections: [{ conn_id: 'db', conn_type: 'postgres', login: 'me' }], assets: [{ name: 'report', uri: 's3://report' }], dags: [{ dag_id: 'weekly' }, { dag_id, declares: { assetStates: ['*'] } }] };
  await supervised(everything, { seed, options: { grants } }, async ({ outcome, lines, api, ...own }) => {
    assert.is(outcome.state, 'success', JSON.stringify([outcome, lines]));
    const { value } = await api.getXCom({ dag_id, ...own, key: 'return_value' });
    assert.equal(value, faking.returned);
    assert.equal((value as { kept: unknown }).kept, [{ row: 7 }, false, null, [true, 'ERR_BROKER_DENIED'], [true, 'ERR_BROKER_DENIED']]);
    assert.equal((value as { marked: unknown[] }).marked, [41, [true, 'ERR_BROKER_DENIED'], 'done', [true, 'API_SERVER_ERROR']]);
    assert.equal((value as { keys: string[] }).keys, ['colour', 'cursor']); // what it may read, and no other
    assert.equal((await api.getAssetEvents({ name: 'report' })).asset_events.map(({ extra, source_task_id }) => [extra, source_task_id]), [[{ rows: 3 }, 'load']]);
    assert.equal(lines.filter(({ source }) => source === 'stdout').map(({ line }) => line), ['say ***']);
  });
  const { fake, message } = faking;
  assert.equal([fake.variables.get('cursor'), fake.variables.has('old'), fake.masked, fake.skipped], ['42', false, ['hunter2-hunter2'], ['clean', ['clean', 1]]]);
  assert.equal([...(fake.assetStates.get('report') ?? [])], [['left', [1]]]);
  assert.equal(fake.triggered.map(({ dag_id: of, conf }) => [of, conf]), [['weekly', { from: 'here' }], ['weekly', undefined]]);
  assert.equal([...fake.pushed.keys()], ['rows', 'return_value']);
  assert.equal(message['outlet_events'], [{ dest_asset_key: { name: 'report', uri: 's3://report' }, extra: { rows: 3 } }]);
  assert.equal(fake.logs.map(({ level, event, rows }) => [level, event, rows]), [['info', 'done', 3]]);
});

sdk('the task that docs/sdk.md shows runs under a supervisor, with what it declares', async () => {
  const [, task = ''] = /^```js\n\/\/ load\.mjs\n([^]*?)^```/m.exec(readFileSync(new URL('../docs/sdk.md', import.meta.url), 'utf8')) ?? [];
  const seed: Seed = { connections: [{ conn_id: 'warehouse', conn_type: 'postgres', host: 'db', password: 'hunter2-hunter2' }] };
  const declares = { variables: ['region'], connections: ['ware*'], xcoms: ['daily/extract/return_value'] };
  await supervised(task, { seed, options: { declares } }, ({ outcome }) => {
    assert.equal([outcome.state, outcome.reason], ['failed', "TypeError: Cannot read properties of null (reading 'length')"]); // nothing was extracted
  });
  await supervised(task, { seed, extracted: ['a', 'b'], options: { declares } }, async ({ outcome, api, run_id, lines }) => {
    assert.is(outcome.state, 'success', JSON.stringify(lines));
    assert.equal((await api.getXCom({ dag_id, run_id, task_id: 'load', key: 'return_value' })).value, { loaded: 2, region: 'north' });
    const logged = JSON.parse(lines.find(({ source }) => source === 'log')?.line ?? '{}') as Record<string, unknown>;
    assert.equal([logged['event'], logged['rows'], logged['host'], logged['signed']], ['loading', 2, 'db', true]);
  });
});

const ends: readonly (readonly [what: string, source: string, state: FakeOutcome['state'], how?: { readonly retry?: true; readonly reason?: string; readonly ending?: string }])[] = [
  ['returns', 'export default () => 1', 'success'],
  ['throws', 'export default () => { throw new TypeError("no"); }', 'failed', { reason: 'TypeError: no' }],
  ['throws and has a try left', 'export default () => { throw new TypeError("no"); }', 'up_for_retry', { retry: true, reason: 'TypeError: no' }],
  ['fails for good', 'import { fail } from "sallyport/task"; export default () => fail("hopeless")', 'failed', { retry: true, reason: 'hopeless' }],
  ['skips', 'import { skip } from "sallyport/task"; export default async () => { await null; skip("not today"); }', 'skipped', { reason: 'not today' }],
  ['reschedules', 'import { reschedule } from "sallyport/task"; export default () => reschedule(new Date(Date.now() + 60_000))', 'up_for_reschedule'],
  ['defers', 'import { defer } from "sallyport/task"; export default () => defer({ trigger: "lib.Timer", trigger_kwargs: { at: 1 }, method_name: "resume", kwargs: { a: 1 }, timeoutMs: 1500 })', 'deferred'],
  ['asks people', 'import { awaitInput } from "sallyport/task"; export default () => awaitInput({ subject: "go?", options: ["yes", "no"], method_name: "resume", timeoutMs: 1500 })', 'awaiting_input'],
  ['asks people nothing', 'import { awaitInput } from "sallyport/task"; export default () => awaitInput({ subject: "go?", options: [], method_name: "resume" })', 'failed'],
  ['asks people, and would go on with what cannot be sent', 'import { awaitInput } from "sallyport/task"; export default () => awaitInput({ subject: "go?", options: ["yes"], method_name: "resume", kwargs: { at: new Date() } })', 'failed'],
  ['defers with what cannot be sent', 'import { defer } from "sallyport/task"; export default () => defer({ trigger: "lib.Timer", trigger_kwargs: { at: new Date() }, method_name: "resume" })', 'failed'],
  ['swallows nothing that ends it', 'import { skip, TaskOutcome } from "sallyport/task"; export default () => { try { skip(); } catch (error) { if (error instanceof TaskOutcome) throw error; } }', 'skipped'],
  ['is CommonJS', 'const { skip } = require("sallyport/task"); module.exports = () => skip("old");', 'skipped', { reason: 'old', ending: 'cjs' }],
  ['is CommonJS that a compiler made', 'const task_1 = require("sallyport/task"); exports.__esModule = true; exports.default = async () => (await task_1.xcom.push("a", 1), 2);', 'success', { ending: 'cjs' }],
  ['reports an asset that cannot be sent', 'import { assets } from "sallyport/task"; export default () => assets.updated({ name: "report", uri: "u" }, { extra: { f() {} } })', 'failed'],
];

for (const [what, source, state, { retry, reason, ending = 'mjs' } = {}] of ends) {
  sdk(`a task that ${what} is ${state}, under a supervisor and with the fake`, async () => {
    const faking = await faked(source, { context: { should_retry: retry === true } }, ending);
    assert.equal([faking.state, reason === undefined ? undefined : faking.reason], [state, reason], JSON.stringify(faking));
    await supervised(source, { ending, max_tries: retry === true ? 1 : 0, options: { grants: { defers: ['lib.Timer'], dags: [dag_id] } } }, async ({ outcome, lines, api, run_id, task_id }) => {
      assert.equal([outcome.state, outcome.reported, outcome.exit], [state, true, { kind: 'exited', exitCode: 0 }], JSON.stringify([outcome, lines]));
      if (reason !== undefined) assert.is(outcome.reason, reason);
      assert.is((await api.getTaskStates({ dag_id, run_ids: [run_id], task_ids: [task_id] })).task_states[run_id]?.[task_id], state);
    });
  });
}

sdk("what a task keeps its next try finds, and another task's does not", async () => {
  const file = bundled(`import { state } from 'sallyport/task';
    export default async () => {
      const came = await state.get('came', { default: 0 });
      await state.set('came', came + 1);
      if (came === 0) throw new Error('the first time');
      return came;
    };`, 'mjs');
  await using api = new ExecutionApi({ baseUrl: server.url ?? '' });
  await using supervisor = new Supervisor({ api, bundles: { b: bundle } });
  const run = async (task_id: string, try_number: number): Promise<Outcome> => {
    const ti = { id: randomUUID(), dag_id, run_id: 'keeping', task_id, map_index: -1, try_number };
    await server.seed({ taskInstances: [{ ...ti, max_tries: 1 }] });
    return supervisor.run({ type: 'ExecuteTask', ti, dag_rel_path: file, bundle_info: { name: 'b' } }, { token: Secret.fromBytes(Buffer.from(await server.issueWorkloadToken(ti.id))) });
  };
  const states: string[] = [];
  for (const [task_id, try_number] of [['load', 1], ['other', 1], ['load', 2]] as const) states.push((await run(task_id, try_number)).state);
  assert.equal(states, ['up_for_retry', 'up_for_retry', 'success']);
});

sdk('what was not granted ends a task as a failure that says so, and nothing of it is told', async () => {
  for (const source of [
    'import { defer } from "sallyport/task"; export default () => defer({ trigger: "lib.Timer", method_name: "resume" })',
    'import { assets } from "sallyport/task"; export default () => assets.updated({ name: "report", uri: "s3://report" })',
  ]) {
    await supervised(source, {}, ({ outcome }) => {
      assert.is(outcome.state, 'failed');
      assert.match(outcome.reason ?? '', /ERR_BROKER_DENIED/);
    });
  }
});

sdk('a deferred task goes on by the export that it named, with its arguments and the event', async () => {
  const source = `export default () => { throw new Error('from the beginning'); };
    export const resume = async ({ ti }, { a, event }) => [ti.task_id, a, event];`;
  const context = { next_method: 'resume', next_kwargs: { a: 1, event: { ready: true } } };
  assert.equal((await faked(source, { context })).returned, ['task', 1, { ready: true }]);
  assert.is((await faked(source, { context: { next_method: 'elsewhere' } })).reason, 'TaskError: the task file exports no function "elsewhere", by which it is to go on [ERR_TASK_FILE]');
  for (const [next_kwargs, reason] of [
    [{ error: 'Trigger failure', traceback: ['Error: no such bucket', '    at file.mjs:3'] }, 'TaskError: the trigger that the task waited for has failed: Error: no such bucket\n    at file.mjs:3 [ERR_TRIGGER_FAILED]'],
    [{ error: 'Trigger timeout' }, 'TaskError: the trigger that the task waited for has not fired in time [ERR_TRIGGER_TIMEOUT]'],
    [null, 'TaskError: the trigger that the task waited for has failed [ERR_TRIGGER_FAILED]'],
  ] as const) {
    const ran = await faked(source, { context: { next_method: '__fail__', next_kwargs } as never });
    assert.equal([ran.state, ran.reason], ['failed', reason]);
    assert.is((await faked(source, { context: { next_method: '__fail__', next_kwargs, should_retry: true } as never })).state, 'up_for_retry');
  }
  assert.equal((await faked('module.exports = { default: () => 1, ...Object.fromEntries([["resume", (_, { a }) => a]]) };', { context }, 'cjs')).returned, 1);
  // Under a supervisor: deferred, made to wait again by a scheduler, and run as Airflow's would be, by the same workload.
  const file = bundled(`import { defer } from 'sallyport/task'; export default () => defer({ trigger: 'lib.Timer', method_name: 'resume', kwargs: { a: 1 } });
    export const resume = ({ ti }, { a }) => [ti.task_id, a];`, 'mjs');
  const ti = { id: randomUUID(), dag_id, run_id: 'deferring', task_id: 'load', map_index: -1 };
  await server.seed({ taskInstances: [ti] });
  await using api = new ExecutionApi({ baseUrl: server.url ?? '' });
  await using supervisor = new Supervisor({ api, bundles: { b: bundle } });
  const run = async (): Promise<Outcome> => supervisor.run({ type: 'ExecuteTask', ti: { ...ti, try_number: 1 }, dag_rel_path: file, bundle_info: { name: 'b' } }, { token: Secret.fromBytes(Buffer.from(await server.issueWorkloadToken(ti.id))), declares: { defers: ['lib.*'] } });
  assert.is((await run()).state, 'deferred');
  await move(ti.id, 'queued');
  assert.equal([(await run()).state], ['success']);
});

sdk('a task that asked people goes on with what one of them answers, and fails where nobody does in time', async () => {
  const file = bundled(`import { awaitInput } from 'sallyport/task';
    export default ({ ti }) => awaitInput({ subject: 'Deploy ' + ti.run_id + '?', body: 'all of it', options: ['yes', 'no'], params: { note: '' }, method_name: 'deploy', kwargs: { a: 1 }, ...(ti.run_id === 'late' && { timeoutMs: 1 }), ...(ti.run_id === 'default' && { timeoutMs: 1, defaults: ['no'] }) });
    export const deploy = ({ ti }, { a, event }) => ({ task: ti.task_id, a, ...event });`, 'mjs');
  const admin = async (method: string, path: string, body?: object): Promise<Record<string, unknown>> => {
    const answer = await fetch(new URL(path, adminUrl), { method, headers: { authorization: `Bearer ${credential}`, ...(body && { 'content-type': 'application/json' }) }, body: body ? JSON.stringify(body) : null });
    assert.is(answer.status, 200);
    return (await answer.json()) as Record<string, unknown>;
  };
  await using api = new ExecutionApi({ baseUrl: server.url ?? '' });
  await using supervisor = new Supervisor({ api, bundles: { b: bundle } });
  const whole = async (run_id: string, act: (id: string) => Promise<unknown>): Promise<{ outcome: Outcome; pushed: unknown }> => {
    const ti = { id: randomUUID(), dag_id, run_id, task_id: 'asking', map_index: -1 };
    await server.seed({ taskInstances: [ti] });
    const run = async (): Promise<Outcome> => supervisor.run({ type: 'ExecuteTask', ti: { ...ti, try_number: 1 }, dag_rel_path: file, bundle_info: { name: 'b' } }, { token: Secret.fromBytes(Buffer.from(await server.issueWorkloadToken(ti.id))) });
    assert.is((await run()).state, 'awaiting_input');
    await act(ti.id);
    while ((await admin('GET', `task-instances/${ti.id}`))['state'] !== 'queued') await new Promise((resolve) => setTimeout(resolve, 20));
    const outcome = await run();
    const onlooker = { ...ti, id: randomUUID(), task_id: 'onlooker' };
    await server.seed({ taskInstances: [onlooker] });
    await using other = api.withToken(Secret.fromBytes(Buffer.from(await server.issueWorkloadToken(onlooker.id))));
    await other.run(onlooker.id, { hostname: 'h', unixname: 'u', pid: 1, start_date: new Date().toISOString() });
    return { outcome, pushed: (await other.getXCom({ dag_id, run_id, task_id: 'asking', key: 'return_value' })).value };
  };
  const by = { id: '7', name: 'Ada' };
  const answered = await whole('now', async (id) => {
    const { asked_at, subject, body } = await admin('GET', `hitl-details/${id}`);
    assert.equal([subject, body], ['Deploy now?', 'all of it']);
    await admin('PATCH', `hitl-details/${id}`, { chosen_options: ['yes'], params_input: { note: 'well' }, responded_by: by, asked_at });
  });
  const { responded_at, ...rest } = answered.pushed as { responded_at: string };
  assert.equal([answered.outcome.state, rest], ['success', { task: 'asking', a: 1, chosen_options: ['yes'], params_input: { note: 'well' }, responded_by_user: by, timedout: false }]);
  assert.ok(Math.abs(Date.parse(responded_at) - Date.now()) < 60_000, responded_at);
  const defaults = await whole('default', async () => {});
  assert.equal([defaults.outcome.state, (defaults.pushed as { chosen_options: unknown }).chosen_options, (defaults.pushed as { timedout: unknown }).timedout], ['success', ['no'], true]);
  const late = await whole('late', async () => {});
  assert.equal([late.outcome.state, late.outcome.reason], ['failed', 'TaskError: nobody has answered in time what the task has asked [ERR_INPUT_TIMEOUT]']);
  // With the fake, what comes back is the test's to say.
  const source = readFileSync(join(bundle, file), 'utf8');
  const asked = await faked(source, { context: { ti: { run_id: 'r' } } });
  assert.equal([asked.state, asked.fake.questions.map(({ subject }) => subject), asked.message['next_method']], ['awaiting_input', ['Deploy r?'], 'deploy']);
  const event = { chosen_options: ['no'], params_input: {}, responded_at: '2026-04-06T00:00:00Z', responded_by_user: null, timedout: true };
  const next_kwargs = { ...(asked.message['next_kwargs'] as object), event };
  assert.equal((await faked(source, { context: { next_method: 'deploy', next_kwargs } })).returned, { task: 'task', a: 1, ...event });
});

/** Runs until it says that it waits. Then an operator ends it, which the next heartbeat learns: SIGTERM. */
async function ended(source: string, look: (ran: Ran) => unknown): Promise<void> {
  const moved: Promise<void>[] = [];
  const during = (id: string, { line }: LogLine): void => {
    if (line === 'waiting') moved.push(move(id, 'failed'));
  };
  await supervised(source, { during, more: { heartbeatIntervalMs: 50, killGraceMs: 30_000 } }, look);
  await Promise.all(moved);
}
const said = ({ lines }: Ran): string[] => lines.filter(({ source }) => source === 'stdout').map(({ line }) => line);

sdk('a task that is asked to end ends at once, unless it wants to know of it', async () => {
  await ended('export default () => { console.log("waiting"); return new Promise(() => setInterval(() => {}, 1000)); }', (ran) => {
    assert.equal([ran.outcome.state, ran.outcome.exit], ['server_terminated', { kind: 'signaled', signal: 'SIGTERM' }]);
  });
});

sdk('hooks of onKill are called, awaited, and fail alone; then the task has failed', async () => {
  const source = `import { onKill } from 'sallyport/task';
    onKill(async () => { await null; console.log('cleaned'); });
    onKill(() => { throw new Error('of the hook'); });
    export default () => { console.log('waiting'); return new Promise(() => setInterval(() => {}, 1000)); }`;
  await ended(source, (ran) => {
    assert.equal(said(ran), ['waiting', 'cleaned']);
    const events = ran.lines.filter(({ source: from }) => from === 'log').map(({ line }) => JSON.parse(line) as { event: string; error: { code?: string } });
    assert.equal(events.map(({ event }) => event).slice(0, 2), ['a hook of onKill failed', 'the task failed']);
    assert.is(events[1]?.error.code, 'ERR_TASK_KILLED');
  });
});

sdk('a task that looks at the signal ends by itself', async () => {
  const source = `import { context, onKill } from 'sallyport/task';
    import { setTimeout as sleep } from 'node:timers/promises';
    onKill(() => console.log('hook'));
    export default async ({ signal }) => {
      console.log('waiting');
      try { await sleep(600_000, undefined, { signal }); } catch (error) { await sleep(50); console.log(error.name, signal.reason.code, signal === context.signal); }
    }`;
  await ended(source, (ran) => assert.equal(said(ran), ['waiting', 'hook', 'AbortError ERR_TASK_KILLED true']));
  const module = `import { request } from 'sallyport/task';
    export default async ({ signal }) => { signal.throwIfAborted(); await request('Ready'); return signal.aborted; }`;
  const { returned } = await faked(module, { answers: { Ready: () => { process.kill(process.pid, 'SIGTERM'); return new Promise((resolve) => setTimeout(resolve, 50)); } } });
  assert.is(returned, true);
  assert.is(process.listenerCount('SIGTERM'), 0); // its meaning is its own again
});

sdk.run();
