// A task, the API or the supervisor is killed at a moment of chance, again and again. In the end every process, descriptor, file, secret and outcome is accounted for.
// SALLYPORT_KILLS says how often, SALLYPORT_SEED with which dice; by default a few times, and others each time.
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ExecutionApi, Secret } from '../lib/index.js';
import { dice } from './helpers/dice.js';
import { FailingProxy } from './helpers/failing-proxy.js';
import { until } from './helpers/life.js';
import { running } from './helpers/processes.js';

const kills = suite('kills');
const rounds = Number(process.env['SALLYPORT_KILLS'] ?? 30);
const seed = Number(process.env['SALLYPORT_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
const atOnce = 4;

interface Kind {
  readonly source: string;
  readonly state: string;
  readonly max_tries: 0 | 1;
  readonly options?: object;
}
const body = (source: string): string => `
  import { writeSync } from 'node:fs';
  const ask = (type, fields) => globalThis[Symbol.for('sallyport.task.client')].request(type, fields);
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  export default async ({ ti }) => { writeSync(1, 'began\\n'); await pause(Math.random() * 300); ${source} };
  export const go = (_, { event }) => { writeSync(1, \`went on with \${event.chosen_options}\\n\`); };
`;
const question = { options: ['yes', 'no'], subject: 'go?', body: null, defaults: null, multiple: false, params: {}, assigned_users: [] };
const kinds: readonly Kind[] = [
  { source: '', state: 'success', max_tries: 0 },
  { source: "await ask('SucceedTask', { task_outlets: [{ name: 'a', uri: 's3://a', type: 'Asset' }] }); await pause(100); process.exit(0);", state: 'success', max_tries: 1, options: { grants: { outlets: ['a'] } } },
  { source: "throw new Error('on purpose');", state: 'up_for_retry', max_tries: 1 },
  { source: 'process.exit(1);', state: 'failed', max_tries: 0 },
  { source: "await ask('TaskState', { state: 'skipped' }); await pause(50); process.exit(0);", state: 'skipped', max_tries: 0 },
  { source: "await ask('DeferTask', { classpath: 't.T', next_method: 'go' }); process.exit(0);", state: 'deferred', max_tries: 0, options: { grants: { defers: ['t.T'] } } },
  { source: `await ask('CreateHITLDetailPayload', { ti_id: ti.id, ...${JSON.stringify(question)} }); await pause(50); await ask('AwaitInputTask', { next_method: 'go' }); process.exit(0);`, state: 'awaiting_input', max_tries: 0 },
];

/** What is known of one task instance. */
interface Known {
  readonly kind: Kind;
  began: boolean;
  /** What its next leg has said, each time. */
  readonly went: string[];
  outcome?: { readonly state: string; readonly reported: boolean; readonly kept: boolean };
  refused?: string;
  /** Its supervisor was killed while it had it. */
  orphaned: boolean;
}

class World {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-kills-')));
  readonly known = new Map<string, Known>();
  readonly results: { readonly task: string; readonly state: string; readonly result: string; readonly error?: string }[] = [];
  readonly #credential = randomBytes(32).toString('base64url');
  readonly children = new Set<ChildProcess>();
  #admin = '';
  api: ChildProcess | undefined;
  supervisor: ChildProcess | undefined;
  proxy: FailingProxy | undefined;
  held: Record<string, number> | undefined;

  constructor() {
    for (const name of ['bundle', 'tmp']) mkdirSync(join(this.folder, name));
    writeFileSync(this.path('key'), randomBytes(64), { mode: 0o600 });
    writeFileSync(this.path('report-key'), randomBytes(32).toString('hex'), { mode: 0o600 });
    writeFileSync(this.path('credential'), this.#credential, { mode: 0o600 });
    kinds.forEach(({ source }, index) => writeFileSync(join(this.path('bundle'), `${index}.mjs`), body(source)));
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  #fork(name: string, options: object): ChildProcess {
    const child = fork(fileURLToPath(new URL(`fixtures/${name}.js`, import.meta.url)), [JSON.stringify(options)], { execArgv: [], env: { PATH: process.env['PATH'], TMPDIR: this.path('tmp') } });
    this.children.add(child);
    child.on('exit', () => this.children.delete(child));
    return child;
  }

  async startApi(): Promise<void> {
    const child = this.#fork('life-api', { database: this.path('db'), key: this.path('key'), credential: this.path('credential') });
    const [{ url, admin }] = (await once(child, 'message')) as [{ url: string; admin: string }];
    [this.api, this.#admin] = [child, admin];
    if (this.proxy === undefined) this.proxy = await FailingProxy.start(url);
    else this.proxy.moveTo(url);
  }

  async startSupervisor(): Promise<void> {
    const child = this.#fork('life-supervisor', { baseUrl: this.proxy?.url, bundle: this.path('bundle'), folder: this.path('reports'), key: this.path('report-key') });
    this.supervisor = child;
    await once(child, 'message');
    child.on('message', (said: any) => {
      const known = this.known.get(said.task);
      if (said.held !== undefined) this.held = said.held;
      else if (said.result !== undefined) this.results.push(said.result);
      else if (known === undefined) return;
      else if (said.line === 'began') known.began = true;
      else if (said.line !== undefined) known.went.push(said.line);
      else if (said.outcome !== undefined) known.outcome = said.outcome;
      else if (said.refused !== undefined) known.refused = said.refused;
    });
  }

  /** An API that is down is asked again: whoever accounts has time. */
  async admin(method: string, path: string, body?: unknown): Promise<any> {
    for (;;) {
      try {
        const response = await fetch(new URL(path, this.#admin), { method, headers: { authorization: `Bearer ${this.#credential}`, ...(body !== undefined && { 'content-type': 'application/json' }) }, body: body === undefined ? null : JSON.stringify(body) });
        const text = await response.text();
        if (response.status === 409) return undefined; // made by an attempt whose answer was lost
        assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
        return text === '' ? undefined : JSON.parse(text);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
        await sleep(20);
      }
    }
  }

  async begin(index: number): Promise<void> {
    const kind = kinds[index] as Kind;
    const ti = { id: randomUUID(), dag_id: 'd', run_id: 'r', task_id: `t-${randomUUID()}`, try_number: 1, map_index: -1 };
    await this.admin('POST', 'task-instances', { ...ti, max_tries: kind.max_tries, state: 'queued' });
    await this.#start(ti, index, kind);
  }

  async #start(ti: { readonly id: string }, index: number, kind: Kind): Promise<void> {
    const { token } = await this.admin('POST', `task-instances/${ti.id}/token`);
    this.known.set(ti.id, { kind, began: false, went: [], orphaned: false });
    this.supervisor?.send({ workload: { type: 'ExecuteTask', ti, dag_rel_path: `${index}.mjs`, bundle_info: { name: 'b', version: null } }, token, options: kind.options }, () => {});
  }

  /** Somebody answers all that was asked, of tasks that wait, that are about to, or that have ended meanwhile. */
  async answer(): Promise<void> {
    const { hitl_details } = await this.admin('GET', 'hitl-details?answered=false&limit=1000');
    for (const { task_instance_id, asked_at } of hitl_details) await this.admin('PATCH', `hitl-details/${task_instance_id}`, { chosen_options: ['yes'], responded_by: { id: '7', name: 'Ada' }, asked_at });
  }

  /** The next leg of one whose wait is over. */
  async goOn(id: string): Promise<void> {
    const { dag_id, run_id, task_id, try_number, map_index } = await this.admin('GET', `task-instances/${id}`);
    await this.#start({ id, dag_id, run_id, task_id, try_number, map_index } as { readonly id: string }, kinds.length - 1, { source: 'goes on', state: 'success', max_tries: 0 });
  }

  get unfinished(): readonly Known[] {
    return [...this.known.values()].filter(({ outcome, refused, orphaned }) => outcome === undefined && refused === undefined && !orphaned);
  }

  async ask(order: unknown): Promise<Record<string, number>> {
    this.held = undefined;
    this.supervisor?.send(order as object);
    await until(() => this.held !== undefined);
    return this.held as unknown as Record<string, number>;
  }
}

async function killed(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** The processes that a supervisor has started for tasks, and for nothing else. */
function tasksOf({ pid }: ChildProcess, mark: string): number[] {
  const parent = new RegExp(`^PPid:\\t${pid}$`, 'm');
  return running(mark).filter((each) => {
    try {
      return parent.test(readFileSync(`/proc/${each}/status`, 'utf8'));
    } catch {
      return false;
    }
  });
}

kills(`${rounds} at moments of chance`, async () => {
  const random = dice(seed);
  const world = new World();
  const counts = { task: 0, api: 0, supervisor: 0 };
  try {
    await world.startApi();
    await world.admin('POST', 'seed', { assets: [{ name: 'a', uri: 's3://a' }], dags: [{ dag_id: 'd' }] });
    await world.startSupervisor();
    const mark = world.path('bundle');
    for (let round = 0; round < rounds; round++) {
      while (world.unfinished.length < atOnce) await world.begin(Math.floor(random() * kinds.length));
      await sleep(random() * 400);
      if (random() < 0.5) await world.answer();
      const victim = (['task', 'task', 'api', 'supervisor'] as const)[Math.floor(random() * 4)] ?? 'task';
      if (victim === 'task') {
        const [pid] = world.supervisor === undefined ? [] : tasksOf(world.supervisor, mark);
        if (pid === undefined) continue;
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          continue; // it has just ended
        }
      } else if (victim === 'api') {
        await killed(world.api);
        await sleep(random() * 300);
        await world.startApi();
      } else {
        await killed(world.supervisor);
        for (const known of world.unfinished) known.orphaned = true;
        await world.startSupervisor();
      }
      counts[victim]++;
    }

    // All is well from here on.
    await until(() => world.unfinished.length === 0);
    let held = await world.ask('held');
    while (held['waiting'] !== 0) held = await world.ask('held');

    // Outcomes.
    const problems: string[] = [];
    const states: Record<string, number> = {};
    const answered: string[] = [];
    let lostStarts = 0;
    await world.answer();
    for (const [id, known] of world.known) {
      const now = await world.admin('GET', `task-instances/${id}`);
      const isAnswered = now.state === 'queued' && now.next_method === 'go'; // and waits for its next leg
      const state = isAnswered ? 'awaiting_input' : now.state;
      if (isAnswered) answered.push(id);
      const { kind, outcome, refused, began, orphaned } = known;
      const failure = kind.max_tries > 0 ? 'up_for_retry' : 'failed';
      const what = `${id}: the server has ${state}; ${JSON.stringify({ ...known, kind: kind.source })}`;
      states[state] = (states[state] ?? 0) + 1;
      if (outcome !== undefined) {
        if (state !== outcome.state) problems.push(what);
        if (outcome.state !== kind.state && outcome.state !== failure) problems.push(what);
        if (outcome.reported === outcome.kept) problems.push(what);
      } else if (refused !== undefined || orphaned) {
        // The server may have let it run, and nobody heard: then nothing of it ran. What had begun has an outcome.
        const isLostStart = state === 'running' || state === 'queued';
        if (isLostStart && began) problems.push(what);
        if (isLostStart && state === 'running') lostStarts++;
        if (!isLostStart && (refused !== undefined || ![kind.state, failure].includes(state))) problems.push(what);
      }
    }
    assert.equal(problems, []);
    assert.equal(world.results.filter(({ result }) => result !== 'taken'), []);

    // What people have answered goes on, and once.
    for (const id of answered) await world.goOn(id);
    await until(() => world.unfinished.length === 0);
    for (const id of answered) {
      const { outcome, went } = world.known.get(id) as Known;
      assert.equal([outcome?.state, outcome?.reported, went], ['success', true, ['went on with yes']]);
    }

    // A success and its event are one, however often it was told.
    const successes = await Promise.all([...world.known].filter(([, { kind }]) => kind.source.includes('s3://a')).map(async ([id]) => (await world.admin('GET', `task-instances/${id}`)).state));
    const reader = { id: randomUUID(), dag_id: 'd', run_id: 'r', task_id: 'reader', try_number: 1, map_index: -1 };
    await world.admin('POST', 'task-instances', { ...reader, state: 'queued' });
    const { token } = await world.admin('POST', `task-instances/${reader.id}/token`);
    await using api = new ExecutionApi({ baseUrl: world.proxy?.url ?? '', token: Secret.fromBytes(Buffer.from(token)) });
    await api.run(reader.id, { hostname: 'h', unixname: 'u', pid: 1, start_date: new Date().toISOString() });
    const { asset_events } = await api.getAssetEvents({ name: 'a', uri: 's3://a' });
    assert.is(asset_events.length, successes.filter((state) => state === 'success').length);

    // Processes; a killed supervisor's are ended by what outlives it.
    await until(() => running(mark).filter((pid) => pid !== process.pid && pid !== world.supervisor?.pid).length === 0);

    // Descriptors and locked memory: more tasks take no more.
    const more = async (): Promise<void> => {
      for (let i = 0; i < 2 * atOnce; i++) await world.begin(i % kinds.length);
      await until(() => world.unfinished.length === 0);
    };
    await more();
    const before = await world.ask('held');
    await more();
    const after = await world.ask('held');
    for (const what of ['descriptors', 'lockedBytes']) assert.ok((after[what] ?? Infinity) <= (before[what] ?? 0), `${what}: ${after[what]}, and ${before[what]} before`);
    for (const each of [before, after]) assert.equal([each['running'], each['waiting']], [0, 0]);

    // Files.
    const ended = once(world.supervisor as ChildProcess, 'exit');
    world.supervisor?.send('end');
    await ended;
    // One killed between making its scratch root and telling its sweeper of it leaves that, empty.
    await until(() => readdirSync(world.path('tmp')).every((name) => readdirSync(join(world.path('tmp'), name)).length === 0));
    assert.equal([readdirSync(world.path('reports')), readdirSync(world.path('reports/refused'))], [['refused'], []]);
    console.log(`  seed ${seed}: killed ${JSON.stringify(counts)}; ${world.known.size} task instances: ${JSON.stringify(states)}, ${lostStarts} started for nobody, ${answered.length} answered; ${world.results.length} reported by a later process or attempt`);
  } catch (error) {
    console.log(`  SALLYPORT_SEED=${seed}`);
    throw error;
  } finally {
    await Promise.all([...world.children].map(killed));
    await world.proxy?.[Symbol.asyncDispose]();
    rmSync(world.folder, { recursive: true, force: true });
  }
});

kills.run();
