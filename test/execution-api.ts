import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { UpstreamFailed } from '../lib/errors.js';
import { ExecutionApi, type ExecutionApiOptions } from '../lib/execution-api/client.js';
import { Secret } from '../lib/secrets/secret.js';
import { ApiServer, dagRun, here, startDate } from './helpers/api-server.js';
import { inChild } from './helpers/fixture.js';
import { settled } from './helpers/peer.js';

const executionApi = suite('execution-api');

const secret = (text: string): Secret => Secret.fromBytes(Buffer.from(text, 'latin1'));
const endDate = '2026-04-06T00:01:00Z';
const id = randomUUID();
const context = { dag_run: { dag_id: 'd', run_id: 'r', run_after: startDate, run_type: 'manual', consumed_asset_events: [] }, max_tries: 0 };
const quick = { attempts: 3, retryDelayMs: 1, requestTimeoutMs: 2_000 };

async function failureOf(attempt: () => Promise<unknown>): Promise<Error & { code?: string; status?: number; reason?: string }> {
  try {
    await attempt();
  } catch (error) {
    return error as Error;
  }
  return assert.unreachable() as never;
}

/** A server of the test's own, and a client of it. */
async function withServer(listener: RequestListener, use: (api: ExecutionApi, baseUrl: string) => Promise<void>, options: Partial<ExecutionApiOptions> = {}): Promise<void> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/execution/`;
  try {
    await using api = new ExecutionApi({ baseUrl, ...quick, ...options });
    await use(api, baseUrl);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text;
}

executionApi('goes the whole way of a task against the server', async () => {
  await using server = await ApiServer.start({}, { variables: { region: 'north' }, connections: [{ conn_id: 'warehouse', conn_type: 'http', password: 'hunter2' }] });
  const task = await server.task();
  const workload = secret(await server.server.issueWorkloadToken(task.id));
  await using api = new ExecutionApi({ baseUrl: server.url, token: workload, ...quick });
  assert.is((await failureOf(() => api.getVariable('region'))).reason, 'invalid_token');
  assert.is((await api.run(task.id, { ...here, start_date: startDate })).dag_run.dag_id, 'daily');
  // The execution token came with the answer, and the workload token is gone.
  assert.throws(() => workload.use(() => 0), (error: NodeJS.ErrnoException) => error.code === 'ERR_SECRET_DESTROYED');
  await api.heartbeat(task.id, here);
  assert.equal(await api.getVariable('region'), { key: 'region', value: 'north' });
  assert.is((await api.getConnection('warehouse')).password, 'hunter2');
  const ref = { ...dagRun, task_id: task.task_id, key: 'a key/with ?&#%' };
  assert.equal(await api.getXCom(ref), { key: ref.key, value: null });
  await api.setXCom(ref, { rows: [1, 2] });
  assert.equal(await api.getXCom(ref), { key: ref.key, value: { rows: [1, 2] } });
  assert.equal(await api.getXCom({ ...ref, include_prior_dates: true, map_index: -1 }), { key: ref.key, value: { rows: [1, 2] } });
  await api.setState(task.id, { state: 'success', end_date: endDate });
});

executionApi('an answer to run that was lost is given again, to who asked and nobody else', async () => {
  await using server = await ApiServer.start({}, { variables: { region: 'north' } });
  for (const [kept, lost] of [[true, 1], [true, 2], [false, 1]] as const) {
    const task = await server.task();
    const workload = await server.server.issueWorkloadToken(task.id);
    let count = 0;
    await withServer(
      // What stands between loses answers, after the server has done what was asked.
      async (request, response) => {
        const { host: _host, connection: _connection, 'content-length': _length, 'idempotency-key': key, ...headers } = request.headers as Record<string, string>;
        const body = await textOf(request);
        const answer = await fetch(new URL(request.url ?? '', server.url), { method: request.method ?? '', headers: { ...headers, ...(kept && key !== undefined && { 'idempotency-key': key }) }, body: body === '' ? null : body });
        if (count++ < lost) return void request.socket.destroy();
        response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
      },
      async (api) => {
        if (!kept) return void assert.is((await failureOf(() => api.run(task.id, { ...here, start_date: startDate }))).reason, 'invalid_token'); // control
        await api.run(task.id, { ...here, start_date: startDate });
        assert.equal(await api.getVariable('region'), { key: 'region', value: 'north' });
        // Another process that has the workload token, and another call of this one's, ask in vain.
        for (const who of [here, { ...here, pid: 1 }]) {
          await using thief = new ExecutionApi({ baseUrl: server.url, token: secret(workload), ...quick });
          assert.is((await failureOf(() => thief.run(task.id, { ...who, start_date: startDate }))).status, who === here ? 403 : 409);
        }
        assert.equal(await api.getVariable('region'), { key: 'region', value: 'north' });
      },
      { token: secret(workload) },
    );
  }
});

executionApi('health asks without the token whether an Execution API is there', async () => {
  const sent: (string | undefined)[] = [];
  const answers = [{ status: 'healthy' }, { status: 'ok' }, 'healthy', null];
  await withServer((request, response) => {
    sent.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    json(response, 200, request.url === '/execution/health' ? answers[sent.length - 1] : { key: 'k', value: 'v' });
  }, async (api) => {
    await api.health();
    for (const _other of answers.slice(1)) assert.is((await failureOf(() => api.health())).code, 'ERR_UPSTREAM_UNREACHABLE');
    await api.getVariable('k'); // control: it has one
  }, { token: secret('the-token') });
  assert.equal(sent, [...answers.map(() => 'GET /execution/health undefined'), 'GET /execution/variables/k Bearer the-token']);
  await using server = await ApiServer.start();
  await using api = new ExecutionApi({ baseUrl: server.url, ...quick });
  await api.health();
});

executionApi('tells each refusal by its status and reason', async () => {
  await using server = await ApiServer.start();
  const [mine, theirs] = [await server.task(), await server.task()];
  await using api = new ExecutionApi({ baseUrl: server.url, token: secret(mine.token), ...quick });
  await using busy = api.withToken(secret((await server.running()).token));
  await using nobody = new ExecutionApi({ baseUrl: server.url, ...quick });
  const who = { ...here, start_date: startDate };
  const table: readonly (readonly [() => Promise<unknown>, number, string | undefined])[] = [
    [() => nobody.getVariable('x'), 401, 'missing_token'],
    [() => api.run(theirs.id, who), 403, 'subject_mismatch'],
    [() => api.setXCom({ ...dagRun, task_id: theirs.task_id, key: 'k' }, 1), 403, 'access_denied'],
    [() => api.getVariable('x'), 409, 'not_running'],
    [() => busy.getVariable('x'), 404, 'not_found'],
    [() => busy.getConnection('x'), 404, 'not_found'],
    [() => api.setState(mine.id, { state: 'failed', end_date: endDate }), 409, 'invalid_state'],
    [() => api.heartbeat(mine.id, here), 409, 'running_elsewhere'],
    [() => api.run(mine.id, { ...who, pid: 0.5 }), 422, undefined],
    [() => api.setXCom({ ...dagRun, task_id: mine.task_id, key: 'k' }, 'x'.repeat(2_000_000)), 413, undefined],
  ];
  for (const [attempt, status, reason] of table) {
    const error = await failureOf(attempt);
    assert.equal([error.code, error.status, error.reason], ['ERR_UPSTREAM_FAILED', status, reason]);
  }
});

executionApi('sends the headers of the API, the token last, and a new correlation id each time', async () => {
  const seen: IncomingMessage[] = [];
  await withServer(
    async (request, response) => {
      seen.push(request);
      json(response, 200, { key: 'k', value: 'v' });
    },
    async (api) => {
      await api.getVariable('k');
      await api.getVariable('k');
    },
    { token: secret('abc.def-_~+/==') },
  );
  for (const { headers, rawHeaders, method, url } of seen) {
    assert.equal([method, url], ['GET', '/execution/variables/k']);
    assert.is(headers['airflow-api-version'], '2026-04-06');
    assert.is(headers.authorization, 'Bearer abc.def-_~+/==');
    assert.is(rawHeaders.at(-2), 'authorization');
  }
  assert.is.not(seen[0]?.headers['correlation-id'], seen[1]?.headers['correlation-id']);
  assert.is(seen[0]?.socket.remotePort, seen[1]?.socket.remotePort); // the connection is kept
});

executionApi('sends payloads as Airflow has them', async () => {
  const seen: unknown[] = [];
  await withServer(
    async (request, response) => {
      seen.push([request.method, request.url, JSON.parse((await textOf(request)) || 'null')]);
      if (request.url?.endsWith('/run')) json(response, 200, context);
      else response.writeHead(request.method === 'POST' ? 201 : 204).end();
    },
    async (api) => {
      await api.run(id, { hostname: 'h', unixname: 'u', pid: 1, start_date: startDate });
      await api.heartbeat(id, { hostname: 'h', pid: 1 });
      await api.setState(id, { state: 'up_for_retry', end_date: endDate });
      await api.setXCom({ dag_id: 'd', run_id: 'r:+00', task_id: 't', key: 'k', map_index: 2 }, undefined, { mapped_length: 3 });
      await api.setXCom({ dag_id: 'd', run_id: 'r', task_id: 't', key: 'k', map_index: -1 }, false);
    },
  );
  assert.equal(seen, [
    ['PATCH', `/execution/task-instances/${id}/run`, { state: 'running', hostname: 'h', unixname: 'u', pid: 1, start_date: startDate }],
    ['PUT', `/execution/task-instances/${id}/heartbeat`, { hostname: 'h', pid: 1 }],
    ['PATCH', `/execution/task-instances/${id}/state`, { state: 'up_for_retry', end_date: endDate }],
    ['POST', '/execution/xcoms/d/r%3A%2B00/t/k?map_index=2&mapped_length=3', null],
    ['POST', '/execution/xcoms/d/r/t/k', false],
  ]);
});

executionApi('a fresh token is used from then on, by the client that got it alone', async () => {
  const seen: (string | undefined)[] = [];
  await withServer(
    ({ headers }, response) => {
      seen.push(headers.authorization);
      json(response, 200, { key: 'k', value: null }, headers.authorization === 'Bearer first' ? { 'Refreshed-API-Token': 'second' } : {});
    },
    async (api) => {
      const other = api.withToken(secret('other'));
      for (const each of [api, api, other, api]) await each.getVariable('k');
      await other.close();
      assert.is((await failureOf(() => other.getVariable('k'))).code, 'ERR_SECRET_DESTROYED');
      await api.getVariable('k'); // the shared connections are still there
    },
    { token: secret('first') },
  );
  assert.equal(seen, ['Bearer first', 'Bearer second', 'Bearer other', 'Bearer second', 'Bearer second']);
});

executionApi('a fresh token that no header could carry, or of an answer that failed, is not taken', async () => {
  const seen: (string | undefined)[] = [];
  const answers: [number, string][] = [[200, 'has space'], [200, ''], [404, 'third'], [200, 'x']];
  await withServer(
    ({ headers }, response) => {
      seen.push(headers.authorization);
      const [status, token] = answers[seen.length - 1] ?? [500, ''];
      json(response, status, { key: 'k', value: null }, { 'refreshed-api-token': token });
    },
    async (api) => {
      for (const [status] of answers) await api.getVariable('k').catch((error: UpstreamFailed) => assert.is(error.status, status));
    },
    { token: secret('first') },
  );
  assert.equal(seen, answers.map(() => 'Bearer first'));
});

executionApi('a fresh token that comes after the client was closed is not taken: nobody would destroy it', async () => {
  const seen: (string | undefined)[] = [];
  let answer = (): void => {};
  let arrived = (): void => {};
  const arrival = new Promise<void>((resolve) => { arrived = resolve; });
  await withServer(
    ({ headers }, response) => {
      seen.push(headers.authorization);
      answer = () => json(response, 200, { key: 'k', value: 'v' }, { 'refreshed-api-token': 'fresh' });
      arrived();
    },
    async (api) => {
      const one = api.withToken(secret('own'));
      const asked = one.getVariable('k');
      await arrival;
      await one.close(); // the connections are the other client's, so that the answer still comes
      answer();
      assert.is((await asked).value, 'v');
      assert.is((await failureOf(() => one.getVariable('k'))).code, 'ERR_SECRET_DESTROYED');
    },
  );
  assert.equal(seen, ['Bearer own']);
});

executionApi('a fresh token that no memory can be locked for fails no call, and is warned of once', async () => {
  const { seen, warnings, values } = await inChild<{ seen: string[]; warnings: { name: string }[]; values: string[] }>('refreshed-token.js');
  assert.equal(values, ['v', 'v', 'v', 'v']);
  assert.equal(seen, ['Bearer first-token', 'Bearer first-token', 'Bearer first-token', 'Bearer second-token']); // control: stored when there is room
  assert.equal(warnings.map(({ name }) => name), ['SallyportWarning']);
  assert.not.match(JSON.stringify(warnings), /first-token|second-token/);
});

executionApi('what the caller does to its options later changes no client', async () => {
  const options: Record<string, unknown> = { baseUrl: 'http://127.0.0.1:1/' };
  await using api = new ExecutionApi(options as never);
  options['misspelt'] = 1;
  assert.throws(() => new ExecutionApi(options as never), (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE'); // control
  await api.withToken(secret('own')).close();
});

executionApi('a hundred requests at once share 64 connections, and each is answered', async () => {
  const connections = new Set<Socket>();
  const waiting: (() => void)[] = [];
  let hold = true;
  await withServer(
    ({ socket }, response) => {
      connections.add(socket);
      const answer = (): void => json(response, 200, { key: 'k', value: 'v' });
      if (hold) waiting.push(answer);
      else answer();
    },
    async (api) => {
      const all = Promise.all(Array.from({ length: 100 }, () => api.getVariable('k')));
      while (waiting.length === 0) await settled(() => waiting.length);
      assert.is(await settled(() => waiting.length), 64);
      hold = false;
      for (const answer of waiting) answer();
      assert.is((await all).length, 100);
      assert.is(connections.size, 64);
    },
    { requestTimeoutMs: 60_000 },
  );
});

executionApi('a token that would be a second header is refused and not sent', async () => {
  let requests = 0;
  await withServer(
    (_request, response) => {
      requests++;
      json(response, 200, { key: 'k', value: null });
    },
    async (api) => {
      for (const token of ['a\r\nx: y', 'a b', '\xe9', '"']) assert.is((await failureOf(() => api.withToken(secret(token)).getVariable('k'))).code, 'ERR_TOKEN_INVALID');
    },
  );
  assert.is(requests, 0);
});

executionApi('5xx and broken connections are tried again, and nothing else is', async () => {
  for (const [status, expected] of [[500, 3], [503, 3], [400, 1], [401, 1], [403, 1], [404, 1], [409, 1], [410, 1], [422, 1], [429, 1], [302, 1], [200, 1]] as const) {
    let requests = 0;
    await withServer(
      (_request, response) => {
        requests++;
        json(response, status, { detail: 'no' });
      },
      async (api) => {
        const error = await failureOf(() => api.getVariable('k'));
        assert.is(error.code, status === 200 ? 'ERR_UPSTREAM_UNREACHABLE' : 'ERR_UPSTREAM_FAILED');
        if (status !== 200) assert.is(error.status, status);
      },
    );
    assert.is(requests, expected, `status ${status}`);
  }
});

executionApi('one that works at last is a success', async () => {
  let requests = 0;
  const ids = new Set<unknown>();
  await withServer(
    ({ headers, socket }, response) => {
      ids.add(headers['correlation-id']);
      requests++;
      if (requests === 1) socket.destroy();
      else if (requests === 2) json(response, 502, {});
      else json(response, 200, { key: 'k', value: 'v' });
    },
    async (api) => assert.is((await api.getVariable('k')).value, 'v'),
  );
  assert.is(ids.size, 3);
});

executionApi('a final state whose first answer was lost is not an error', async () => {
  for (const [previous_state, failed] of [['success', false], ['failed', true]] as const) {
    let requests = 0;
    await withServer(
      ({ socket }, response) => {
        if (++requests === 1) socket.destroy();
        else json(response, 409, { detail: { reason: 'invalid_state', message: '', previous_state } });
      },
      async (api) => {
        const report = (): Promise<void> => api.setState(id, { state: 'success', end_date: endDate });
        if (failed) assert.is((await failureOf(report)).reason, 'invalid_state');
        else await report();
        // Control: with nothing lost it is one.
        assert.is((await failureOf(report)).reason, 'invalid_state');
      },
    );
  }
});

const marker = 'BODY-WITH-A-SECRET';
const answers: readonly (readonly [string, (response: ServerResponse) => void, string])[] = [
  ['HTML', (r) => r.writeHead(200, { 'content-type': 'text/html' }).end(`<p>${marker}`), 'ERR_UPSTREAM_UNREACHABLE'],
  ['JSON that calls itself text', (r) => r.writeHead(200, { 'content-type': 'text/plain' }).end('{"key":"k","value":"v"}'), 'ERR_UPSTREAM_UNREACHABLE'],
  ['JSON without a type', (r) => r.writeHead(200).end('{"key":"k","value":"v"}'), 'ERR_UPSTREAM_UNREACHABLE'],
  ['half of a JSON text', (r) => r.writeHead(200, { 'content-type': 'application/json' }).end(`{"key":"${marker}`), 'ERR_UPSTREAM_UNREACHABLE'],
  ['JSON that is not UTF-8', (r) => r.writeHead(200, { 'content-type': 'application/json' }).end(Buffer.from('{"key":"k","value":"\xff"}', 'latin1')), 'ERR_UPSTREAM_UNREACHABLE'],
  ['JSON of another shape', (r) => json(r, 200, { key: 'k', value: [marker] }), 'ERR_UPSTREAM_UNREACHABLE'],
  ['a list', (r) => json(r, 200, [marker]), 'ERR_UPSTREAM_UNREACHABLE'],
  ['nothing', (r) => r.writeHead(204).end(), 'ERR_UPSTREAM_UNREACHABLE'],
  ['compressed bytes', (r) => r.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(Buffer.from([31, 139, 8])), 'ERR_UPSTREAM_UNREACHABLE'],
  ['half of what was announced', (r) => r.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' }).write('{', () => r.socket?.destroy()), 'ERR_UPSTREAM_UNREACHABLE'],
  ['more than is allowed', (r) => json(r, 200, { key: 'k', value: marker.repeat(1000) }), 'ERR_UPSTREAM_UNREACHABLE'],
  ['an endless body', (r) => { r.writeHead(200, { 'content-type': 'application/json' }); const write = (): boolean => !r.destroyed && r.write('x'.repeat(4096), write as () => void); write(); }, 'ERR_UPSTREAM_UNREACHABLE'], // prettier-ignore
  ['a redirect', (r) => r.writeHead(307, { location: '/execution/variables/other' }).end(marker), 'ERR_UPSTREAM_FAILED'],
  ['an error in HTML', (r) => r.writeHead(404, { 'content-type': 'text/html' }).end(marker), 'ERR_UPSTREAM_FAILED'],
  ['an error with a sentence for a reason', (r) => json(r, 403, { detail: { reason: `no ${marker}` } }), 'ERR_UPSTREAM_FAILED'],
  ['an error with text alone', (r) => json(r, 403, { detail: `Invalid auth token: ${marker}` }), 'ERR_UPSTREAM_FAILED'],
];
for (const [what, answer, code] of answers) {
  executionApi(`answered with ${what}, it says so and repeats none of it`, async () => {
    let requests = 0;
    await withServer(
      (_request, response) => {
        requests++;
        answer(response);
      },
      async (api) => {
        const error = await failureOf(() => api.getVariable('k'));
        assert.is(error.code, code);
        const printed = inspect(error, { depth: Infinity, showHidden: true });
        for (const text of [marker, 'the-token']) assert.not.match(printed, text);
        assert.is(error.reason, undefined);
      },
      { token: secret('the-token'), maxResponseBytes: 1024 },
    );
    assert.ok(requests >= 1);
  });
}

executionApi('an answer in drips is cut off when the time of the request is over', async () => {
  const timers: NodeJS.Timeout[] = [];
  await withServer(
    (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      timers.push(setInterval(() => response.write(' '), 10));
    },
    async (api) => {
      const error = await failureOf(() => api.getVariable('k'));
      assert.is(error.code, 'ERR_UPSTREAM_UNREACHABLE');
      assert.match(error.message, 'took too long');
    },
    { attempts: 1, requestTimeoutMs: 100 },
  );
  assert.is(timers.length, 1);
  for (const timer of timers) clearInterval(timer);
});

executionApi('what is not HTTP, and nobody at all, is unreachable', async () => {
  const garbage = ['\0\0\0\0', 'SSH-2.0-OpenSSH_9.6\r\n', 'HTTP/1.1 999999 no\r\n\r\n', 'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`];
  const sockets = new Set<Socket>();
  let next = 0;
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).once('data', () => socket.end(garbage[next] ?? ''));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const options = { baseUrl, attempts: 1, requestTimeoutMs: 2_000 };
  for (; next < garbage.length; next++) {
    await using api = new ExecutionApi(options);
    assert.is((await failureOf(() => api.getVariable('k'))).code, 'ERR_UPSTREAM_UNREACHABLE', garbage[next]?.slice(0, 40));
  }
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  await using api = new ExecutionApi(options);
  const error = await failureOf(() => api.getVariable('k'));
  assert.is(error.code, 'ERR_UPSTREAM_UNREACHABLE');
  assert.match(error.message, 'ECONNREFUSED');
});

executionApi('a signal stops a request before, during and between its attempts', async () => {
  const reason = new Error('enough');
  const arrived: (() => void)[] = [];
  let requests = 0;
  await withServer(
    ({ url }, response) => {
      requests++;
      if (url?.endsWith('wait')) json(response, 500, {});
      arrived.forEach((tell) => tell());
    },
    async (api) => {
      assert.is(await failureOf(() => api.getVariable('k', { signal: AbortSignal.abort(reason) })), reason);
      assert.is(requests, 0);
      for (const key of ['hang', 'wait']) {
        const aborter = new AbortController();
        arrived.push(() => setTimeout(() => aborter.abort(reason), 20));
        assert.is(await failureOf(() => api.getVariable(key, { signal: aborter.signal })), reason);
      }
      assert.is(requests, 2);
    },
    { retryDelayMs: 60_000, requestTimeoutMs: 60_000 },
  );
});

executionApi('after close nothing is sent, and closing again is fine', async () => {
  await withServer(
    (_request, response) => json(response, 200, { key: 'k', value: null }),
    async (api) => {
      await api.getVariable('k');
      await api.close();
      await api.close();
      assert.is((await failureOf(() => api.getVariable('k'))).code, 'ERR_UPSTREAM_UNREACHABLE');
    },
  );
});

executionApi('an id that a proxy could read as another path is not sent', async () => {
  const urls: (string | undefined)[] = [];
  await withServer(
    ({ url }, response) => {
      urls.push(url);
      json(response, 200, { key: 'k', value: null });
    },
    async (api) => {
      for (const key of ['', '.', '..', '../connections/x', 'a/../b', 'a/.', '..\\x', 'a\0b', '\ud800', 'x'.repeat(1025)]) {
        assert.is((await failureOf(() => api.getVariable(key))).code, 'ERR_OUT_OF_RANGE', key);
        assert.is((await failureOf(() => api.run(key, { ...here, start_date: startDate }))).code, 'ERR_OUT_OF_RANGE', key);
      }
      assert.equal(urls, []);
      for (const key of ['...', '.a', 'a..b', '%2e%2e', 'a/b', "'; --", '?x=1#y']) await api.getVariable(key);
    },
  );
  assert.equal(urls, ['...', '.a', 'a..b', '%252e%252e', 'a%2Fb', "'%3B%20--", '%3Fx%3D1%23y'].map((key) => `/execution/variables/${key}`));
});

executionApi('a base URL is http or https, and carries no credentials', () => {
  for (const baseUrl of ['', 'localhost:8080', 'ftp://host/', 'file:///etc/passwd', 'http://user:pw@host/', 'http://token@host/', 'http://host/?a=1', 'http://host/#x', 'javascript:0']) {
    assert.throws(
      () => new ExecutionApi({ baseUrl }),
      (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE' && (baseUrl === '' || !error.message.includes(baseUrl)),
      baseUrl,
    );
  }
  for (const options of [{ attempts: 0 }, { requestTimeoutMs: Number.NaN }, { maxResponseBytes: 1.5 }, { retryDelayMs: -1 }]) {
    assert.throws(() => new ExecutionApi({ baseUrl: 'http://host', ...options }), (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE');
  }
});

executionApi('a base URL with or without a slash at its end, or without a path, is the same', async () => {
  const urls: (string | undefined)[] = [];
  await withServer(
    ({ url }, response) => {
      urls.push(url);
      json(response, 200, { key: 'k', value: null });
    },
    async (_api, baseUrl) => {
      for (const each of [baseUrl, baseUrl.slice(0, -1), new URL(baseUrl).origin, new URL('/a/b%20c', baseUrl)]) {
        await using api = new ExecutionApi({ baseUrl: each, ...quick });
        await api.getVariable('k');
      }
    },
  );
  assert.equal(urls, ['/execution/variables/k', '/execution/variables/k', '/variables/k', '/a/b%20c/variables/k']);
});

executionApi('what waits for an API that was away is sent when that is known to be back, and not at the end of its pause', async () => {
  let asked = 0;
  const listener: RequestListener = (_request, response) => (++asked === 1 ? response.writeHead(503).end() : json(response, 200, { key: 'region', value: 'north' }));
  const hour = 3_600_000;
  await withServer(listener, async (api) => {
    for (const isBack of [false, true]) {
      asked = 0;
      let looks = 0;
      api.isAway = () => ++looks < 4 || !isBack;
      // Control: while it stays away the pause goes on, however often it is asked.
      const aborter = new AbortController();
      const answered = api.getVariable('region', { signal: aborter.signal }).then(({ value }) => value, () => 'given up');
      while (looks < 6 && asked < 2) await new Promise((resolve) => setTimeout(resolve, 20));
      if (!isBack) aborter.abort();
      assert.equal([await answered, asked], isBack ? ['north', 2] : ['given up', 1]);
    }
  }, { retryDelayMs: hour, maxRetryDelayMs: hour });
});

executionApi.run();
