// The admin API: who may use it, what it makes, moves and ends, and what of it tasks see.
import { spawnSync } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Secret } from '../lib/secrets/secret.js';
import { createServer, type AccessRecord, type ServerOptions } from '../lib/server/index.js';
import { Seed } from '../lib/server/seed.js';
import { ApiServer, dagRun, expectRefusal, expectReply, here, type Reply, startDate } from './helpers/api-server.js';

const admin = suite('server-admin');

const credential = randomBytes(32).toString('base64url');
type Ask = (method: string, path: string, body?: unknown, as?: string | null) => Promise<Reply>;

async function withAdmin(options: Partial<ServerOptions>, use: (ask: Ask, api: ApiServer) => Promise<void>): Promise<void> {
  await using api = await ApiServer.start({ ...options, adminCredential: Secret.fromBytes(Buffer.from(credential)) });
  const base = await api.server.listenAdmin();
  await use((method, path, body, as = credential) => api.ask(method, new URL(path, base).href, as ?? undefined, body), api);
}

const of = { dag_id: 'daily', run_id: 'r' };
const newTask = { ...of, task_id: 't' };
/** Every route, with a request that succeeds; in this order, since later ones need what earlier ones make. */
const id = randomUUID();
const routes: readonly (readonly [string, string, number, unknown?])[] = [
  ['POST', 'seed', 204, { teams: ['red'], variables: { seeded: 'x' } }],
  ['PUT', 'teams/blue', 200, {}],
  ['PUT', 'bundles/reds', 200, { team: 'red' }],
  ['PUT', 'dags/daily', 200, { bundle: 'reds', tags: ['a'] }],
  ['PUT', 'variables/region', 200, { value: 'north', team: 'red' }],
  ['PUT', 'connections/warehouse', 200, { conn_type: 'http', password: 'hunter2', extra: '{}' }],
  ['PUT', 'dag-runs/daily/r', 201, { logical_date: '2026-04-06T00:00:00Z', conf: { a: 1 } }],
  ['POST', 'task-instances', 201, { ...newTask, id }],
  ['POST', `task-instances/${id}/token`, 201],
  ...['teams', 'bundles', 'dags', 'variables', 'connections', 'dag-runs', 'task-instances'].map((path) => ['GET', path, 200] as const),
  ...['teams/red', 'bundles/reds', 'dags/daily', 'variables/region', 'connections/warehouse', 'dag-runs/daily/r', `task-instances/${id}`].map((path) => ['GET', path, 200] as const),
  ['GET', 'hitl-details', 200],
  ['GET', 'tokens', 200],
  ['PUT', 'workers/w', 201, { queues: ['q'] }],
  ['GET', 'workers', 200],
  ['DELETE', 'workers/w', 200],
  ['PUT', 'triggerers/t', 201, { team: 'red' }],
  ['GET', 'triggerers', 200],
  ['DELETE', 'triggerers/t', 204],
  ['POST', 'revocations', 200, { all: true }],
  ['PATCH', `task-instances/${id}`, 200, { state: 'failed' }],
  ['PATCH', 'dag-runs/daily/r', 200, { state: 'failed', note: 'why' }],
  ...['teams/blue', 'variables/region', 'connections/warehouse'].map((path) => ['DELETE', path, 204] as const),
];

admin('a type without a body, as some clients send it, is no body', async () => {
  await withAdmin({}, async (ask, api) => {
    const { id } = await api.task();
    expectReply(await ask('POST', `task-instances/${id}/token`, ''), 201);
    expectReply(await ask('POST', 'revocations', ''), 422); // control: where one is wanted it is missed
    const task = await api.running();
    expectReply(await api.ask('DELETE', task.xcom('k'), task.token, ''), 200);
    expectReply(await api.ask('POST', task.xcom('k'), task.token, ''), 422);
    expectReply(await api.ask('POST', `dag-runs/${dagRun.dag_id}/${encodeURIComponent(dagRun.run_id)}/clear`, task.token, ''), 204);
  });
});

admin('every route wants the credential, and no token is one', async () => {
  await withAdmin({}, async (ask, api) => {
    const { token } = await api.task();
    for (const [method, path, status, body] of routes) {
      expectRefusal(await ask(method, path, body, null), 401, 'missing_credential');
      for (const wrong of [token, `${credential}x`, credential.slice(1), 'x']) expectRefusal(await ask(method, path, body, wrong), 403, 'invalid_credential');
      expectReply(await ask(method, path, body), status); // control
    }
    // The credential is none of the tasks' either, and the one API is not where the other is.
    expectRefusal(await api.ask('GET', 'variables/seeded', credential), 403, 'invalid_token');
    expectReply(await api.ask('GET', '/admin/teams', credential), 404);
    expectReply(await ask('GET', '/execution/health'), 404);
  });
});

admin('what it makes is what tasks see, from their token to the end that an operator gives them', async () => {
  await withAdmin({ multiTeam: true }, async (ask, api) => {
    for (const [method, path, status, body] of routes.slice(0, 8)) expectReply(await ask(method, path, body), status);
    const { token: workload } = (await ask('POST', `task-instances/${id}/token`)).body as { token: string };
    const started = await api.ask('PATCH', `task-instances/${id}/run`, workload, { state: 'running', start_date: startDate, ...here });
    expectReply(started, 200);
    const token = started.headers.get('refreshed-api-token') ?? '';
    expectReply(await api.ask('GET', 'variables/region', token), 200, { key: 'region', value: 'north' });
    assert.is(((await api.ask('GET', 'connections/warehouse', token)).body as { password: string }).password, 'hunter2');
    // Another team's from now on.
    expectReply(await ask('PUT', 'variables/region', { value: 'south', team: 'blue' }), 200, { key: 'region', description: null, team: 'blue' });
    expectRefusal(await api.ask('GET', 'variables/region', token), 403, 'access_denied');
    expectRefusal(await ask('POST', `task-instances/${id}/token`), 409, 'invalid_state');
    expectReply(await ask('PATCH', `task-instances/${id}`, { state: 'failed' }), 200);
    expectRefusal(await api.ask('PUT', `task-instances/${id}/heartbeat`, token, { hostname: here.hostname, pid: here.pid }), 409, 'not_running');
    expectRefusal(await api.ask('GET', 'connections/warehouse', token), 409, 'not_running');
  });
});

admin('tokens are listed without being told, and end: one, those of a task instance, or all', async () => {
  await withAdmin({}, async (ask, api) => {
    const jtis = async (which = ''): Promise<{ jti: string; revoked_at: string | null }[]> => ((await ask('GET', `tokens${which}`)).body as { tokens: { jti: string; revoked_at: string | null }[] }).tokens;
    const tasks = [await api.running(), await api.running(), await api.running(), await api.running()] as const;
    const speaks = (): Promise<number[]> => Promise.all(tasks.map(async (task) => (await task.ask('GET', 'variables/none')).status));
    assert.equal(await speaks(), [404, 404, 404, 404]);
    const claims = JSON.parse(Buffer.from(tasks[0].token.split('.')[1] ?? '', 'base64url').toString()) as { jti: string };
    assert.not.match(JSON.stringify(await jtis()), 'eyJ');
    expectReply(await ask('POST', 'revocations', { jti: claims.jti }), 200, { revoked: 1 });
    expectReply(await ask('POST', 'revocations', { jti: claims.jti }), 200, { revoked: 0 });
    assert.equal((await speaks()).slice(1), [404, 404, 404]);
    expectReply(await ask('POST', 'revocations', { task_instance_id: tasks[1].id.toUpperCase() }), 200);
    assert.ok((await jtis(`?task_instance_id=${tasks[1].id}`)).every(({ revoked_at }) => revoked_at !== null));
    assert.equal((await speaks()).slice(2), [404, 404]);
    expectReply(await ask('POST', 'revocations', { all: true }), 200);
    assert.ok((await speaks()).every((status) => status === 403));
    for (const wrong of [{}, { all: false }, { jti: 'x' }, { jti: claims.jti, all: true }]) expectReply(await ask('POST', 'revocations', wrong), 422);
  });
});

admin('what is changed holds from the next request on, at another server on the same database too', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-admin-'));
  const made = await ApiServer.newDatabase();
  const database = made === ':memory:' ? join(folder, 'db') : made;
  const key = randomBytes(64);
  const options = (): Partial<ServerOptions> => ({ database, multiTeam: true, signingKey: Secret.fromBytes(Buffer.from(key)) });
  try {
    await using one = await ApiServer.start(options());
    await withAdmin(options(), async (ask, other) => {
      for (const [method, path, status, body] of routes.slice(0, 8)) expectReply(await ask(method, path, body), status);
      const { token: workload } = (await ask('POST', `task-instances/${id}/token`)).body as { token: string };
      const token = (await one.ask('PATCH', `task-instances/${id}/run`, workload, { state: 'running', start_date: startDate, ...here })).headers.get('refreshed-api-token') ?? '';
      const region = async (): Promise<number[]> => [(await one.ask('GET', 'variables/region', token)).status, (await one.ask('GET', 'variables/region', token)).status, (await other.ask('GET', 'variables/region', token)).status];
      const steps: readonly (readonly [string, string, unknown, number])[] = [
        ['PUT', 'variables/region', { value: 'north', team: 'red' }, 200],
        ['PUT', 'variables/region', { value: 'north', team: 'blue' }, 403],
        ['PUT', 'variables/region', { value: 'north' }, 200],
        ['DELETE', 'variables/region', undefined, 403],
        ['PUT', 'variables/region', { value: 'north', team: 'red' }, 200],
        ['PUT', 'bundles/reds', { team: 'blue' }, 403],
        ['PUT', 'bundles/reds', { team: 'red' }, 200],
        ['POST', 'task-instances', { ...newTask, try_number: 2 }, 410],
      ];
      for (const [method, path, body, status] of steps) {
        assert.ok((await ask(method, path, body)).status < 300);
        assert.equal(await region(), [status, status, status], `${method} ${path} ${JSON.stringify(body)}`);
      }
      // Nor does what is remembered of one task say anything about another.
      const [first, second] = [await one.running({ dag_id: 'daily', run_id: 'r' }), await one.running({ dag_id: 'daily', run_id: 'r' })];
      for (const task of [first, second, first]) expectReply(await task.ask('GET', 'variables/region'), 200);
      expectReply(await ask('POST', 'revocations', { task_instance_id: first.id }), 200, { revoked: 1 });
      assert.equal([(await first.ask('GET', 'variables/region')).status, (await second.ask('GET', 'variables/region')).status], [403, 200]);
      // A value is remembered as well, a short one and none that was there before.
      for (const value of ['south', 's'.repeat(1025), 'west']) {
        expectReply(await ask('PUT', 'variables/region', { value, team: 'red' }), 200);
        for (let times = 0; times < 2; times++) expectReply(await second.ask('GET', 'variables/region'), 200, { key: 'region', value });
      }
      expectReply(await second.ask('PUT', 'variables/region', { val: 'east' }), 201);
      expectReply(await second.ask('GET', 'variables/region'), 200, { key: 'region', value: 'east' });
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

admin('secrets are written and not read, and are in no answer', async () => {
  await withAdmin({}, async (ask) => {
    await ask('PUT', 'variables/v', { value: 'secret-value' });
    await ask('PUT', 'connections/c', { conn_type: 'x', password: 'secret-password', extra: '{"a": "secret-extra"}', login: 'shown' });
    for (const path of ['variables', 'variables/v', 'connections', 'connections/c']) {
      const { body } = await ask('GET', path);
      assert.not.match(JSON.stringify(body), 'secret-');
    }
    assert.is(((await ask('GET', 'connections/c')).body as { login: string }).login, 'shown');
  });
});

admin('a thing is replaced whole, listed by name in pages, and taken away', async () => {
  await withAdmin({}, async (ask) => {
    for (const name of ['c', 'a/b', 'b', "'; DROP TABLE teams; --"]) expectReply(await ask('PUT', `teams/${encodeURIComponent(name)}`, {}), 200, { name });
    const sorted = ["'; DROP TABLE teams; --", 'a/b', 'b', 'c'].map((name) => ({ name }));
    expectReply(await ask('GET', 'teams'), 200, { teams: sorted, total_entries: 4 });
    expectReply(await ask('GET', 'teams?limit=2&after=a%2Fb'), 200, { teams: sorted.slice(2), total_entries: 4 });
    expectReply(await ask('PUT', 'connections/c', { conn_type: 'http', login: 'x' }), 200);
    expectReply(await ask('PUT', 'connections/c', { conn_type: 'ftp' }), 200, { conn_id: 'c', conn_type: 'ftp', host: null, schema: null, login: null, port: null, team: null });
    expectReply(await ask('DELETE', 'teams/a%2Fb'), 204);
    expectRefusal(await ask('DELETE', 'teams/a%2Fb'), 404, 'not_found');
    expectRefusal(await ask('GET', 'teams/a%2Fb'), 404, 'not_found');
    expectReply(await ask('GET', 'teams/c'), 200); // control
  });
});

admin('a name that leads nowhere, or that others lead to, is 409 and changes nothing', async () => {
  await withAdmin({}, async (ask) => {
    expectRefusal(await ask('PUT', 'bundles/b', { team: 'none' }), 409, 'unknown_name');
    expectReply(await ask('PUT', 'teams/red', {}), 200);
    expectReply(await ask('PUT', 'bundles/b', { team: 'red' }), 200);
    expectRefusal(await ask('DELETE', 'teams/red'), 409, 'unknown_name');
    expectRefusal(await ask('POST', 'seed', { variables: { x: 'y' }, dags: [{ dag_id: 'd', bundle: 'none' }] }), 409, 'unknown_name');
    expectRefusal(await ask('GET', 'variables/x'), 404, 'not_found');
    expectReply(await ask('POST', 'seed', { variables: { x: 'y' }, dags: [{ dag_id: 'd', bundle: 'b' }] }), 204); // control
    expectReply(await ask('GET', 'variables/x'), 200);
    expectReply(await ask('PUT', 'dag-runs/d/1', { logical_date: '2026-04-06T00:00:00Z' }), 201);
    expectRefusal(await ask('PUT', 'dag-runs/d/1', {}), 409, 'already_exists');
    expectRefusal(await ask('PUT', 'dag-runs/d/2', { logical_date: '2026-04-06T00:00:00Z' }), 409, 'already_exists');
    expectReply(await ask('POST', 'task-instances', { ...newTask, dag_id: 'new', run_id: 'made with it' }), 201);
    assert.is(((await ask('GET', 'dags/new')).body as { bundle: unknown }).bundle, null);
    expectReply(await ask('GET', 'dag-runs/new/made%20with%20it'), 200);
    const made = await ask('POST', 'task-instances', { ...newTask, dag_id: 'd' });
    expectReply(made, 201);
    expectRefusal(await ask('POST', 'task-instances', { ...newTask, dag_id: 'd' }), 409, 'already_exists');
    expectRefusal(await ask('POST', 'task-instances', { ...newTask, task_id: 'u', dag_id: 'd', id: (made.body as { id: string }).id }), 409, 'already_exists');
    expectReply(await ask('POST', 'task-instances', { ...newTask, dag_id: 'd', try_number: 2 }), 201); // control
    expectReply(await ask('GET', `task-instances?dag_id=d&run_id=r`), 200);
  });
});

admin('a later try takes the place of an earlier one, which gets no token and is moved no more', async () => {
  await withAdmin({}, async (ask) => {
    const first = ((await ask('POST', 'task-instances', newTask)).body as { id: string }).id;
    const second = ((await ask('POST', 'task-instances', { ...newTask, try_number: 2, state: 'scheduled' })).body as { id: string }).id;
    expectRefusal(await ask('POST', `task-instances/${first}/token`), 409, 'invalid_state');
    expectRefusal(await ask('PATCH', `task-instances/${first}`, { state: 'failed' }), 409, 'not_found');
    expectRefusal(await ask('POST', `task-instances/${second}/token`), 409, 'invalid_state'); // it is only scheduled
    expectReply(await ask('PATCH', `task-instances/${second}`, { state: 'queued' }), 200);
    expectReply(await ask('POST', `task-instances/${second.toUpperCase()}/token`), 201);
    const { task_instances } = (await ask('GET', 'task-instances')).body as { task_instances: { id: string; is_latest: boolean }[] };
    assert.equal(task_instances.map((ti) => [ti.id, ti.is_latest]), [[first, false], [second, true]]);
    assert.is(((await ask('GET', 'task-instances?state=queued&offset=1')).body as { task_instances: unknown[] }).task_instances.length, 1);
  });
});

admin('when a task wants to be tried again, and why, is there for who schedules', async () => {
  await withAdmin({}, async (ask, api) => {
    const end_date = '2026-04-06T00:01:00Z';
    const cases = [
      [{ retry_delay_seconds: 90.5, retry_reason: 'rate limit' }, [90.5, 'rate limit']], [{ retry_delay_seconds: 0, retry_reason: 'x'.repeat(5000) }, [0, 'x'.repeat(2000)]],
      [{ retry_delay_seconds: null, retry_reason: null }, [null, null]], [{}, [null, null]],
    ] as const;
    for (const [said, kept] of cases) {
      const task = await api.running({ max_tries: 1 });
      expectReply(await task.state({ state: 'up_for_retry', end_date, ...said }), 204);
      const shown = (await ask('GET', `task-instances/${task.id}`)).body as Record<string, unknown>;
      assert.equal([shown['state'], shown['end_date'], shown['retry_delay_seconds'], shown['retry_reason']], ['up_for_retry', end_date, ...kept]);
      const { task_instances } = (await ask('GET', `task-instances?task_id=${task.task_id}`)).body as { task_instances: object[] };
      assert.equal(task_instances, [shown]);
    }
    const task = await api.running({ max_tries: 1 });
    for (const retry_delay_seconds of [-1, '90', true]) expectReply(await task.state({ state: 'up_for_retry', end_date, retry_delay_seconds }), 422);
  });
});

admin("a run begins when it runs, ends when it has ended, and goes on when it is said to", async () => {
  await withAdmin({}, async (ask) => {
    const dates = async (): Promise<boolean[]> => {
      const { start_date, end_date } = (await ask('GET', 'dag-runs/daily/r')).body as Record<string, unknown>;
      return [start_date !== null, end_date !== null];
    };
    expectReply(await ask('PUT', 'dag-runs/daily/r', { state: 'queued' }), 201);
    assert.equal(await dates(), [false, false]);
    for (const [state, expected] of [['running', [true, false]], ['success', [true, true]], ['running', [true, false]], ['failed', [true, true]]] as const) {
      expectReply(await ask('PATCH', 'dag-runs/daily/r', { state }), 200);
      assert.equal(await dates(), expected);
    }
    expectReply(await ask('PATCH', 'dag-runs/daily/r', { note: 'why' }), 200);
    assert.equal(await dates(), [true, true]);
    expectReply(await ask('PATCH', 'dag-runs/daily/r', {}), 200);
    expectRefusal(await ask('PATCH', 'dag-runs/daily/none', {}), 404, 'not_found');
    assert.is(((await ask('GET', 'dag-runs?dag_id=daily&state=failed')).body as { dag_runs: unknown[] }).dag_runs.length, 1);
    assert.is(((await ask('GET', 'dag-runs?state=queued')).body as { dag_runs: unknown[] }).dag_runs.length, 0);
  });
});

admin('what is not of its schema is 422', async () => {
  await withAdmin({}, async (ask) => {
    for (const [method, path, , body] of routes.filter(([, , , body]) => body !== undefined)) {
      for (const wrong of [[], 'x', 1, { ...(body as object), surprise: 1 }]) {
        // A variable may be text alone.
        if (path.startsWith('variables') && wrong === 'x') continue;
        expectReply(await ask(method, path, typeof wrong === 'string' ? JSON.stringify(wrong) : wrong), 422);
      }
    }
    for (const path of ['teams?limit=0', 'teams?limit=many', 'dag-runs?offset=-1', 'task-instances?run_id=', 'task-instances/none', `teams/${'x'.repeat(251)}`]) expectReply(await ask('GET', path), 422);
    expectReply(await ask('PUT', 'dag-runs/d/r', { start_date: 'yesterday' }), 422);
    for (const [path, body] of [['variables/v', { value: 'a\0b' }], ['variables/v', { value: '\ud800' }]] as const) expectReply(await ask('PUT', path, body), 422);
    expectReply(await ask('GET', 'variables'), 200, { variables: [], total_entries: 0 });
  });
});

admin('it listens on this host alone, and only with a credential that is long enough and that a header can hold', async () => {
  const signingKey = Secret.fromBytes(randomBytes(64));
  const refused = async (work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      return assert.is((error as NodeJS.ErrnoException).code, 'ERR_OUT_OF_RANGE');
    }
    assert.unreachable();
  };
  await refused(() => createServer({ signingKey, adminCredential: Secret.fromBytes(Buffer.alloc(31, 'x')) }));
  for (const byte of [0, 0x20, 0x7f, 0xff]) await refused(() => createServer({ signingKey, adminCredential: Secret.fromBytes(Buffer.alloc(40, 'x').fill(byte, 39)) }));
  await using without = await createServer({ signingKey });
  await refused(() => without.listenAdmin());
  await using server = await createServer({ signingKey, adminCredential: Secret.fromBytes(Buffer.alloc(32, 'x')) });
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.org']) await refused(() => server.listenAdmin({ host }));
  assert.match(await server.listenAdmin({ host: '127.0.0.2' }), /^http:\/\/127\.0\.0\.2:\d+\/admin\/$/);
});

/** GET by a Unix socket. */
function statusBy(socketPath: string, path: string, headers = {}): Promise<number> {
  return new Promise((resolve, reject) => request({ socketPath, path, headers }, (response) => resolve(response.resume().statusCode ?? 0)).on('error', reject).end());
}

admin('by a Unix socket: for its owner alone, and one that a killed server left is replaced', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-admin-'));
  const socket = join(folder, 'admin.sock');
  try {
    const make = () => ApiServer.start({ adminCredential: Secret.fromBytes(Buffer.from(credential)) });
    await using api = await make();
    assert.is(await api.server.listenAdmin({ socket }), `unix:${socket}`);
    assert.is(statSync(socket).mode & 0o777, 0o600);
    assert.is(await statusBy(socket, '/admin/teams', { authorization: `Bearer ${credential}` }), 200);
    assert.is(await statusBy(socket, '/admin/teams'), 401);
    await using other = await make();
    try {
      await other.server.listenAdmin({ socket });
      assert.unreachable();
    } catch (error) {
      assert.is((error as NodeJS.ErrnoException).code, 'EADDRINUSE');
    }
    assert.is(await statusBy(socket, '/admin/teams'), 401);
    const left = join(folder, 'left.sock');
    spawnSync(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(left)}, () => process.kill(process.pid, 'SIGKILL'))`]);
    assert.ok(statSync(left).isSocket());
    await using third = await make();
    assert.is(await third.server.listenAdmin({ socket: left }), `unix:${left}`);
    assert.is(await statusBy(left, '/admin/teams'), 401);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

admin('the example of a seed is one, has every part, and is the same when it comes again', async () => {
  const seed = JSON.parse(readFileSync(new URL('../examples/seed.json', import.meta.url), 'utf8')) as object;
  assert.equal(Object.keys(seed).sort(), Object.keys(Seed.properties).sort());
  await withAdmin({}, async (ask) => {
    const listed = async (): Promise<unknown[]> => Promise.all(['teams', 'bundles', 'dags', 'variables', 'connections', 'dag-runs', 'task-instances'].map(async (path) => (await ask('GET', path)).body));
    expectReply(await ask('POST', 'seed', seed), 204);
    const first = await listed();
    assert.is((first.at(-1) as { task_instances: unknown[] }).task_instances.length, 2);
    expectReply(await ask('POST', 'seed', seed), 204);
    assert.equal(await listed(), first);
  });
});

admin('each request is told to the access log: who, what, which answer, and nothing that was sent', async () => {
  const records: AccessRecord[] = [];
  await withAdmin({ onAccess: (record) => records.push(record) }, async (ask, api) => {
    const task = await api.running();
    await ask('PUT', 'variables/v?x=secret-query', { value: 'secret-value' });
    await task.ask('GET', 'variables/v');
    await api.ask('GET', 'variables/v', 'secret-token', undefined, { 'correlation-id': 'c-1' });
    await api.ask('GET', '/nowhere');
    // A record comes when the answer has been sent: the next request is asked after it.
    await api.ask('GET', 'health');
    const seen = records.map(({ method, route, path, status, task_instance_id, correlation_id, client }) => [method, route, path, status, task_instance_id, correlation_id, client]);
    assert.equal(seen.slice(1, 5), [
      ['PUT', '/admin/variables/*', '/admin/variables/v', 200, null, null, '127.0.0.1'],
      ['GET', '/execution/variables/*', '/execution/variables/v', 200, task.id, null, '127.0.0.1'],
      ['GET', '/execution/variables/*', '/execution/variables/v', 403, null, 'c-1', '127.0.0.1'],
      ['GET', null, '/nowhere', 404, null, null, '127.0.0.1'],
    ]);
    assert.not.match(JSON.stringify(records), /secret-|Bearer|eyJ/);
    assert.ok(records.every(({ at, duration_ms }) => new Date(at).toISOString() === at && duration_ms > 0));
  });
});

admin.run();
