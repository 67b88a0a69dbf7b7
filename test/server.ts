import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { execFile, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ExecutionApi } from '../lib/execution-api/client.js';
import { createServer, spawnServer } from '../lib/server/index.js';
import { Secret } from '../lib/secrets/secret.js';
import { TokenVerifier } from '../lib/tokens/index.js';
import { ApiServer, dagRun, here, type Reply, startDate, type Task } from './helpers/api-server.js';

const server = suite('server');

const endDate = '2026-04-06T00:01:00Z';
const detail = ({ body }: Reply): Record<string, unknown> => (body as { detail: Record<string, unknown> }).detail;
function expect(reply: Reply, status: number, reason?: string): void {
  assert.is(reply.status, status, JSON.stringify(reply.body));
  if (reason !== undefined) assert.is(detail(reply)['reason'], reason);
}

/** Every route that wants a token, with a request that succeeds for a running task. */
const routes = (task: Task): readonly (readonly [string, string, unknown?])[] => [
  ['PATCH', `task-instances/${task.id}/run`, { state: 'running', start_date: startDate, ...here }],
  ['PUT', `task-instances/${task.id}/heartbeat`, { hostname: here.hostname, pid: here.pid }],
  ['GET', 'variables/region'],
  ['GET', 'connections/warehouse'],
  ['POST', task.xcom('key'), 1],
  ['GET', task.xcom('key')],
  ['PATCH', `task-instances/${task.id}/state`, { state: 'failed', end_date: endDate }],
];
const things = { variables: { region: 'north' }, connections: [{ conn_id: 'warehouse', conn_type: 'http', password: 'hunter2', port: 80 }] };

server('health needs no token, everything else answers 401 without one', async () => {
  await using api = await ApiServer.start({}, things);
  const task = await api.task();
  assert.equal((await api.ask('GET', 'health')).body, { status: 'healthy' });
  for (const [method, path, body] of routes(task)) {
    for (const authorization of [undefined, '', 'Bearer', 'Bearer ', `Basic ${task.token}`, task.token]) {
      expect(await api.ask(method, path, undefined, body, authorization === undefined ? {} : { authorization }), 401, 'missing_token');
    }
    assert.ok((await task.ask(method, path, body)).status < 300); // control
  }
});

server('a token that is not valid answers 403 before the body is looked at', async () => {
  let clock = Date.now();
  await using api = await ApiServer.start({ now: () => clock });
  await using other = await ApiServer.start();
  const task = await api.task();
  const foreign = await other.issuer.issue({ sub: task.id, scope: 'execution' });
  expect(await api.ask('PUT', `task-instances/${task.id}/heartbeat`, foreign, 'not json'), 403, 'invalid_token');
  expect(await api.ask('PUT', `task-instances/${task.id}/heartbeat`, task.token, 'not json'), 422); // control
  clock += 1_800_000 + 11_000;
  expect(await task.run(), 403, 'invalid_token');
});

server('a workload token is good for run alone, and run answers it with an execution token', async () => {
  await using api = await ApiServer.start({}, things);
  const task = await api.task();
  const workload = await api.server.issueWorkloadToken(task.id);
  for (const [method, path, body] of routes(task).slice(1)) expect(await api.ask(method, path, workload, body), 403, 'invalid_token');
  const reply = await task.run(here, workload);
  expect(reply, 200);
  const fresh = reply.headers.get('refreshed-api-token') ?? '';
  for (const [method, path, body] of routes(task).slice(1)) assert.ok((await api.ask(method, path, fresh, body)).status < 300);
});

server('an execution token is not answered with another', async () => {
  await using api = await ApiServer.start();
  const reply = await (await api.task()).run();
  expect(reply, 200);
  assert.is(reply.headers.get('refreshed-api-token'), null);
});

server("a task's token does nothing to another task instance", async () => {
  await using api = await ApiServer.start();
  const [mine, theirs] = [await api.task(), await api.task()];
  expect(await theirs.run(), 200);
  for (const [method, path, body] of routes(theirs).filter(([, path]) => path.startsWith('task-instances'))) {
    expect(await mine.ask(method, path, body), 403, 'subject_mismatch');
  }
  expect(await theirs.heartbeat(), 204); // and it still runs
});

server('run answers with the context, twice for the same process', async () => {
  await using api = await ApiServer.start({}, { dagRuns: [{ ...dagRun, conf: { a: 1 }, logical_date: '2026-04-06T00:00:00Z' }] });
  const task = await api.task({ max_tries: 2 });
  const reply = await task.run();
  const { dag_run, ...context } = reply.body as { dag_run: Record<string, unknown> };
  assert.equal(context, { task_reschedule_count: 0, max_tries: 2, variables: [], connections: [], xcom_keys_to_clear: [], should_retry: true });
  assert.equal([dag_run['dag_id'], dag_run['run_id'], dag_run['conf'], dag_run['logical_date'], dag_run['consumed_asset_events']], [dagRun.dag_id, dagRun.run_id, { a: 1 }, '2026-04-06T00:00:00Z', []]);
  assert.equal((await task.run()).body, reply.body);
  for (const other of [{ ...here, pid: 1 }, { ...here, hostname: 'host-2' }, { ...here, unixname: 'root' }]) {
    const refused = await task.run(other);
    expect(refused, 409, 'invalid_state');
    assert.is(detail(refused)['previous_state'], 'running');
  }
});

server('heartbeat says who runs it, and whether it runs', async () => {
  await using api = await ApiServer.start();
  const task = await api.task();
  expect(await task.heartbeat(), 409, 'running_elsewhere');
  expect(await task.run(), 200);
  expect(await task.heartbeat(), 204);
  const elsewhere = await task.heartbeat({ hostname: 'host-2', pid: 7 });
  expect(elsewhere, 409, 'running_elsewhere');
  assert.equal([detail(elsewhere)['current_hostname'], detail(elsewhere)['current_pid']], [here.hostname, here.pid]);
  expect(await task.state({ state: 'success', end_date: endDate }), 204);
  const over = await task.heartbeat();
  expect(over, 409, 'not_running');
  assert.is(detail(over)['current_state'], 'success');
});

const updates: readonly Record<string, unknown>[] = [
  { state: 'success', end_date: endDate, task_outlets: [{ name: 'a', uri: 's3://a', type: 'Asset' }], outlet_events: [{}] },
  { state: 'failed', end_date: endDate, rendered_map_index: 'label' },
  { state: 'skipped', end_date: endDate },
  { state: 'removed', end_date: endDate },
  { state: 'upstream_failed', end_date: endDate },
  { state: 'up_for_retry', end_date: endDate },
  { state: 'up_for_reschedule', end_date: endDate, reschedule_date: endDate },
  { state: 'deferred', classpath: 'a.B', trigger_kwargs: { x: 1 }, trigger_timeout: null, next_method: 'go_on', next_kwargs: { y: 2 } },
];
for (const update of updates) {
  server(`out of running, and of nothing else, a task instance becomes ${update['state']}`, async () => {
    await using api = await ApiServer.start();
    const task = await api.task();
    const early = await task.state(update);
    expect(early, 409, 'invalid_state');
    assert.is(detail(early)['previous_state'], 'queued');
    expect(await task.run(), 200);
    expect(await task.state(update), 204);
    const late = await task.state({ state: 'success', end_date: endDate });
    expect(late, 409, 'invalid_state');
    assert.is(detail(late)['previous_state'], update['state']);
    expect(await task.run(), 409, 'invalid_state');
  });
}

server('a task instance that is not there answers 404', async () => {
  await using api = await ApiServer.start({}, things);
  const id = randomUUID();
  const token = await api.issuer.issue({ sub: id, scope: 'execution' });
  for (const [method, path, body] of routes({ ...(await api.task()), id, xcom: () => 'variables/none' } as unknown as Task).filter(([, path]) => path.startsWith('task-instances'))) {
    expect(await api.ask(method, path, token, body), 404, 'not_found');
  }
  expect(await api.ask('GET', 'nowhere'), 404);
});

const badBodies: readonly (readonly [string, string, unknown])[] = [
  ['run without a body', 'run', undefined],
  ['run with nothing', 'run', {}],
  ['run with a field too many', 'run', { state: 'running', start_date: startDate, ...here, try_number: 9 }],
  ['run with a pid that is text', 'run', { state: 'running', start_date: startDate, ...here, pid: '4321' }],
  ['run with a date that is none', 'run', { state: 'running', start_date: 'yesterday', ...here }],
  ['run to another state', 'run', { state: 'success', start_date: startDate, ...here }],
  ['run with a list', 'run', []],
  ['run with what is not JSON', 'run', '{'],
  ['run with a prototype', 'run', `{"__proto__":{"state":"running"},${JSON.stringify({ state: 'running', start_date: startDate, ...here }).slice(1)}`],
  ['state with an unknown one', 'state', { state: 'done', end_date: endDate }],
  ['state running', 'state', { state: 'running', end_date: endDate }],
  ['success without its end', 'state', { state: 'success' }],
  ['failure with the fields of a success', 'state', { state: 'failed', end_date: endDate, task_outlets: [] }],
];
for (const [what, route, body] of badBodies) {
  server(`${what} answers 422 and changes nothing`, async () => {
    await using api = await ApiServer.start();
    const task = await api.task();
    if (route === 'state') expect(await task.run(), 200);
    const reply = await task.ask('PATCH', `task-instances/${task.id}/${route}`, body);
    expect(reply, 422);
    assert.ok(Array.isArray((reply.body as { detail: unknown }).detail));
    expect(await (route === 'state' ? task.heartbeat() : task.run()), route === 'state' ? 204 : 200);
  });
}

server('a body of another type, too large or too slow is refused', async () => {
  await using api = await ApiServer.start({ maxBodyBytes: 1000 });
  const task = await api.running();
  expect(await api.ask('POST', task.xcom('k'), task.token, 'x=1', { 'content-type': 'application/x-www-form-urlencoded' }), 415);
  expect(await task.ask('POST', task.xcom('k'), 'x'.repeat(1001)), 413);
  expect(await task.ask('GET', task.xcom('k')), 404);
  expect(await task.ask('POST', task.xcom('k'), JSON.stringify('x'.repeat(900))), 201); // control
});

/** What would do harm in SQL, in a path, or in a pattern. */
const evil = [`' OR '1'='1`, `'; DROP TABLE variables; --`, '"', '%', '_', '*', '?', '#', '&=', 'a b', 'a/b//c', '\\', '%2F', '%00', 'é\u{1F512}', ':key', '$1', '{}', '\n'];

server('ids with metacharacters are themselves and nothing else', async () => {
  await using api = await ApiServer.start({}, { variables: { plain: 'untouched' } });
  const task = await api.running();
  const value = (id: string): string => `value of ${id}`;
  for (const id of evil) expect(await task.ask('GET', `variables/${encodeURIComponent(id)}`), 404, 'not_found');
  await api.server.seed({
    variables: Object.fromEntries(evil.map((id) => [id, value(id)])),
    connections: evil.map((id) => ({ conn_id: id, conn_type: 'x', login: value(id) })),
  });
  for (const id of evil) {
    const segment = encodeURIComponent(id);
    assert.equal((await task.ask('GET', `variables/${segment}`)).body, { key: id, value: value(id) });
    assert.is(((await task.ask('GET', `connections/${segment}`)).body as { login: string }).login, value(id));
    expect(await task.ask('POST', task.xcom(id), { is: value(id) }), 201);
  }
  for (const id of evil) assert.equal((await task.ask('GET', task.xcom(id))).body, { key: id, value: { is: value(id) } });
  assert.equal((await task.ask('GET', 'variables/plain')).body, { key: 'plain', value: 'untouched' });
  expect(await task.ask('GET', 'variables/'), 404);
});

server('a connection answers with all its fields', async () => {
  await using api = await ApiServer.start({}, things);
  const task = await api.running();
  assert.equal((await task.ask('GET', 'connections/warehouse')).body, { conn_id: 'warehouse', conn_type: 'http', host: null, schema: null, login: null, password: 'hunter2', port: 80, extra: null });
  expect(await task.ask('GET', 'connections/none'), 404, 'not_found');
});

server('a task writes its own XComs and reads those of others', async () => {
  await using api = await ApiServer.start();
  const [mine, theirs] = [await api.running({ map_index: 3 }), await api.running()];
  expect(await mine.ask('POST', `${mine.xcom('k')}?map_index=3`, { a: [1, null, 'x'] }), 201);
  assert.equal((await theirs.ask('GET', `${mine.xcom('k')}?map_index=3`)).body, { key: 'k', value: { a: [1, null, 'x'] } });
  for (const path of [theirs.xcom('k'), mine.xcom('k'), `${mine.xcom('k')}?map_index=4`, `${mine.xcom('k').replace('daily', 'weekly')}?map_index=3`]) {
    expect(await mine.ask('POST', path, ['forged']), 403, 'access_denied');
    expect(await mine.ask('GET', path), 404, 'not_found');
  }
  expect(await mine.ask('POST', `${mine.xcom('k')}?map_index=3`, ['again']), 201);
  assert.equal((await mine.ask('GET', `${mine.xcom('k')}?map_index=3`)).body, { key: 'k', value: ['again'] });
});

server("with Airflow's authorization any token writes any XCom", async () => {
  await using api = await ApiServer.start({ authorization: 'airflow' });
  const [mine, theirs] = [await api.task(), await api.task()];
  expect(await mine.ask('POST', theirs.xcom('k'), ['forged']), 201);
  assert.equal((await theirs.ask('GET', theirs.xcom('k'))).body, { key: 'k', value: ['forged'] });
});

server('an XCom is kept as the text it came as', async () => {
  await using api = await ApiServer.start();
  const task = await api.running();
  const text = `{"big": 123456789012345678901234567890, "float": 1.0, "__proto__": {"a": 1}, "deep": ${'['.repeat(500)}${']'.repeat(500)}}`;
  expect(await task.ask('POST', task.xcom('k'), text), 201);
  const raw = await fetch(new URL(task.xcom('k'), api.url), { headers: { authorization: `Bearer ${task.token}` } });
  assert.is(await raw.text(), `{"key":"k","value":${text}}`);
  for (const broken of ['{', '', 'undefined', '1 2']) expect(await api.ask('POST', task.xcom('k'), task.token, broken, { 'content-type': 'application/json' }), 422);
});

server('prior dates look back along the runs of the DAG, and no further than this one', async () => {
  const runs = [1, 2, 3, 4].map((day) => ({ dag_id: 'daily', run_id: `day ${day}`, logical_date: `2026-04-0${day}T00:00:00Z` }));
  await using api = await ApiServer.start({}, { dagRuns: runs });
  const at = (day: number, query = ''): string => `xcoms/daily/${encodeURIComponent(`day ${day}`)}/t/k${query}`;
  for (const day of [1, 2, 4]) {
    const task = await api.running({ run_id: `day ${day}`, task_id: 't' });
    expect(await task.ask('POST', at(day), day), 201);
  }
  const task = await api.running();
  const prior = async (day: number): Promise<unknown> => ((await task.ask('GET', at(day, '?include_prior_dates=true'))).body as { value: unknown }).value;
  assert.equal([await prior(4), await prior(3), await prior(2), await prior(1)], [4, 2, 2, 1]);
  expect(await task.ask('GET', at(3)), 404, 'not_found');
  expect(await task.ask('GET', at(3, '?include_prior_dates=perhaps')), 422);
  expect(await task.ask('GET', at(3, '?map_index=one')), 422);
});

server('the correlation id comes back, also with an error', async () => {
  await using api = await ApiServer.start();
  for (const path of ['health', 'variables/x', 'nowhere']) {
    assert.is((await api.ask('GET', path, undefined, undefined, { 'correlation-id': 'abc-1', 'airflow-api-version': '2026-04-06' })).headers.get('correlation-id'), 'abc-1');
  }
  assert.is((await api.ask('GET', 'health')).headers.get('correlation-id'), null);
});

server('an execution token is renewed when half of its life is over, while its task runs', async () => {
  for (const authorization of ['own', 'airflow'] as const) {
    let clock = Date.now();
    await using api = await ApiServer.start({ now: () => clock, authorization }, things);
    const task = await api.task();
    const fresh = async (): Promise<string | null> => (await task.ask('GET', 'variables/region')).headers.get('refreshed-api-token');
    expect(await task.run(), 200);
    clock += 899_000;
    assert.is(await fresh(), null);
    clock += 2_000;
    const token = (await fresh()) ?? '';
    assert.ok((await api.ask('GET', 'variables/region', token)).status === 200);
    expect(await task.state({ state: 'success', end_date: endDate }), 204);
    // Upstream does not look whether the task still runs.
    assert.is((await fresh()) === null, authorization === 'own');
  }
});

server('what the store cannot do is answered 500 and told to the operator alone', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-server-'));
  try {
    const told: string[] = [];
    await using api = await ApiServer.start({ database: join(folder, 'db'), onError: (error, route) => told.push(`${route}: ${error.message}`) });
    const task = await api.running();
    const { DatabaseSync } = await import('@photostructure/sqlite');
    const db = new DatabaseSync(join(folder, 'db'));
    db.exec('DROP TABLE variables');
    db.close();
    const reply = await api.ask('GET', 'variables/secret-key', task.token, undefined, { 'correlation-id': 'abc-2' });
    assert.is(reply.status, 500);
    assert.equal(reply.body, { message: 'Internal server error', 'correlation-id': 'abc-2' });
    assert.equal(told, ['GET /execution/variables/*: no such table: variables']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

server('a database is for its owner alone, one of an older version is brought to this one, and of a newer one left alone', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-server-'));
  try {
    const database = join(folder, 'db');
    {
      await using api = await ApiServer.start({ database });
      const waits = await api.running({ dag_id: 'of-a-bundle' });
      assert.is((await waits.state({ state: 'deferred', classpath: 'a.B', next_method: 'go_on' })).status, 204);
      for (const name of ['db', 'db-wal', 'db-shm']) assert.is(statSync(join(folder, name)).mode & 0o777, 0o600, name);
    }
    const { DatabaseSync } = await import('@photostructure/sqlite');
    const db = new DatabaseSync(database);
    db.exec('ALTER TABLE task_instances DROP COLUMN retry_delay_seconds; ALTER TABLE task_instances DROP COLUMN retry_reason; DROP INDEX xcoms_by_task_instance; ALTER TABLE tokens DROP COLUMN last_word; DROP INDEX hitl_details_by_deadline; ALTER TABLE hitl_details DROP COLUMN deadline; DROP TABLE triggers; DROP TABLE triggerers; ALTER TABLE workers DROP COLUMN role; DROP TABLE task_state_store; DROP TABLE asset_state_store; ALTER TABLE tokens DROP COLUMN given_for; UPDATE schema_version SET version = 2');
    {
      await using api = await ApiServer.start({ database });
      assert.is((await (await api.running()).heartbeat()).status, 204);
      await api.server.seed({ bundles: [{ name: 'b' }], dags: [{ dag_id: 'of-a-bundle', bundle: 'b' }] });
      using credential = await api.server.addTriggerer({ name: 't', queues: ['default'] });
      const asked = await api.ask('PUT', `../sallyport/v1/triggerers/${randomUUID()}`, credential.use((bytes) => Buffer.from(bytes).toString()), { bundles: ['b'], capacity: 1, running: [] });
      assert.equal((asked.body as { to_create: { classpath: string }[] }).to_create.map(({ classpath }) => classpath), ['a.B']);
    }
    db.exec('UPDATE schema_version SET version = 99');
    db.close();
    try {
      await ApiServer.start({ database });
      assert.unreachable();
    } catch (error) {
      assert.match((error as Error).message, /version 99/);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

server('a seed that is wrong is refused whole, by the name of its field', async () => {
  await using api = await ApiServer.start();
  const id = randomUUID();
  const wrong = { variables: { region: 'north' }, taskInstances: [{ id, ...dagRun, task_id: 't', state: 'success' }] };
  try {
    await api.server.seed(wrong as never);
    assert.unreachable();
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, 'ERR_OUT_OF_RANGE');
    assert.match((error as Error).message, 'taskInstances/0/state');
  }
  expect(await (await api.running()).ask('GET', 'variables/region'), 404);
});

server('without the optional packages it says what to install', async () => {
  for (const name of ['fastify', '@photostructure/sqlite']) {
    const hooks = `export async function resolve(name, context, next) {
      if (name === '${name}') throw Object.assign(new Error('gone'), { code: 'ERR_MODULE_NOT_FOUND' });
      return next(name, context); }`;
    const hide = `data:text/javascript,import{register}from'node:module';register('data:text/javascript,'+encodeURIComponent(${JSON.stringify(hooks)}))`;
    const { lines } = await runMain(['{}\n'], ['--import', hide]);
    const { error } = JSON.parse(lines[0] ?? '') as { error: { code: string; message: string } };
    assert.is(error.code, 'ERR_MODULE_NOT_FOUND');
    assert.match(error.message, `"${name}"`);
  }
});

server('the package itself does without them', async () => {
  const hooks = `export async function resolve(name, context, next) {
    if (name === 'fastify' || name === '@photostructure/sqlite') throw new Error(name + ' is loaded');
    return next(name, context); }`;
  const hide = `import{register}from'node:module';register('data:text/javascript,'+encodeURIComponent(${JSON.stringify(hooks)}));`;
  const outputOf = (script: string): Promise<string> =>
    new Promise((resolve) => execFile(process.execPath, ['--input-type=module', '-e', hide + script], (_error, stdout, stderr) => resolve(stdout + stderr)));
  const lib = (file: string): string => new URL(`../lib/${file}`, import.meta.url).href;
  assert.is(await outputOf(`await import('${lib('index.js')}'); console.log('done')`), 'done\n');
  // Control: the hook does see a file of ours that needs one.
  assert.match(await outputOf(`const { SqliteDatabase } = await import('${lib('server/store/sqlite.js')}'); await SqliteDatabase.open(':memory:')`), 'is loaded');
});

const main = fileURLToPath(new URL('../lib/server/main.js', import.meta.url));

/** main.js with these lines on its stdin, until it ends. */
async function runMain(input: readonly string[], nodeOptions: readonly string[] = []): Promise<{ code: number | null; lines: string[]; stderr: string }> {
  const child = spawn(process.execPath, [...nodeOptions, main], { stdio: 'pipe', env: {} });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk));
  child.stdin.on('error', () => {});
  child.stdin.end(input.join(''));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, lines: stdout.split('\n').filter((line) => line !== ''), stderr };
}

server('as a process it answers line for line and ends when its stdin does', async () => {
  const id = randomUUID();
  const { code, lines, stderr } = await runMain([
    `${JSON.stringify({ seed: { taskInstances: [{ id, ...dagRun, task_id: 't' }] } })}\n`,
    `${JSON.stringify({ issueWorkloadToken: id })}\n`,
    `${JSON.stringify({ issueWorkloadToken: randomUUID() })}\n`,
    'nonsense with a password\n',
    `{"seed":{"variables":{"a":1}}}\n`,
    `{"seed":{"variables":{"a":"1"}}}\n`,
  ]);
  assert.is(code, 0);
  assert.is(stderr, '');
  const [first, second, ...rest] = lines.map((line) => JSON.parse(line));
  assert.match(first.url, /^http:\/\/127\.0\.0\.1:\d+\/execution\/$/);
  assert.match(second.token, /^[\w-]+\.[\w-]+\.[\w-]+$/);
  assert.equal(rest.map((each) => each.error?.code), ['ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_VALUE', 'ERR_OUT_OF_RANGE', undefined]);
  assert.not.match(lines.join(), 'password');
});

server('a configuration that is wrong ends the process, and no part of it is repeated', async () => {
  for (const configuration of ['{', '[]', '{"signingKey":"c2hvcnQ="}', '{"signingKey":"~secret~"}', '{"surprise":"~secret~"}', '{"port":70000}', '{"database":"/nowhere/at/all"}']) {
    const { code, lines } = await runMain([`${configuration}\n`, '{"seed":{}}\n']);
    assert.is(code, 1, configuration);
    assert.is(lines.length, 1);
    assert.type(JSON.parse(lines[0] ?? '').error.code, 'string');
    for (const value of ['~secret~', 'c2hvcnQ']) assert.not.match(lines.join(), value);
  }
});

/** What it returns, or the code of what it throws. */
function attempt<T>(work: () => T): T | string {
  try {
    return work();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'no code';
  }
}

server('the process that holds the signing key is hardened, and has it in no argument and no environment', async () => {
  const keyBytes = Buffer.alloc(64, 'signing key that must not be seen');
  await using process_ = await spawnServer({ signingKey: keyBytes.toString('base64') });
  // Root-owned, and so closed to every other process of this user: PR_SET_DUMPABLE in prctl(2).
  assert.is(statSync(`/proc/${process_.pid}/mem`).uid, 0);
  if (process.getuid?.() !== 0) {
    assert.is(attempt(() => openSync(`/proc/${process_.pid}/mem`, 'r')), 'EACCES');
    assert.is(attempt(() => closeSync(openSync(`/proc/${process.pid}/mem`, 'r'))), undefined); // control
  }
  for (const name of ['cmdline', 'environ']) {
    const text = attempt(() => readFileSync(`/proc/${process_.pid}/${name}`, 'latin1'));
    assert.not.ok(text.includes(keyBytes.toString('base64').slice(0, 20)) || text.includes('signing key'));
  }
});

server('a process that is killed and started again has what it acknowledged', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-server-'));
  const database = join(folder, 'db');
  const id = randomUUID();
  const ref = { ...dagRun, task_id: 't' };
  try {
    const acknowledged: number[] = [];
    let next = 0;
    for (let round = 0; round < 4; round++) {
      const crashing = await spawnServer({ database, signingKey: Buffer.alloc(64, 7).toString('base64'), seed: { taskInstances: [{ id, ...ref }] } });
      const api = new ExecutionApi({ baseUrl: crashing.url, attempts: 1, token: await crashing.issueWorkloadToken(id) });
      await api.run(id, { ...here, start_date: startDate }); // the same process again: the first run is still there
      const writer = (async () => {
        for (;;) {
          const mine = next++;
          await api.setXCom({ ...ref, key: `k${mine}` }, mine);
          acknowledged.push(mine);
          if (acknowledged.length % 25 === 0) process.kill(crashing.pid, 'SIGKILL');
        }
      })();
      const other = (async () => {
        for (;;) await api.heartbeat(id, here);
      })();
      const ends = await Promise.allSettled([writer, other]);
      for (const end of ends) assert.is(end.status === 'rejected' && end.reason.code, 'ERR_UPSTREAM_UNREACHABLE');
      await api.close();
      await crashing.close();
      assert.not.ok(existsSync(`/proc/${crashing.pid}`));
    }
    assert.ok(acknowledged.length >= 100); // one more may be on its way when the signal is sent
    await using again = await spawnServer({ database, signingKey: Buffer.alloc(64, 7).toString('base64') });
    await using api = new ExecutionApi({ baseUrl: again.url, token: await again.issueWorkloadToken(id) });
    await api.run(id, { ...here, start_date: startDate });
    for (const mine of acknowledged) assert.is((await api.getXCom({ ...ref, key: `k${mine}` })).value, mine);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

server('no token is in anything a server prints', async () => {
  const script = fileURLToPath(new URL('fixtures/server-prints.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk));
  assert.is(await new Promise((resolve) => child.on('close', resolve)), 0, output);
  const { parts, printed } = JSON.parse(output.slice(output.lastIndexOf('\n', output.length - 2) + 1)) as { parts: string[]; printed: string };
  assert.ok(parts.length >= 9);
  // Control: what it prints on errors did come.
  const everything = output.slice(0, output.lastIndexOf('\n', output.length - 2)) + printed;
  assert.match(everything, 'failed: no such table');
  for (const part of parts) assert.not.ok(everything.includes(part));
});

server('a client that stops in mid-request holds nobody up, and close does not wait for it', async () => {
  const api = await ApiServer.start();
  const task = await api.task();
  const { port } = new URL(api.url);
  const socket = connect(Number(port), '127.0.0.1');
  await new Promise((resolve) => socket.on('connect', resolve));
  socket.write(`PUT /execution/task-instances/${task.id}/heartbeat HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${task.token}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{`);
  expect(await task.run(), 200);
  const closed = new Promise((resolve) => socket.on('close', resolve));
  await api.server.close();
  await closed;
  await api.server.close(); // twice is fine
});

server('tokens live as long as their scope says, and a clock may be off by the leeway', async () => {
  let clock = Date.now();
  const now = (): number => clock;
  for (const leewaySeconds of [10, 60]) {
    await using api = await ApiServer.start({ now, tokenLifetimeSeconds: 100, workloadLifetimeSeconds: 1_000, leewaySeconds }, { variables: { region: 'north' } });
    const task = await api.task();
    const workload = await api.server.issueWorkloadToken(task.id);
    clock += 990_000;
    const fresh = (await task.run(here, workload)).headers.get('refreshed-api-token') ?? '';
    assert.is((await api.ask('GET', 'variables/region', fresh)).status, 200);
    clock += (100 + leewaySeconds - 1) * 1000;
    assert.is((await api.ask('GET', 'variables/region', fresh)).status, 200);
    // Another server's tokens are expired for the registry no earlier than for the verifier.
    await api.issuer.issue({ sub: task.id, scope: 'workload' });
    assert.is((await api.ask('GET', 'variables/region', fresh)).status, 200);
    clock += 2_000;
    expect(await api.ask('GET', 'variables/region', fresh), 403, 'invalid_token');
  }
  for (const leewaySeconds of [-1, 0.5, 3_601]) {
    try {
      await createServer({ signingKey: Secret.fromBytes(Buffer.alloc(64, 9)), leewaySeconds });
      assert.unreachable();
    } catch (error) {
      assert.is((error as NodeJS.ErrnoException).code, 'ERR_OUT_OF_RANGE');
    }
  }
});

server('tokens of one server mean nothing to another, and claims are what the scheduler said', async () => {
  const signingKey = Secret.fromBytes(Buffer.alloc(64, 9));
  await using own = await createServer({ signingKey, issuer: 'here', audience: 'urn:there', tokenLifetimeSeconds: 60 });
  const id = randomUUID();
  await own.seed({ taskInstances: [{ id, ...dagRun, task_id: 't' }] });
  const token = await own.issueWorkloadToken(id);
  const claims = await new TokenVerifier({ key: signingKey, issuer: 'here', audience: 'urn:there' }).verify(token, { scopes: ['workload'] });
  assert.equal([claims.sub, claims.scope, claims.dag_id, claims.iss, claims.exp - claims.iat], [id, 'workload', 'daily', 'here', 60]);
});

server.run();
