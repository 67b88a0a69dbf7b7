// What a launch costs: how long it holds the event loop, and how long until the task has
// ended (or, for `fork`, sent its first message). All kinds take turns in each round, in a
// fresh process for each amount of memory that the parent holds.

import { fork, spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { launch, policies, type Policy } from '../lib/index.js';
import { pairedRatio, shuffled, summarize, type Ratio, type Summary } from './helpers/statistics.js';

const sizesMB = [50, 500, 2000];
const rounds = 30;
const warmUp = 5;

/** Milliseconds. `block`: the call itself, in which nothing else of the process runs. */
interface Sample {
  readonly block: number;
  readonly total: number;
}

const self = fileURLToPath(import.meta.url);
const open = Object.freeze({ dangerouslyUnconfined: true });
const everything = policies.command();
const everythingForNode = policies.node();
const node = process.execPath;

function spawned(command: string, args: string[]): Promise<Sample> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(command, args, { stdio: 'ignore' });
    const block = performance.now() - start;
    child.on('exit', () => resolve({ block, total: performance.now() - start })).on('error', reject);
  });
}

function forked(): Promise<Sample> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = fork(fileURLToPath(new URL('helpers/first-message.cjs', import.meta.url)), { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], execArgv: [] });
    const block = performance.now() - start;
    let total = 0;
    child.on('message', () => (total = performance.now() - start));
    child.on('exit', () => resolve({ block, total })).on('error', reject);
  });
}

async function launched(argv: readonly [string, ...string[]], policy: Policy): Promise<Sample> {
  const start = performance.now();
  const starting = launch(argv, { policy, stdout: 'ignore', stderr: 'ignore' });
  const block = performance.now() - start;
  await (await starting).exited;
  return { block, total: performance.now() - start };
}

/** To the first byte on its output, which is what `fork`'s first message is to its parent. */
async function launchedToFirstByte(policy: Policy): Promise<Sample> {
  const start = performance.now();
  const starting = launch([node, '-e', 'process.stdout.write("x")'], { policy, stderr: 'ignore' });
  const block = performance.now() - start;
  const task = await starting;
  await new Promise((resolve) => task.stdout?.once('data', resolve));
  const total = performance.now() - start;
  await task.exited;
  return { block, total };
}

const kinds = {
  'spawn, tiny program': () => spawned('/bin/true', []),
  'launch unrestricted, tiny program': () => launched(['/bin/true'], open),
  'launch, tiny program': () => launched(['/bin/true'], everything),
  'spawn, node': () => spawned(node, ['-e', '0']),
  'launch unrestricted, node': () => launched([node, '-e', '0'], open),
  'launch, node': () => launched([node, '-e', '0'], everythingForNode),
  'fork to first message': forked,
  'launch, node to first byte': () => launchedToFirstByte(everythingForNode),
} satisfies Record<string, () => Promise<Sample>>;

type Kind = keyof typeof kinds;
const names = Object.keys(kinds) as Kind[];

/** What each kind is held against, in the same rounds. */
const baseline: Record<Kind, Kind> = {
  'spawn, tiny program': 'spawn, tiny program',
  'launch unrestricted, tiny program': 'spawn, tiny program',
  'launch, tiny program': 'spawn, tiny program',
  'spawn, node': 'spawn, node',
  'launch unrestricted, node': 'spawn, node',
  'launch, node': 'spawn, node',
  'fork to first message': 'fork to first message',
  'launch, node to first byte': 'fork to first message',
};

type Samples = Record<Kind, Sample[]>;

/** Runs in a process of its own, so that one size's memory is not in the way of the next. */
async function measure(sizeMB: number): Promise<Samples> {
  const held = Array.from({ length: sizeMB / 50 }, () => Buffer.alloc(50e6, 1));
  const samples = Object.fromEntries(names.map((name) => [name, [] as Sample[]])) as Samples;
  for (let round = -warmUp; round < rounds; round++) {
    for (const name of shuffled(names)) {
      const sample = await kinds[name]();
      if (round >= 0) samples[name].push(sample);
    }
  }
  if (held.length === 0) throw new Error('the memory must be held until here');
  return samples;
}

/** What the restrictions add: locked against unrestricted, round by round. */
interface Added {
  readonly parentMB: number;
  readonly program: string;
  readonly totalMs: Summary;
  readonly ratio: Ratio;
}

function added(parentMB: number, samples: Samples): Added[] {
  return (['tiny program', 'node'] as const).map((program) => {
    const locked = samples[`launch, ${program}`].map(({ total }) => total);
    const open = samples[`launch unrestricted, ${program}`].map(({ total }) => total);
    return { parentMB, program, totalMs: summarize(locked.map((total, round) => total - (open[round] ?? NaN))), ratio: pairedRatio(locked, open) };
  });
}

interface Row {
  readonly parentMB: number;
  readonly kind: Kind;
  readonly block: Summary;
  readonly total: Summary;
  readonly against: Kind;
  readonly blockRatio: Ratio;
  readonly totalRatio: Ratio;
}

function rows(parentMB: number, samples: Samples): Row[] {
  return names.map((kind) => {
    const against = baseline[kind];
    const [own, other] = [samples[kind], samples[against]];
    const ratio = (what: keyof Sample): Ratio => pairedRatio(own.map((sample) => sample[what]), other.map((sample) => sample[what]));
    const summary = (what: keyof Sample): Summary => summarize(own.map((sample) => sample[what]));
    return { parentMB, kind, block: summary('block'), total: summary('total'), against, blockRatio: ratio('block'), totalRatio: ratio('total') };
  });
}

const milliseconds = ({ median, quartiles }: Summary, digits: number): string => `${median.toFixed(digits)} [${quartiles.map((value) => value.toFixed(digits)).join('-')}]`;
const times = ({ median, interval }: Ratio): string => (interval[0] === interval[1] ? '1' : `${median.toPrecision(2)} (${interval.map((value) => value.toPrecision(2)).join('-')})`);

function print(all: readonly Row[], restrictions: readonly Added[]): void {
  const header = ['', 'event loop held, ms', 'total, ms', 'held, ratio', 'total, ratio'];
  for (const size of sizesMB) {
    const table = [header, ...all.filter(({ parentMB }) => parentMB === size).map((row) => [row.kind, milliseconds(row.block, 3), milliseconds(row.total, 2), times(row.blockRatio), times(row.totalRatio)])];
    const widths = header.map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0)));
    console.log(`\nparent holding ${size} MB of Buffers`);
    for (const line of table) console.log(`  ${line.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('   ')}`);
    for (const { program, totalMs, ratio } of restrictions.filter(({ parentMB }) => parentMB === size)) {
      console.log(`  all restrictions add to a ${program}: ${milliseconds(totalMs, 2)} ms, ${times(ratio)} of the unrestricted launch`);
    }
  }
}

if (process.argv[2] === '--measure') {
  const samples = await measure(Number(process.argv[3]));
  process.stdout.write(JSON.stringify(samples));
} else {
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), kernel: release(), node: process.version, uv: process.versions.uv, uid: process.getuid?.() };
  console.log(`launch: median [quartiles] of ${rounds} rounds; ratio to spawn or fork of the same round (95 % interval of the median)`);
  console.log(`${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}`);
  const all: Row[] = [];
  const restrictions: Added[] = [];
  for (const sizeMB of sizesMB) {
    // Node 20 takes 30 ms to read this file at each start; what spawn and fork inherit must not slow them down here.
    const { NODE_EXTRA_CA_CERTS: _, NODE_OPTIONS: __, ...env } = process.env;
    const child = spawnSync(node, ['--import', 'tsx', self, '--measure', String(sizeMB)], { env, encoding: 'utf8', maxBuffer: 1 << 26, stdio: ['ignore', 'pipe', 'inherit'] });
    if (child.status !== 0) throw new Error(`measuring with ${sizeMB} MB failed`);
    const samples = JSON.parse(child.stdout) as Samples;
    all.push(...rows(sizeMB, samples));
    restrictions.push(...added(sizeMB, samples));
  }
  print(all, restrictions);
  if (process.argv[2] !== undefined) writeFileSync(process.argv[2], JSON.stringify({ machine, rounds, rows: all, restrictions }));
}
