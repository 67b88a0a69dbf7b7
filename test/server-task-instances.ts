// What a task instance does with itself, and what it asks of others.
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openDatabase } from '../lib/server/store/index.js';
import { run } from '../lib/server/store/sql.js';
import { ApiServer, dagRun, expectRefusal as refused, expectReply as expect, here, startDate, type Task } from './helpers/api-server.js';

const instances = suite('server-task-instances');

const endDate = '2026-04-06T00:01:00Z';
const own = (task: Task, route: string): string => `task-instances/${task.id}/${route}`;
const states = async (task: Task, query = ''): Promise<unknown> =>
  ((await task.ask('GET', `task-instances/states?dag_id=${dagRun.dag_id}${query}`)).body as { task_states: Record<string, unknown> }).task_states[dagRun.run_id];

instances('what an earlier try pushed is to be cleared, and what a deferred one pushed is not', async () => {
  await using api = await ApiServer.start({ authorization: 'airflow' });
  const first = await api.task({ task_id: 't' });
  expect(await first.run(), 200);
  for (const key of ['b', 'a']) expect(await first.ask('POST', first.xcom(key, 't'), 1), 201);
  const [second, mapped, resumed] = [await api.task({ task_id: 't', try_number: 2 }), await api.task({ task_id: 't', map_index: 3 }), await api.task({ task_id: 'r' })];
  const keys = async (task: Task): Promise<unknown> => ((await task.run()).body as { xcom_keys_to_clear: unknown }).xcom_keys_to_clear;
  assert.equal(await keys(second), ['a', 'b']);
  assert.equal(await keys(mapped), []);
  assert.equal(await keys(resumed), []);
  expect(await resumed.ask('POST', resumed.xcom('mine', 'r'), 1), 201);
  assert.equal(await keys(resumed), ['mine']); // control: the same process asks again
});

instances('rendered fields and a rendered map index are kept, and nothing else passes for them', async () => {
  await using api = await ApiServer.start();
  const task = await api.task();
  expect(await task.run(), 200);
  expect(await task.ask('PUT', own(task, 'rtif'), { env: { a: [1, null] }, command: 'x' }), 201, { message: 'Rendered task instance fields successfully set' });
  for (const body of [[], 'null', 'text', undefined]) expect(await task.ask('PUT', own(task, 'rtif'), body), 422);
  expect(await task.ask('PATCH', own(task, 'rendered-map-index'), '"one of three"'), 204);
  for (const body of ['""', '1', '{}', `"${'x'.repeat(251)}"`, undefined]) expect(await task.ask('PATCH', own(task, 'rendered-map-index'), body), 422);
});

instances('a note is written, left and taken away', async () => {
  await using api = await ApiServer.start();
  const task = await api.task();
  expect(await task.run(), 200);
  const note = async (): Promise<unknown> => ((await task.ask('GET', `dag-runs/${dagRun.dag_id}/${encodeURIComponent(dagRun.run_id)}`)).body as { note: unknown }).note;
  expect(await task.ask('PATCH', own(task, 'dag-run-note'), { note: 'seen' }), 204);
  assert.is(await note(), 'seen');
  for (const body of [{ note: null }, {}]) expect(await task.ask('PATCH', own(task, 'dag-run-note'), body), 204);
  assert.is(await note(), 'seen');
  expect(await task.ask('PATCH', own(task, 'dag-run-note'), { note: 'x'.repeat(1001) }), 422);
  expect(await task.ask('PATCH', own(task, 'dag-run-note'), { note: '' }), 204);
  assert.is(await note(), null);
});

instances('tasks downstream are skipped, but for what runs or has ended, and no other run', async () => {
  await using api = await ApiServer.start();
  const task = await api.task({ task_id: 'branch' });
  const made: Record<string, Task> = {};
  for (const task_id of ['waiting', 'running', 'done', 'other']) made[task_id] = await api.task({ task_id });
  const mapped = [await api.task({ task_id: 'mapped', map_index: 0 }), await api.task({ task_id: 'mapped', map_index: 1 })];
  const elsewhere = await api.task({ task_id: 'waiting', run_id: 'another' });
  for (const task_id of ['running', 'done']) expect(await (made[task_id] as Task).run(), 200);
  expect(await (made['done'] as Task).state({ state: 'success', end_date: endDate }), 204);
  expect(await task.run(), 200);

  expect(await task.ask('PATCH', own(task, 'skip-downstream'), { tasks: ['waiting', 'running', 'done', ['mapped', 1], 'none', "x' OR 1=1 --"] }), 204);
  assert.equal(await states(task), { branch: 'running', waiting: 'skipped', running: 'running', done: 'success', other: 'queued', mapped_0: 'queued', mapped_1: 'skipped' });
  expect(await elsewhere.run(), 200);
  expect(await (mapped[0] as Task).run(), 200);
  refused(await (mapped[1] as Task).run(), 409, 'invalid_state');
  for (const body of [{}, { tasks: 'waiting' }, { tasks: [['mapped']] }, { tasks: [['mapped', 'x']] }, { tasks: [], more: 1 }]) expect(await task.ask('PATCH', own(task, 'skip-downstream'), body), 422);
});

instances('each round of a sensor is kept, and its first start is told', async () => {
  await using api = await ApiServer.start({ authorization: 'airflow' }); // so that it may ask between its rounds
  const task = await api.task();
  const start = async (): Promise<unknown> => (await task.ask('GET', `task-reschedules/${task.id}/start_date?try_number=1`)).body;
  expect(await task.run(), 200);
  assert.is(await start(), null);
  expect(await task.state({ state: 'up_for_reschedule', end_date: endDate, reschedule_date: '2026-04-06T00:02:00+02:00' }), 204);
  assert.is(await start(), '2026-04-06T00:00:01.500000Z');
  refused(await task.run(), 409, 'invalid_state'); // until it is queued again
  const other = await api.task();
  refused(await other.ask('GET', `task-reschedules/${task.id}/start_date`), 403, 'subject_mismatch');
});

instances('a deferred task that is queued again goes on where it left, and began when it first ran', async () => {
  const where = await ApiServer.newDatabase();
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-server-'));
  const database = where === ':memory:' ? join(folder, 'db') : where;
  const scheduler = await openDatabase(database);
  try {
    await using api = await ApiServer.start({ database });
    const task = await api.task();
    expect(await task.run(), 200);
    expect(await task.state({ state: 'deferred', classpath: 'a.B', trigger_kwargs: { moment: 1 }, trigger_timeout: 'PT60S', next_method: 'execute_complete', next_kwargs: { a: [1] } }), 204);
    refused(await task.heartbeat(), 409, 'not_running');
    await scheduler.run(run(`UPDATE task_instances SET state = 'queued' WHERE id = :id`, { id: task.id }));
    const { next_method, next_kwargs, start_date } = (await task.run({ ...here, start_date: endDate })).body as Record<string, unknown>;
    assert.equal([next_method, next_kwargs, start_date], ['execute_complete', { a: [1] }, '2026-04-06T00:00:01.500000Z']);
    expect(await task.state({ state: 'success', end_date: endDate }), 204);
  } finally {
    await scheduler.close();
    rmSync(folder, { recursive: true });
  }
});

instances('a heartbeat is answered by who runs it, and whether it runs', async () => {
  let clock = Date.parse('2026-04-06T00:00:00Z');
  await using api = await ApiServer.start({ now: () => clock });
  const task = await api.task();
  expect(await task.run(), 200);
  clock += 1000;
  for (let beat = 0; beat < 3; beat++) expect(await task.heartbeat(), 204);
  refused(await task.heartbeat({ hostname: here.hostname, pid: 1 }), 409, 'running_elsewhere');
  expect(await task.state({ state: 'failed', end_date: endDate }), 204);
  refused(await task.heartbeat(), 409, 'not_running');
});

/** Two days of a DAG; the task that asks belongs to a run of another, which has no date. */
async function twoDays(): Promise<{ api: ApiServer; ask: (path: string) => Promise<unknown>; [Symbol.asyncDispose](): Promise<void> }> {
  const runs = [1, 2].map((day) => ({ dag_id: 'etl', run_id: `day ${day}`, logical_date: `2026-04-0${day}T00:00:00Z` }));
  const api = await ApiServer.start({}, { dagRuns: runs });
  for (const { run_id } of runs) {
    for (const [task_id, map_index] of [['load', -1], ['group.a', 0], ['group.a', 1], ['group.b', -1]] as const) await api.task({ dag_id: 'etl', run_id, task_id, map_index, operator: 'Bash' });
  }
  const ended = await api.task({ dag_id: 'etl', run_id: 'day 1', task_id: 'ended', operator: 'Python' });
  expect(await ended.run(), 200);
  expect(await ended.state({ state: 'failed', end_date: '2026-04-06T00:00:03.750001Z' }), 204);
  const task = await api.running();
  const ask = async (path: string): Promise<unknown> => {
    const reply = await task.ask('GET', `task-instances/${path}`);
    assert.is(reply.status, 200, JSON.stringify(reply.body));
    return reply.body;
  };
  return { api, ask, [Symbol.asyncDispose]: () => api.server.close() };
}

instances('task instances of a DAG are counted by what is asked for', async () => {
  await using days = await twoDays();
  const counts = [
    ['', 9],
    ['&task_ids=load', 2],
    ['&task_ids=load&task_ids=ended', 3],
    ['&run_ids=day%201', 5],
    ['&logical_dates=2026-04-02T02:00:00%2B02:00', 4],
    ['&map_index=0', 2],
    ['&task_group_id=group', 6],
    ['&task_group_id=group&map_index=-1', 2],
    ['&states=failed', 1],
    ['&states=failed&states=null', 1],
    ['&states=null', 0],
    ['&states=queued&run_ids=day%202&task_ids=load', 1],
    ['&task_ids=none', 0],
  ] as const;
  for (const [query, count] of counts) assert.is(await days.ask(`count?dag_id=etl${query}`), count, query);
  assert.is(await days.ask('count?dag_id=none'), 0);
});

instances('states are told by run and task, and those of a group beside those that are named', async () => {
  await using days = await twoDays();
  const group = { 'group.a_0': 'queued', 'group.a_1': 'queued', 'group.b': 'queued' };
  assert.equal(await days.ask('states?dag_id=etl'), { task_states: { 'day 1': { load: 'queued', ...group, ended: 'failed' }, 'day 2': { load: 'queued', ...group } } });
  assert.equal(await days.ask('states?dag_id=etl&task_ids=ended'), { task_states: { 'day 1': { ended: 'failed' } } });
  assert.equal(await days.ask('states?dag_id=etl&run_ids=day%202&task_ids=load&task_group_id=group'), { task_states: { 'day 2': { load: 'queued', ...group } } });
  assert.equal(await days.ask('states?dag_id=none'), { task_states: {} });
});

instances('the task instance before is the newest before a date', async () => {
  await using days = await twoDays();
  const load = { task_id: 'load', dag_id: 'etl', start_date: null, end_date: null, state: 'queued', try_number: 1, map_index: -1, duration: null };
  const newest = { ...load, run_id: 'day 2', logical_date: '2026-04-02T00:00:00Z' };
  assert.equal(await days.ask('previous/etl/load'), newest);
  assert.equal(await days.ask('previous/etl/load?logical_date=2026-04-02T00:00:00Z'), { ...load, run_id: 'day 1', logical_date: '2026-04-01T00:00:00Z' });
  assert.equal(await days.ask('previous/etl/load?logical_date=2026-04-01T00:00:00Z'), null);
  assert.equal(await days.ask('previous/etl/load?state=success'), null);
  assert.equal(await days.ask('previous/etl/load?map_index=0'), null);
  const ended = (await days.ask('previous/etl/ended?state=failed')) as { duration: number; start_date: string };
  assert.equal([ended.start_date, ended.duration], ['2026-04-06T00:00:01.500000Z', 2.250001]);
});

instances('breadcrumbs are what is over in a run', async () => {
  await using days = await twoDays();
  assert.equal(await days.ask('breadcrumbs?dag_id=etl&run_id=day%201'), { breadcrumbs: [{ task_id: 'ended', map_index: -1, state: 'failed', operator: 'Python', duration: 2.250001 }] });
  assert.equal(await days.ask('breadcrumbs?dag_id=etl&run_id=day%202'), { breadcrumbs: [] });
});

instances('questions that are wrong, or about what is not there, are answered so', async () => {
  await using api = await ApiServer.start();
  const task = await api.running();
  for (const path of ['count', 'states', 'count?dag_id=', 'count?dag_id=daily&map_index=x', 'count?dag_id=daily&logical_dates=yesterday', 'states?dag_id=daily&logical_dates=2026-13-01T00:00:00Z', 'breadcrumbs?dag_id=daily', 'previous/daily/t?logical_date=x']) {
    expect(await task.ask('GET', `task-instances/${path}`), 422);
  }
  refused(await task.ask('GET', 'task-instances/count?dag_id=daily&task_group_id=none'), 404, 'not_found');
  expect(await task.ask('GET', 'task-instances/count?dag_id=daily'), 200, 1); // control
});

instances('only the latest try of a task counts', async () => {
  await using api = await ApiServer.start();
  const [first, asker] = [await api.running({ task_id: 't', try_number: 1 }), await api.running({ task_id: 'asks' })];
  expect(await first.state({ state: 'up_for_retry', end_date: endDate }), 204);
  assert.equal(await states(asker), { t: 'up_for_retry', asks: 'running' });
  await api.task({ task_id: 't', try_number: 2 });
  assert.equal(await states(asker), { t: 'queued', asks: 'running' });
});

instances('a human is asked and answers once, and only to who asked', async () => {
  await using api = await ApiServer.start({ now: () => Date.parse('2026-04-06T00:00:00.123Z') });
  const [task, other] = [await api.task(), await api.task()];
  for (const each of [task, other]) expect(await each.run(), 200);
  const url = `hitlDetails/${task.id}`;
  const question = { ti_id: task.id, options: ['yes', 'no'], subject: 'Deploy?', body: null, defaults: ['no'], multiple: false, params: { a: 1 }, assigned_users: [{ id: '7', name: 'Ada' }] };
  refused(await task.ask('GET', url), 404, 'not_found');
  refused(await task.ask('PATCH', url, { ti_id: task.id, chosen_options: ['no'] }), 404, 'not_found');
  for (const [method, body] of [['POST', question], ['GET', undefined], ['PATCH', { ti_id: task.id, chosen_options: ['yes'] }]] as const) refused(await other.ask(method, url, body), 403, 'subject_mismatch');

  expect(await task.ask('POST', url, { type: 'CreateHITLDetailPayload', ...question }), 201, question);
  expect(await task.ask('GET', url), 200, { response_received: false, responded_by_user: null, responded_at: null, chosen_options: [], params_input: {} });
  const answer = { response_received: true, responded_by_user: null, responded_at: '2026-04-06T00:00:00.123000Z', chosen_options: ['no'], params_input: { b: 2 } };
  expect(await task.ask('PATCH', url, { ti_id: task.id, chosen_options: ['no'], params_input: { b: 2 } }), 200, answer);
  refused(await task.ask('PATCH', url, { ti_id: task.id, chosen_options: ['yes'] }), 409, 'already_exists');
  expect(await task.ask('GET', url), 200, answer);
  // Asked again, its words stay and its answer goes.
  expect(await task.ask('POST', url, { ...question, subject: 'Really?' }), 201, question);
  assert.is(((await task.ask('GET', url)).body as { response_received: boolean }).response_received, false);
  for (const body of [{ ...question, options: [] }, { ...question, subject: undefined }, { ...question, assigned_users: [{ id: 1 }] }]) expect(await task.ask('POST', url, body), 422);
});

instances('routes of a task instance that is not there answer 404', async () => {
  await using api = await ApiServer.start();
  const id = randomUUID();
  const token = await api.issuer.issue({ sub: id, scope: 'execution' });
  const asked: readonly (readonly [string, string, unknown?])[] = [
    ['PATCH', `task-instances/${id}/skip-downstream`, { tasks: [] }],
    ['PUT', `task-instances/${id}/rtif`, {}],
    ['PATCH', `task-instances/${id}/rendered-map-index`, '"x"'],
    ['PATCH', `task-instances/${id}/dag-run-note`, { note: 'x' }],
    ['PATCH', `task-instances/${id}/dag-run-note`, {}],
    ['GET', `task-instances/${id}/validate-inlets-and-outlets`],
    ['POST', `hitlDetails/${id}`, { ti_id: id, options: ['a'], subject: '' }],
  ];
  for (const [method, path, body] of asked) refused(await api.ask(method, path, token, body), 404, 'not_found');
});

instances('text that no database keeps as it is answers 422, and is not kept in part', async () => {
  await using api = await ApiServer.start();
  const task = await api.running();
  for (const bad of ['"a\\u0000b"', '"a\\ud800b"']) {
    expect(await task.ask('PUT', 'variables/k', `{"val":${bad}}`), 422);
    expect(await task.ask('PATCH', own(task, 'rendered-map-index'), bad), 422);
    expect(await task.ask('PUT', own(task, 'heartbeat'), `{"hostname":${bad},"pid":1}`), 422);
    assert.ok([204, 422].includes((await task.ask('PATCH', own(task, 'skip-downstream'), `{"tasks":[${bad}]}`)).status)); // nobody's name: PostgreSQL says so
    expect(await task.ask('PUT', own(task, 'rtif'), `{"a":${bad}}`), 201); // JSON within JSON
  }
  // Bytes that are no UTF-8: a lone one, half of a character, half of a surrogate pair, one that is longer than it need be.
  for (const bytes of ['ff', 'c3', 'eda080', 'c0af']) {
    const around = (before: string, after: string): Buffer => Buffer.concat([Buffer.from(before), Buffer.from(bytes, 'hex'), Buffer.from(after)]);
    const send = async (method: string, path: string, body: Buffer): Promise<number> =>
      (await fetch(new URL(path, api.url), { method, body, headers: { authorization: `Bearer ${task.token}`, 'content-type': 'application/json' } })).status;
    assert.is(await send('PUT', 'variables/k', around('{"val":"', '"}')), 422);
    assert.is(await send('PUT', own(task, 'rtif'), around('{"a":"', '"}')), 422);
    assert.is(await send('POST', task.xcom('k'), around('"', '"')), 422);
    assert.is(await send('POST', task.xcom('k'), Buffer.from('"\ufffd"')), 201); // control
  }
  refused(await task.ask('GET', 'variables/k'), 404, 'not_found');
  expect(await task.ask('PUT', 'variables/k', '{"val":"\\ud83d\\udd12"}'), 201); // control
  expect(await task.ask('GET', 'variables/k'), 200, { key: 'k', value: '\u{1F512}' });
});

instances('names with NUL, and times that are none, answer 422 and not 500', async () => {
  await using api = await ApiServer.start();
  const task = await api.task();
  expect(await task.ask('GET', 'variables/a%00b'), 422);
  expect(await task.ask('GET', 'task-instances/count?dag_id=a%00'), 422);
  for (const start_date of ['2026-02-30T25:00:00Z', '2026-00-01T00:00:00Z', '2026-02-29T00:00:00Z', '2026-04-31T00:00:00Z', '0000-12-31T00:00:00Z', '9999-12-31T23:59:59-23:59', '2026-01-01T00:00:00']) expect(await task.run({ ...here, start_date }), 422);
  for (const start_date of ['2024-02-29T00:00:00Z', '0001-01-01T00:00:00Z', startDate.toLowerCase()]) expect(await task.run({ ...here, start_date }), 200); // control
});

instances('health says whether the database answers', async () => {
  await using api = await ApiServer.start();
  expect(await api.ask('GET', 'health'), 200, { status: 'healthy' });
  expect(await api.ask('GET', 'health/ping'), 200, { ok: ['database'], failing: {} });
});

instances.run();
