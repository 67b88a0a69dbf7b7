// Deferrals that are handed out to triggerers, and what comes back.
import { randomUUID } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ExecutionApi, Secret } from '../lib/index.js';
import { type DecisionRecord, type Seed, type ServerOptions, spawnServer, type WorkerOptions } from '../lib/server/index.js';
import { durationMs } from '../lib/server/duration.js';
import { ApiServer, expectRefusal, expectReply, here, type Reply, startDate, type Task } from './helpers/api-server.js';

const triggerers = suite('server-triggerers');

const seed: Seed = {
  teams: ['red', 'blue'],
  bundles: [{ name: 'reds', team: 'red' }, { name: 'blues', team: 'blue' }, { name: 'anyones' }],
  dags: [
    { dag_id: 'red', bundle: 'reds', bundle_version: '7', relative_fileloc: 'red.mjs', declares: { variables: ['of-red', 'of-blue', 'of-all'], connections: ['c-red', 'c-blue'], xcoms: ['red/*/*', 'blue/*/*'], defers: ['*'] } },
    { dag_id: 'blue', bundle: 'blues', relative_fileloc: 'blue.mjs' },
    { dag_id: 'anyone', bundle: 'anyones' },
    { dag_id: 'nowhere' },
  ],
  variables: { 'of-red': { value: '1', team: 'red' }, 'of-blue': { value: '2', team: 'blue' }, 'of-all': '3', 'a/b': { value: '4', team: 'red' } },
  connections: [{ conn_id: 'c-red', conn_type: 'http', password: 'p', team: 'red' }, { conn_id: 'c-blue', conn_type: 'http', team: 'blue' }],
};
const bundles = ['reds', 'blues', 'anyones'];
const textOf = (secret: Secret): string => secret.use((bytes) => Buffer.from(bytes).toString('latin1'));

interface Handed {
  readonly id: number;
  readonly ti: { readonly id: string };
}

/** A triggerer's process. */
class Triggerer {
  readonly id = randomUUID();
  readonly #api: ApiServer;
  readonly credential: string;

  constructor(api: ApiServer, credential: string) {
    this.#api = api;
    this.credential = credential;
  }

  static async of(api: ApiServer, options: Partial<WorkerOptions> = { team: 'red' }): Promise<Triggerer> {
    return new Triggerer(api, textOf(await api.server.addTriggerer({ name: randomUUID(), ...options })));
  }

  ask(method: string, path = '', body?: unknown, credential: string | undefined = this.credential): Promise<Reply> {
    return this.#api.ask(method, `../sallyport/v1/triggerers/${this.id}${path}`, credential, body);
  }

  async sync(state: object = {}): Promise<{ to_create: Handed[]; to_cancel: number[] }> {
    const reply = await this.ask('PUT', '', { bundles, capacity: 100, running: [], ...state });
    expectReply(reply, 200);
    return reply.body as never;
  }

  /** The one that is handed out for this task. */
  async take(task: Task): Promise<number> {
    const [found] = (await this.sync()).to_create.filter(({ ti }) => ti.id === task.id);
    assert.ok(found);
    return found.id;
  }

  fire(id: number, payload: unknown): Promise<Reply> {
    return this.ask('POST', `/triggers/${id}/event`, { payload });
  }

  fail(id: number, ...reasons: string[]): Promise<Reply> {
    return this.ask('POST', `/triggers/${id}/failure`, { reasons });
  }
}

const deferral = { state: 'deferred', classpath: 'triggers/file.mjs#arrives', trigger_kwargs: { path: '/in' }, next_method: 'arrived', next_kwargs: { a: 1 } };

async function deferred(api: ApiServer, ti: object = {}, more: object = {}): Promise<Task> {
  const task = await api.running({ dag_id: 'red', queue: 'q1', ...ti });
  expectReply(await task.state({ ...deferral, ...more }), 204);
  return task;
}

/** The context with which a deferred task goes on; undefined while it does not. */
async function goesOn(api: ApiServer, task: Task): Promise<Record<string, unknown> | undefined> {
  const workload = await api.server.issueWorkloadToken(task.id);
  const reply = await api.ask('PATCH', `task-instances/${task.id}/run`, workload, { state: 'running', start_date: startDate, ...here });
  return reply.status === 200 ? (reply.body as Record<string, unknown>) : undefined;
}

const start = (options: Partial<ServerOptions> = {}): Promise<ApiServer> => ApiServer.start(options, seed);

triggerers('a deferral is handed out, its first event puts the task into the queue again, and no other does anything', async () => {
  await using api = await start();
  const triggerer = await Triggerer.of(api);
  const task = await deferred(api, { try_number: 3, map_index: 2 });
  const { to_create: [handed, ...others] } = await triggerer.sync();
  const { id, ...rest } = handed as unknown as Record<string, unknown>;
  const ti = { id: task.id, dag_id: 'red', run_id: 'manual__2026-04-06T00:00:00+00:00', task_id: task.task_id, map_index: 2, try_number: 3 };
  assert.equal([rest, others], [{ type: 'RunTrigger', ti, classpath: deferral.classpath, kwargs: { path: '/in' }, timeout_after: null, bundle_info: { name: 'reds', version: '7' }, team_name: 'red', declares: seed.dags?.[0]?.declares }, []]);
  assert.ok(Number.isSafeInteger(id));
  assert.equal(await triggerer.sync({ running: [id] }), { to_create: [], to_cancel: [] });
  assert.is(await goesOn(api, task), undefined);
  const payload = { path: '/in', more: ['\0', '\ud800', null, { __type: 'dict' }] };
  expectReply(await triggerer.fire(id as number, payload), 204);
  expectRefusal(await triggerer.fire(id as number, 'again'), 404, 'not_found');
  expectRefusal(await triggerer.fail(id as number, 'late'), 404, 'not_found');
  assert.equal(await triggerer.sync({ running: [id] }), { to_create: [], to_cancel: [id] });
  expectRefusal(await task.heartbeat(), 409, 'not_running'); // the leg before speaks no more
  expectRefusal(await task.ask('GET', 'variables/of-red'), 403, 'invalid_token');
  const worker = textOf(await api.server.addWorker({ name: 'w', team: 'red' }));
  const { workloads } = (await api.ask('GET', '../sallyport/v1/workloads', worker)).body as { workloads: { ti: { id: string; try_number: number } }[] };
  assert.equal(workloads.map((each) => [each.ti.id, each.ti.try_number]), [[task.id, 3]]);
  const { next_method, next_kwargs, start_date, xcom_keys_to_clear } = (await goesOn(api, task)) ?? {};
  assert.equal([next_method, next_kwargs, start_date, xcom_keys_to_clear], ['arrived', { a: 1, event: payload }, '2026-04-06T00:00:01.500000Z', []]);
});

triggerers('a task that comes back is offered to workers at once, though one has asked for its first token a moment ago', async () => {
  await using api = await start();
  const triggerer = await Triggerer.of(api);
  const worker = textOf(await api.server.addWorker({ name: 'w', team: 'red' }));
  const waiting = async (): Promise<string[]> => ((await api.ask('GET', '../sallyport/v1/workloads', worker)).body as { workloads: { ti: { id: string } }[] }).workloads.map(({ ti }) => ti.id);
  const task = await api.task({ dag_id: 'red' });
  assert.equal(await waiting(), [task.id]);
  const asked = await api.ask('POST', `../sallyport/v1/task-instances/${task.id}/token`, worker);
  assert.equal(await waiting(), []); // control: it is left to who has asked
  const run = await api.ask('PATCH', `task-instances/${task.id}/run`, (asked.body as { token: string }).token, { state: 'running', start_date: startDate, ...here });
  expectReply(await api.ask('PATCH', `task-instances/${task.id}/state`, run.headers.get('refreshed-api-token') ?? '', deferral), 204);
  assert.equal(await waiting(), []);
  expectReply(await triggerer.fire(await triggerer.take(task), 1), 204);
  assert.equal(await waiting(), [task.id]);
});

for (const [what, next_kwargs, expected] of [
  ['no kwargs', undefined, { event: 5 }],
  ["Python's dict", { __type: 'dict', __var: { a: 1 } }, { __type: 'dict', __var: { a: 1, event: 5 } }],
  ['an event of its own', { event: 'mine' }, { event: 5 }],
] as const) triggerers(`the event beside ${what}`, async () => {
  await using api = await start();
  const triggerer = await Triggerer.of(api);
  const task = await deferred(api, {}, { next_kwargs });
  expectReply(await triggerer.fire(await triggerer.take(task), 5), 204);
  assert.equal((await goesOn(api, task))?.['next_kwargs'], expected);
});

triggerers('a failure comes back as __fail__, with why', async () => {
  await using api = await start();
  const triggerer = await Triggerer.of(api);
  const task = await deferred(api);
  expectReply(await triggerer.fail(await triggerer.take(task), 'TypeError: no', 'such thing'), 204);
  const { next_method, next_kwargs } = (await goesOn(api, task)) ?? {};
  assert.equal([next_method, next_kwargs], ['__fail__', { error: 'Trigger failure', traceback: ['TypeError: no', 'such thing'] }]);
});

triggerers('what waits for too long comes back as __fail__, whether a triggerer has it or none does, and not before', async () => {
  let clock = Date.now();
  await using api = await start({ now: () => clock });
  const triggerer = await Triggerer.of(api);
  const [held, longer, forever] = [await deferred(api, {}, { trigger_timeout: 'PT1M' }), await deferred(api, {}, { trigger_timeout: 'P1D' }), await deferred(api)];
  const { to_create } = await triggerer.sync();
  const timeouts = [held, longer, forever].map(({ id }) => (to_create.find(({ ti }) => ti.id === id) as Handed & { timeout_after: string | null }).timeout_after);
  assert.equal(timeouts.map((at) => at && Date.parse(at) - clock), [60_000, 86_400_000, null]);
  const nobodys = await deferred(api, { dag_id: 'nowhere' }, { trigger_timeout: 'PT1M' });
  clock += 59_000;
  assert.equal((await triggerer.sync({ running: to_create.map(({ id }) => id) })).to_cancel, []);
  clock += 2_000;
  for (const task of [held, nobodys]) {
    let context = await goesOn(api, task);
    while (context === undefined) context = await goesOn(api, task); // the server looks every second
    assert.equal([context['next_method'], context['next_kwargs']], ['__fail__', { error: 'Trigger timeout' }]);
  }
  const { to_cancel } = await triggerer.sync({ running: to_create.map(({ id }) => id) });
  assert.equal(to_cancel, to_create.filter(({ ti }) => ti.id === held.id).map(({ id }) => id));
  for (const task of [longer, forever]) assert.is(await goesOn(api, task), undefined);
});

triggerers('a timeout is a duration, as Pydantic reads it', async () => {
  for (const [text, seconds] of [['PT60S', 60], ['P1DT2.5S', 86_402.5], ['P1Y2M', (365 + 60) * 86_400], ['P2W', 14 * 86_400], ['-PT1H', -3600], ['PT1H30M', 5400]] as const) assert.is(durationMs(text), seconds * 1000, text);
  for (const text of ['', 'P', 'PT', 'P1S', '60', 'P1DT', 'PT1S ', 'pt1s', `P${'9'.repeat(99)}D`]) assert.is(durationMs(text), undefined, text);
  await using api = await start();
  for (const trigger_timeout of ['soon', 'P9000Y']) {
    const task = await api.running({ dag_id: 'red' });
    expectReply(await task.state({ ...deferral, trigger_timeout }), 422);
    expectReply(await task.state({ ...deferral, trigger_timeout: 'PT1S' }), 204); // control
  }
});

// --- Whose it is

triggerers('one triggerer has a trigger; those of one that was not heard of go to another, and of it nothing is taken then', async () => {
  let clock = Date.now();
  await using api = await start({ now: () => clock });
  const [one, other] = [await Triggerer.of(api), await Triggerer.of(api)];
  const task = await deferred(api);
  const id = await one.take(task);
  assert.equal((await other.sync()).to_create, []);
  expectRefusal(await other.fire(id, 'not mine'), 404, 'not_found');
  clock += 29_000;
  assert.equal((await other.sync()).to_create, []);
  await one.sync({ running: [id] });
  clock += 29_000;
  assert.equal((await other.sync()).to_create, []);
  clock += 2_000;
  assert.equal((await other.sync()).to_create.map((each) => each.id), [id]);
  expectRefusal(await one.fire(id, 'late'), 404, 'not_found');
  expectRefusal(await one.ask('GET', `/triggers/${id}/variables/of-red`), 404, 'not_found');
  assert.equal(await one.sync({ running: [id] }), { to_create: [], to_cancel: [id] });
  expectReply(await other.fire(id, 'taken over'), 204);
  assert.equal(((await goesOn(api, task))?.['next_kwargs'] as { event: unknown }).event, 'taken over');
});

triggerers('what nobody has taken over stays a silent one\'s, and what that says counts', async () => {
  let clock = Date.now();
  await using api = await start({ now: () => clock });
  const [one, other] = [await Triggerer.of(api), await Triggerer.of(api, { team: 'blue' })];
  const id = await one.take(await deferred(api));
  clock += 60_000;
  await other.sync(); // which is bound to another team
  assert.equal(await one.sync({ running: [id] }), { to_create: [], to_cancel: [] });
  clock += 60_000;
  await other.sync();
  expectReply(await one.fire(id, 'after'), 204);
});

triggerers('one that says good-bye, or is revoked, leaves its triggers to another at once', async () => {
  await using api = await start();
  const [one, two, other] = [await Triggerer.of(api), await Triggerer.of(api, { name: 'two', team: 'red' }), await Triggerer.of(api)];
  const id = await one.take(await deferred(api));
  expectReply(await one.ask('DELETE'), 204);
  expectRefusal(await one.fire(id, 'gone'), 404, 'not_found');
  assert.equal((await two.sync()).to_create.map((each) => each.id), [id]);
  expectReply(await one.ask('DELETE'), 204); // twice is fine, and nobody else's
  assert.equal((await other.sync()).to_create, []);
  await api.server.revokeTriggerer('two');
  for (const reply of [await two.fire(id, 'revoked'), await two.ask('PUT', '', { bundles, capacity: 1, running: [] })]) expectRefusal(reply, 403, 'invalid_token');
  assert.equal((await other.sync()).to_create.map((each) => each.id), [id]);
  expectReply(await other.fire(id, 1), 204);
});

triggerers('an id that another credential has made up opens nothing of it', async () => {
  await using api = await start();
  const [one, other] = [await Triggerer.of(api), await Triggerer.of(api)];
  const id = await one.take(await deferred(api));
  const asked = (method: string, path = '', body?: unknown): Promise<Reply> => one.ask(method, path, body, other.credential);
  expectRefusal(await asked('PUT', '', { bundles, capacity: 10, running: [] }), 403, 'access_denied');
  expectRefusal(await asked('POST', `/triggers/${id}/event`, { payload: 1 }), 404, 'not_found');
  expectRefusal(await asked('GET', `/triggers/${id}/variables/of-red`), 404, 'not_found');
  expectReply(await asked('DELETE'), 204);
  expectReply(await one.ask('GET', `/triggers/${id}/variables/of-red`), 200); // it is still there
  expectReply(await one.fire(id, 1), 204);
});

/** What a triggerer is bound to; then red on q1, red on q2, blue on q1, red whose deferral says q2. */
const bindings: readonly (readonly [Partial<WorkerOptions>, ...(readonly boolean[])])[] = [
  [{ team: 'red' }, true, true, false, true],
  [{ team: 'blue' }, false, false, true, false],
  [{ queues: ['q1'] }, true, false, true, false],
  [{ queues: ['q2', 'q3'] }, false, true, false, true],
  [{ team: 'red', queues: ['q1'] }, true, false, false, false],
  [{ team: 'blue', queues: ['q2'] }, false, false, false, false],
];
for (const multiTeam of [false, true]) triggerers(`a triggerer gets what is of its team, its queues and the bundles that it has; multiTeam ${multiTeam}`, async () => {
  for (const [binding, ...expected] of bindings) {
    const records: DecisionRecord[] = [];
    await using api = await start({ multiTeam, onDecision: (record) => records.push(record) });
    const tasks = [await deferred(api), await deferred(api, { queue: 'q2' }), await deferred(api, { dag_id: 'blue' }), await deferred(api, {}, { queue: 'q2' })];
    await deferred(api, { dag_id: 'nowhere' }); // of no bundle: for nobody
    const triggerer = await Triggerer.of(api, binding);
    const what = JSON.stringify(binding);
    assert.equal(await triggerer.sync({ bundles: ['others'] }), { to_create: [], to_cancel: [] }, what);
    const { to_create } = await triggerer.sync();
    assert.equal(tasks.map(({ id }) => to_create.some(({ ti }) => ti.id === id)), expected, what);
    assert.is(to_create.length, expected.filter(Boolean).length, what);
    assert.equal(records.filter(({ rule }) => rule === 'triggerer').map(({ task_instance_id, allowed }) => [task_instance_id, allowed]), to_create.map(({ ti }) => [ti.id, true]));
  }
});

triggerers('a trigger whose DAG has become another team\'s is taken from who had it', async () => {
  await using api = await start();
  const [red, blue] = [await Triggerer.of(api), await Triggerer.of(api, { team: 'blue' })];
  const id = await red.take(await deferred(api));
  expectReply(await red.ask('GET', `/triggers/${id}/variables/of-all`), 200); // control
  await api.server.seed({ bundles: [{ name: 'reds', team: 'blue' }] });
  expectRefusal(await red.fire(id, 1), 404, 'not_found');
  expectRefusal(await red.ask('GET', `/triggers/${id}/variables/of-all`), 404, 'not_found');
  assert.equal(await red.sync({ running: [id] }), { to_create: [], to_cancel: [id] });
  assert.equal((await blue.sync()).to_create.map((each) => each.id), [id]);
  expectReply(await blue.fire(id, 1), 204);
});

triggerers('room, and the order in which it is filled', async () => {
  let clock = Date.now();
  await using api = await start({ now: () => clock });
  const triggerer = await Triggerer.of(api);
  const tasks: Task[] = [];
  for (let index = 0; index < 5; index++) {
    tasks.push(await deferred(api));
    clock += 10;
  }
  const taken = async (capacity: number, running: number[] = []): Promise<string[]> => (await triggerer.sync({ capacity, running })).to_create.map(({ ti }) => ti.id);
  assert.equal(await taken(0), []);
  assert.equal(await taken(2), tasks.slice(0, 2).map(({ id }) => id));
  const { to_create } = await triggerer.sync({ capacity: 2 });
  assert.equal(to_create.map(({ ti }) => ti.id), tasks.slice(0, 2).map(({ id }) => id)); // an answer that was lost is given again
  assert.equal(await taken(2, to_create.map(({ id }) => id)), []);
  expectReply(await triggerer.fire(to_create[0]?.id ?? 0, 1), 204);
  assert.equal(await taken(2, to_create.map(({ id }) => id)), [tasks[2]?.id]);
});

// --- What no longer waits

triggerers('a task that ended, was moved, skipped or tried again is not touched, and its trigger is cancelled', async () => {
  const admin = 'of-the-admin-alone-and-32-bytes-or-more';
  await using api = await start({ adminCredential: Secret.fromBytes(Buffer.from(admin)) });
  const base = await api.server.listenAdmin();
  const asAdmin = (method: string, path: string, body?: unknown): Promise<Reply> => api.ask(method, new URL(path, base).href, admin, body);
  const stateOf = async ({ id }: Task): Promise<string> => ((await asAdmin('GET', `task-instances/${id}`)).body as { state: string }).state;
  const move = (state: string) => async (task: Task): Promise<void> => expectReply(await asAdmin('PATCH', `task-instances/${task.id}`, { state }), 200);
  const ways: readonly (readonly [string, (task: Task) => Promise<void>, string])[] = [
    ['failed', move('failed'), 'failed'],
    ['success', move('success'), 'success'],
    ['scheduled', move('scheduled'), 'scheduled'],
    ['queued', move('queued'), 'queued'],
    ['tried again', async (task) => void (await api.task({ dag_id: 'red', task_id: task.task_id, try_number: 2 })), 'deferred'],
  ];
  for (const [what, way, state] of ways) {
    const triggerer = await Triggerer.of(api);
    const task = await deferred(api);
    const id = await triggerer.take(task);
    assert.equal((await triggerer.sync({ running: [id] })).to_cancel, []); // control
    await way(task);
    expectRefusal(await triggerer.fire(id, 1), 404, 'not_found');
    expectRefusal(await triggerer.fail(id, 'x'), 404, 'not_found');
    assert.is(await stateOf(task), state, what);
    assert.equal((await triggerer.sync({ running: [id] })).to_cancel, [id], what);
    assert.equal((await triggerer.sync()).to_create, [], what);
  }
});

triggerers('a task that was skipped while it waited, by one of its own run, stays skipped', async () => {
  await using api = await start();
  const triggerer = await Triggerer.of(api);
  const task = await deferred(api);
  const id = await triggerer.take(task);
  const upstream = await api.running({ dag_id: 'red' });
  expectReply(await upstream.ask('PATCH', `task-instances/${upstream.id}/skip-downstream`, { tasks: [task.task_id] }), 204);
  expectRefusal(await triggerer.fire(id, 1), 404, 'not_found');
  assert.equal((await triggerer.sync({ running: [id] })).to_cancel, [id]);
  assert.is(await goesOn(api, task), undefined);
});

triggerers('the next deferral of a task is another trigger: what is late about the first does nothing to it', async () => {
  await using api = await start();
  const triggerer = await Triggerer.of(api);
  const task = await deferred(api);
  const first = await triggerer.take(task);
  expectReply(await triggerer.fire(first, 1), 204);
  const workload = await api.server.issueWorkloadToken(task.id);
  const run = await api.ask('PATCH', `task-instances/${task.id}/run`, workload, { state: 'running', start_date: startDate, ...here });
  const token = run.headers.get('refreshed-api-token') ?? '';
  expectReply(await api.ask('PATCH', `task-instances/${task.id}/state`, token, { ...deferral, next_method: 'again' }), 204);
  const second = await triggerer.take(task);
  assert.is.not(second, first);
  expectRefusal(await triggerer.fire(first, 'late'), 404, 'not_found');
  expectReply(await triggerer.fire(second, 2), 204);
  const { next_method, next_kwargs } = (await goesOn(api, task)) ?? {};
  assert.equal([next_method, next_kwargs], ['again', { a: 1, event: 2 }]);
});

triggerers('of many that come at once, triggerers and events, each trigger has one', async () => {
  await using api = await start();
  const tasks = await Promise.all(Array.from({ length: 12 }, () => deferred(api)));
  const all = await Promise.all(Array.from({ length: 4 }, () => Triggerer.of(api)));
  const taken = (await Promise.all(all.map(async (triggerer) => (await triggerer.sync()).to_create.map(({ id, ti }) => ({ triggerer, id, ti }))))).flat();
  assert.equal(taken.map(({ ti }) => ti.id).sort(), tasks.map(({ id }) => id).sort());
  for (const { triggerer, id } of taken) {
    const replies = await Promise.all([...Array.from({ length: 4 }, (_, n) => triggerer.fire(id, n)), triggerer.fail(id, 'no'), ...all.map((each) => each.sync({ capacity: 1 }))]);
    assert.is(replies.filter((reply) => 'status' in reply && reply.status === 204).length, 1);
  }
  assert.equal((await Promise.all(all.map((each) => each.sync()))).flatMap(({ to_create }) => to_create), []);
});

// --- What a trigger may look up

triggerers('a trigger reads what its task may, in its task\'s name, while that waits for it', async () => {
  const records: DecisionRecord[] = [];
  await using api = await start({ multiTeam: true, predeclared: true, onDecision: (record) => records.push(record) });
  const task = await api.running({ dag_id: 'red' });
  expectReply(await task.ask('POST', `${task.xcom('key').replace('daily', 'red')}`, { big: 1 }), 201);
  expectReply(await task.state(deferral), 204);
  const triggerer = await Triggerer.of(api);
  const id = await triggerer.take(task);
  const ask = (path: string): Promise<Reply> => triggerer.ask('GET', `/triggers/${id}/${path}`);
  expectReply(await ask('variables/of-red'), 200, { key: 'of-red', value: '1' });
  expectReply(await ask('variables/of-all'), 200, { key: 'of-all', value: '3' });
  expectReply(await ask('connections/c-red'), 200, { conn_id: 'c-red', conn_type: 'http', host: null, schema: null, login: null, password: 'p', port: null, extra: null });
  const xcom = task.xcom('key').replace('daily', 'red');
  expectReply(await ask(xcom), 200, { key: 'key', value: { big: 1 } });
  expectRefusal(await ask(xcom.replace('key', 'none')), 404, 'not_found');
  // Another team's, what is not declared, and what is not there.
  for (const path of ['variables/of-blue', 'variables/a%2Fb', 'variables/none', 'connections/c-blue', 'connections/none', xcom.replace('/red/', '/blue/')]) expectRefusal(await ask(path), 403, 'access_denied');
  const { rule, allowed, task_instance_id } = records.at(-1) ?? ({} as DecisionRecord);
  assert.equal([rule, allowed, task_instance_id], ['team', false, task.id]);
  // It writes nothing.
  for (const [method, path, body] of [['PUT', 'variables/of-red', { val: 'x' }], ['DELETE', 'variables/of-red', undefined], ['POST', xcom, 1], ['POST', 'state', {}]] as const) assert.is((await triggerer.ask(method, `/triggers/${id}/${path}`, body)).status, 404);
  expectReply(await triggerer.fire(id, 1), 204);
  expectRefusal(await ask('variables/of-red'), 404, 'not_found'); // nobody waits any more
});

triggerers("with authorization 'airflow' a trigger reads anything, as a task does", async () => {
  await using api = await start({ authorization: 'airflow' });
  const triggerer = await Triggerer.of(api);
  const id = await triggerer.take(await deferred(api));
  expectReply(await triggerer.ask('GET', `/triggers/${id}/variables/of-blue`), 200);
  expectRefusal(await triggerer.ask('GET', `/triggers/${id + 1}/variables/of-blue`), 404, 'not_found');
});

triggerers('a server in a process of its own has triggerers too', async () => {
  await using server = await spawnServer({ seed });
  using credential = await server.addTriggerer({ name: 't', team: 'red' });
  const sync = async (): Promise<number> => (await fetch(new URL(`../sallyport/v1/triggerers/${randomUUID()}`, server.url), { method: 'PUT', headers: { authorization: `Bearer ${textOf(credential)}`, 'content-type': 'application/json' }, body: JSON.stringify({ bundles, capacity: 1, running: [] }) })).status;
  assert.is(await sync(), 200);
  await server.revokeTriggerer('t');
  assert.is(await sync(), 403);
  try {
    await server.revokeTriggerer('t');
    assert.unreachable();
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, 'ERR_OUT_OF_RANGE');
  }
});

// --- Credentials, and what is malformed

triggerers('what is no triggerer\'s credential opens nothing, and a triggerer\'s opens nothing else', async () => {
  await using api = await start();
  const triggerer = await Triggerer.of(api);
  const task = await deferred(api);
  const id = await triggerer.take(task);
  const worker = textOf(await api.server.addWorker({ name: 'w', team: 'red' }));
  const running = await api.running({ dag_id: 'red' });
  const asks: readonly (readonly [string, string, unknown?])[] = [['PUT', '', { bundles, capacity: 1, running: [id] }], ['POST', `/triggers/${id}/event`, { payload: 1 }], ['POST', `/triggers/${id}/failure`, { reasons: [] }], ['GET', `/triggers/${id}/variables/of-red`], ['GET', `/triggers/${id}/connections/c-red`], ['GET', `/triggers/${id}/${task.xcom('k')}`], ['DELETE', '']];
  for (const [method, path, body] of asks) {
    for (const wrong of [worker, running.token, `${triggerer.credential}x`, triggerer.credential.toUpperCase(), 'x']) expectRefusal(await triggerer.ask(method, path, body, wrong), 403, 'invalid_token');
    expectRefusal(await api.ask(method, `../sallyport/v1/triggerers/${triggerer.id}${path}`, undefined, body), 401, 'missing_token');
  }
  const queued = await api.task({ dag_id: 'red' });
  for (const [method, path] of [['GET', '../sallyport/v1/workloads'], ['POST', `../sallyport/v1/task-instances/${queued.id}/token`], ['GET', 'variables/of-red']] as const) expectRefusal(await api.ask(method, path, triggerer.credential), 403, 'invalid_token');
  expectReply(await api.ask('POST', `../sallyport/v1/task-instances/${queued.id}/token`, worker), 201); // controls
  expectReply(await triggerer.fire(id, 1), 204);
});

triggerers('what is not as it should be is 422, and does nothing', async () => {
  await using api = await start();
  const triggerer = await Triggerer.of(api);
  const id = await triggerer.take(await deferred(api));
  const good = { bundles, capacity: 1, running: [id] };
  for (const wrong of [{}, { ...good, bundles: 'reds' }, { ...good, capacity: -1 }, { ...good, capacity: 1e6 }, { ...good, running: ['1'] }, { ...good, running: [2 ** 60] }, { ...good, more: 1 }, []]) expectReply(await triggerer.ask('PUT', '', wrong), 422);
  for (const wrong of [{}, { payload: 1, more: 2 }, [], '{"payload":{"__proto__":{}}}', '{']) expectReply(await triggerer.ask('POST', `/triggers/${id}/event`, wrong), 422);
  for (const wrong of [{}, { reasons: 'x' }, { reasons: [1] }]) expectReply(await triggerer.ask('POST', `/triggers/${id}/failure`, wrong), 422);
  for (const path of ['/triggers/x/event', `/triggers/-1/event`, '/triggers/99999999999999999999/event']) expectReply(await triggerer.ask('POST', path, { payload: 1 }), 422);
  expectReply(await api.ask('PUT', '../sallyport/v1/triggerers/me', triggerer.credential, good), 422);
  expectReply(await triggerer.fire(id, null), 204); // control
});

triggerers('triggerers are added, listed and revoked over the admin API, and share their names with workers', async () => {
  const admin = 'of-the-admin-alone-and-32-bytes-or-more';
  await using api = await start({ adminCredential: Secret.fromBytes(Buffer.from(admin)) });
  const base = await api.server.listenAdmin();
  const asAdmin = (method: string, path: string, body?: unknown): Promise<Reply> => api.ask(method, new URL(path, base).href, admin, body);
  const added = await asAdmin('PUT', 'triggerers/host%2F1', { team: 'red' });
  expectReply(added, 201);
  const triggerer = new Triggerer(api, (added.body as { credential: string }).credential);
  assert.match(triggerer.credential, /^sallyport-triggerer-/);
  expectReply(await asAdmin('GET', 'triggerers'), 200, { triggerers: [{ name: 'host/1', queues: [], team: 'red' }] });
  expectReply(await asAdmin('GET', 'workers'), 200, { workers: [] });
  await triggerer.sync();
  for (const role of ['workers', 'triggerers']) expectRefusal(await asAdmin('PUT', `${role}/host%2F1`, { team: 'red' }), 409, 'already_exists');
  expectRefusal(await asAdmin('PUT', 'triggerers/other', { team: 'green' }), 409, 'unknown_name');
  for (const body of [{}, { queues: [] }, { team: 7 }]) expectReply(await asAdmin('PUT', 'triggerers/other', body), 422);
  expectRefusal(await asAdmin('DELETE', 'workers/host%2F1'), 404, 'not_found');
  expectReply(await asAdmin('DELETE', 'triggerers/host%2F1'), 204);
  expectRefusal(await asAdmin('DELETE', 'triggerers/host%2F1'), 404, 'not_found');
  expectRefusal(await triggerer.ask('PUT', '', { bundles, capacity: 1, running: [] }), 403, 'invalid_token');
  for (const wrong of [{ name: 't' }, { name: 't', team: 'green' }]) {
    try {
      await api.server.addTriggerer(wrong);
      assert.unreachable();
    } catch (error) {
      assert.match((error as Error).message, /triggerer/);
      assert.is((error as NodeJS.ErrnoException).code, 'ERR_OUT_OF_RANGE');
    }
  }
});

triggerers('what one DAG declares keeps no triggerer and no worker from what others wait for', async () => {
  await using api = await start();
  const long = Array.from({ length: 2000 }, (_, index) => `${'x'.repeat(240)}${index}`);
  await api.server.seed({ dags: [{ dag_id: 'long', bundle: 'reds', relative_fileloc: 'long.mjs', declares: { variables: long } }] });
  for (let left = 40; left > 0; left--) {
    await deferred(api, { dag_id: 'long', run_id: 'r' });
    await api.task({ dag_id: 'long', run_id: 'r', queue: 'q1' });
  }
  const [blue, queued] = [await deferred(api, { dag_id: 'blue' }), await api.task({ dag_id: 'blue', queue: 'q1' })];
  const client = new ExecutionApi({ baseUrl: api.url });
  const self = { id: randomUUID(), credential: await api.server.addTriggerer({ name: 't', queues: ['q1'] }) };
  const handed = new Map<number, string>();
  for (let times = 0; times < 20 && handed.size < 41; times++) {
    const { to_create } = await client.syncTriggerer(self, { bundles, capacity: 1000, running: [...handed.keys()] }, { attempts: 1 });
    assert.ok(to_create.length > 0);
    for (const { id, ti } of to_create) handed.set(id, ti.id);
  }
  assert.is(handed.size, 41);
  assert.ok([...handed.values()].includes(blue.id));
  const worker = await api.server.addWorker({ name: 'w', queues: ['q1'] });
  let last = '';
  for (let left = 41; left > 0;) {
    const waiting = await client.waitingWork(worker, { limit: 100 });
    assert.ok(waiting.length > 0);
    for (const { ti } of waiting) await client.firstToken((last = ti.id), worker); // and so it is not offered again
    left -= waiting.length;
  }
  assert.is(last, queued.id); // control: none was left out
});

triggerers.run();
