// Every message of Airflow's that a task may send, against a real server that would let it do anything: what is refused here is
// refused by the broker. Each message is allowed once, as the control, and then denied: not granted, and in the name of another.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Authorizer, type DecisionRecord } from '../lib/authorization/index.js';
import type { WrittenUpdate } from '../lib/execution-api/client.js';
import { ExecutionApi } from '../lib/execution-api/client.js';
import { executionApiMethods } from '../lib/execution-api/methods.js';
import type { StateUpdate } from '../lib/execution-api/schema.js';
import { ApiServer, dagRun } from './helpers/api-server.js';
import { type Case, cases, others, Scene, seed, trigger } from './helpers/messages.js';
import type { Reply } from './helpers/peer.js';

const messages = suite('messages');
const { dag_id, run_id } = dagRun;
const otherId = randomUUID();

let server: ApiServer;
messages.before(async () => {
  server = await ApiServer.start({ authorization: 'airflow' }, seed);
});
messages.after(async () => {
  await server[Symbol.asyncDispose]();
});

async function allowed({ type, ask, given, answer }: Case, how: Parameters<typeof Scene.start>[1]): Promise<void> {
  await using scene = await Scene.start(server, how);
  await given?.(scene);
  const [, body, error] = await scene.ask({ type, ...ask(scene) });
  assert.is(error, null, JSON.stringify(error));
  if (typeof answer === 'function') await answer(body, scene);
  else assert.equal(body, answer);
  assert.is(scene.audit.at(-1)?.outcome, 'allowed');
}

/** Airflow has a word for some denials, which is an answer. */
const worded = new Set(['GetVariable', 'GetConnection']);

function refused([, body, error]: Reply, { audit }: Scene): void {
  const isAnswer = worded.has(audit.at(-1)?.method ?? '');
  const denial = isAnswer ? body : error;
  assert.is(isAnswer ? error : body, null);
  assert.equal([denial?.['type'], denial?.['error'], (denial?.['detail'] as Record<string, unknown> | undefined)?.['code']], ['ErrorResponse', isAnswer ? 'PERMISSION_DENIED' : 'GENERIC_ERROR', 'ERR_BROKER_DENIED']);
  assert.is(audit.at(-1)?.outcome, 'denied');
}

for (const each of cases) {
  const { type, ask, grants, declares, given, denied, never = [] } = each;

  messages(`${type}: as it was granted, declared, or everything is`, async () => {
    await allowed(each, grants && { grants });
    await allowed(each, { declares: declares ?? {} });
    if (type === 'GetVariableKeys') return; // lists more
    await allowed(each, { grants: 'airflow' });
  });

  messages(`${type}: denied for anything else, and to whom it was not granted`, async () => {
    for (const how of [grants === undefined ? {} : { grants }, { declares: declares ?? {} }]) {
      await using scene = await Scene.start(server, how);
      await given?.(scene);
      for (const wrong of [...denied, ...never]) refused(await scene.ask({ type, ...wrong(scene) }), scene);
    }
    await using all = await Scene.start(server, { grants: 'airflow' });
    for (const wrong of never) refused(await all.ask({ type, ...wrong(all) }), all);
    for (const how of grants === undefined || type === 'GetVariableKeys' ? [] : [{}, { grants: {} }, { grants: 'declared' as const, declares: {} }]) {
      await using scene = await Scene.start(server, how);
      refused(await scene.ask({ type, ...ask(scene) }), scene);
      assert.match(scene.audit.at(-1)?.reason ?? '', `is not granted for these values: "${Object.keys(grants ?? {})[0]}" of "declares" or "grants" says which are`);
    }
  });
}

messages('a denial says which grant it takes, where there is one', async () => {
  await using scene = await Scene.start(server, {});
  const denials = [
    [{ type: 'GetXCom', key: 'k', ...others }, 'method "GetXCom" is not granted for these values: "xcoms" of "declares" or "grants" says which are (docs/messages.md)'],
    [{ type: 'GetXComCount', key: 'k', ...others }, 'method "GetXComCount" is not granted for these values: "xcoms" of "declares" or "grants" says which are (docs/messages.md)'],
    [{ type: 'SetXCom', key: 'k', value: 1, ...others }, `method "SetXCom" names another task's XCom`], // control: nothing grants it
  ] as const;
  for (const [asked, said] of denials) {
    const reply = await scene.ask(asked);
    refused(reply, scene);
    assert.is((reply[2]?.['detail'] as Record<string, unknown>)['message'], said);
  }
});

/** The rows of docs/messages.md: message to what it is about. */
const documented = new Map([...readFileSync(new URL('../docs/messages.md', import.meta.url), 'utf8').matchAll(/^\| `(\w+)` \| [^|]*\| ([^|]*)\| [^|]+ \|$/gm)].map(([, type = '', about = '']) => [type, about.trim()]));

messages('the cases, and the rows of docs/messages.md, are all messages', () => {
  const table = executionApiMethods({ api: {} as never, identity: { id: otherId, ...others, map_index: -1, try_number: 1 }, report: {} as never });
  assert.equal(cases.map(({ type }) => type).sort(), Object.keys(table).sort());
  assert.equal([...documented.keys()].sort(), Object.keys(table).sort());
});

for (const { type, ask, given } of cases) {
  messages(`${type}: the deployment's rules are asked about what docs/messages.md says, and their no is one`, async () => {
    const asked: DecisionRecord[] = [];
    const onDecision = (record: DecisionRecord): void => void asked.push(record);
    {
      await using scene = await Scene.start(server, { grants: 'airflow', authorizer: new Authorizer({ policy: () => true, onDecision }) });
      await given?.(scene);
      assert.is((await scene.ask({ type, ...ask(scene) }))[2], null);
      assert.ok(asked.every(({ task_instance_id }) => task_instance_id === scene.self.id));
    }
    const about = documented.get(type) ?? '';
    assert.equal([...new Set(asked.map(({ kind, action }) => `${kind} ${action}`))], about === '' ? [] : [about]);
    if (about === '') return;
    await using scene = await Scene.start(server, { grants: 'airflow', authorizer: new Authorizer({ policy: () => false }) });
    await given?.(scene);
    refused(await scene.ask({ type, ...ask(scene) }), scene);
  });
}

messages('a listing leaves out the lines that the rules refuse', async () => {
  const policy = ({ resource }: { readonly resource: object }): boolean => !('key' in resource) || resource.key !== 'colour';
  await using scene = await Scene.start(server, { grants: { variables: ['colour', 'team/size', 'absent'] }, authorizer: new Authorizer({ policy }) });
  assert.equal((await scene.ask({ type: 'GetVariableKeys' }))[1], { type: 'VariableKeysResult', keys: ['team/size'], total_entries: 1 });
  await using control = await Scene.start(server, { grants: { variables: ['colour', 'team/size', 'absent'] } });
  assert.equal((await control.ask({ type: 'GetVariableKeys', limit: 1, offset: 1 }))[1], { type: 'VariableKeysResult', keys: ['team/size'], total_entries: 2 });
});

messages('a listing of more keys than the server gives at once is whole', async () => {
  const last = 10_004;
  await server.server.seed({ variables: Object.fromEntries(Array.from({ length: last + 1 }, (_, at) => [`many/${String(at).padStart(5, '0')}`, '1'])) });
  const ask = async (how: Parameters<typeof Scene.start>[1], asked: object): Promise<unknown> => {
    await using scene = await Scene.start(server, how);
    return (await scene.ask({ type: 'GetVariableKeys', prefix: 'many/', ...asked }))[1];
  };
  const end = { type: 'VariableKeysResult', keys: ['many/10003', 'many/10004'], total_entries: last + 1 };
  assert.equal(await ask({ declares: { variables: ['many/*'] } }, { offset: last - 1 }), end);
  assert.equal(await ask({ grants: 'airflow' }, { offset: last - 1 }), end);
  assert.equal(await ask({ declares: { variables: ['many/*4'] } }, { offset: 1000, limit: 1_000_000 }), { type: 'VariableKeysResult', keys: ['many/10004'], total_entries: 1001 });
  assert.is(((await ask({ grants: 'airflow' }, { limit: 1_000_000 })) as { keys: string[] }).keys.length, 10_000);
});

messages('what is denied the server would have done: it is the broker that refuses', async () => {
  await using victim = await Scene.start(server);
  await using scene = await Scene.start(server);
  const theirs = { ...victim.self, key: 'k' };
  await scene.api.setXCom(theirs, 'forged'); // control: the token alone does it
  assert.is((await victim.api.getXCom(theirs)).value, 'forged');
  await victim.api.setXCom(theirs, 'own');
  refused(await scene.ask({ type: 'SetXCom', key: 'k', value: 'forged', ...victim.ofXCom }), scene);
  refused(await scene.ask({ type: 'DeleteXCom', key: 'k', ...victim.ofXCom }), scene);
  assert.is((await victim.api.getXCom(theirs)).value, 'own');
});

messages('what is not in the table is denied: answering in the place of people, later messages, no message at all', async () => {
  await using scene = await Scene.start(server, { grants: 'airflow' });
  await scene.api.askHuman({ ti_id: scene.self.id, options: ['yes', 'no'], subject: 'go?' });
  for (const type of ['UpdateHITLDetail', 'Heartbeat', '__proto__', 'constructor', '']) {
    refused(await scene.ask({ type, ti_id: scene.self.id, chosen_options: ['yes'], params_input: {}, key: 'k', value: 1 }), scene);
  }
  assert.is((await scene.api.getHumanAnswer(scene.self.id)).response_received, false);
  await scene.api.answerHuman({ ti_id: scene.self.id, chosen_options: ['yes'] }); // control: the token alone does it
  assert.is((await scene.api.getHumanAnswer(scene.self.id)).response_received, true);
});

messages('its own identity is filled in where a message leaves it out', async () => {
  await using scene = await Scene.start(server, { ti: { map_index: 4 } });
  assert.equal(await scene.ask({ type: 'SetXCom', key: 'k', value: 1 }), [1, null, null]);
  assert.is((await scene.api.getXCom({ ...scene.self, key: 'k' })).value, 1);
  assert.equal((await scene.ask({ type: 'GetXCom', key: 'k' }))[1], { type: 'XComResult', key: 'k', value: 1 });
  assert.equal((await scene.ask({ type: 'GetTaskRescheduleStartDate' }))[1], { type: 'TaskRescheduleStartDate', start_date: null });
  // The others of a mapped task are other task instances.
  refused(await scene.ask({ type: 'GetXComCount', key: 'k' }), scene);
  refused(await scene.ask({ type: 'GetXComSequenceSlice', key: 'k' }), scene);
});

messages('its own run it may look at, whatever was granted', async () => {
  await using scene = await Scene.start(server);
  for (const type of ['GetDagRun', 'GetDagRunState', 'GetTaskBreadcrumbs']) assert.is((await scene.ask({ type, dag_id, run_id }))[2], null, type);
  for (const type of ['GetTICount', 'GetTaskStates', 'GetDRCount']) assert.is((await scene.ask({ type, dag_id, run_ids: [run_id] }))[2], null, type);
});

messages('a server that says 404 is an answer where Airflow has a word for it', async () => {
  await using scene = await Scene.start(server, { grants: 'airflow' });
  const absent = async (message: Record<string, unknown>) => (await scene.ask(message))[1]?.['error'];
  assert.is(await absent({ type: 'GetVariable', key: 'absent' }), 'VARIABLE_NOT_FOUND');
  assert.is(await absent({ type: 'GetConnection', conn_id: 'absent' }), 'CONNECTION_NOT_FOUND');
  assert.is(await absent({ type: 'GetAssetByName', name: 'absent' }), 'ASSET_NOT_FOUND');
  assert.is(await absent({ type: 'GetTaskStateStore', key: 'absent' }), 'TASK_STORE_NOT_FOUND');
  assert.is(await absent({ type: 'GetAssetStateStoreByUri', uri: 's3://other', key: 'absent' }), 'ASSET_STORE_NOT_FOUND');
  assert.is(await absent({ type: 'GetXComSequenceItem', key: 'absent', offset: 3 }), 'XCOM_NOT_FOUND');
  assert.equal((await scene.ask({ type: 'GetXCom', key: 'absent', ...others }))[1], { type: 'XComResult', key: 'absent', value: null });
  const [, , error] = await scene.ask({ type: 'GetDagRun', dag_id: 'weekly', run_id: 'absent' });
  assert.equal([error?.['error'], (error?.['detail'] as Record<string, unknown>)['status_code']], ['API_SERVER_ERROR', 404]);
});

messages("a server's no about a variable or connection is one, and no absence", async () => {
  await using deciding = await ApiServer.start({ authorization: 'own', predeclared: true } as never, { ...seed, dags: [{ dag_id, declares: { variables: ['colour'] } }] });
  await using scene = await Scene.start(deciding, { grants: 'airflow' });
  assert.is((await scene.ask({ type: 'GetVariable', key: 'colour' }))[1]?.['value'], 'green'); // control
  for (const message of [{ type: 'GetVariable', key: 'mine' }, { type: 'GetConnection', conn_id: 'db' }]) {
    const [, body] = await scene.ask(message);
    assert.equal([body?.['error'], (body?.['detail'] as Record<string, unknown>)['status_code']], ['PERMISSION_DENIED', 403]);
  }
});

messages('a run that is there already is an answer, or done again', async () => {
  await using scene = await Scene.start(server, { grants: 'airflow' });
  const again = { type: 'TriggerDagRun', dag_id: 'weekly', run_id: 'again' };
  assert.equal((await scene.ask(again))[1], { type: 'OKResponse', ok: true });
  assert.is((await scene.ask(again))[1]?.['error'], 'DAGRUN_ALREADY_EXISTS');
  assert.equal((await scene.ask({ ...again, reset_dag_run: true }))[1], { type: 'OKResponse', ok: true });
});

messages('of two final messages the first stands, whatever the second', async () => {
  const finals = cases.filter(({ type }) => ['SucceedTask', 'RetryTask', 'TaskState', 'DeferTask', 'AwaitInputTask', 'RescheduleTask'].includes(type));
  for (const first of finals) {
    await using scene = await Scene.start(server, { grants: 'airflow' });
    await first.given?.(scene);
    assert.is((await scene.ask({ type: first.type, ...first.ask(scene) }))[2], null);
    for (const { type, ask } of finals) refused(await scene.ask({ type, ...ask(scene) }), scene);
  }
});

const asSent = (update: StateUpdate | WrittenUpdate): StateUpdate => ('json' in update ? (JSON.parse(Buffer.from(update.json).toString()) as StateUpdate) : update);

messages('what is said after it is reported as the server words it', async () => {
  const updates: StateUpdate[] = [];
  await using scene = await Scene.start(server, { grants: 'airflow' });
  scene.api.setState = async (_id, update) => void updates.push(asSent(update));
  await scene.ask({ type: 'DeferTask', classpath: trigger, next_method: 'go' });
  assert.equal(updates, [{ state: 'deferred', classpath: trigger, trigger_kwargs: {}, trigger_timeout: null, next_method: 'go', next_kwargs: {} }]);
});

messages('what a server gives beside the events that were asked for is not passed on', async () => {
  const event = (id: number, partition_key: string | null, extra: object) => ({ id, timestamp: '2026-04-06T00:00:00Z', extra, asset: { name: 'report', uri: 's3://report', group: 'asset', extra: {} }, created_dagruns: [], partition_key });
  const all = [event(1, 'p', { region: 'north' }), event(2, 'p', { region: 'south' }), event(3, null, { region: 'north' }), event(4, 'p', { region: ['north'] })];
  const asked: (readonly [string | undefined, string | null])[] = [];
  const old = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://x');
    asked.push([request.headers['airflow-api-version'] as string, url.search]);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ asset_events: all }));
  });
  await new Promise<void>((resolve) => old.listen(0, '127.0.0.1', resolve));
  try {
    await using scene = await Scene.start(server, { grants: { assets: ['report', 'daily'] } });
    await using api = new ExecutionApi({ baseUrl: `http://127.0.0.1:${(old.address() as AddressInfo).port}/execution/` });
    scene.api.getAssetEvents = api.getAssetEvents.bind(api);
    const ids = async (more: object): Promise<unknown> => ((await scene.ask({ type: 'GetAssetEventByAsset', name: 'report', uri: null, ...more }))[1]?.['asset_events'] as { id: number }[] | undefined)?.map(({ id }) => id);
    assert.equal(await ids({ partition_key: null, partition_key_regexp_pattern: null, extra: null }), [1, 2, 3, 4]);
    assert.equal(await ids({ partition_key: 'p', extra: { region: 'north' } }), [1]);
    assert.equal(await ids({ extra: { region: 'north' } }), [1, 3]);
    assert.equal(await ids({ partition_key_regexp_pattern: '^p' }), [1, 2, 3, 4]); // only a server can say
    assert.equal(asked, [
      ['2026-04-06', '?name=report&ascending=true'],
      ['2026-10-30', '?name=report&ascending=true&partition_key=p&extra=region%3Dnorth'],
      ['2026-10-30', '?name=report&ascending=true&extra=region%3Dnorth'],
      ['2026-10-30', '?name=report&ascending=true&partition_key_regexp_pattern=%5Ep'],
    ]);
    for (const wrong of [{ extra: { a: 1 } }, { extra: ['a'] }, { partition_key: 1 }]) refused(await scene.ask({ type: 'GetAssetEventByAssetAlias', alias_name: 'daily', ...wrong }), scene);
  } finally {
    old.close();
  }
});

messages('when and why to try again is told to a server of the version whose tasks say so, and to no other', async () => {
  for (const [said, told] of [[{ retry_reason: 'tired' }, {}], [{ retry_reason: null, retry_delay_seconds: null }, {}], [{ retry_reason: 'tired of hunter5-hunter5', retry_delay_seconds: 1.5 }, { retry_delay_seconds: 1.5, retry_reason: 'tired of ***' }]] as const) {
    const updates: StateUpdate[] = [];
    await using scene = await Scene.start(server);
    scene.masker.add('hunter5-hunter5');
    const send = scene.api.setState.bind(scene.api);
    scene.api.setState = async (id, update, options) => {
      updates.push(asSent(update));
      await send(id, update, options);
    };
    assert.is((await scene.ask({ type: 'RetryTask', ...said }))[2], null);
    assert.equal(updates.map(({ end_date: _, ...rest }: StateUpdate & { end_date?: string }) => rest), [{ state: 'up_for_retry', ...told }]);
    assert.is((await scene.api.getTaskStates({ dag_id, run_ids: [run_id], task_ids: [scene.self.task_id] })).task_states[run_id]?.[scene.self.task_id], 'up_for_retry');
  }
});

messages('of a value that is not JSON the field and the kind are told, and not the value', async () => {
  await using scene = await Scene.start(server, { grants: 'airflow' });
  for (const [asked, where] of [
    [{ type: 'SetXCom', key: 'k', value: { rows: [1, { at: new Date() }] } }, '/value/rows/1/at: Date'],
    [{ type: 'SetXCom', key: 'k', value: NaN }, '/value: NaN'],
    [{ type: 'SetRenderedFields', rendered_fields: { a: -Infinity } }, '/rendered_fields/a: Infinity'],
    [{ type: 'TriggerDagRun', dag_id: 'weekly', run_id: 'x', conf: { a: Buffer.from('hunter8') } }, '/conf/a: bytes'],
    [{ type: 'DeferTask', classpath: trigger, next_method: 'n', next_kwargs: [new Date()] }, '/next_kwargs/0: Date'],
  ] as const) {
    const reply = await scene.ask(asked);
    refused(reply, scene);
    assert.is((reply[2]?.['detail'] as Record<string, unknown>)['message'], `method "${asked.type}" has a value that is not JSON: ${where}`);
  }
  assert.is((await scene.ask({ type: 'SetXCom', key: 'k', value: { rows: [1, { at: 'noon' }] } }))[2], null); // control
});

messages('values that are not JSON, and times that are none, are refused and nothing is sent', async () => {
  await using scene = await Scene.start(server, { grants: 'airflow' });
  for (const wrong of [
    { type: 'SetXCom', key: 'k', value: new Uint8Array(1) },
    { type: 'SetXCom', key: 'k', value: { at: new Date() } },
    { type: 'SetRenderedFields', rendered_fields: { a: NaN } },
    { type: 'TriggerDagRun', dag_id: 'weekly', run_id: 'x', conf: { a: new Uint8Array(1) } },
    { type: 'TriggerDagRun', dag_id: 'weekly', run_id: 'x', logical_date: 'tomorrow' },
    { type: 'DeferTask', classpath: trigger, next_method: 'n', trigger_kwargs: { a: new Date() } },
    { type: 'DeferTask', classpath: trigger, next_method: 'n', trigger_timeout: '10' },
    { type: 'RescheduleTask', reschedule_date: '2030' },
    { type: 'AwaitInputTask', next_method: 'n', next_kwargs: { a: new Date() } },
    { type: 'AwaitInputTask', next_method: 'n', timeout: '10' },
    { type: 'AwaitInputTask' },
    { type: 'CreateHITLDetailPayload', options: [], subject: 's' },
    { type: 'GetXComSequenceItem', key: 'k', offset: 0.5 },
    { type: 'MaskSecret', value: new Date() },
    { type: 'SetTaskStateStore', key: 'k', value: new Date() },
    { type: 'SetTaskStateStore', key: 'k', value: null },
    { type: 'SetAssetStateStoreByName', name: 'report', key: 'k', value: null },
    { type: 'SetAssetStateStoreByUri', uri: 's3://report', key: 'k', value: new Date() },
    { type: 'SetAssetStateStoreByUri', name: 'report', key: 'k', value: 1 },
    { type: 'SetTaskStateStore', key: '', value: 1 },
    { type: 'SetTaskStateStore', key: 'k', value: 1, expires_at: 'tomorrow' },
  ]) refused(await scene.ask(wrong), scene);
  assert.equal((await scene.ask({ type: 'SetTaskStateStore', key: 'k', value: 2 ** 50, expires_at: '2099-01-01T00:00:00Z' }))[1], { type: 'OKResponse', ok: true }); // control
  assert.equal((await scene.ask({ type: 'RescheduleTask', reschedule_date: '2030-01-01T00:00:00+01:00' })).slice(1), [null, null]);
});

messages('a path that could lead elsewhere is refused before anything is sent', async () => {
  await using scene = await Scene.start(server, { grants: 'airflow' });
  for (const [message, field] of [[{ type: 'GetVariable' }, 'key'], [{ type: 'DeleteVariable' }, 'key'], [{ type: 'GetConnection' }, 'conn_id'], [{ type: 'GetDag' }, 'dag_id'], [{ type: 'DeleteTaskStateStore' }, 'key']] as const) {
    const [, , error] = await scene.ask({ ...message, [field]: '../task-instances' });
    assert.is((error?.['detail'] as Record<string, unknown>)['code'], 'ERR_BROKER_METHOD');
  }
});

messages('a task cannot spend the locked memory that masks are kept in', async () => {
  await using scene = await Scene.start(server, { grants: 'airflow' });
  let refusedAt = 0;
  for (let n = 0; refusedAt === 0 && n < 100; n++) {
    await scene.api.setVariable('api_key', { val: `${n}`.repeat(40_000).slice(0, 60_000) });
    const [, body] = await scene.ask({ type: 'GetVariable', key: 'api_key' });
    if (body?.['error'] === 'PERMISSION_DENIED') refusedAt = n;
  }
  assert.ok(refusedAt > 5, `${refusedAt}`); // control: it was given some
  for (let n = 0; n < 200; n++) assert.is((await scene.ask({ type: 'PutVariable', key: 'password', value: `secret-${n}`.repeat(1000) }))[2], null);
  assert.ok(scene.masker.size < 60, `${scene.masker.size}`);
});

messages.run();
