// The server is killed in mid-write, again and again, on either database: what it acknowledged is there, nothing is there by half, and nothing twice.
// SALLYPORT_CRASHES says how often on each; by default a few times.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { here, startDate } from './helpers/api-server.js';
import { asWeAre } from './helpers/cli.js';
import { Postgres, withoutPostgres } from './helpers/postgres.js';
import { where } from './helpers/where.js';

const crash = suite('server-crash');
const rounds = Number(process.env['SALLYPORT_CRASHES'] ?? 8);
const credential = randomBytes(32).toString('base64url');
const endDate = '2026-04-06T00:01:00Z';
const of = { dag_id: 'daily', run_id: 'r' };

interface Reply {
  readonly status: number;
  readonly token: string | null;
  readonly body: any;
}

class Server {
  static async start(folder: string, args: readonly string[]): Promise<Server> {
    const [node, ...words] = asWeAre;
    const child = spawn(node, [...words, 'serve', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--key', `file:${folder}/key`, '--admin-credential', `file:${folder}/credential`, ...args], { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env['PATH'], AIRFLOW_HOME: folder } });
    let told = '';
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    await new Promise<void>((resolve, reject) => {
      child.stderr.on('data', (chunk: Buffer) => (told += chunk).includes('listening on') && resolve());
      void ended.then(() => reject(new Error(told)));
    });
    const [, admin = '', , url = ''] = /admin API on (\S+)\n(.*\n)*?.*listening on (\S+)\n/.exec(told) ?? [];
    return new Server(child, ended, url, admin);
  }

  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #url: string;
  readonly #admin: string;

  private constructor(child: ChildProcess, ended: Promise<void>, url: string, admin: string) {
    [this.#child, this.#ended, this.#url, this.#admin] = [child, ended, url, admin];
  }

  async #ask(method: string, url: URL, token: string, body?: unknown): Promise<Reply> {
    const response = await fetch(url, { method, headers: { authorization: `Bearer ${token}`, ...(body !== undefined && { 'content-type': 'application/json' }) }, body: body === undefined ? null : JSON.stringify(body) });
    const text = await response.text();
    return { status: response.status, token: response.headers.get('refreshed-api-token'), body: text === '' ? undefined : JSON.parse(text) };
  }

  ask(method: string, path: string, token: string, body?: unknown): Promise<Reply> {
    return this.#ask(method, new URL(path, this.#url), token, body);
  }

  admin(method: string, path: string, body?: unknown): Promise<Reply> {
    return this.#ask(method, new URL(path, this.#admin), credential, body);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal);
    await this.#ended;
  }

  /** A try that runs, and its token. */
  async running(id: string, task_id: string): Promise<string> {
    expect(await this.admin('POST', 'task-instances', { id, ...of, task_id }), 201);
    const { body } = await this.admin('POST', `task-instances/${id}/token`);
    const reply = await this.ask('PATCH', `task-instances/${id}/run`, body.token, { state: 'running', start_date: startDate, ...here });
    expect(reply, 200);
    return reply.token ?? '';
  }
}

function expect({ status, body }: Reply, expected: number): void {
  assert.is(status, expected, JSON.stringify(body));
}

/** What was asked for, and what of it was acknowledged, by the number of the write. */
interface Written {
  readonly xcoms: Set<number>;
  readonly variables: Set<number>;
  readonly pairs: { readonly asked: Set<number>; readonly acknowledged: Set<number> };
  /** By task instance: whether its success was acknowledged. */
  readonly successes: Map<string, boolean>;
}

async function survives(databaseArgs: (folder: string) => readonly string[], check: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-crash-'));
  writeFileSync(join(folder, 'key'), randomBytes(64).toString('base64'), { mode: 0o600 });
  writeFileSync(join(folder, 'credential'), credential, { mode: 0o600 });
  const written: Written = { xcoms: new Set(), variables: new Set(), pairs: { asked: new Set(), acknowledged: new Set() }, successes: new Map() };
  let next = 0;
  try {
    const args = databaseArgs(folder);
    const id = randomUUID();
    let token = '';
    for (let round = 0; round < rounds; round++) {
      const server = await Server.start(folder, args);
      if (round === 0) {
        expect(await server.admin('POST', 'seed', { assets: [{ name: 'a', uri: 's3://a' }] }), 204);
        token = await server.running(id, 'writer');
      }
      let left = 1 + Math.floor(Math.random() * 60);
      // From one write to the next there is no pause: whenever the signal comes, several are on their way.
      const acknowledged = (): void => void (left-- === 0 && server.end('SIGKILL'));
      const writers: readonly (() => Promise<void>)[] = [
        async () => {
          const mine = next++;
          expect(await server.ask('POST', `xcoms/daily/r/writer/k${mine}`, token, { mine }), 201);
          written.xcoms.add(mine);
        },
        async () => {
          const mine = next++;
          expect(await server.ask('PUT', `variables/v${mine}`, token, { val: String(mine) }), 201);
          written.variables.add(mine);
        },
        async () => {
          const mine = next++;
          written.pairs.asked.add(mine);
          expect(await server.admin('POST', 'seed', { teams: [`t${mine}`], bundles: [{ name: `b${mine}`, team: `t${mine}` }] }), 204);
          written.pairs.acknowledged.add(mine);
        },
        async () => {
          const other = randomUUID();
          const its = await server.running(other, `task ${next++}`);
          written.successes.set(other, false);
          expect(await server.ask('PATCH', `task-instances/${other}/state`, its, { state: 'success', end_date: endDate, task_outlets: [{ name: 'a', uri: 's3://a', type: 'Asset' }], outlet_events: [] }), 204);
          written.successes.set(other, true);
        },
        async () => expect(await server.ask('PUT', `task-instances/${id}/heartbeat`, token, { hostname: here.hostname, pid: here.pid }), 204),
      ];
      const ends = await Promise.allSettled(
        writers.map(async (write) => {
          for (;;) {
            await write();
            acknowledged();
          }
        }),
      );
      // Each ended because the server was gone, and for nothing else.
      for (const end of ends) assert.ok(end.status === 'rejected' && end.reason instanceof TypeError && end.reason.cause instanceof Error, String(end.status === 'rejected' && (end.reason as Error).stack));
    }

    const server = await Server.start(folder, args);
    assert.ok(written.xcoms.size + written.variables.size > rounds, 'control: something was written');
    for (const mine of written.xcoms) assert.equal((await server.ask('GET', `xcoms/daily/r/writer/k${mine}`, token)).body, { key: `k${mine}`, value: { mine } });
    for (const mine of written.variables) assert.equal((await server.ask('GET', `variables/v${mine}`, token)).body, { key: `v${mine}`, value: String(mine) });
    for (const mine of written.pairs.asked) {
      const both = await Promise.all([server.admin('GET', `teams/t${mine}`), server.admin('GET', `bundles/b${mine}`)]);
      assert.is(both[0].status, both[1].status, `seed ${mine} is there by half`);
      if (written.pairs.acknowledged.has(mine)) expect(both[0], 200);
    }
    let succeeded = 0;
    for (const [other, wasAcknowledged] of written.successes) {
      const { state } = (await server.admin('GET', `task-instances/${other}`)).body;
      assert.ok(state === 'success' || (!wasAcknowledged && state === 'running'), `${other}: ${state}, acknowledged: ${wasAcknowledged}`);
      if (state === 'success') succeeded++;
    }
    // With each success exactly its event: both are one transaction.
    const events = (await server.ask('GET', 'asset-events/by-asset?name=a&uri=s3://a', token)).body.asset_events as readonly unknown[];
    assert.is(events.length, succeeded);
    await server.end('SIGTERM');
    await check(folder);
    console.log(`  ${rounds} kills: ${written.xcoms.size} XComs, ${written.variables.size} variables, ${written.pairs.acknowledged.size} seeds and ${[...written.successes.values()].filter(Boolean).length} successes acknowledged, all there`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

crash('SQLite', () =>
  survives(
    (folder) => ['--database', join(folder, 'db')],
    async (folder) => {
      const { DatabaseSync } = await import('@photostructure/sqlite');
      const db = new DatabaseSync(join(folder, 'db'));
      assert.equal(db.prepare('PRAGMA integrity_check').all().map((row) => Object.values(row as object)), [['ok']]);
      assert.equal(db.prepare('PRAGMA foreign_key_check').all(), []);
      db.close();
    },
  ),
);

where(crash, withoutPostgres === undefined, 'PostgreSQL', withoutPostgres)('PostgreSQL', async () => {
  await using postgres = await Postgres.start();
  const { host = '', database, user, password } = await postgres.database();
  await survives(
    (folder) => {
      password?.use((bytes) => writeFileSync(join(folder, 'password'), bytes, { mode: 0o600 }));
      return ['--database', `postgres://${user}@/${database}?host=${host}`, '--database-password', `file:${folder}/password`];
    },
    async () => {
      // Nobody who was killed holds a lock.
      assert.equal(await postgres.query(database, "SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE datname = current_database() AND pid <> pg_backend_pid() AND mode LIKE '%Exclusive%'"), []);
    },
  );
});

crash.run();
