// `sallyport serve` as who runs it does: its command line, its secrets, its logs, and how it stops.
import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { here, startDate } from './helpers/api-server.js';
import { asEachUser, asWeAre, cli, type Words } from './helpers/cli.js';

const serve = suite('serve');
const credential = randomBytes(32).toString('base64url');
const endDate = '2026-04-06T00:01:00Z';

/** A folder of that user's with a key and a credential in it. */
function home(who: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-serve-'));
  writeFileSync(join(folder, 'key'), randomBytes(64).toString('base64'), { mode: 0o600 });
  writeFileSync(join(folder, 'credential'), credential, { mode: 0o600 });
  if (who === 'uid 65534') for (const path of [folder, ...readdirSync(folder).map((name) => join(folder, name))]) chownSync(path, 65534, 65534);
  return folder;
}

interface Running {
  readonly child: ChildProcess;
  readonly url: string;
  readonly told: () => string;
  readonly ended: Promise<number | null>;
  ask(method: string, path: string, token?: string, body?: unknown): Promise<{ status: number; headers: Headers; body: any }>;
  admin(method: string, path: string, body?: unknown): Promise<{ status: number; body: any }>;
}

/** Started and listening; killed if the test does not end it. */
async function withServer(words: Words, folder: string, args: readonly string[], use: (server: Running) => Promise<void>, key: readonly string[] = ['--key', `file:${folder}/key`]): Promise<void> {
  const [program, ...rest] = words;
  const all = ['serve', '--listen', '127.0.0.1:0', '--database', join(folder, 'db'), ...key, '--admin', `unix:${folder}/admin`, '--admin-credential', `file:${folder}/credential`, ...args];
  const child = spawn(program, [...rest, ...all], { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], AIRFLOW_HOME: folder } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (output += chunk));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  try {
    const url = await new Promise<string>((resolve, reject) => {
      child.stderr?.on('data', () => {
        const [, found] = /listening on (\S+)\n/.exec(output) ?? [];
        if (found !== undefined) resolve(found);
      });
      void ended.then(() => reject(new Error(output)));
    });
    await use({
      child, url, ended, told: () => output,
      async ask(method, path, token, body) {
        const response = await fetch(new URL(path, url), { method, headers: { ...(token && { authorization: `Bearer ${token}` }), ...(body !== undefined && { 'content-type': 'application/json' }) }, body: body === undefined ? null : JSON.stringify(body) });
        const text = await response.text();
        return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
      },
      admin: (method, path, body) => new Promise((resolve, reject) => {
        const asked = request({ socketPath: join(folder, 'admin'), method, path: `/admin/${path}`, headers: { authorization: `Bearer ${credential}`, ...(body !== undefined && { 'content-type': 'application/json' }) } }, (response) => {
          let text = '';
          response.on('data', (chunk: Buffer) => (text += chunk)).on('end', () => resolve({ status: response.statusCode ?? 0, body: text === '' ? undefined : JSON.parse(text) }));
        });
        asked.on('error', reject).end(body === undefined ? undefined : JSON.stringify(body));
      }),
    }); // prettier-ignore
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

/** A task that runs, and its token. */
async function running(server: Running): Promise<{ readonly id: string; readonly token: string; readonly workload: string }> {
  const id = randomUUID();
  assert.is((await server.admin('POST', 'task-instances', { id, dag_id: 'daily', run_id: 'r', task_id: `t ${id}` })).status, 201);
  const { token: workload } = (await server.admin('POST', `task-instances/${id}/token`)).body;
  const reply = await server.ask('PATCH', `task-instances/${id}/run`, workload, { state: 'running', start_date: startDate, ...here });
  assert.is(reply.status, 200, JSON.stringify(reply.body));
  return { id, workload, token: reply.headers.get('refreshed-api-token') ?? '' };
}

serve('from an empty folder to a task that succeeds, as root and as another user; what is there stays', () =>
  asEachUser(async (words, who) => {
    const folder = home(who);
    try {
      await withServer(words, folder, ['--access-log', join(folder, 'access'), '--decision-log', join(folder, 'decisions')], async (server) => {
        assert.is((await server.admin('PUT', 'variables/region', { value: 'north' })).status, 200);
        const { id, token, workload } = await running(server);
        assert.equal((await server.ask('GET', 'variables/region', token)).body, { key: 'region', value: 'north' });
        // A token where none belongs, and the credential.
        assert.is((await server.ask('GET', `xcoms/daily/r/t/${token}`, token)).status, 404);
        assert.is((await server.admin('GET', `variables/${credential}`)).status, 404);
        assert.is((await server.ask('PATCH', `task-instances/${id}/state`, token, { state: 'success', end_date: endDate })).status, 204);
        assert.is((await server.ask('GET', 'variables/region', token)).status, 409);

        for (const name of ['access', 'decisions', 'db']) assert.is(statSync(join(folder, name)).mode & 0o777, 0o600, `${who}: ${name}`);
        const [access, decisions] = ['access', 'decisions'].map((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n').map((line) => JSON.parse(line)));
        assert.ok(access?.some(({ route, status, task_instance_id }) => route === '/execution/variables/*' && status === 200 && task_instance_id === id));
        assert.ok(decisions?.some(({ kind, name, allowed, task_instance_id }) => kind === 'variable' && name === 'region' && allowed === true && task_instance_id === id));
        assert.ok(decisions?.some(({ rule, allowed }) => rule === 'live-try' && allowed === false));
        const key = readFileSync(join(folder, 'key'), 'utf8');
        const everything = server.told() + JSON.stringify([access, decisions]) + readFileSync(`/proc/${server.child.pid}/cmdline`, 'latin1');
        for (const secret of [token, workload, key, credential, ...[token, workload].flatMap((text) => text.split('.').slice(1))]) assert.not.ok(everything.includes(secret), who);
        assert.match(JSON.stringify(access), 'xcoms/daily/r/t/eyJ***'); // control: those lines are there
        assert.match(JSON.stringify(decisions), '/eyJ***');

        server.child.kill('SIGTERM');
        assert.is(await server.ended, 0, server.told());
        assert.not.ok(existsSync(join(folder, 'admin')));
      });
      await withServer(words, folder, [], async (server) => {
        assert.is((await server.admin('GET', 'variables/region')).status, 200);
        const { token } = await running(server);
        assert.equal((await server.ask('GET', 'variables/region', token)).body, { key: 'region', value: 'north' });
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  }),
);

serve('its process is closed to others of its user, and the key is in another', () =>
  asEachUser(async (words, who) => {
    const folder = home(who);
    try {
      await withServer(words, folder, [], async ({ child }) => {
        const pid = Number(child.pid);
        const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && parentOf(name) === pid);
        assert.ok(children.length >= 1); // the agent
        for (const each of [pid, ...children]) assert.is(statSync(`/proc/${each}/mem`).uid, 0, who);
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  }),
);

function parentOf(pid: string): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined;
  }
}

serve('its key may come from the configuration of its role, which says more', async () => {
  const folder = home('me');
  try {
    const config = join(folder, 'own.cfg');
    writeFileSync(config, `[api_auth]\njwt_private_key_path = ${folder}/pem\njwt_issuer = here\n[execution_api]\njwt_audience = urn:one,urn:two\njwt_expiration_time = 77\n[scheduler]\ntask_queued_timeout = 300.0\n[core]\nmulti_team = True\n`);
    writeFileSync(join(folder, 'pem'), generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    await withServer(asWeAre, folder, ['--config', config], async (server) => {
      await server.admin('POST', 'seed', { teams: ['red'], variables: { theirs: { value: 'x', team: 'red' }, ours: 'x' } });
      const { token, workload } = await running(server);
      const [header, claims] = token.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()));
      const waits = JSON.parse(Buffer.from(workload.split('.')[1] ?? '', 'base64url').toString());
      assert.is(waits.exp - waits.iat, 300);
      assert.equal([header.alg, claims.iss, claims.aud, claims.exp - claims.iat], ['EdDSA', 'here', 'urn:one', 77]);
      assert.is((await server.ask('GET', 'variables/theirs', token)).status, 403);
      assert.is((await server.ask('GET', 'variables/ours', token)).status, 200); // control
    }, []);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

serve('what is asked for wrongly is refused before anything is opened, and no value is repeated', async () => {
  const folder = home('me');
  try {
    const db = join(folder, 'db');
    const key = ['--key', `file:${folder}/key`];
    const cases: readonly (readonly [number, RegExp, ...string[]])[] = [
      [2, /--database/, ...key],
      [2, /clear-text/, '--database', db, ...key, '--listen', '0.0.0.0:0'],
      [2, /HOST:PORT/, '--database', db, ...key, '--listen', 'nowhere'],
      [2, /HOST:PORT/, '--database', db, ...key, '--listen', '127.0.0.1:70000'],
      [2, /go together/, '--database', db, ...key, '--admin', '127.0.0.1:0'],
      [2, /never the secret itself/, '--database', db, '--key', 'hunter2-hunter2'],
      [2, /takes no password/, '--database', 'postgres://me:hunter2-hunter2@host/db', ...key],
      [2, /postgres:/, '--database', 'postgres://host/db?sslmode=off', ...key],
      [2, /PostgreSQL/, '--database', db, '--database-password', 'env:X', ...key],
      [2, /seconds/, '--database', db, ...key, '--grace', 'long'],
      [2, /own or airflow/, '--database', db, ...key, '--authorization', 'none'],
      [1, /jwt_secret/, '--database', db],
      [1, /ERR_KEY_AGENT/, '--database', db, '--key', `file:${folder}/none`],
      [1, /at least 64 bytes|ERR_KEY_AGENT/, '--database', db, '--key', `file:${folder}/short`],
      [1, /32 bytes/, '--database', db, ...key, '--admin', '127.0.0.1:0', '--admin-credential', `file:${folder}/short`],
      [1, /host alone/, '--database', db, ...key, '--admin', '0.0.0.0:0', '--admin-credential', `file:${folder}/credential`],
      [1, /not JSON/, '--database', db, ...key, '--seed', `file:${folder}/short`.slice(5)],
      [1, /mode 644/, '--database', db, ...key, '--seed', join(folder, 'seed')],
      [1, /ENOENT/, '--database', join(folder, 'none', 'db'), ...key],
    ];
    writeFileSync(join(folder, 'short'), 'hunter2-hunter2', { mode: 0o600 });
    writeFileSync(join(folder, 'seed'), JSON.stringify({ connections: [{ conn_id: 'c', conn_type: 'x', password: 'hunter2-hunter2' }] }), { mode: 0o644 });
    chmodSync(join(folder, 'seed'), 0o644);
    await Promise.all([0, 1].map(async (half) => {
      for (const [code, words, ...args] of cases.filter((_each, at) => at % 2 === half)) {
        // Two that make one file at once would meet SQLite's lock.
        const done = await cli(asWeAre, ['serve', ...args.map((arg) => (arg === db ? `${db}${half}` : arg))], { env: { AIRFLOW_HOME: folder } });
        assert.is(done.code, code, `${args.join(' ')}: ${done.stderr}`);
        assert.match(done.stderr, words);
        assert.not.match(done.stdout + done.stderr, 'hunter2-hunter2');
        assert.not.match(done.stderr, /at .*\.js:\d+/, 'a stack');
      }
    })); // prettier-ignore
    // Control: the same seed for its owner alone.
    chmodSync(join(folder, 'seed'), 0o600);
    await withServer(asWeAre, folder, ['--seed', join(folder, 'seed')], async ({ admin }) => assert.is((await admin('GET', 'connections/c')).status, 200));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

serve('told to stop, it finishes what has begun, takes nothing new, and waits no longer than it may', async () => {
  const folder = home('me');
  try {
    await withServer(asWeAre, folder, ['--grace', '30'], async (server) => {
      const { id, token } = await running(server);
      const body = JSON.stringify({ state: 'success', end_date: endDate });
      const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
      let answer = '';
      socket.on('data', (chunk: Buffer) => (answer += chunk));
      socket.write(`PATCH /execution/task-instances/${id}/state HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 10)}`);
      // Once it answers another, it has read this one's beginning.
      assert.is((await server.ask('GET', 'health')).status, 200);
      server.child.kill('SIGTERM');
      while (!server.told().includes('stopping')) await new Promise((resolve) => setTimeout(resolve, 10));
      const refused = await server.ask('GET', 'health').then(() => 'answered', () => 'refused');
      assert.is(refused, 'refused');
      socket.write(body.slice(10));
      assert.is(await server.ended, 0);
      assert.match(answer, /^HTTP\/1.1 204/);
    });
    await withServer(asWeAre, folder, ['--grace', '0'], async (server) => {
      const { id, token } = await running(server);
      const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
      socket.on('error', () => {});
      socket.write(`PATCH /execution/task-instances/${id}/state HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\ncontent-length: 100\r\n\r\n{`);
      assert.is((await server.ask('GET', 'health')).status, 200);
      server.child.kill('SIGINT');
      assert.is(await server.ended, 0);
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

serve('SIGHUP opens its logs again; a log that cannot be written to stops what it should record', async () => {
  const folder = home('me');
  try {
    const log = join(folder, 'decisions');
    await withServer(asWeAre, folder, ['--decision-log', log], async (server) => {
      const { token } = await running(server);
      assert.is((await server.ask('GET', 'variables/one', token)).status, 404);
      renameSync(log, `${log}.1`);
      assert.is((await server.ask('GET', 'variables/two', token)).status, 404);
      server.child.kill('SIGHUP');
      while (!existsSync(log)) await new Promise((resolve) => setTimeout(resolve, 10));
      assert.is((await server.ask('GET', 'variables/three', token)).status, 404);
      const names = (path: string): string[] => readFileSync(path, 'utf8').trim().split('\n').map((line) => JSON.parse(line)).filter(({ kind }) => kind === 'variable').map(({ name }) => name);
      assert.equal([names(`${log}.1`), names(log)], [['one', 'two'], ['three']]);
    }); // prettier-ignore
    await withServer(asWeAre, folder, ['--decision-log', '/dev/full'], async (server) => {
      const id = randomUUID();
      await server.admin('POST', 'task-instances', { id, dag_id: 'daily', run_id: 'r', task_id: 'full' });
      const { token } = (await server.admin('POST', `task-instances/${id}/token`)).body;
      assert.is((await server.ask('PATCH', `task-instances/${id}/run`, token, { state: 'running', start_date: startDate, ...here })).status, 500);
      assert.is((await server.admin('GET', `task-instances/${id}`)).body.state, 'queued');
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

serve('when its key agent dies it stops, and says why', async () => {
  const folder = home('me');
  try {
    await withServer(asWeAre, folder, [], async ({ child, ended, told }) => {
      const agents = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && parentOf(name) === child.pid);
      for (const agent of agents) process.kill(Number(agent), 'SIGKILL');
      assert.is(await ended, 1);
      assert.match(told(), 'the key agent has ended');
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

serve('keys change over restarts: the first one signs, the others verify, and what is dropped is nothing', async () => {
  const folder = home('us');
  const key = (name: string): string[] => ['--key', `file:${join(folder, name)}`];
  for (const name of ['old', 'new']) writeFileSync(join(folder, name), generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const kids = async (server: Running): Promise<string[]> => ((await server.ask('GET', '/.well-known/jwks.json')).body as { keys: { kid: string }[] }).keys.map(({ kid }) => kid);
  try {
    let token = '';
    let before: string[] = [];
    await withServer(asWeAre, folder, [], async (server) => {
      ({ token } = await running(server));
      before = await kids(server);
      assert.is(before.length, 1);
      assert.is((await server.ask('GET', 'variables/none', token)).status, 404);
    }, key('old')); // prettier-ignore
    await withServer(asWeAre, folder, [], async (server) => {
      const both = await kids(server);
      assert.equal([both.length, both[1]], [2, before[0]]);
      assert.is((await server.ask('GET', 'variables/none', token)).status, 404);
      assert.is(JSON.parse(Buffer.from((await running(server)).token.split('.')[0] ?? '', 'base64url').toString()).kid, both[0]);
    }, [...key('new'), ...key('old')]); // prettier-ignore
    await withServer(asWeAre, folder, [], async (server) => assert.is((await server.ask('GET', 'variables/none', token)).status, 403), key('new'));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

serve('SIGHUP reads its keys again: no token is refused on the way, and what cannot be read changes nothing', async () => {
  const folder = home('me');
  const write = (slot: 'current' | 'next', pem: string): void => writeFileSync(join(folder, slot), pem, { mode: 0o600 });
  const [old, fresh, later] = Array.from({ length: 3 }, () => generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string) as [string, string, string];
  write('current', old);
  write('next', fresh);
  try {
    const keys = ['current', 'next'].flatMap((slot) => ['--key', `file:${join(folder, slot)}`]);
    await withServer(asWeAre, folder, [], async (server) => {
      const kids = async (): Promise<string[]> => ((await server.ask('GET', '/.well-known/jwks.json')).body as { keys: { kid: string }[] }).keys.map(({ kid }) => kid);
      const kidOf = (token: string): string => JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid;
      const hangUp = async (words: RegExp): Promise<void> => {
        const before = server.told().length;
        server.child.kill('SIGHUP');
        while (!words.test(server.told().slice(before))) await new Promise((resolve) => setTimeout(resolve, 10));
      };
      const speaks = async (token: string): Promise<number> => (await server.ask('GET', 'variables/none', token)).status;
      const first = await running(server);
      const [oldKid, freshKid] = await kids();
      assert.is(kidOf(first.token), oldKid);
      // The new one signs, and the old one verifies.
      write('current', fresh);
      write('next', old);
      await hangUp(/keys: /);
      assert.equal(await kids(), [freshKid, oldKid]);
      const second = await running(server);
      assert.is(kidOf(second.token), freshKid);
      assert.equal([await speaks(first.token), await speaks(second.token)], [404, 404]);
      // What is no key is said, and everything goes on.
      write('next', 'no key');
      await hangUp(/the keys stay as they were/);
      assert.equal([await speaks(first.token), await speaks(second.token), (await kids()).length], [404, 404, 2]);
      // Dropped.
      write('next', later);
      await hangUp(/keys: /);
      assert.equal([await speaks(first.token), await speaks(second.token)], [403, 404]);
      // An agent that is in use is one without which the server stops; the ones before are not.
      server.child.kill('SIGTERM');
      assert.is(await server.ended, 0);
    }, keys); // prettier-ignore
  } finally {
    rmSync(folder, { recursive: true });
  }
});

serve('a log that cannot be opened again goes on where it was, and a reader that has gone stops what it should record', async () => {
  const folder = home('me');
  try {
    await withServer(asWeAre, folder, ['--access-log', join(folder, 'logs'), '--decision-log', '-'], async (server) => {
      const { token } = await running(server);
      renameSync(join(folder, 'logs'), join(folder, 'logs.1'));
      mkdirSync(join(folder, 'logs'));
      server.child.kill('SIGHUP');
      while (!server.told().includes('EISDIR')) await new Promise((resolve) => setTimeout(resolve, 10));
      assert.is((await server.ask('GET', 'variables/after', token)).status, 404);
      while (!readFileSync(join(folder, 'logs.1'), 'utf8').includes('variables/after')) await new Promise((resolve) => setTimeout(resolve, 10));
      assert.match(server.told(), '"name":"after"');
      server.child.stdout?.destroy();
      assert.is((await server.ask('GET', 'variables/unread', token)).status, 500);
      assert.is((await server.ask('GET', 'health')).status, 200); // and it is still there
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

serve('as the sole issuer it gives tokens to workers alone, and no log has their credentials', async () => {
  const folder = home('us');
  try {
    await withServer(asWeAre, folder, ['--sole-issuer', '--access-log', join(folder, 'access'), '--decision-log', join(folder, 'decisions')], async (server) => {
      const id = randomUUID();
      assert.is((await server.admin('POST', 'task-instances', { id, dag_id: 'daily', run_id: 'r', task_id: 't', queue: 'etl' })).status, 201);
      assert.is((await server.admin('POST', `task-instances/${id}/token`)).status, 403);
      const { credential: worker } = (await server.admin('PUT', 'workers/w', { queues: ['etl'] })).body as { credential: string };
      const first = await server.ask('POST', `/sallyport/v1/task-instances/${id}/token`, worker);
      assert.is(first.status, 201);
      assert.is((await server.ask('PATCH', `task-instances/${id}/run`, first.body.token, { state: 'running', start_date: startDate, ...here })).status, 200);
      // Put where it does not belong, too.
      assert.is((await server.ask('GET', `variables/${worker}`, first.body.token)).status, 403);
      assert.is((await server.ask('POST', `/sallyport/v1/task-instances/${worker}/token`, worker)).status, 422);
      const logs = ['access', 'decisions'].map((name) => readFileSync(join(folder, name), 'utf8'));
      assert.match(logs[0] ?? '', '/execution/variables/sallyport-worker-***');
      assert.match(logs[0] ?? '', '/sallyport/v1/task-instances/:id/token');
      assert.equal(JSON.parse((logs[1] ?? '').split('\n')[0] ?? '').worker, 'w');
      for (const secret of [worker, first.body.token]) assert.not.ok((logs.join('') + server.told()).includes(secret));
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

serve.run();
