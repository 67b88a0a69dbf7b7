// What a storm in a task costs its supervisor: the longest stall of the event loop while the task does its worst, next to an
// idle wait of the same length; how long until the task has ended by the name of its limit; and how far it got past the bound.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release } from 'node:os';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { launch, policies, TaskLimitExceeded, TaskTimeout, type LaunchOptions, type Limits, type Policy, type Task, type TaskExit } from '../lib/index.js';
import { strictProbe } from '../lib/kernel/probe.js';
import { drain } from '../lib/supervisor/lines.js';
import type { Question, Seen } from './helpers/watcher.js';
import { quantile, shuffled } from './helpers/statistics.js';

const rounds = 5;
const warmUp = 1;
/** Of the event loop's clock, milliseconds. A loop that is never late is seen at each of its ticks after this long, so it is not counted. */
const resolution = 1;
const node = process.execPath;
const MiB = 2 ** 20;

/** How much of what a bound is on there was at most. */
type Gauge = 'processes' | 'memoryBytes' | 'scratchBytes' | 'outputBytes' | 'wallTimeMs';

interface Storm {
  readonly argv: readonly [string, ...string[]];
  readonly preset: (wishes: Policy) => Policy;
  readonly limits: Limits;
  /** The limit that it must end by. */
  readonly limit: Gauge;
  /** Or by this one: of a chain faster than its dead are reaped, those count too. */
  readonly orLimit?: Gauge;
  readonly bound: number;
  readonly options?: LaunchOptions;
  /** Reads what the task writes; resolves with how many bytes that were. */
  readonly read?: (task: Task) => Promise<number>;
}

const shell = (script: string) => ({ argv: ['bash', '-c', script], preset: policies.command }) as const;
const python = (script: string) => ({ argv: ['python3', '-c', script], preset: policies.python }) as const;

async function streamed(stream: Readable | null): Promise<number> {
  let bytes = 0;
  for await (const chunk of stream ?? []) bytes += (chunk as Buffer).byteLength;
  return bytes;
}

async function lines(task: Task): Promise<number> {
  let count = 0;
  await drain(task.logs, 'storm', 'log', () => count++);
  return count; // each a newline and no more
}

const bomb = shell(':(){ :|:& };:; sleep 60');
const burner = `const { Worker } = require('worker_threads'); for (let i = 0; i < ${4 * availableParallelism()}; i++) new Worker('for (;;);', { eval: true })`;

const storms = {
  'fork bomb, 512': { ...bomb, limits: {}, limit: 'processes', bound: 512 },
  'fork bomb, 64': { ...bomb, limits: { processes: 64 }, limit: 'processes', bound: 64 },
  'process tree': { ...python('import os, time\nwhile True:\n  try: os.fork()\n  except OSError: time.sleep(0.01)'), limits: {}, limit: 'processes', bound: 512 },
  'process chain': { ...python('import os, time\nif os.fork() > 0: time.sleep(60)\nwhile True:\n  if os.fork() > 0: os._exit(0)'), limits: { wallTimeMs: 1000 }, limit: 'wallTimeMs', orLimit: 'processes', bound: 1000 },
  'memory hog': { ...python(`b = []\nwhile True: b.append(b'x' * ${MiB})`), limits: { memoryBytes: 256e6 }, limit: 'memoryBytes', bound: 256e6 },
  'disk, one file': { ...shell('exec head -c 2G /dev/zero > f'), limits: { scratchBytes: 256 * MiB }, limit: 'scratchBytes', bound: 256 * MiB },
  'disk, many files': { ...python(`import time\nb = b'x' * 65536\nfor i in range(30000):\n  with open('f%d' % i, 'wb') as f: f.write(b)\ntime.sleep(5)`), limits: { scratchBytes: 256 * MiB }, limit: 'scratchBytes', bound: 256 * MiB },
  'output, as a stream': { ...shell('exec cat /dev/zero'), limits: { outputBytes: 100e6 }, limit: 'outputBytes', bound: 100e6, read: (task) => streamed(task.stdout) },
  'output, output()': { ...shell('exec yes'), limits: { outputBytes: 100e6 }, limit: 'outputBytes', bound: 100e6, read: async (task) => (await task.output({ maxBytes: 200e6 })).stdout.lastIndexOf('\n') + 1 },
  'newlines, as a stream': { ...python(`import os\nb = b'\\n' * 65536\nwhile True: os.write(3, b)`), limits: { outputBytes: 100e6 }, options: { logs: true }, limit: 'outputBytes', bound: 100e6, read: (task) => streamed(task.logs) },
  'newlines, line by line': { ...python(`import os\nb = b'\\n' * 65536\nwhile True: os.write(3, b)`), limits: { outputBytes: 2e6 }, options: { logs: true }, limit: 'outputBytes', bound: 2e6, read: lines },
  'processors': { argv: [node, '-e', burner], preset: policies.node, limits: { wallTimeMs: 2000 }, limit: 'wallTimeMs', bound: 2000 },
} satisfies Record<string, Storm>;

type Kind = keyof typeof storms;
const kinds = Object.keys(storms) as Kind[];

const watcher = fork(fileURLToPath(new URL('helpers/watcher.ts', import.meta.url)), { execArgv: ['--import', 'tsx'] });
const say = (question: Question): boolean => watcher.send(question);
async function ask<T>(question: Question): Promise<T> {
  const answer = once(watcher, 'message');
  say(question);
  return ((await answer) as [T])[0];
}

/** The longest that the event loop was away while `work` went on, milliseconds. */
async function longestStall(work: () => Promise<void>): Promise<number> {
  const delays = monitorEventLoopDelay({ resolution });
  delays.enable();
  await work();
  await wait(5 * resolution); // a stall is counted by the tick after it
  delays.disable();
  return Math.max(0, delays.max / 1e6 - resolution);
}

const limitOf = (exit: TaskExit): string => (exit.kind === 'ended' && (exit.violation instanceof TaskLimitExceeded || exit.violation instanceof TaskTimeout) ? exit.violation.limit : JSON.stringify(exit));

interface Sample {
  readonly stallMs: number;
  readonly idleStallMs: number;
  /** From the launch to `exited`. */
  readonly totalMs: number;
  readonly most: number;
}

async function sample(kind: Kind): Promise<Sample> {
  const { argv, preset, limits, limit, orLimit, bound, options, read }: Storm = storms[kind];
  let [totalMs, weighed, weighingMs, bytes] = [0, 0, 0, 0];
  const collect = async (folder: string): Promise<void> => {
    const start = performance.now();
    weighed = await ask<number>({ weigh: folder });
    weighingMs = performance.now() - start;
  };
  const policy = preset({ limits: { wallTimeMs: 30_000, ...limits } });
  const stallMs = await longestStall(async () => {
    const start = performance.now();
    const task = await launch(argv, { policy, stdout: read === undefined ? 'ignore' : 'pipe', stderr: 'ignore', ...options, ...(limit === 'scratchBytes' ? { collect } : {}) });
    say({ follow: task.pid });
    const reading = read?.(task);
    const exit = await task.exited;
    totalMs = performance.now() - start - weighingMs;
    bytes = (await reading) ?? 0;
    await task[Symbol.asyncDispose]();
    if (![limit, orLimit].includes(limitOf(exit) as Gauge)) throw new Error(`${kind} must end by ${limit}, not ${limitOf(exit)}`);
  });
  const seen = await ask<Seen>({ seen: true });
  const most = { ...seen, scratchBytes: weighed, outputBytes: bytes, wallTimeMs: totalMs }[limit];
  if (limit === 'outputBytes' && most > bound) throw new Error(`${kind}: ${most} bytes came, past the bound`);

  say({ follow: process.pid }); // so that the watcher looks as often as it did: this is a session of some or none
  const idleStallMs = await longestStall(() => wait(totalMs));
  await ask<Seen>({ seen: true });
  return { stallMs, idleStallMs, totalMs, most };
}

const samples = Object.fromEntries(kinds.map((kind) => [kind, [] as Sample[]])) as Record<Kind, Sample[]>;
const [loadBefore = NaN] = loadavg();
for (let round = -warmUp; round < rounds; round++) {
  for (const kind of shuffled(kinds)) {
    const taken = await sample(kind);
    if (round >= 0) samples[kind].push(taken);
  }
}
watcher.disconnect();

interface Spread {
  readonly median: number;
  readonly worst: number;
}

const spread = (kind: Kind, what: keyof Sample): Spread => {
  const values = samples[kind].map((taken) => taken[what]);
  return { median: quantile(values, 0.5), worst: Math.max(...values) };
};

const rows = kinds.map((kind) => {
  const { limit, bound }: Storm = storms[kind];
  const most = spread(kind, 'most');
  return { kind, limit, bound, stallMs: spread(kind, 'stallMs'), idleStallMs: spread(kind, 'idleStallMs'), totalMs: spread(kind, 'totalMs'), most, beyond: Math.max(0, most.worst - bound) };
});

const amount = (limit: Gauge, value: number): string => (limit === 'processes' ? value.toFixed(0) : limit === 'wallTimeMs' ? `${value.toFixed(0)} ms` : `${(value / 1e6).toFixed(1)} MB`);
const pair = ({ median, worst }: Spread, digits: number): string => `${median.toFixed(digits)} / ${worst.toFixed(digits)}`;

const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), kernel: release(), node: process.version, uid: process.getuid?.(), cgroup: strictProbe().cgroups?.folder || 'none', load: loadBefore };
console.log(`storm: median / worst of ${rounds} rounds; stall: the event loop's longest absence, and that of an idle wait of the same length in the same round`);
console.log(`${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}, cgroup: ${machine.cgroup}, load before ${loadBefore.toFixed(1)}`);
const header = ['', 'stall, ms', 'idle, ms', 'to the end, ms', 'ended by', 'bound', 'at most', 'beyond'];
const table = [header, ...rows.map((row) => [row.kind, pair(row.stallMs, 1), pair(row.idleStallMs, 1), pair(row.totalMs, 0), row.limit, amount(row.limit, row.bound), amount(row.limit, row.most.worst), amount(row.limit, row.beyond)])];
const widths = header.map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0)));
for (const line of table) console.log(`  ${line.map((cell, column) => (column === 0 || column === 4 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('   ')}`);
if (process.argv[2] !== undefined) writeFileSync(process.argv[2], JSON.stringify({ machine, rounds, resolutionMs: resolution, rows, samples }));
