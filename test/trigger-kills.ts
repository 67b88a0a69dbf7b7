// A triggerer is killed at a moment of chance, or while it tells of an event, again and again. In the end every event, process, descriptor and file is accounted for.
// SALLYPORT_KILLS says how often, SALLYPORT_SEED with which dice; by default a few dozen times, and others each time.
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DatabaseSync } from '@photostructure/sqlite';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Secret } from '../lib/index.js';
import { leastDescriptors } from './fixtures/descriptors.js';
import { ApiServer, expectReply, here, startDate, type Task } from './helpers/api-server.js';
import { dice } from './helpers/dice.js';
import { FailingProxy } from './helpers/failing-proxy.js';
import { until } from './helpers/life.js';
import { running } from './helpers/processes.js';

const kills = suite('trigger-kills');
const rounds = Number(process.env['SALLYPORT_KILLS'] ?? 24);
const seed = Number(process.env['SALLYPORT_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
const atOnce = 4;

/** Fires twice: the second event is one too many. */
const trigger = `import { sleep } from 'sallyport/trigger';
  export default async function* ({ kwargs: { name, ms }, signal }) { await sleep(ms, signal); for (const at of [1, 2]) yield { name, at }; }`;

/** The processes that one has started, each by what no later one of its pid has too; none of one that has ended. */
function childrenOf(pid: number | undefined): string[] {
  return readdirSync('/proc').flatMap((name) => {
    const [, parent, started] = statOf(name) ?? [];
    return parent === String(pid) ? [`${name} ${started}`] : [];
  });
}

/** Of proc_pid_stat(5): the parent, and when it was started. */
const statOf = (pid: string): RegExpExecArray | null => {
  try {
    return /\) \S (\d+)(?: \S+){17} (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return null;
  }
};
const lives = (process: string): boolean => {
  const [pid = '', started] = process.split(' ');
  return statOf(pid)?.[2] === started;
};

interface Held {
  readonly descriptors: number;
  readonly waiting: number;
}

class World implements AsyncDisposable {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-trigger-kills-')));
  readonly #admin = randomBytes(32).toString('base64url');
  readonly tasks = new Map<string, Task>();
  /** With which each task went on, each time. */
  readonly events = new Map<string, unknown[]>();
  readonly hosts = new Set<string>();
  readonly counts = { fired: 0, cancelled: 0 };
  clock = Date.now();
  /** What a killed one has sent may be read after its end, and be its last sign of life: so the server's time goes on meanwhile, and fast. */
  readonly #time = setInterval(() => this.passes(), 500);
  #server: ApiServer | undefined;
  #adminUrl = '';
  proxy: FailingProxy | undefined;
  child: ChildProcess | undefined;
  held: Held | undefined;

  get server(): ApiServer {
    return this.#server as ApiServer;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async start(): Promise<void> {
    for (const name of ['bundle', 'tmp']) mkdirSync(this.path(name));
    writeFileSync(join(this.path('bundle'), 'fires.mjs'), trigger);
    const options = { now: () => this.clock, database: this.path('db'), adminCredential: Secret.fromBytes(Buffer.from(this.#admin)) };
    this.#server = await ApiServer.start(options, { bundles: [{ name: 'b' }], dags: [{ dag_id: 'd', bundle: 'b' }] });
    this.#adminUrl = await this.server.server.listenAdmin();
    this.proxy = await FailingProxy.start(this.server.url);
    using credential = await this.server.server.addTriggerer({ name: 't', queues: ['default'] });
    writeFileSync(this.path('credential'), credential.use((bytes) => Buffer.from(bytes)), { mode: 0o600 });
  }

  /** So long that a triggerer that is heard of no more has lost its triggers. */
  passes(): void {
    this.clock += 31_000;
  }

  async states(state: string): Promise<string[]> {
    const reply = await this.server.ask('GET', new URL(`task-instances?limit=1000&state=${state}`, this.#adminUrl).href, this.#admin);
    expectReply(reply, 200);
    return (reply.body as { task_instances: { id: string }[] }).task_instances.map(({ id }) => id);
  }

  async defer(ms: number): Promise<void> {
    const task = await this.server.running({ dag_id: 'd', run_id: 'r' });
    this.tasks.set(task.id, task);
    expectReply(await task.state({ state: 'deferred', classpath: 'fires.mjs', trigger_kwargs: { name: task.id, ms }, next_method: 'go', next_kwargs: {} }), 204);
  }

  /** @returns Its end. */
  async startTriggerer(): Promise<{ readonly end: Promise<unknown[]> }> {
    const words = JSON.stringify({ baseUrl: this.proxy?.url, bundle: this.path('bundle'), credential: this.path('credential') });
    const child = fork(fileURLToPath(new URL('fixtures/triggerer-to-kill.js', import.meta.url)), [words], { execArgv: [], env: { PATH: process.env['PATH'], TMPDIR: this.path('tmp') } });
    this.child = child;
    child.on('message', (said: any) => {
      if (said.kind in this.counts) this.counts[said.kind as keyof typeof this.counts]++;
      if (said.held !== undefined) this.held = said.held;
    });
    const end = once(child, 'exit');
    await Promise.race([once(child, 'message'), end]);
    return { end };
  }

  kill(): void {
    for (const host of childrenOf(this.child?.pid)) this.hosts.add(host);
    this.child?.kill('SIGKILL');
  }

  /** What an event has come for runs on, and stays `running` unless another event puts it into the queue once more. */
  async goOn(): Promise<void> {
    for (const id of await this.states('queued')) {
      const token = await this.server.server.issueWorkloadToken(id);
      const reply = await this.server.ask('PATCH', `task-instances/${id}/run`, token, { state: 'running', start_date: startDate, ...here });
      expectReply(reply, 200);
      const { next_kwargs } = reply.body as { next_kwargs: { event: unknown } };
      this.events.set(id, [...(this.events.get(id) ?? []), next_kwargs.event]);
    }
  }

  /** Until all that was deferred has gone on. */
  async settled(): Promise<void> {
    await until(async () => (await this.states('deferred')).length === 0);
    await this.goOn();
  }

  async look(): Promise<Held> {
    this.held = undefined;
    this.child?.send('held');
    await until(() => this.held !== undefined);
    return this.held as unknown as Held;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#time);
    if (this.child?.exitCode === null && this.child.signalCode === null) {
      const exited = once(this.child, 'exit');
      this.child.kill('SIGKILL');
      await exited;
    }
    await this.proxy?.[Symbol.asyncDispose]();
    await this.#server?.[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

kills(`a triggerer, ${rounds} times`, async () => {
  const random = dice(seed);
  const counts = { chance: 0, before: 0, after: 0 };
  await using world = new World();
  try {
    await world.start();
    const proxy = world.proxy as FailingProxy;
    let own = 0;
    for (let round = 0; round < rounds; round++) {
      for (let waiting = (await world.states('deferred')).length; waiting < atOnce; waiting++) await world.defer(Math.floor(random() * 150));
      const moment = (['chance', 'before', 'after'] as const)[Math.floor(random() * 3)] ?? 'chance';
      own ||= await leastDescriptors();
      // The server is told of an event, or would have been, and the triggerer hears no answer.
      proxy.fault = ({ path }) => {
        if (moment === 'chance' || !path.endsWith('/event')) return 'none';
        world.kill();
        return moment === 'before' ? 'dropped' : 'lost';
      };
      const { end } = await world.startTriggerer();
      if (moment === 'chance') void sleep(random() * 600).then(() => world.kill());
      await end;
      proxy.fault = () => 'none';
      counts[moment]++;
      await world.goOn();
      world.passes();
    }

    // All is well from here on.
    const { end } = await world.startTriggerer();
    await world.settled();

    // Events.
    assert.equal([...world.events].sort(), [...world.tasks.keys()].map((name): [string, unknown[]] => [name, [{ name, at: 1 }]]).sort());
    const more = async (): Promise<void> => {
      for (let i = 0; i < 2 * atOnce; i++) await world.defer(i);
      await world.settled();
      while ((await world.look()).waiting > 0);
    };

    // Descriptors, of the triggerer and of the server.
    await more();
    const before = await world.look();
    await more();
    const after = await world.look();
    assert.ok(after.descriptors <= before.descriptors, `${after.descriptors}, and ${before.descriptors} before`);
    assert.is(after.waiting, 0);
    assert.equal([...(await world.states('running'))].sort(), [...world.tasks.keys()].sort()); // no event has come twice
    assert.ok([...world.events.values()].every(({ length }) => length === 1));

    // Processes, files, and rows.
    world.child?.send('end');
    assert.equal(await end, [0, null]);
    assert.ok((await leastDescriptors()) <= own);
    await until(() => running(world.path('bundle')).length === 0 && ![...world.hosts].some(lives));
    assert.ok(world.hosts.size > 0, 'control');
    await until(() => readdirSync(world.path('tmp')).length === 0);
    assert.equal(readdirSync(world.path('bundle')), ['fires.mjs']);
    using db = new DatabaseSync(world.path('db'));
    assert.equal(['triggers', 'triggerers'].map((table) => (db.prepare(`SELECT count(*) AS count FROM ${table}`).get() as { count: number }).count), [0, 0]);
    console.log(`  seed ${seed}: killed ${JSON.stringify(counts)}; ${world.tasks.size} events, told ${JSON.stringify(world.counts)}; ${world.hosts.size} hosts`);
  } catch (error) {
    console.log(`  SALLYPORT_SEED=${seed}`);
    throw error;
  }
});

kills.run();
