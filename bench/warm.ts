// How long until a task's first line has run: launched for it, and taken from a pool where a process waits. All kinds take
// turns in each round. The task says the time itself, by the clock that all processes of a host share.

import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ExecutionApi, launch, policies, Pool, serve, Supervisor, type Task } from '../lib/index.js';
import { spawnServer } from '../lib/server/index.js';
import { pairedRatio, shuffled, summarize, type Ratio, type Summary } from './helpers/statistics.js';

const rounds = 20;
const warmUp = 3;
/** For what is waiting to be through with its start. */
const pauseMs = 300;

const package_ = fileURLToPath(new URL('..', import.meta.url));
const file = 'task.mjs';

/** A bundle, which has this package in its node_modules or has not, and a pool for it. */
class Bundle {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-bench-')));
  readonly pool: Pool;
  readonly #argv = [process.execPath, join(package_, 'lib/sdk/main.js'), this.folder];
  readonly #policy = policies.node({ read: [this.folder] });

  constructor(installed: boolean) {
    writeFileSync(join(this.folder, file), "import { log } from 'sallyport/task';\nconsole.log(`first line ${process.hrtime.bigint()}`);\nexport default () => log.info('ran');\n");
    if (installed) {
      mkdirSync(join(this.folder, 'node_modules'));
      symlinkSync(package_, join(this.folder, 'node_modules', 'sallyport'));
    }
    this.pool = new Pool(this.#argv, { size: 2, policy: this.#policy, logs: true });
  }

  launch(): Promise<Task> {
    return launch(this.#argv, { policy: this.#policy, channel: true, logs: true });
  }

  async remove(): Promise<void> {
    await this.pool[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const [bare, installed] = [new Bundle(false), new Bundle(true)];

const sinceMs = (start: bigint, output: string): number => {
  const at = /first line (\d+)/.exec(output)?.[1];
  if (at === undefined) throw new Error(`the task did not run: ${output}`);
  return Number(BigInt(at) - start) / 1e6;
};

/** Plays the supervisor, without an API: the start message, and its last word taken. */
async function firstLine(taking: () => Promise<Task>): Promise<number> {
  const start = process.hrtime.bigint();
  await using task = await taking();
  const { channel, stdout, stderr } = task;
  if (channel === null || stdout === null || stderr === null) throw new Error('a task has these');
  await using broker = serve(channel, { methods: {}, onViolation: (violation) => task.end(violation) });
  const ti = { id: randomUUID(), dag_id: 'd', run_id: 'r', task_id: 't', try_number: 1, map_index: -1 };
  broker.send(0, { type: 'StartupDetails', ti, dag_rel_path: file, bundle_info: { name: 'b' }, start_date: new Date().toISOString(), ti_context: { dag_run: {} } });
  return sinceMs(start, `${await text(stdout)}${await text(stderr)}`);
}

const server = await spawnServer();
const api = new ExecutionApi({ baseUrl: server.url });
const lines = new Map<string, (line: string) => void>();
const onLog = ({ task, line }: { task: string; line: string }): void => lines.get(task)?.(line);
const cold = new Supervisor({ api, bundles: { b: installed.folder }, onLog });
const warm = new Supervisor({ api, bundles: { b: installed.folder }, onLog, warm: { size: 2 } });

/** All of it: the workload looked at, the server asked, the task run. */
async function firstLineOfRun(supervisor: Supervisor): Promise<number> {
  const ti = { id: randomUUID(), dag_id: 'd', run_id: 'r', task_id: randomUUID(), try_number: 1 };
  await server.seed({ taskInstances: [ti] });
  const token = await server.issueWorkloadToken(ti.id);
  let output = '';
  lines.set(ti.id, (line) => { output += line; });
  const start = process.hrtime.bigint();
  const { state } = await supervisor.run({ type: 'ExecuteTask', ti, dag_rel_path: file, bundle_info: { name: 'b' } }, { token });
  lines.delete(ti.id);
  if (state !== 'success') throw new Error(`the task ended as ${state}`);
  return sinceMs(start, output);
}

const kinds = {
  'launched': () => firstLine(() => installed.launch()),
  'taken from a pool': () => firstLine(() => installed.pool.take()),
  'launched, package not in the bundle': () => firstLine(() => bare.launch()),
  'taken, package not in the bundle': () => firstLine(() => bare.pool.take()),
  'run by a supervisor, cold': () => firstLineOfRun(cold),
  'run by a supervisor, warm': () => firstLineOfRun(warm),
} satisfies Record<string, () => Promise<number>>;

type Kind = keyof typeof kinds;
const names = Object.keys(kinds) as Kind[];
const pairs: readonly (readonly [Kind, Kind])[] = [
  ['launched', 'taken from a pool'],
  ['launched, package not in the bundle', 'taken, package not in the bundle'],
  ['run by a supervisor, cold', 'run by a supervisor, warm'],
];

const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Kind, number[]>;
const filled = (): Promise<unknown> => Promise.all([bare.pool.filled(), installed.pool.filled(), warm.warmUp('b')]);
await filled();
for (let round = -warmUp; round < rounds; round++) {
  for (const name of shuffled(names)) {
    await filled();
    await sleep(pauseMs);
    const ms = await kinds[name]();
    if (round >= 0) samples[name].push(ms);
  }
}
await Promise.all([bare.remove(), installed.remove(), warm[Symbol.asyncDispose](), cold[Symbol.asyncDispose]()]);
await api.close();
await server.close();

const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), kernel: release(), node: process.version, uid: process.getuid?.() };
console.log(`warm: milliseconds until a task's first line, median [quartiles] of ${rounds} rounds; ratio to the launch of the same round (95 % interval of the median)`);
console.log(`${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}`);
const milliseconds = ({ median, quartiles }: Summary): string => `${median.toFixed(2)} [${quartiles.map((value) => value.toFixed(2)).join('-')}]`;
const sooner = ({ median, interval }: Ratio): string => `${median.toPrecision(3)} times sooner (${interval.map((value) => value.toPrecision(3)).join('-')})`;
const rows = pairs.map(([before, after]) => ({ before, after, beforeMs: summarize(samples[before]), afterMs: summarize(samples[after]), ratio: pairedRatio(samples[before], samples[after]) }));
for (const { before, after, beforeMs, afterMs, ratio } of rows) {
  console.log(`\n  ${before.padEnd(36)} ${milliseconds(beforeMs).padStart(24)}`);
  console.log(`  ${after.padEnd(36)} ${milliseconds(afterMs).padStart(24)}   ${sooner(ratio)}`);
}
const [, , out] = process.argv;
if (out !== undefined) writeFileSync(out, JSON.stringify({ machine, rounds, rows }));
