// What a server's registry makes of tokens that are right by their signature.
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Secret } from '../lib/index.js';
import type { DecisionRecord } from '../lib/server/index.js';
import { ApiServer, dagRun, expectRefusal, expectReply, here, type Reply, startDate, type Task } from './helpers/api-server.js';

const tokens = suite('server-tokens');

const endDate = '2026-04-06T00:01:00Z';
const things = { variables: { region: 'north' }, assets: [{ name: 'table', uri: 's3://table' }], dags: [{ dag_id: dagRun.dag_id, declares: { assetStates: ['table'] } }] };
const region = 'variables/region';
const message = ({ body }: Reply): string => (body as { detail: { message: string } }).detail.message;
const freshOf = ({ headers }: Reply): string => headers.get('refreshed-api-token') ?? '';

function expectInvalid(reply: Reply, why: string): void {
  expectRefusal(reply, 403, 'invalid_token');
  assert.is(message(reply), `Invalid auth token: ${why}`);
}

/** Every kind of route, as a running task may ask it. */
const requests = ({ id, xcom }: { readonly id: string; readonly xcom: string }): readonly (readonly [string, string, unknown?])[] => [
  ['GET', region],
  ['POST', xcom, 1],
  ['PUT', `task-instances/${id}/heartbeat`, { hostname: here.hostname, pid: here.pid }],
  ['PUT', `task-instances/${id}/rtif`, {}],
  ['GET', 'dags/daily'],
  ['PATCH', `task-instances/${id}/state`, { state: 'failed', end_date: endDate }],
];

tokens('a token that has the right signature and was never registered is refused everywhere', async () => {
  const records: DecisionRecord[] = [];
  await using api = await ApiServer.start({ onDecision: (record) => records.push(record) }, things);
  const task = await api.running();
  const forged = await api.forger.issue({ sub: task.id, scope: 'execution', dag_id: dagRun.dag_id });
  records.length = 0;
  const asked = requests({ id: task.id, xcom: task.xcom('k') });
  for (const [method, path, body] of asked) expectInvalid(await api.ask(method, path, forged, body), 'unregistered');
  assert.equal([...new Set(records.map(({ allowed, rule, reason, task_instance_id }) => `${allowed} ${rule} ${reason} ${task_instance_id}`))], [`false token unregistered ${task.id}`]);
  assert.is(records.length, asked.length);
  for (const [method, path, body] of asked) assert.ok((await task.ask(method, path, body)).status < 300); // control
  const waiting = await api.task();
  for (const scope of ['workload', 'execution'] as const) expectInvalid(await waiting.run(here, await api.forger.issue({ sub: waiting.id, scope })), 'unregistered');
  expectReply(await waiting.run(), 200); // control
  // Whether there is such a task instance is told to nobody.
  expectInvalid(await api.ask('GET', region, await api.forger.issue({ sub: randomUUID(), scope: 'execution' })), 'unregistered');
});

tokens('with Airflow\'s authorization nothing is registered, and any signature will do', async () => {
  await using api = await ApiServer.start({ authorization: 'airflow' }, things);
  const task = await api.task();
  expectReply(await api.ask('GET', region, await api.forger.issue({ sub: randomUUID(), scope: 'execution' })), 200);
  expectReply(await task.run(here, await api.forger.issue({ sub: task.id, scope: 'workload' })), 200);
});

tokens('a workload token starts its task instance once', async () => {
  await using api = await ApiServer.start({}, things);
  const task = await api.task();
  const workload = await api.server.issueWorkloadToken(task.id);
  expectReply(await task.run({ ...here, pid: 'x' }, workload), 422); // what fails uses nothing up
  const started = await task.run(here, workload);
  expectReply(started, 200);
  const fresh = freshOf(started);
  const claims = ({ jti: _jti, iat: _iat, nbf: _nbf, exp: _exp, scope: _scope, ...rest }: Record<string, unknown>): object => rest;
  assert.equal(claims(decodeJwt(fresh)), claims(decodeJwt(workload)));
  expectInvalid(await task.run(here, workload), 'used');
  expectInvalid(await task.run({ ...here, pid: 1 }, workload), 'used');
  // The process that runs it may ask again with what it got.
  const again = await task.run(here, fresh);
  expectReply(again, 200);
  assert.is(freshOf(again), '');
  expectReply(await api.ask('GET', region, fresh), 200);
});

tokens('of many who show a workload token at once, one starts the task instance', async () => {
  await using api = await ApiServer.start();
  for (let round = 0; round < 5; round++) {
    const task = await api.task();
    const workload = await api.server.issueWorkloadToken(task.id);
    // The same process as well: what is decided is about the token, not about who says it is who.
    const replies = await Promise.all(Array.from({ length: 8 }, (_, index) => task.run(index % 2 === 0 ? here : { ...here, pid: index }, workload)));
    assert.is(replies.filter(({ status }) => status === 200).length, 1);
    assert.is(replies.filter((reply) => freshOf(reply) !== '').length, 1);
    for (const reply of replies) assert.ok([200, 403, 409].includes(reply.status));
  }
});

tokens('an answer to run that was lost is given again to who knows the key it was asked with, while what was given lives', async () => {
  const records: DecisionRecord[] = [];
  await using api = await ApiServer.start({ onDecision: (record) => records.push(record) }, things);
  const key = 'a key of this very call';
  const run = (task: Task, token: string, given: string | null, who: object = here): Promise<Reply> =>
    api.ask('PATCH', `task-instances/${task.id}/run`, token, { state: 'running', start_date: startDate, ...who }, given === null ? {} : { 'idempotency-key': given });
  const started = async (given: string | null = key): Promise<{ task: Task; workload: string; first: Reply }> => {
    const task = await api.task();
    const workload = await api.server.issueWorkloadToken(task.id);
    const first = await run(task, workload, given);
    expectReply(first, 200);
    return { task, workload, first };
  };
  const { task, workload, first } = await started();
  const again = await run(task, workload, key);
  expectReply(again, 200, first.body);
  // Whichever of the two was lost, the other is good.
  for (const token of [first, again].map(freshOf)) expectReply(await api.ask('GET', region, token), 200);
  for (const wrong of [null, 'a key that is not the one', 'short', 'ü'.repeat(20)]) expectInvalid(await run(task, workload, wrong), 'used');
  expectRefusal(await run(task, workload, key, { ...here, pid: 1 }), 409, 'invalid_state');
  const refused = records.filter(({ rule }) => rule === 'token').map(({ task_instance_id, allowed, reason }) => ({ task_instance_id, allowed, reason }));
  assert.equal(refused, Array(4).fill({ task_instance_id: task.id, allowed: false, reason: 'used' }));
  expectInvalid(await api.ask('GET', region, workload), 'scope'); // it is good for nothing else
  // Of several at once each is answered.
  for (const reply of await Promise.all(Array.from({ length: 5 }, () => run(task, workload, key)))) expectReply(await api.ask('GET', region, freshOf(reply)), 200);

  const over: readonly ((task: Task, token: string) => Promise<unknown>)[] = [
    ({ id }) => api.server.revokeTokens({ taskInstanceId: id }),
    (_task, token) => api.server.revokeTokens({ jti: decodeJwt(token).jti ?? '' }),
    () => api.server.revokeTokens('all'),
    ({ id }, token) => api.ask('PATCH', `task-instances/${id}/state`, token, { state: 'failed', end_date: endDate }),
    ({ task_id }) => api.task({ task_id, try_number: 2 }),
  ];
  for (const [at, end] of over.entries()) {
    const other = await started();
    await end(other.task, freshOf(other.first));
    const late = await run(other.task, other.workload, key);
    assert.is(late.status, [403, 403, 403, 409, 410][at]);
    assert.is(freshOf(late), '');
  }
  const silent = await started(null);
  expectInvalid(await run(silent.task, silent.workload, key), 'used'); // who gave no key has none
});

tokens('a start that is refused leaves the workload token good', async () => {
  await using api = await ApiServer.start();
  const task = await api.running();
  const workload = await api.server.issueWorkloadToken(task.id);
  expectRefusal(await task.run({ ...here, pid: 1 }, workload), 409, 'invalid_state');
  expectReply(await task.run(here, workload), 200);
});

tokens('a start ends every other token of its task instance', async () => {
  await using api = await ApiServer.start({}, things);
  const task = await api.task();
  const [first, second] = [await api.server.issueWorkloadToken(task.id), await api.server.issueWorkloadToken(task.id)];
  const other = await api.running();
  const fresh = freshOf(await task.run(here, first));
  expectInvalid(await task.run(here, second), 'revoked');
  expectInvalid(await api.ask('GET', region, task.token), 'revoked'); // of an earlier leg
  expectReply(await api.ask('GET', region, fresh), 200);
  expectReply(await other.ask('GET', region), 200);
});

const revocations: readonly (readonly [string, (task: Task) => object | 'all', boolean])[] = [
  ['one token', ({ token }) => ({ jti: decodeJwt(token).jti }), false],
  ["a task instance's tokens", ({ id }) => ({ taskInstanceId: id.toUpperCase() }), false],
  ['all tokens', () => 'all', true],
];
for (const [what, which, others] of revocations) {
  tokens(`${what}, revoked, are refused from the next request on, and not renewed`, async () => {
    let clock = Date.now();
    await using api = await ApiServer.start({ now: () => clock }, things);
    const [task, other] = [await api.running(), await api.running()];
    clock += 1_000_000;
    for (const each of [task, other]) assert.is.not(freshOf(await each.ask('GET', region)), ''); // control, and it is in the cache now
    assert.ok((await api.server.revokeTokens(which(task) as never)) >= 1);
    for (const [method, path, body] of requests({ id: task.id, xcom: task.xcom('k') })) {
      const reply = await task.ask(method, path, body);
      expectInvalid(reply, 'revoked');
      assert.is(freshOf(reply), '');
    }
    if (others) expectInvalid(await other.ask('GET', region), 'revoked');
    else expectReply(await other.ask('GET', region), 200);
    assert.is(await api.server.revokeTokens(which(task) as never), 0);
    // Who is started anew gets a new one.
    const next = await api.task();
    expectReply(await next.run(here, await api.server.issueWorkloadToken(next.id)), 200);
  });
}

tokens('revoking one token leaves those that it was renewed by; revoking the task instance takes them too', async () => {
  let clock = Date.now();
  await using api = await ApiServer.start({ now: () => clock }, things);
  const task = await api.running();
  clock += 1_000_000;
  const fresh = freshOf(await task.ask('GET', region));
  assert.is(await api.server.revokeTokens({ jti: decodeJwt(task.token).jti as string }), 1);
  expectReply(await api.ask('GET', region, fresh), 200);
  assert.is(await api.server.revokeTokens({ taskInstanceId: task.id }), 1);
  expectInvalid(await api.ask('GET', region, fresh), 'revoked');
  for (const wrong of [{ jti: '' }, { taskInstanceId: 7 }]) {
    try {
      await api.server.revokeTokens(wrong as never);
      assert.unreachable();
    } catch (error) {
      assert.is((error as NodeJS.ErrnoException).code, 'ERR_OUT_OF_RANGE');
    }
  }
});

tokens('a token that is being renewed while it is revoked has no successor that lives on', async () => {
  let clock = Date.now();
  await using api = await ApiServer.start({ now: () => clock }, things);
  for (let round = 0; round < 10; round++) {
    const task = await api.running();
    clock += 1_000_000;
    const renewals = Array.from({ length: 6 }, () => task.ask('GET', region));
    const revoked = api.server.revokeTokens({ taskInstanceId: task.id });
    const replies = await Promise.all(renewals);
    await revoked;
    for (const fresh of replies.map(freshOf).filter((token) => token !== '')) expectInvalid(await api.ask('GET', region, fresh), 'revoked');
    expectInvalid(await task.ask('GET', region), 'revoked');
  }
});

/** A request whose headers are sent and whose body waits. */
function slowly(api: ApiServer, method: string, path: string, token: string, body: unknown): { finish(): Promise<{ status: number; fresh: string | undefined }> } {
  const text = JSON.stringify(body);
  const asked = request(new URL(path, api.url), { method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } });
  asked.flushHeaders();
  return {
    finish: () => new Promise((resolve, reject) => {
      asked.once('error', reject).once('response', (response) => {
        response.resume();
        resolve({ status: response.statusCode ?? 0, fresh: response.headers['refreshed-api-token'] as string | undefined });
      });
      asked.end(text);
    }),
  }; // prettier-ignore
}

tokens('what is revoked, ended or replaced while a client dawdles with its body does nothing, and is not renewed', async () => {
  let clock = Date.now();
  await using api = await ApiServer.start({ now: () => clock }, things);
  const writes: readonly ((id: string) => readonly [string, string, unknown])[] = [
    (id) => ['PUT', `task-instances/${id}/heartbeat`, { hostname: here.hostname, pid: here.pid }],
    (id) => ['PUT', `task-instances/${id}/rtif`, { field: 'stolen' }],
    (id) => ['PATCH', `task-instances/${id}/dag-run-note`, { note: 'stolen' }],
    (id) => ['POST', `hitlDetails/${id}`, { ti_id: id, options: ['yes'], subject: 'stolen' }],
    (id) => ['PUT', `store/ti/${id}/k`, { value: 'stolen' }],
    () => ['PUT', 'store/asset/by-name/value?name=table&key=k', { value: 'stolen' }],
    () => ['PUT', region, { val: 'stolen' }],
    (id) => ['PATCH', `task-instances/${id}/state`, { state: 'success', end_date: startDate }],
  ];
  const endings: Readonly<Record<string, readonly [number, (task: Task) => Promise<unknown>]>> = {
    nothing: [204, async () => {}],
    revoked: [403, ({ id }) => api.server.revokeTokens({ taskInstanceId: id })],
    ended: [409, (task) => task.state({ state: 'failed', end_date: startDate })],
    replaced: [410, ({ task_id }) => api.task({ task_id, try_number: 2 })],
  };
  for (const lateMs of [0, 1_000_000]) {
    for (const [how, [expected, end]] of Object.entries(endings)) {
      await api.server.seed(things);
      const tasks = await Promise.all(writes.map(() => api.running()));
      clock += lateMs;
      const slow = tasks.map((task, at) => {
        const [method, path, body] = writes[at]?.(task.id) ?? ['', '', ''];
        return { what: `${how}, ${method} ${path}, ${lateMs}`, ...slowly(api, method, path, task.token, body) };
      });
      await new Promise((resolve) => setTimeout(resolve, 50)); // so that their headers have been looked at
      for (const task of tasks) await end(task);
      for (const { what, finish } of slow) {
        const { status, fresh } = await finish();
        if (how === 'nothing') assert.ok(status < 300, `${what}: ${status}`);
        else assert.is(status, expected, what);
        // Control: who is late, and still runs, is given another token.
        assert.is(fresh !== undefined, how === 'nothing' && lateMs > 0, what);
      }
      clock -= lateMs;
      const value = how === 'nothing' ? 'stolen' : 'north';
      expectReply(await (await api.running()).ask('GET', region), 200, { key: 'region', value });
    }
  }
});

tokens('a task instance that starts while its tokens are revoked gets none that lives on', async () => {
  await using api = await ApiServer.start({}, things);
  for (let round = 0; round < 24; round++) {
    const tasks = await Promise.all(Array.from({ length: 4 }, () => api.task()));
    const workloads = await Promise.all(tasks.map(({ id }) => api.server.issueWorkloadToken(id)));
    const started = tasks.map((task, index) => task.run(here, workloads[index]));
    await new Promise((resolve) => setTimeout(resolve, round % 6));
    const revoked = round % 2 === 0 ? [api.server.revokeTokens('all')] : tasks.map(({ id }) => api.server.revokeTokens({ taskInstanceId: id }));
    const replies = await Promise.all(started);
    await Promise.all(revoked);
    for (const reply of replies) {
      assert.ok(reply.status === 200 || reply.status === 403, JSON.stringify(reply.body));
      if (reply.status === 200) expectInvalid(await api.ask('GET', region, freshOf(reply)), 'revoked');
    }
  }
});

tokens('renewal keeps the claims, and needs a try that runs and is the latest', async () => {
  let clock = Date.now();
  await using api = await ApiServer.start({ now: () => clock, issuer: 'https://airflow.example' }, things);
  const start = async (ti: object): Promise<{ id: string; token: string }> => {
    const id = randomUUID();
    await api.server.seed({ taskInstances: [{ id, ...dagRun, task_id: 't', ...ti }] });
    const reply = await api.ask('PATCH', `task-instances/${id}/run`, await api.server.issueWorkloadToken(id), { state: 'running', start_date: startDate, ...here });
    expectReply(reply, 200);
    return { id, token: freshOf(reply) };
  };
  const { token, id } = await start({});
  clock += 1_000_000;
  const fresh = freshOf(await api.ask('PUT', `task-instances/${id}/heartbeat`, token, { hostname: here.hostname, pid: here.pid }));
  const { jti, iat, nbf, exp, ...kept } = decodeJwt(token);
  const renewed = decodeJwt(fresh);
  assert.equal(kept, { scope: 'execution', dag_id: 'daily', aud: 'urn:airflow.apache.org:task', iss: 'https://airflow.example', sub: id });
  assert.equal(renewed, { ...kept, jti: renewed.jti, iat: Number(iat) + 1000, nbf: Number(nbf) + 1000, exp: Number(exp) + 1000 });
  assert.is.not(renewed.jti, jti);
  // Replaced by a later try, ended, put off: not renewed any more.
  const second = await start({ try_number: 2 });
  const late = await api.ask('GET', region, token);
  expectRefusal(late, 410, 'not_found');
  assert.is(freshOf(late), '');
  clock += 1_000_000;
  expectReply(await api.ask('PATCH', `task-instances/${second.id}/state`, second.token, { state: 'deferred', classpath: 'a.B', next_method: 'go_on' }), 204);
  const put = await api.ask('GET', region, second.token);
  expectRefusal(put, 409, 'not_running');
  assert.is(freshOf(put), '');
});

/** By who has the key and knows a token that was registered: what else it would have to say to be worth more. */
const resigned: readonly (readonly [string, (claims: Record<string, unknown>, other: Record<string, unknown>) => object, string, object?])[] = [
  ['as it is', () => ({}), 'accepted'],
  ['for another task instance', (_claims, { sub }) => ({ sub }), 'unregistered'],
  ["with another token's jti", (_claims, { jti }) => ({ jti }), 'unregistered'],
  ['with a jti of nobody', () => ({ jti: randomBytes(16).toString('hex') }), 'unregistered'],
  ['with a jti that is none of ours', () => ({ jti: "' OR '1'='1" }), 'unregistered'],
  ['with a jti that no database holds', () => ({ jti: 'a\0b' }), 'unregistered'],
  ['that lives longer', ({ exp }) => ({ exp: Number(exp) + 1 }), 'unregistered'],
  ['that lives a fraction longer', ({ exp }) => ({ exp: Number(exp) + 0.5 }), 'unregistered'],
  ['that lives for ever', () => ({ exp: Number.MAX_SAFE_INTEGER }), 'unregistered'],
  ['of the other scope', () => ({ scope: 'workload' }), 'scope'],
  ['without a jti', () => ({ jti: undefined }), 'claims'],
  ['that has expired', ({ iat }) => ({ exp: Number(iat) - 11 }), 'expired'],
  ['that is not valid yet', ({ iat }) => ({ nbf: Number(iat) + 100 }), 'not-yet-valid'],
  ['that is of the future', ({ iat }) => ({ iat: Number(iat) + 100 }), 'not-yet-valid'],
  ['for others', () => ({ aud: 'urn:other' }), 'audience'],
  ['by others', () => ({ iss: 'urn:other' }), 'issuer'],
  ['that is too large', () => ({ filler: 'x'.repeat(9000) }), 'malformed'],
  ['without an algorithm', () => ({}), 'algorithm', { alg: 'none' }],
  ['with a shorter hash', () => ({}), 'algorithm', { alg: 'HS256' }],
  ['as if by a public key', () => ({}), 'algorithm', { alg: 'RS256' }],
];

tokens('what the key alone can sign is worth no more than what was registered, and changes nothing', async () => {
  const keyBytes = randomBytes(64);
  const told: string[] = [];
  await using api = await ApiServer.start({ signingKey: Secret.fromBytes(Buffer.from(keyBytes)), issuer: 'urn:us', onError: (error) => told.push(error.message) }, things);
  const [task, other] = [await api.running(), await api.running()];
  const claims = decodeJwt(task.token);
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  for (const [what, change, expected, header] of resigned) {
    const input = `${part({ alg: 'HS512', kid: 'not-used', typ: 'JWT', ...header })}.${part({ ...claims, ...change(claims, decodeJwt(other.token)) })}`;
    const token = `${input}.${createHmac('sha512', keyBytes).update(input).digest('base64url')}`;
    for (const [method, path, body] of requests({ id: task.id, xcom: task.xcom('k') }).slice(0, -1)) {
      const reply = await api.ask(method, path, token, body);
      if (expected === 'accepted') assert.ok(reply.status < 300, what);
      // Who speaks for another task instance is told that first, where the path names one.
      else if (reply.status === 403 && what === 'for another task instance' && path.startsWith('task-instances')) expectRefusal(reply, 403, 'subject_mismatch');
      // What may come late is asked of the registry, which has no such token.
      else expectInvalid(reply, expected === 'expired' && path.endsWith('/heartbeat') ? 'unregistered' : expected);
      assert.not.ok(JSON.stringify(reply.body ?? '').includes(token.slice(-40)), what);
    }
    if (expected === 'accepted') expectReply(await task.ask('DELETE', task.xcom('k')), 200);
    else expectRefusal(await task.ask('GET', task.xcom('k')), 404, 'not_found');
  }
  for (const broken of [task.token.slice(0, -1), `${task.token}x`, task.token.split('.').slice(0, 2).join('.'), 'x', '.', '..']) expectRefusal(await api.ask('GET', region, broken), 403, 'invalid_token');
  assert.equal(told, []);
});

tokens('what one server revokes or uses up, another on the same database refuses at the next request', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-tokens-'));
  try {
    const own = await ApiServer.newDatabase();
    const database = own === ':memory:' ? join(folder, 'db') : own;
    const keyBytes = randomBytes(64);
    const start = (): Promise<ApiServer> => ApiServer.start({ database, signingKey: Secret.fromBytes(Buffer.from(keyBytes)) }, things);
    await using one = await start();
    await using two = await start();
    for (const end of [(id: string) => ({ taskInstanceId: id }), () => 'all' as const]) {
      const task = await one.running();
      for (const api of [one, two]) expectReply(await api.ask('GET', region, task.token), 200); // and in both caches
      await one.server.revokeTokens(end(task.id));
      for (const api of [two, one]) expectInvalid(await api.ask('GET', region, task.token), 'revoked');
    }
    const waiting = await two.task();
    const workload = await two.server.issueWorkloadToken(waiting.id);
    const run = (api: ApiServer): Promise<Reply> => api.ask('PATCH', `task-instances/${waiting.id}/run`, workload, { state: 'running', start_date: startDate, ...here });
    const replies = await Promise.all([one, two, one, two].map(run));
    assert.is(replies.filter(({ status }) => status === 200).length, 1);
    for (const api of [one, two]) expectInvalid(await run(api), 'used');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

tokens('a task that was put off goes on with a new token: what was stolen in the leg before starts nothing', async () => {
  const admin = 'of-the-admin-alone-and-32-bytes-or-more';
  await using api = await ApiServer.start({ adminCredential: Secret.fromBytes(Buffer.from(admin)) }, things);
  const base = await api.server.listenAdmin();
  for (const put of [{ state: 'deferred', classpath: 'a.B', next_method: 'go_on' }, { state: 'up_for_reschedule', end_date: endDate, reschedule_date: endDate }]) {
    const task = await api.running();
    expectReply(await task.state(put), 204);
    expectRefusal(await task.heartbeat(), 409, 'not_running'); // it learns that it is over
    const asAdmin = (method: string, path: string, body?: unknown): Promise<Reply> => api.ask(method, new URL(`task-instances/${task.id}${path}`, base).href, admin, body);
    expectReply(await asAdmin('PATCH', '', { state: 'queued' }), 200);
    expectInvalid(await task.run(), 'revoked');
    const { token } = (await asAdmin('POST', '/token')).body as { token: string };
    expectReply(await asAdmin('PATCH', '', { state: 'queued' }), 200); // as it is: the token is good
    expectReply(await task.run(here, token), 200);
  }
});

tokens('what has expired is forgotten, and the rest is not', async () => {
  let clock = Date.now();
  const admin = 'of-the-admin-alone-and-32-bytes-or-more';
  await using api = await ApiServer.start({ now: () => clock, tokenLifetimeSeconds: 600, lateReportSeconds: 0, adminCredential: Secret.fromBytes(Buffer.from(admin)) }, things);
  const url = new URL('tokens?limit=1000', await api.server.listenAdmin()).href;
  const known = async (): Promise<Set<string>> => new Set(((await api.ask('GET', url, admin)).body as { tokens: { jti: string }[] }).tokens.map(({ jti }) => jti));
  const jtiOf = (token: string): string => String(decodeJwt(token).jti);
  const first = await api.running();
  await api.server.revokeTokens({ taskInstanceId: first.id });
  clock += 300_000;
  const second = await api.running();
  clock += 301_000; // the first has expired, within a verifier's leeway
  const third = await api.running();
  const before = await known();
  assert.equal([first, second, third].map(({ token }) => before.has(jtiOf(token))), [true, true, true]);
  expectInvalid(await first.ask('GET', region), 'revoked');
  clock += 60_000;
  await api.task();
  const left = await known();
  assert.equal([first, second, third].map(({ token }) => left.has(jtiOf(token))), [false, true, true]);
  expectInvalid(await first.ask('GET', region), 'expired');
  expectReply(await second.ask('GET', region), 200);
});

tokens.run();
