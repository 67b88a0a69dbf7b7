// Ten minutes without an API, by the server's clock, which is set on, and by the heartbeats that fail meanwhile: what becomes of tasks that end in
// them, that run on through them, and whose supervisor is killed in them.
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type ExecutionApi, type Outcome, type ReportResult, type RunOptions, Secret, Supervisor, type SupervisorOptions } from '../lib/index.js';
import type { ServerOptions } from '../lib/server/index.js';
import { Life, until } from './helpers/life.js';
import { Postgres, withoutPostgres } from './helpers/postgres.js';
import { where } from './helpers/where.js';

const outage = suite('long-outage');

/** Ends when there is a file of a name in its bundle. */
const body = (name: string, source: string): string => `
  import { existsSync } from 'node:fs';
  import { join } from 'node:path';
  import { variables } from 'sallyport/task';
  const ask = (type, fields) => globalThis[Symbol.for('sallyport.task.client')].request(type, fields);
  export default async () => {
    console.log('up');
    while (!existsSync(join(import.meta.dirname, '${name}'))) await new Promise((resolve) => setTimeout(resolve, 20));
    ${source}
  };
`;
interface Kind {
  readonly source: string;
  readonly state: string;
  readonly max_tries?: number;
  readonly options?: RunOptions;
}
const kinds: readonly Kind[] = [
  { source: '', state: 'success' },
  { source: "await ask('SucceedTask', { task_outlets: [{ name: 'a', uri: 's3://a', type: 'Asset' }] }); process.exit(0);", state: 'success', options: { grants: { outlets: ['a'] } } },
  { source: "throw new Error('on purpose');", state: 'up_for_retry', max_tries: 1 },
  { source: 'process.exit(1);', state: 'failed' },
  { source: "await ask('TaskState', { state: 'skipped' }); process.exit(0);", state: 'skipped' },
  { source: "await ask('DeferTask', { classpath: 't.T', next_method: 'go' }); process.exit(0);", state: 'deferred', options: { grants: { defers: ['t.T'] } } },
  { source: "await ask('RescheduleTask', { reschedule_date: '2030-01-01T00:00:00Z' }); process.exit(0);", state: 'up_for_reschedule' },
];
/** On a busy machine an answer comes late; one that fails comes at once. */
const patient = (world: Life): ExecutionApi => world.api({ requestTimeoutMs: 60_000 });
const runsOn = (outcome: Outcome): unknown[] => [outcome.state, outcome.reported];

/** A supervisor in a process of its own, to be killed. */
class Other {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  readonly kept = new Set<string>();
  readonly results = new Map<string, string>();

  static async start(world: Life): Promise<Other> {
    const key = join(world.folder, 'report-key');
    writeFileSync(key, 'of these reports, and of 32 bytes or more', { mode: 0o600 });
    const child = fork(fileURLToPath(new URL('fixtures/life-supervisor.js', import.meta.url)), [JSON.stringify({ baseUrl: world.proxy.url, bundle: world.bundle, folder: join(world.folder, 'theirs'), key, requestTimeoutMs: 60_000 })], { execArgv: [], env: { PATH: process.env['PATH'] } });
    const other = new Other(child);
    await once(child, 'message');
    return other;
  }

  private constructor(child: ChildProcess) {
    this.child = child;
    child.on('message', (said: any) => {
      if (said.result !== undefined) this.results.set(said.result.task, said.result.result);
      else if (said.outcome?.kept === true) this.kept.add(said.task);
      else if (said.line !== undefined) this.lines.push(said.line);
    });
  }

  async run(world: Life, file: string): Promise<string> {
    const workload = await world.queued(file);
    this.child.send({ workload, token: await world.server.issueWorkloadToken(workload.ti.id) });
    return workload.ti.id;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }
}

/** @returns What the server has, and what it should have, of each try. */
async function course(options: Partial<ServerOptions>, lateReportSeconds: number | undefined): Promise<readonly (readonly [string, string])[]> {
  let setOn = 0;
  // A token has ended when the API is back: it lives for ten minutes, as Airflow's, and the outage is longer.
  await using world = await Life.start({ ...options, now: () => Date.now() + setOn, tokenLifetimeSeconds: 600, ...(lateReportSeconds !== undefined && { lateReportSeconds }) });
  await world.server.seed({ assets: [{ name: 'a', uri: 's3://a' }] });
  const results: ReportResult[] = [];
  let up = 0;
  await using supervisor = world.supervisor({
    api: patient(world),
    heartbeatIntervalMs: 20,
    maxFailedHeartbeats: 10_000, // the outage is as long as this test needs
    onLog: ({ line }) => line === 'up' && up++,
    reports: { folder: join(world.folder, 'ours'), key: Secret.fromBytes(randomBytes(32)), retryDelayMs: 50, onReport: (result) => results.push(result) },
  });
  const run = async (name: string, { source, max_tries = 0, options: runOptions }: Kind): Promise<{ id: string; state: string; outcome: Promise<Outcome> }> => {
    const workload = await world.queued(world.file(body(name, source)), { max_tries });
    const { id } = workload.ti;
    const state = kinds.find((kind) => kind.source === source)?.state ?? '';
    return { id, state, outcome: supervisor.run(workload, { ...runOptions, token: await world.token(id) }) };
  };
  const ending = await Promise.all(kinds.map((kind) => run('first', kind)));
  const lasting = await Promise.all(kinds.map((kind) => run('second', kind)));
  await using other = await Other.start(world);
  const orphans = [await other.run(world, world.file(body('first', ''))), await other.run(world, world.file(body('never', '')))] as const;
  await until(() => up === 2 * kinds.length && other.lines.length === 2);

  world.proxy.fault = () => 'unavailable';
  writeFileSync(join(world.bundle, 'first'), '');
  for (const { outcome } of ending) assert.is((await outcome).kept, true);
  await until(() => other.kept.size === 1);
  await other[Symbol.asyncDispose](); // with one report kept, and one task that runs
  setOn += 660_000;
  await using next = await Other.start(world);
  world.proxy.fault = () => 'none';

  await until(() => results.length >= kinds.length && next.results.size === 2); // where none may come late, what runs on is soon among them
  if (lateReportSeconds !== 0) {
    const from = world.proxy.passed.length;
    await until(() => lasting.every(({ id }) => world.proxy.passed.slice(from).some(({ path }) => path === `task-instances/${id}/heartbeat`)));
  }
  writeFileSync(join(world.bundle, 'second'), '');
  for (const { outcome } of lasting) await outcome;
  await until(() => supervisor.reportsWaiting === 0);
  const states: (readonly [string, string])[] = [];
  for (const { id, state } of [...ending, ...lasting]) states.push([await world.state(id), state]);
  for (const [index, id] of orphans.entries()) states.push([await world.state(id), ['success', 'failed'][index] ?? '']);
  return states;
}

async function eachOutcome(options: () => Partial<ServerOptions> | Promise<Partial<ServerOptions>>): Promise<void> {
  const [off, on] = [await course(await options(), 0), await course(await options(), undefined)];
  assert.equal(off.map(([is]) => is), Array(2 * kinds.length + 2).fill('running')); // control: all are lost
  assert.equal(on.map(([is]) => is), on.map(([, shouldBe]) => shouldBe));
}

outage('an outage longer than a token lives loses every outcome where none may come late, and by default none: SQLite', () => eachOutcome(() => ({})));

where(outage, withoutPostgres === undefined, 'PostgreSQL', withoutPostgres)('the same with PostgreSQL', async () => {
  await using postgres = await Postgres.start();
  await eachOutcome(async () => ({ database: await postgres.database() }));
});

// --- With what options are by default. A heartbeat is sent every 5 seconds: 120 of them are ten minutes.

const tenMinutes = 120;
const byDefault = (world: Life, options: Partial<SupervisorOptions>): Supervisor => new Supervisor({ api: patient(world), bundles: { b: world.bundle }, heartbeatIntervalMs: 10, ...options });

/** Its API goes away in the last moment before its token is renewed, comes back ten minutes later, and five more pass. */
async function through(options: Partial<ServerOptions>): Promise<{ outcome: Outcome; state: string; beats: number }> {
  let setOn = 0;
  const lifetime = options.tokenLifetimeSeconds ?? 1800;
  await using world = await Life.start({ ...options, now: () => Date.now() + setOn });
  await world.server.seed({ variables: { region: 'north' } });
  let up = 0;
  await using supervisor = byDefault(world, { onLog: () => up++ });
  const workload = await world.queued(world.file(body('first', "if ((await variables.get('region')) !== 'north') throw new Error('wrong');")));
  const { id } = workload.ti;
  const running = supervisor.run(workload, { token: await world.token(id), grants: { variables: ['region'] } });
  await until(() => up === 1);
  setOn += (lifetime / 2 - 15) * 1000;
  const beatsOf = (): number => world.proxy.passed.filter(({ path }) => path.endsWith('/heartbeat')).length;
  const before = beatsOf();
  await until(() => beatsOf() > before);
  let beats = 0;
  world.proxy.fault = ({ path }) => (path.endsWith('/heartbeat') ? (beats++, 'unavailable') : 'unavailable');
  await until(() => beats >= tenMinutes);
  setOn += 600_000;
  world.proxy.fault = () => 'none';
  const missed = beats;
  const from = beatsOf();
  await until(() => beatsOf() > from + 1);
  setOn += 300_000;
  writeFileSync(join(world.bundle, 'first'), '');
  const outcome = await running;
  return { outcome, state: await world.state(id), beats: missed };
}

outage('a task runs on through ten minutes, and may ask again afterwards; tokens of ten minutes, as Airflow\'s, would not let it', async () => {
  const on = await through({});
  assert.equal([...runsOn(on.outcome), on.state], ['success', true, 'success']);
  assert.ok(on.beats >= tenMinutes);
  const off = await through({ tokenLifetimeSeconds: 600 });
  assert.equal([...runsOn(off.outcome), off.state], ['failed', true, 'failed']); // control; and even that is told
});

outage('what a task asks for and returns waits out an outage, and not a request that fails alone', async () => {
  await using world = await Life.start();
  await world.server.seed({ variables: { region: 'north' } });
  const lines: string[] = [];
  await using supervisor = byDefault(world, { maxFailedHeartbeats: 10_000, onLog: ({ line }) => lines.push(line) });
  const source = body('first', "const read = await variables.get('region').catch(({ code }) => code); console.log(read); return read;");
  const run = async (): Promise<{ id: string; running: Promise<Outcome> }> => {
    const workload = await world.queued(world.file(source));
    return { id: workload.ti.id, running: supervisor.run(workload, { token: await world.token(workload.ti.id), grants: { variables: ['region'] } }) };
  };
  const { id, running } = await run();
  await until(() => lines.length === 1);
  const asked = { variables: 0, xcoms: 0 };
  const count = (path: string): void => {
    for (const name of ['variables', 'xcoms'] as const) if (path.startsWith(name)) asked[name]++;
  };
  // Away for all, until each has been asked for more often than a client asks by itself.
  world.proxy.fault = ({ path }) => {
    count(path);
    const isBack = path.startsWith('variables') ? asked.variables > 6 : asked.xcoms > 6;
    return isBack ? 'none' : 'unavailable';
  };
  await until(() => world.proxy.counts.unavailable > 1); // by now it is known
  writeFileSync(join(world.bundle, 'first'), '');
  const outcome = await running;
  assert.equal([...runsOn(outcome), lines[1], asked.xcoms > 6], ['success', true, 'north', true]);
  await using reading = patient(world);
  const reader = await world.queued('none');
  await using asks = reading.withToken(await world.token(reader.ti.id));
  await asks.run(reader.ti.id, { hostname: 'h', unixname: 'u', pid: 1, start_date: new Date().toISOString() });
  assert.is((await asks.getXCom({ dag_id: 'd', run_id: 'r', task_id: `t-${id}`, key: 'return_value' })).value, 'north');
  // Control: that route alone fails.
  Object.assign(asked, { variables: 0, xcoms: 0 });
  world.proxy.fault = ({ path }) => (count(path), path.startsWith('variables') ? 'unavailable' : 'none');
  assert.is((await (await run()).running).state, 'success');
  assert.equal([asked.variables, lines.at(-1)], [2, 'API_SERVER_ERROR']);
});

outage('an API that stays away ends a task after 150 heartbeats, and what became of it is told when it is back', async () => {
  await using world = await Life.start();
  await using supervisor = byDefault(world, { reports: { folder: join(world.folder, 'reports'), retryDelayMs: 600_000 } });
  const workload = await world.queued(world.file(body('never', '')));
  let beats = 0;
  world.proxy.fault = ({ path }) => {
    if (path.endsWith('/heartbeat')) beats++;
    return path.endsWith('/run') ? 'none' : 'unavailable';
  };
  const outcome = await supervisor.run(workload, { token: await world.token(workload.ti.id) });
  assert.equal([outcome.state, outcome.reported, outcome.kept, beats], ['failed', false, true, 150]);
  world.proxy.fault = () => 'none';
  await supervisor.drain();
  assert.is(await world.state(workload.ti.id), 'failed');
});

outage('while a server takes no report and renews tokens all the same, the newest is what the next process has', async () => {
  let setOn = 0;
  await using world = await Life.start({ now: () => Date.now() + setOn });
  const results: ReportResult[] = [];
  const begin = (): Supervisor => byDefault(world, { reports: { folder: join(world.folder, 'reports'), key: Secret.fromBytes(Buffer.alloc(32, 5)), retryDelayMs: 600_000, onReport: (result) => results.push(result) } });
  const workload = await world.queued(world.file('export default () => {};'));
  {
    await using supervisor = begin();
    world.proxy.fault = ({ path }) => (path.endsWith('/state') ? 'unavailable' : 'none');
    assert.is((await supervisor.run(workload, { token: await world.token(workload.ti.id) })).kept, true);
    for (let i = 0; i < 2; i++) {
      setOn += 1_000_000; // twice this is more than any token lives
      await supervisor.drain();
    }
    assert.equal(results, []);
  }
  world.proxy.fault = () => 'none';
  await using supervisor = begin();
  await supervisor.drain();
  assert.equal(results.map(({ result }) => result), ['taken']);
  assert.is(await world.state(workload.ti.id), 'success');
});

outage.run();
