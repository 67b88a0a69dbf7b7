// What nobody who means well sends: bytes that are no HTTP, bodies too large and too deep, values of every wrong kind on every route, clients that
// dawdle, and ten thousand that only connect. Whatever comes, the server goes on, nothing is written, and no answer is a 500.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Secret } from '../lib/secrets/secret.js';
import type { ServerOptions } from '../lib/server/index.js';
import { ApiServer, expectReply, type Task } from './helpers/api-server.js';
import { until } from './helpers/processes.js';
import { where } from './helpers/where.js';

const hostile = suite('server-hostile');
const credential = randomBytes(32).toString('base64url');

/** A running task, and the control at the end: what it could do before it still can, and nothing went wrong inside. */
async function withVictim(options: Partial<ServerOptions>, use: (task: Task, api: ApiServer) => Promise<void>): Promise<void> {
  const errors: string[] = [];
  await using api = await ApiServer.start({ ...options, onError: (error, route) => errors.push(`${route}: ${error.stack}`) }, { variables: { plain: 'untouched' } });
  const task = await api.running();
  await use(task, api);
  assert.equal((await task.ask('GET', 'variables/plain')).body, { key: 'plain', value: 'untouched' });
  assert.is((await task.heartbeat()).status, 204);
  assert.equal(errors, []);
}

/** Sends bytes as they are. Resolves with what came until the server closed, or was silent for as long as given. */
function raw(api: ApiServer, bytes: string | Buffer, silentMs = 2_000): Promise<{ answer: string; closed: boolean }> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(api.url).port), '127.0.0.1');
    let answer = '';
    const done = (closed: boolean): void => {
      socket.destroy();
      resolve({ answer, closed });
    };
    socket.setTimeout(silentMs, () => done(false));
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
    socket.on('error', () => {});
    socket.on('close', () => done(true));
    socket.write(bytes);
  });
}

hostile('what is no HTTP, or could be read as two requests, is answered 400 and hung up on', () =>
  withVictim({}, async (task, api) => {
    const start = (method = 'GET', path = '/execution/variables/plain'): string => `${method} ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${task.token}\r\n`;
    // Control: as it should be, it is answered.
    assert.match((await raw(api, `${start()}connection: close\r\n\r\n`)).answer, /^HTTP\/1\.1 200/);
    const second = `${start('DELETE')}\r\n`;
    const cases: Readonly<Record<string, string | Buffer>> = {
      'random bytes': randomBytes(500),
      'a TLS hello': Buffer.from('16030100a5010000a1030365', 'hex'),
      'HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'no such method': `FETCH /execution/health HTTP/1.1\r\nhost: x\r\n\r\n`,
      'length and chunks': `${start('POST')}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${second}`,
      'two lengths': `${start('POST')}content-length: 4\r\ncontent-length: 5\r\n\r\nabcd`,
      'a length that is none': `${start('POST')}content-length: 4x\r\n\r\nabcd`,
      'a negative length': `${start('POST')}content-length: -1\r\n\r\n`,
      'chunks that are none': `${start('POST')}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n`,
      'an encoding that is none': `${start('POST')}transfer-encoding: gzip, x\r\n\r\n${second}`,
      'a folded header': `${start()}x: a\r\n b\r\n\r\n`,
      'a space before the colon': `${start()}content-length : 5\r\n\r\nabcde`,
      'a NUL in a header': `${start()}x: a\0b\r\n\r\n`,
      'a line feed alone': `GET /execution/health HTTP/1.1\nhost: x\n\n`,
      'no host': `GET /execution/health HTTP/1.1\r\n\r\n`,
      'two hosts in one': `GET /execution/variables/plain HTTP/1.1\r\nhost: a\r\nhost : b\r\n\r\n`,
      'headers too large': `${start()}x: ${'y'.repeat(20_000)}\r\n\r\n`,
      'an address too long': `${start('GET', `/execution/variables/${'y'.repeat(20_000)}`)}\r\n`,
    };
    for (const [what, bytes] of Object.entries(cases)) {
      const { answer, closed } = await raw(api, bytes);
      const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
      // A head that is whole may be answered, as what no route takes, before its body is found to be none.
      if (statuses.length === 2 && statuses[0] === '404') statuses.shift();
      assert.ok(closed && statuses.length <= 1 && statuses.every((status) => /^4(00|14|31)$/.test(status ?? '')), `${what}: ${closed} ${answer}`);
    }
  }),
);

hostile('a body too large or too deep is refused, and one below the limits is not', () =>
  withVictim({}, async (task) => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    const objects = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
    const large = `"${'x'.repeat(1024 * 1024 - 10)}"`;
    expectReply(await task.ask('POST', task.xcom('large'), large), 201); // control
    expectReply(await task.ask('POST', task.xcom('larger'), `"${'x'.repeat(1024 * 1024)}"`), 413);
    const rtif = (value: string): string => `{"field":${value}}`;
    for (const [method, path, body] of [
      ['POST', task.xcom('deep'), (value: string) => value],
      ['PUT', `task-instances/${task.id}/rtif`, rtif],
      ['PUT', `store/ti/${task.id}/deep`, (value: string) => `{"value":${value}}`],
      ['POST', 'dag-runs/daily/deep', (value: string) => `{"conf":${rtif(value)}}`],
      ['PATCH', `task-instances/${task.id}/state`, (value: string) => `{"state":"deferred","classpath":"a.B","next_method":"m","next_kwargs":${value}}`],
    ] as const) {
      for (const deep of [nested(1100), nested(250_000), objects(150_000), '['.repeat(500_000), `{"a":${'['.repeat(100_000)}`]) {
        expectReply(await task.ask(method, path, body(deep)), 422);
      }
    }
    expectReply(await task.ask('GET', task.xcom('deep')), 404);
    // Brackets in text are none.
    expectReply(await task.ask('POST', task.xcom('text'), JSON.stringify(`\\"${'['.repeat(5000)}`)), 201);
    expectReply(await task.ask('PUT', `task-instances/${task.id}/rtif`, rtif(nested(500))), 201);
  }),
);

interface Operation {
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
}

const text = fc.oneof(
  fc.constantFrom('', ' ', '.', '..', '../..', '%00', '\0', "' OR '1'='1", '"; DROP TABLE variables; --', '*', '%', '_', '{}', '[]', 'null', 'undefined', '__proto__', 'constructor', 'NaN', '-1', '1e309', '99999999999999999999', '2026-04-06T00:00:00Z', '9999-12-31T23:59:59.999999999+00:00', '0000-01-01T00:00:00-23:59', '\ud800', 'a\ud800b', '\u2028', '\r\nx: y', 'x'.repeat(251), 'x'.repeat(3000)),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.uuid(),
);
const json = fc.oneof({ depthSize: 'small' }, fc.jsonValue(), fc.constantFrom(null, true, 0, -0, 1e308, '', [], {}, [[]], { __proto__: null }, { constructor: 1 }), fc.dictionary(text, fc.jsonValue(), { maxKeys: 5 }));

/** A path's segments, as clients do that encode, and as they do that do not. */
const asSegment = (value: string): string => {
  try {
    return encodeURIComponent(value);
  } catch {
    return '%ed%a0%80'; // half of a surrogate pair, as if it were a character
  }
};

for (const which of ['execution', 'admin'] as const) {
  hostile(`any values on any route of the ${which} API: 4xx or what they mean, never 500`, () =>
    withVictim({ adminCredential: Secret.fromBytes(Buffer.from(credential)) }, async (task, api) => {
      const base = which === 'admin' ? await api.server.listenAdmin() : api.url;
      const as = which === 'admin' ? credential : task.token;
      const { paths } = (await api.ask('GET', `${base}openapi.json`, as)).body as { paths: Record<string, Record<string, Operation & { requestBody?: { content: { 'application/json': { schema: object } } } }>> };
      const operations = Object.entries(paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })));
      assert.ok(operations.length > 20);
      // What would end the victim, or its token, is asked elsewhere.
      const spared = operations.filter(({ path, method }) => !path.endsWith('/revocations') && !(method === 'patch' && path.endsWith('/state')) && !path.endsWith('/seed'));
      const seen = new Set<number>();
      const request = fc.record({ operation: fc.constantFrom(...spared), values: fc.array(fc.oneof(text, fc.constant(task.id), fc.constant('daily')), { minLength: 12, maxLength: 12 }), body: json, mutation: fc.nat(7) });
      await fc.assert(
        fc.asyncProperty(request, async ({ operation: { path, method, parameters, requestBody }, values, body, mutation }) => {
          let at = 0;
          const next = (): string => values[at++ % values.length] ?? '';
          const filled = path.replaceAll(/\{\w+\}/g, () => asSegment(next()) || 'x');
          const query = parameters.filter((each) => each.in === 'query').map(({ name }) => `${name}=${asSegment(next())}`).join('&');
          // The victim's variable is not to be touched by somebody who may touch it.
          if (filled.endsWith('/variables/plain')) return;
          const mutated = mutate(requestBody?.content['application/json'].schema, body, mutation);
          const reply = await api.ask(method.toUpperCase(), new URL(`${filled}${query === '' ? '' : `?${query}`}`, base).href, as, requestBody === undefined ? undefined : JSON.stringify(mutated));
          seen.add(reply.status);
          assert.ok(reply.status < 500, `${method} ${filled}?${query} ${JSON.stringify(mutated)}: ${reply.status}`);
        }),
        { numRuns: 1500 },
      );
      for (const status of [200, 404, 422]) assert.ok(seen.has(status), String(status)); // control: it came through, too
    }),
  );
}

/** A body that is right but for one of its fields, so that what is behind the check is met as well. */
function mutate(schema: object | undefined, value: unknown, at: number): unknown {
  const { properties, anyOf } = (schema ?? {}) as { properties?: Record<string, Record<string, unknown>>; anyOf?: readonly object[] };
  if (anyOf !== undefined) return mutate(anyOf[at % anyOf.length], value, at);
  if (properties === undefined) return value;
  const names = Object.keys(properties);
  return Object.fromEntries(names.map((name, index) => [name, index === at % names.length ? value : sample(properties[name] ?? {})]));
}

function sample({ type, anyOf, const: constant, pattern }: Record<string, unknown>): unknown {
  if (constant !== undefined) return constant;
  if (Array.isArray(anyOf)) return sample(anyOf[0] as Record<string, unknown>);
  const samples: Record<string, unknown> = { string: pattern === undefined ? 'x' : String(pattern).startsWith('^\\d{4}') ? '2026-04-06T00:00:00Z' : '018f3f7e-2c4b-7d1a-9a53-6b2f0c1d2e3f', integer: 1, number: 1, boolean: true, array: [], object: {}, null: null };
  return samples[String(type)] ?? null;
}

hostile('a client that dawdles is cut off, with its headers or its body, and one that says nothing', () =>
  withVictim({ requestTimeoutMs: 500 }, async (task, api) => {
    const port = Number(new URL(api.url).port);
    const head = `PUT /execution/task-instances/${task.id}/rtif HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${task.token}\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{"a":"`;
    const dawdlers = [...Array(5).fill(''), ...Array(5).fill(head.slice(0, 60)), ...Array(5).fill(head)].map((beginning: string) => dawdle(port, beginning));
    // Meanwhile others are served.
    for (let i = 0; i < 20; i++) assert.is((await task.ask('GET', 'variables/plain')).status, 200);
    await Promise.all(dawdlers); // each resolves when it has been cut off
  }),
);

hostile('who asks and does not read is cut off, and asks no more than once before an answer', async () => {
  await using api = await ApiServer.start({ requestTimeoutMs: 3_000, maxBodyBytes: 9_000_000, onError: () => {} });
  const task = await api.running();
  const value = JSON.stringify('x'.repeat(8_000_000)); // more than the kernel takes for a client
  assert.is((await task.ask('POST', task.xcom('k'), value)).status, 201);
  const get = `GET ${new URL(task.xcom('k'), api.url).pathname} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${task.token}\r\n`;
  // Control: who reads gets all of it, also of a second one that came early.
  for (const requests of [`${get}connection: close\r\n\r\n`, `${get}\r\n${get}connection: close\r\n\r\n`]) {
    const { answer, closed } = await raw(api, requests, 10_000);
    assert.equal([closed, answer.split('HTTP/1.1 200').length, answer.includes(value)], [true, requests.split('GET').length, true]);
  }
  for (const times of [1, 100]) {
    const sockets = Array.from({ length: 5 }, () => connect(Number(new URL(api.url).port), '127.0.0.1').on('error', () => {}).pause());
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    const left = connectionsAt(api, sockets);
    for (const socket of sockets) socket.write(`${get}\r\n`.repeat(times));
    await new Promise((resolve) => setTimeout(resolve, 100));
    // All at once where it asked too often; else when it has taken nothing for as long as it may.
    if (times === 1) assert.is(left(), 5);
    await until(() => left() === 0);
    for (const socket of sockets) socket.destroy();
  }
});

/** How many of these there are at the server's end. */
function connectionsAt(api: ApiServer, sockets: readonly Socket[]): () => number {
  const hex = (port: unknown): string => `0100007F:${Number(port).toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = sockets.map(({ localPort }) => `: ${hex(new URL(api.url).port)} ${hex(localPort)} 01 `);
  return () => {
    const table = readFileSync('/proc/self/net/tcp', 'latin1');
    return rows.filter((row) => table.includes(row)).length;
  };
}

/** Sends a beginning, and one byte more every so often, until the server has had enough. */
function dawdle(port: number, beginning: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const timer = setInterval(() => beginning !== '' && socket.write('x'), 50);
    socket.on('error', () => {});
    socket.on('close', () => {
      clearInterval(timer);
      resolve();
    });
    socket.resume();
    if (beginning !== '') socket.write(beginning);
  });
}

/** Node has raised its own limit as far as it may. */
const descriptors = Number(/^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]);

where(hostile, descriptors > 10_500, 'ten thousand connections', `this process may have ${descriptors} files open`)('ten thousand connections that do nothing leave it serving', () =>
  withVictim({}, async (task, api) => {
    const halves = await Promise.all([open(api, 5_000), open(api, 5_000)]);
    try {
      assert.equal(halves.map(({ connected }) => connected), [5_000, 5_000]);
      for (let i = 0; i < 20; i++) assert.is((await task.ask('GET', 'variables/plain')).status, 200);
      assert.is((await raw(api, `GET /execution/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)).answer.slice(0, 12), 'HTTP/1.1 200'); // a connection of its own
    } finally {
      await Promise.all(halves.map(({ end }) => end()));
    }
  }),
);

hostile('more connections than it takes are closed at once, and room is made when others go', () =>
  withVictim({ maxConnections: 50 }, async (_task, api) => {
    const port = Number(new URL(api.url).port);
    const open: Socket[] = [];
    // The victim's own connection, kept alive, is among them.
    for (let i = 0; i < 200; i++) {
      const socket = connect(port, '127.0.0.1').on('error', () => {});
      const closed = new Promise<boolean>((resolve) => socket.once('close', () => resolve(false)));
      socket.resume().write('GET /execution/health HTTP/1.1\r\nhost: x\r\n\r\n');
      if (await Promise.race([closed, new Promise<boolean>((resolve) => socket.once('data', () => resolve(true)))])) open.push(socket);
    }
    assert.ok(open.length >= 45 && open.length <= 50, String(open.length));
    await Promise.all(open.map((socket) => new Promise((resolve) => socket.once('close', resolve).end())));
    assert.match((await raw(api, 'GET /execution/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')).answer, /^HTTP\/1\.1 200/);
  }),
);

/** Connections from a process of their own, which has descriptors of its own. */
async function open(api: ApiServer, count: number): Promise<{ readonly connected: number; end(): Promise<void> }> {
  const script = fileURLToPath(new URL('fixtures/connections.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, new URL(api.url).port, String(count)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const connected = await new Promise<number>((resolve) => {
    child.stdout.once('data', (line: Buffer) => resolve(Number(line)));
    void gone.then(() => resolve(0));
  });
  const end = (): Promise<void> => {
    child.stdin.end();
    return gone;
  };
  return { connected, end };
}

hostile.run();
