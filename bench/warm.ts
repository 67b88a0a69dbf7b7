// How long until a task's first line has run: launched for it, and taken from a pool where a process waits. All kinds take
// turns in each round. The task says the time itself, by the clock that all processes of a host share.

import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { availableParallelism, cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ExecutionApi, launch, policies, Pool, serve, Supervisor, type Task } from '../lib/index.js';
import { spawnServer } from '../lib/server/index.js';
import { pairedRatio, shuffled, summarize, type Ratio, type Summary } from './helpers/statistics.js';

const rounds = 30;
const warmUp = 5;
/** For what is waiting to be through with its start. */
const pauseMs = 300;

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-bench-')));
const file = 'task.mjs';
writeFileSync(join(folder, file), "console.log(`first line ${process.hrtime.bigint()}`);\nexport default () => {};\n");
const withSdk = 'with-sdk.mjs';
writeFileSync(join(folder, withSdk), "import { log } from 'sallyport/task';\nconsole.log(`first line ${process.hrtime.bigint()}`);\nexport default () => log.info('ran');\n");

const argv = [process.execPath, fileURLToPath(new URL('../lib/sdk/main.js', import.meta.url)), folder];
const policy = policies.node({ read: [folder] });
const pool = new Pool(argv, { size: 2, policy, logs: true });

const sinceMs = (start: bigint, output: string): number => {
  const at = /first line (\d+)/.exec(output)?.[1];
  if (at === undefined) throw new Error(`the task did not run: ${output}`);
  return Number(BigInt(at) - start) / 1e6;
};

/** Plays the supervisor, without an API: the start message, and its last word taken. */
async function firstLine(taking: () => Promise<Task>, dag_rel_path: string): Promise<number> {
  const start = process.hrtime.bigint();
  await using task = await taking();
  const { channel, stdout, stderr } = task;
  if (channel === null || stdout === null || stderr === null) throw new Error('a task has these');
  await using broker = serve(channel, { methods: {}, onViolation: (violation) => task.end(violation) });
  const ti = { id: randomUUID(), dag_id: 'd', run_id: 'r', task_id: 't', try_number: 1, map_index: -1 };
  broker.send(0, { type: 'StartupDetails', ti, dag_rel_path, bundle_info: { name: 'b' }, start_date: new Date().toISOString(), ti_context: { dag_run: {} } });
  return sinceMs(start, `${await text(stdout)}${await text(stderr)}`);
}

const server = await spawnServer();
const api = new ExecutionApi({ baseUrl: server.url });
const lines = new Map<string, (line: string) => void>();
const onLog = ({ task, line }: { task: string; line: string }): void => lines.get(task)?.(line);
const cold = new Supervisor({ api, bundles: { b: folder }, onLog });
const warm = new Supervisor({ api, bundles: { b: folder }, onLog, warm: { size: 2 } });

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

const launched = (): Promise<Task> => launch(argv, { policy, channel: true, logs: true });
const kinds = {
  'launched': () => firstLine(launched, file),
  'taken from a pool': () => firstLine(() => pool.take(), file),
  'launched, imports sallyport/task': () => firstLine(launched, withSdk),
  'taken, imports sallyport/task': () => firstLine(() => pool.take(), withSdk),
  'run by a supervisor, cold': () => firstLineOfRun(cold),
  'run by a supervisor, warm': () => firstLineOfRun(warm),
} satisfies Record<string, () => Promise<number>>;

type Kind = keyof typeof kinds;
const names = Object.keys(kinds) as Kind[];
const pairs: readonly (readonly [Kind, Kind])[] = [
  ['launched', 'taken from a pool'],
  ['launched, imports sallyport/task', 'taken, imports sallyport/task'],
  ['run by a supervisor, cold', 'run by a supervisor, warm'],
];

const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Kind, number[]>;
await Promise.all([pool.filled(), warm.warmUp('b')]);
for (let round = -warmUp; round < rounds; round++) {
  for (const name of shuffled(names)) {
    await Promise.all([pool.filled(), warm.warmUp('b')]);
    await sleep(pauseMs);
    const ms = await kinds[name]();
    if (round >= 0) samples[name].push(ms);
  }
}
await Promise.all([pool[Symbol.asyncDispose](), warm[Symbol.asyncDispose](), cold[Symbol.asyncDispose]()]);
await api.close();
await server.close();
rmSync(folder, { recursive: true, force: true });

const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), kernel: release(), node: process.version, uid: process.getuid?.() };
console.log(`warm: milliseconds until a task's first line, median [quartiles] of ${rounds} rounds; ratio to the launch of the same round (95 % interval of the median)`);
console.log(`${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}`);
const milliseconds = ({ median, quartiles }: Summary): string => `${median.toFixed(2)} [${quartiles.map((value) => value.toFixed(2)).join('-')}]`;
const sooner = ({ median, interval }: Ratio): string => `${median.toPrecision(3)} times sooner (${interval.map((value) => value.toPrecision(3)).join('-')})`;
const rows = pairs.map(([before, after]) => ({ before, after, beforeMs: summarize(samples[before]), afterMs: summarize(samples[after]), ratio: pairedRatio(samples[before], samples[after]) }));
for (const { before, after, beforeMs, afterMs, ratio } of rows) {
  console.log(`\n  ${before.padEnd(34)} ${milliseconds(beforeMs).padStart(24)}`);
  console.log(`  ${after.padEnd(34)} ${milliseconds(afterMs).padStart(24)}   ${sooner(ratio)}`);
}
const [, , out] = process.argv;
if (out !== undefined) writeFileSync(out, JSON.stringify({ machine, rounds, rows }));
