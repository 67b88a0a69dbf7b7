// A server that is the sole issuer: workers ask for first tokens themselves.
import { randomUUID } from 'node:crypto';
import { decodeJwt } from 'jose';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ExecutionApi } from '../lib/execution-api/client.js';
import { Secret } from '../lib/index.js';
import { type DecisionRecord, type Seed, spawnServer, type WorkerOptions } from '../lib/server/index.js';
import { ApiServer, expectRefusal, expectReply, here, type Reply, startDate } from './helpers/api-server.js';

const workers = suite('server-workers');

const run_id = 'r';
const seed: Seed = {
  teams: ['red', 'blue'],
  bundles: [{ name: 'reds', team: 'red' }, { name: 'blues', team: 'blue' }],
  dags: [{ dag_id: 'red', bundle: 'reds' }, { dag_id: 'blue', bundle: 'blues' }, { dag_id: 'nobody' }],
  variables: { region: 'north' },
};
const textOf = (secret: Secret): string => secret.use((bytes) => Buffer.from(bytes).toString('latin1'));
const ask = (api: ApiServer, id: string, credential?: string): Promise<Reply> => api.ask('POST', `../sallyport/v1/task-instances/${id}/token`, credential);
const tokenIn = ({ body }: Reply): string => (body as { token: string }).token;
const freshOf = ({ headers }: Reply): string => headers.get('refreshed-api-token') ?? '';
const start = (api: ApiServer, id: string, token: string): Promise<Reply> => api.ask('PATCH', `task-instances/${id}/run`, token, { state: 'running', start_date: startDate, ...here });

const waiting = (api: ApiServer, credential?: string, query = ''): Promise<Reply> => api.ask('GET', `../sallyport/v1/workloads${query}`, credential);

async function queued(api: ApiServer, ti: object = {}): Promise<string> {
  const id = randomUUID();
  await api.server.seed({ taskInstances: [{ id, dag_id: 'red', run_id, task_id: `t-${id}`, queue: 'q1', ...ti }] });
  return id;
}
async function worker(api: ApiServer, options: Partial<WorkerOptions> = { queues: ['q1'] }): Promise<string> {
  return textOf(await api.server.addWorker({ name: randomUUID(), ...options }));
}
async function codeOf(attempt: () => Promise<unknown>): Promise<string> {
  try {
    await attempt();
    return 'done';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'no code';
  }
}

workers('a worker gets the first token of a task instance, starts it, and goes on; the dispatcher gets none', async () => {
  await using api = await ApiServer.start({ soleIssuer: true }, seed);
  const id = await queued(api);
  assert.is(await codeOf(() => api.server.issueWorkloadToken(id)), 'ERR_TOKEN_REFUSED');
  const credential = await worker(api);
  const reply = await ask(api, id.toUpperCase(), credential);
  expectReply(reply, 201);
  assert.is(reply.headers.get('cache-control'), 'no-store');
  const { token, scope, expires_at, ...rest } = reply.body as Record<string, string>;
  const claims = decodeJwt(token ?? '');
  assert.equal([scope, expires_at, rest], ['workload', new Date((claims.exp ?? 0) * 1000).toISOString(), {}]);
  assert.equal([claims.sub, claims['scope'], claims['dag_id']], [id, 'workload', 'red']);
  expectRefusal(await api.ask('GET', 'variables/region', token), 403, 'invalid_token'); // good for run, and for nothing else
  const started = await start(api, id, token ?? '');
  expectReply(started, 200);
  expectReply(await api.ask('GET', 'variables/region', freshOf(started)), 200);
  expectRefusal(await start(api, id, token ?? ''), 403, 'invalid_token'); // and once
});

/** What a worker is bound to; then red on q1, red on q2, blue on q1, nobody's on q1. */
const bindings: readonly (readonly [Partial<WorkerOptions>, ...(readonly boolean[])])[] = [
  [{ queues: ['q1'] }, true, false, true, true],
  [{ queues: ['q2', 'q3'] }, false, true, false, false],
  [{ queues: ['q1', 'q2'] }, true, true, true, true],
  [{ team: 'red' }, true, true, false, false],
  [{ team: 'blue' }, false, false, true, false],
  [{ team: 'red', queues: ['q1'] }, true, false, false, false],
  [{ team: 'blue', queues: ['q2'] }, false, false, false, false],
];
for (const multiTeam of [false, true]) {
  workers(`a worker gets what is of its queues and its team, and learns nothing of what is not; multiTeam ${multiTeam}`, async () => {
    const records: DecisionRecord[] = [];
    await using api = await ApiServer.start({ multiTeam, onDecision: (record) => records.push(record) }, seed);
    const instances = [{}, { queue: 'q2' }, { dag_id: 'blue' }, { dag_id: 'nobody' }];
    const missing = await ask(api, randomUUID(), await worker(api));
    for (const [binding, ...allowed] of bindings) {
      const credential = await worker(api, binding);
      for (const [index, ti] of instances.entries()) {
        const id = await queued(api, ti);
        const reply = await ask(api, id, credential);
        const what = `${JSON.stringify(binding)} ${JSON.stringify(ti)}`;
        assert.is(reply.status, allowed[index] === true ? 201 : 403, what);
        if (allowed[index] !== true) assert.equal(reply.body, missing.body);
        const { rule, reason, allowed: recorded, task_instance_id, worker: who } = records.at(-1) ?? ({} as DecisionRecord);
        assert.equal([rule, reason, recorded, task_instance_id], ['worker', allowed[index] !== true ? 'not_bound' : 'queues' in binding ? 'queue' : 'team', allowed[index], id]);
        assert.match(who ?? '', /^[0-9a-f-]{36}$/);
      }
    }
    assert.not.ok(JSON.stringify(records).includes('sallyport-worker-'));
  });
}

workers('what is no credential, or another kind of one, opens nothing', async () => {
  await using api = await ApiServer.start({}, seed);
  const id = await queued(api);
  const credential = await worker(api);
  expectRefusal(await ask(api, id), 401, 'missing_token');
  const task = await api.running();
  for (const wrong of [`${credential}x`, credential.slice(0, -1), credential.toUpperCase(), 'x', task.token, await api.issuer.issue({ sub: id, scope: 'workload' }), '%00', 'x'.repeat(8000)]) {
    expectRefusal(await ask(api, id, wrong), 403, 'invalid_token');
  }
  // A credential is no token of a task.
  for (const path of ['variables/region', 'dags/red']) expectRefusal(await api.ask('GET', path, credential), 403, 'invalid_token');
  expectRefusal(await start(api, id, credential), 403, 'invalid_token');
  expectReply(await ask(api, 'nonsense', credential), 422);
  for (const wrong of [undefined, task.token, 'x']) assert.is((await waiting(api, wrong)).status, wrong === undefined ? 401 : 403);
  const { paths } = (await api.ask('GET', '../sallyport/v1/openapi.json')).body as { paths: Record<string, Record<string, { security: unknown[] }>> };
  assert.ok(Object.keys(paths).includes('/sallyport/v1/task-instances/{id}/token') && Object.keys(paths).includes('/sallyport/v1/workloads'));
  for (const [path, operations] of Object.entries(paths)) for (const { security } of Object.values(operations)) assert.is(security.length, 1, path);
  expectReply(await ask(api, id, credential), 201); // control
});

workers('there is no first token of what runs, has ended, or was replaced', async () => {
  await using api = await ApiServer.start({}, seed);
  const credential = await worker(api);
  const first = await queued(api, { task_id: 't', try_number: 1 });
  const token = tokenIn(await ask(api, first, credential));
  const execution = freshOf(await start(api, first, token));
  const running = await ask(api, first, credential);
  expectRefusal(running, 409, 'invalid_state');
  assert.is((running.body as { detail: { previous_state: string } }).detail.previous_state, 'running');
  expectReply(await api.ask('PATCH', `task-instances/${first}/state`, execution, { state: 'up_for_retry', end_date: startDate }), 204);
  expectRefusal(await ask(api, first, credential), 409, 'invalid_state');
  const second = await queued(api, { task_id: 't', try_number: 2 });
  expectRefusal(await ask(api, first, credential), 410, 'not_found');
  expectReply(await ask(api, second, credential), 201);
});

workers('two workers with a token each: one starts the task instance, and the other token ends', async () => {
  await using api = await ApiServer.start({}, seed);
  const id = await queued(api);
  const [one, two] = [tokenIn(await ask(api, id, await worker(api))), tokenIn(await ask(api, id, await worker(api)))];
  const replies = await Promise.all([start(api, id, one), start(api, id, two)]);
  assert.equal(replies.map(({ status }) => status).sort(), [200, 403]);
});

workers('a worker that is revoked gets no token, and all that came from it end, renewed ones too', async () => {
  let clock = Date.now();
  await using api = await ApiServer.start({ now: () => clock }, seed);
  const [bad, good] = [textOf(await api.server.addWorker({ name: 'bad', queues: ['q1'] })), textOf(await api.server.addWorker({ name: 'good', queues: ['q1'] }))];
  const begin = async (credential: string): Promise<string> => {
    const id = await queued(api);
    return freshOf(await start(api, id, tokenIn(await ask(api, id, credential))));
  };
  const [theirs, other] = [await begin(bad), await begin(good)];
  clock += 1_000_000;
  const renewed = freshOf(await api.ask('GET', 'variables/region', theirs));
  expectReply(await api.ask('GET', 'variables/region', renewed), 200);
  const id = await queued(api);
  const waiting = tokenIn(await ask(api, id, bad));
  assert.is(await api.server.revokeWorker('bad'), 3);
  for (const token of [theirs, renewed]) expectRefusal(await api.ask('GET', 'variables/region', token), 403, 'invalid_token');
  expectRefusal(await start(api, id, waiting), 403, 'invalid_token');
  expectRefusal(await ask(api, id, bad), 403, 'invalid_token');
  expectReply(await api.ask('GET', 'variables/region', other), 200);
  expectReply(await ask(api, id, good), 201);
  // Its name may be given again; the old credential stays dead.
  assert.equal([await codeOf(() => api.server.revokeWorker('bad')), await codeOf(() => api.server.addWorker({ name: 'good', queues: ['q1'] }))], ['ERR_OUT_OF_RANGE', 'ERR_OUT_OF_RANGE']);
  const again = textOf(await api.server.addWorker({ name: 'bad', queues: ['q1'] }));
  assert.is.not(again, bad);
  expectReply(await ask(api, id, again), 201);
  expectRefusal(await ask(api, id, bad), 403, 'invalid_token');
});

workers('a worker that is revoked while it asks keeps nothing', async () => {
  await using api = await ApiServer.start({}, seed);
  for (let round = 0; round < 8; round++) {
    const credential = textOf(await api.server.addWorker({ name: 'w', queues: ['q1'] }));
    const id = await queued(api);
    const asked = Array.from({ length: 4 }, () => ask(api, id, credential));
    const replies = await Promise.all([...asked, api.server.revokeWorker('w')]);
    for (const reply of replies) {
      if (typeof reply === 'object' && reply.status === 201) expectRefusal(await start(api, id, tokenIn(reply)), 403, 'invalid_token');
    }
  }
});

workers('workers are added, listed and revoked over the admin API, which has no token to give then', async () => {
  const admin = 'of-the-admin-alone-and-32-bytes-or-more';
  await using api = await ApiServer.start({ soleIssuer: true, adminCredential: Secret.fromBytes(Buffer.from(admin)) }, seed);
  const base = await api.server.listenAdmin();
  const asAdmin = (method: string, path: string, body?: unknown): Promise<Reply> => api.ask(method, new URL(path, base).href, admin, body);
  const added = await asAdmin('PUT', 'workers/host%2F1', { queues: ['q1'], team: 'red' });
  expectReply(added, 201);
  const { credential } = added.body as { credential: string };
  expectReply(await asAdmin('GET', 'workers'), 200, { workers: [{ name: 'host/1', queues: ['q1'], team: 'red' }] });
  const id = await queued(api);
  expectRefusal(await asAdmin('POST', `task-instances/${id}/token`), 403, 'sole_issuer');
  const reply = await ask(api, id, credential);
  expectReply(reply, 201);
  const { tokens } = (await asAdmin('GET', `tokens?task_instance_id=${id}`)).body as { tokens: { worker: string; scope: string }[] };
  assert.equal(tokens.map(({ worker: name, scope }) => [name, scope]), [['host/1', 'workload']]);
  assert.not.match(JSON.stringify((await asAdmin('GET', 'workers')).body), credential);
  expectReply(await asAdmin('POST', 'revocations', { worker: 'host/1' }), 200, { revoked: 1 });
  expectRefusal(await start(api, id, tokenIn(reply)), 403, 'invalid_token');
  expectReply(await ask(api, id, credential), 201); // the worker goes on, for its credential was not ended
  expectRefusal(await asAdmin('PUT', 'workers/host%2F1', { queues: ['q1'] }), 409, 'already_exists');
  expectRefusal(await asAdmin('PUT', 'workers/other', { team: 'green' }), 409, 'unknown_name');
  for (const body of [{}, { queues: [] }, { team: 7 }, { queues: ['q'], name: 'x' }]) expectReply(await asAdmin('PUT', 'workers/other', body), 422);
  expectReply(await asAdmin('DELETE', 'workers/host%2F1'), 200, { revoked: 1 });
  expectRefusal(await ask(api, id, credential), 403, 'invalid_token');
  expectRefusal(await asAdmin('DELETE', 'workers/host%2F1'), 404, 'not_found');
  expectReply(await asAdmin('GET', 'workers'), 200, { workers: [] });
});

workers('a worker is bound to something that there is', async () => {
  await using api = await ApiServer.start({}, seed);
  for (const wrong of [{ name: 'w' }, { name: 'w', queues: [] }, { name: '', queues: ['q'] }, { name: 'w', team: 'green' }, { name: 'w', queues: 'q' }, { name: 'w', queues: ['q'], admin: true }]) {
    assert.is(await codeOf(() => api.server.addWorker(wrong as never)), 'ERR_OUT_OF_RANGE', JSON.stringify(wrong));
  }
  assert.is(await codeOf(() => api.server.addWorker({ name: 'w', team: 'red' })), 'done'); // control
});

// --- What waits

const listed: Seed = {
  ...seed,
  dags: [
    { dag_id: 'red', bundle: 'reds', bundle_version: '7', relative_fileloc: 'red.mjs', declares: { variables: ['region'] } },
    { dag_id: 'blue', bundle: 'blues', relative_fileloc: 'blue.mjs' },
    { dag_id: 'nobody', relative_fileloc: 'nobody.mjs' },
    { dag_id: 'no-file', bundle: 'reds' },
  ],
};
const idsIn = ({ body }: Reply): string[] => (body as { workloads: { ti: { id: string } }[] }).workloads.map(({ ti }) => ti.id).sort();

workers('a worker is told what waits for its queues and its team, as workloads without tokens', async () => {
  await using api = await ApiServer.start({ soleIssuer: true }, listed);
  const ids: Record<string, string> = {};
  const instances: Record<string, object> = { red: {}, mapped: { map_index: 3 }, red2: { queue: 'q2' }, blue: { dag_id: 'blue' }, restarting: { state: 'restarting' } };
  const none: readonly object[] = [{ dag_id: 'nobody' }, { dag_id: 'no-file' }, { state: 'scheduled' }];
  for (const [name, ti] of Object.entries(instances)) ids[name] = await queued(api, ti);
  for (const ti of none) await queued(api, ti);
  const of = (...names: string[]): string[] => names.map((name) => ids[name] ?? '').sort();
  const expected: readonly (readonly [Partial<WorkerOptions>, readonly string[]])[] = [
    [{ queues: ['q1'] }, of('red', 'mapped', 'blue', 'restarting')],
    [{ queues: ['q2', 'q3'] }, of('red2')],
    [{ team: 'red' }, of('red', 'mapped', 'red2', 'restarting')],
    [{ team: 'blue', queues: ['q1'] }, of('blue')],
    [{ team: 'blue', queues: ['q2'] }, []],
  ];
  for (const [binding, found] of expected) assert.equal(idsIn(await waiting(api, await worker(api, binding))), found, JSON.stringify(binding));

  const { body } = await waiting(api, await worker(api, { team: 'blue' }));
  const blue = { id: ids['blue'], dag_id: 'blue', run_id, task_id: `t-${ids['blue']}`, map_index: -1, try_number: 1, queue: 'q1' };
  assert.equal(body, { workloads: [{ type: 'ExecuteTask', ti: blue, dag_rel_path: 'blue.mjs', bundle_info: { name: 'blues', version: null }, declares: null }] });
  const reds = (await waiting(api, await worker(api, { team: 'red', queues: ['q2'] }))).body as { workloads: Record<string, unknown>[] };
  assert.equal([reds.workloads[0]?.['bundle_info'], reds.workloads[0]?.['declares']], [{ name: 'reds', version: '7' }, { variables: ['region'] }]);
});

workers('what somebody is about to start, runs or was replaced waits no more; after a while it does again', async () => {
  let now = Date.now();
  await using api = await ApiServer.start({ now: () => now }, listed);
  const [one, other] = [await worker(api), await worker(api)];
  const id = await queued(api);
  assert.equal(idsIn(await waiting(api, other)), [id]); // control
  await ask(api, id, one);
  assert.equal([idsIn(await waiting(api, one)), idsIn(await waiting(api, other))], [[], []]);
  now += 29_000;
  assert.equal(idsIn(await waiting(api, other)), []);
  now += 2_000; // it was not started
  assert.equal(idsIn(await waiting(api, other)), [id]);
  await start(api, id, tokenIn(await ask(api, id, other)));
  now += 60_000;
  assert.equal(idsIn(await waiting(api, other)), []);

  const first = await queued(api, { task_id: 'again', try_number: 1 });
  assert.equal(idsIn(await waiting(api, other)), [first]); // control
  const second = await queued(api, { task_id: 'again', try_number: 2 });
  assert.equal(idsIn(await waiting(api, other)), [second]);
});

workers('as many as it asks for, the oldest runs first', async () => {
  await using api = await ApiServer.start({}, listed);
  const credential = await worker(api);
  for (let day = 9; day > 0; day--) {
    await api.server.seed({ dagRuns: [{ dag_id: 'red', run_id: `r${day}`, run_after: `2026-01-0${day}T00:00:00Z` }], taskInstances: [{ id: randomUUID(), dag_id: 'red', run_id: `r${day}`, task_id: 't', queue: 'q1' }] });
  }
  const { body } = await waiting(api, credential, '?limit=3');
  assert.equal((body as { workloads: { ti: { run_id: string } }[] }).workloads.map(({ ti }) => ti.run_id), ['r1', 'r2', 'r3']);
  for (const wrong of ['0', '101', 'x']) expectReply(await waiting(api, credential, `?limit=${wrong}`), 422);
});

workers("the client gets its token from a server's process, beside the API's own path", async () => {
  const id = randomUUID();
  await using server = await spawnServer({ soleIssuer: true, seed: { ...listed, taskInstances: [{ id, dag_id: 'red', run_id, task_id: 't', queue: 'q1' }] } });
  assert.is(await codeOf(() => server.issueWorkloadToken(id)), 'ERR_TOKEN_REFUSED');
  using credential = await server.addWorker({ name: 'w', queues: ['q1'] });
  await using shared = new ExecutionApi({ baseUrl: server.url });
  assert.is(await codeOf(() => shared.firstToken(randomUUID(), credential)), 'ERR_UPSTREAM_FAILED');
  assert.equal((await shared.waitingWork(credential, { limit: 1 })).map(({ ti }) => ti.id), [id]);
  await using api = shared.withToken(await shared.firstToken(id, credential));
  await api.run(id, { ...here, start_date: startDate });
  assert.equal(await api.getVariable('region'), { key: 'region', value: 'north' });
  assert.is(await server.revokeWorker('w'), 1);
  assert.is(await codeOf(() => api.getVariable('region')), 'ERR_UPSTREAM_FAILED');
});

workers.run();
