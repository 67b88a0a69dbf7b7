// What a token is good for that ended while nobody could be told how its try did: that one thing, and for whom it was.
import { randomUUID } from 'node:crypto';
import { decodeJwt } from 'jose';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Secret } from '../lib/index.js';
import { createServer, type ServerOptions } from '../lib/server/index.js';
import { KeyAgent } from '../lib/tokens/index.js';
import { ApiServer, dagRun, expectRefusal, expectReply, here, type Reply, type Task } from './helpers/api-server.js';

const late = suite('server-late');

const endDate = '2026-04-06T00:01:00Z';
const success = { state: 'success', end_date: endDate, task_outlets: [], outlet_events: [] };
const things = { variables: { region: 'north' }, connections: [{ conn_id: 'c', conn_type: 'x' }], assets: [{ name: 'a', uri: 's3://a' }] };
const lifetime = 1_800_000;
const leeway = 10_000;

function expectInvalid(reply: Reply, why: string): void {
  expectRefusal(reply, 403, 'invalid_token');
  assert.is((reply.body as { detail: { message: string } }).detail.message, `Invalid auth token: ${why}`);
}
const freshOf = ({ headers }: Reply): string | null => headers.get('refreshed-api-token');

class Clock {
  ms = Date.now();
  readonly now = (): number => this.ms;
}

async function withServer(options: Partial<ServerOptions>, use: (api: ApiServer, clock: Clock) => Promise<void>): Promise<void> {
  const clock = new Clock();
  await using api = await ApiServer.start({ now: clock.now, ...options }, things);
  await use(api, clock);
}

late('a token that has ended says what became of its try, once, and a heartbeat before that; with the option off it says nothing', async () => {
  for (const lateReportSeconds of [undefined, 0]) {
    await withServer(lateReportSeconds === undefined ? {} : { lateReportSeconds }, async (api, clock) => {
      const task = await api.running();
      clock.ms += lifetime + leeway;
      const replies = [await task.heartbeat(), await task.heartbeat(), await task.state(success)];
      if (lateReportSeconds === 0) {
        for (const reply of replies) expectInvalid(reply, 'expired');
        return;
      }
      assert.equal(replies.map((reply) => [reply.status, freshOf(reply)]), Array(3).fill([204, null])); // it is not renewed
      // Sent again, for the answer may have been lost, it is told how things stand, and changes nothing.
      const again = await task.state({ state: 'failed', end_date: endDate });
      expectRefusal(again, 409, 'invalid_state');
      assert.is((again.body as { detail: { previous_state: string } }).detail.previous_state, 'success');
      expectRefusal(await task.heartbeat(), 409, 'not_running');
    });
  }
});

late('it is good for no other route, and for no other task instance', async () => {
  await withServer({}, async (api, clock) => {
    const [task, other] = [await api.running(), await api.running()];
    clock.ms += lifetime + leeway - 1000;
    expectReply(await task.ask('GET', 'variables/region'), 200); // control, and it is remembered now
    clock.ms += 1000;
    // The latest that was heard of either was its start.
    const { paths } = (await api.ask('GET', 'openapi.json')).body as { paths: Record<string, Record<string, { security: readonly object[] }>> };
    let asked = 0;
    for (const [template, operations] of Object.entries(paths)) {
      for (const [method, { security }] of Object.entries(operations)) {
        if (security.length === 0) continue; // public
        const path = template.replace(/^\/execution\//, '').replaceAll(/\{(\w+)\}/g, (_, name: string) => (name === 'id' ? task.id : 'x'));
        if (/\/(heartbeat|state)$/.test(path) && path.startsWith(`task-instances/${task.id}`)) continue;
        asked++;
        const reply = await task.ask(method.toUpperCase(), path, ['get', 'head', 'delete'].includes(method) ? undefined : {});
        if (method === 'head') assert.is(reply.status, 403); // and no body
        else expectInvalid(reply, 'expired');
      }
    }
    assert.ok(asked > 25, String(asked));
    expectInvalid(await task.run(), 'expired');
    expectRefusal(await api.ask('PATCH', `task-instances/${other.id}/state`, task.token, success), 403, 'subject_mismatch');
    expectRefusal(await api.ask('PUT', `task-instances/${other.id}/heartbeat`, task.token, { hostname: here.hostname, pid: here.pid }), 403, 'subject_mismatch');
    expectRefusal(await task.heartbeat({ hostname: 'elsewhere', pid: here.pid }), 409, 'running_elsewhere');
    for (const each of [task, other]) expectReply(await each.state(success), 204); // control
  });
});

late('what was stolen of a try whose supervisor lives is good for nothing when it has ended', async () => {
  await withServer({}, async (api, clock) => {
    const task = await api.running();
    clock.ms += lifetime / 2;
    const fresh = freshOf(await task.heartbeat()) ?? '';
    assert.is.not(fresh, '');
    const beat = (): Promise<Reply> => api.ask('PUT', `task-instances/${task.id}/heartbeat`, fresh, { hostname: here.hostname, pid: here.pid });
    clock.ms += lifetime / 2 + leeway - 1000;
    expectReply(await beat(), 204);
    expectReply(await task.ask('GET', 'variables/region'), 200); // control: the old one lives a second more
    clock.ms += 1000;
    expectReply(await beat(), 204);
    // Also from what is remembered of it.
    for (let i = 0; i < 2; i++) for (const reply of [await task.heartbeat(), await task.state(success)]) expectInvalid(reply, 'expired');
    // When nobody speaks for the try any more, the newest is what counts.
    clock.ms += lifetime;
    expectInvalid(await task.state(success), 'expired');
    expectReply(await api.ask('PATCH', `task-instances/${task.id}/state`, fresh, success), 204);
  });
});

late('nor is it between two heartbeats of a supervisor that lives, which has another one', async () => {
  for (const [silentMs, answered] of [[4000, 403], [120_000, 204]] as const) {
    await withServer({}, async (api, clock) => {
      const task = await api.running();
      const end = clock.ms + lifetime + leeway;
      clock.ms = end - silentMs;
      const fresh = freshOf(await task.heartbeat()) ?? '';
      clock.ms = end + 500;
      const stolen = await task.state({ state: 'failed', end_date: endDate });
      assert.is(stolen.status, answered);
      expectReply(await api.ask('PUT', `task-instances/${task.id}/heartbeat`, fresh, { hostname: here.hostname, pid: here.pid }), answered === 403 ? 204 : 409);
    });
  }
});

late('it comes in time or not at all, by the clock of the server', async () => {
  for (const [graceMs, answered] of [[3_600_000 - 1000, 204], [3_600_000, 403]] as const) {
    await withServer({}, async (api, clock) => {
      const [task, other] = [await api.running(), await api.running()];
      clock.ms += lifetime + leeway + graceMs;
      assert.is((await task.state(success)).status, answered);
      clock.ms += 120_000;
      await api.task(); // what nobody takes any more is forgotten
      expectInvalid(await other.state(success), 'expired');
    });
  }
  await withServer({ lateReportSeconds: 60 }, async (api, clock) => {
    const [task, other] = [await api.running(), await api.running()];
    clock.ms += lifetime + leeway + 59_000;
    await api.issuer.issue({ sub: task.id, scope: 'workload' });
    expectReply(await task.state(success), 204);
    clock.ms += 1000;
    expectInvalid(await other.state(success), 'expired');
    // A clock that was set back, and a token of the future, get nothing by it.
    const future = await api.running();
    clock.ms -= lifetime;
    expectInvalid(await future.state(success), 'not-yet-valid');
    clock.ms += lifetime;
    expectReply(await future.state(success), 204); // control
  });
});

/** By what a try, or its token, is not what it was; and what becomes of who speaks late. */
const endings: readonly (readonly [string, (api: ApiServer, task: Task) => Promise<unknown>, number, string])[] = [
  ['nothing happened', async () => {}, 204, ''],
  ['its token was revoked', (api, { token }) => api.server.revokeTokens({ jti: decodeJwt(token).jti ?? '' }), 403, 'revoked'],
  ['its tokens were revoked', (api, { id }) => api.server.revokeTokens({ taskInstanceId: id }), 403, 'revoked'],
  ['all tokens were revoked', (api) => api.server.revokeTokens('all'), 403, 'revoked'],
  ['a later try has taken its place', (api, { task_id }) => api.task({ task_id, try_number: 2 }), 410, ''],
  ['it has ended', (_api, task) => task.state(success), 409, ''],
];
for (const after of [false, true]) {
  late(`what happens ${after ? 'after' : 'before'} a token's end counts for who speaks late`, async () => {
    for (const [what, happens, status, why] of endings) {
      await withServer({}, async (api, clock) => {
        const task = await api.running();
        if (after) clock.ms += lifetime + leeway;
        await happens(api, task);
        if (!after) clock.ms += lifetime + leeway;
        for (const reply of [await task.heartbeat(), await task.state(success)]) {
          assert.is(reply.status, status, what);
          if (why !== '') expectInvalid(reply, why);
        }
      });
    }
  });
}

late('a token of the leg before says nothing of a task that was put off and goes on elsewhere, and is told how its own leg ended', async () => {
  const admin = 'of-the-admin-alone-and-32-bytes-or-more';
  await withServer({ adminCredential: Secret.fromBytes(Buffer.from(admin)) }, async (api, clock) => {
    const base = await api.server.listenAdmin();
    const task = await api.running();
    expectReply(await task.state({ state: 'deferred', classpath: 'a.B', next_method: 'go_on' }), 204);
    clock.ms += lifetime + leeway;
    expectRefusal(await task.state(success), 409, 'invalid_state');
    const url = new URL(`task-instances/${task.id}`, base).href;
    expectReply(await api.ask('PATCH', url, admin, { state: 'queued' }), 200);
    const { token } = (await api.ask('POST', `${url}/token`, admin)).body as { token: string };
    const elsewhere = { ...here, hostname: 'host-2' };
    const started = await task.run(elsewhere, token);
    expectReply(started, 200);
    for (const reply of [await task.heartbeat(), await task.heartbeat({ hostname: 'host-2', pid: here.pid }), await task.state(success)]) {
      expectRefusal(reply, 409, 'not_running');
      assert.is((reply.body as { detail: { current_state: string } }).detail.current_state, 'deferred');
    }
    expectReply(await api.ask('PATCH', url.replace(base, api.url) + '/state', freshOf(started) ?? '', success), 204); // control
  });
});

late('of many who speak late at once one is heard', async () => {
  await withServer({}, async (api, clock) => {
    const task = await api.running();
    clock.ms += lifetime + leeway;
    const states = ['success', 'failed', 'skipped', 'success', 'failed'];
    const replies = await Promise.all(states.map((state) => task.state(state === 'success' ? success : { state, end_date: endDate })));
    assert.equal(replies.map(({ status }) => status).sort(), [204, 409, 409, 409, 409]);
  });
});

late('a token with the right signature that was never registered, or of a workload, does not speak late', async () => {
  await withServer({}, async (api, clock) => {
    const [task, waiting] = [await api.running(), await api.task()];
    const forged = await api.forger.issue({ sub: task.id, scope: 'execution' });
    const workload = await api.server.issueWorkloadToken(waiting.id);
    clock.ms += lifetime + leeway;
    expectInvalid(await api.ask('PATCH', `task-instances/${task.id}/state`, forged, success), 'unregistered');
    expectInvalid(await api.ask('PATCH', `task-instances/${waiting.id}/state`, workload, success), 'scope');
    expectInvalid(await waiting.run(here, workload), 'expired');
    expectReply(await task.state(success), 204); // control
  });
});

late('an agent that has the key takes what is late as a key of this process does', async () => {
  await using agent = await KeyAgent.start({ key: { secret: Secret.fromBytes(Buffer.alloc(64, 7)) }, harden: { without: ['start'] } });
  const clock = new Clock();
  await using server = await createServer({ signer: agent, now: clock.now });
  const id = randomUUID();
  await server.seed({ taskInstances: [{ id, ...dagRun, task_id: 't' }] });
  const ask = async (method: string, path: string, token: string, body: object): Promise<Response> => fetch(new URL(`task-instances/${id}/${path}`, server.url), { method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: JSON.stringify(body) });
  const url = await server.listen();
  assert.ok(url);
  const started = await ask('PATCH', 'run', await server.issueWorkloadToken(id), { state: 'running', start_date: endDate, ...here });
  const token = started.headers.get('refreshed-api-token') ?? '';
  const { iat = 0, exp = 0 } = decodeJwt(token);
  assert.is(exp - iat, lifetime / 1000); // as without an agent
  clock.ms += lifetime + leeway + 2000; // an agent signs by a clock of its own
  assert.is((await ask('PUT', 'rtif', token, {})).status, 403);
  assert.is((await ask('PATCH', 'state', token, success)).status, 204);
});

late('with Airflow\'s authorization nothing is late, and the option is refused', async () => {
  await withServer({ authorization: 'airflow' }, async (api, clock) => {
    const task = await api.running();
    clock.ms += lifetime + leeway - 1000;
    expectReply(await task.heartbeat(), 204); // control
    clock.ms += 1000;
    expectInvalid(await task.state(success), 'expired');
  });
  for (const options of [{ authorization: 'airflow', lateReportSeconds: 1 }, { lateReportSeconds: -1 }, { lateReportSeconds: 0.5 }, { lateReportSeconds: 86_401 }] as const) {
    try {
      await createServer({ signingKey: Secret.fromBytes(Buffer.alloc(64, 9)), ...options });
      assert.unreachable();
    } catch (error) {
      assert.is((error as NodeJS.ErrnoException).code, 'ERR_OUT_OF_RANGE');
    }
  }
});

late.run();
