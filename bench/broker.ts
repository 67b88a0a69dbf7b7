// Requests through the broker, one after the other from each of 1, 8 and 64 tasks, beside the same frames between two C processes
// in the same round. The tasks are C too: what is measured is the broker, from the kernel's bytes to the kernel's bytes, with the
// lookup, the check, the record and the reply of each; and beside a Node process that gives back what it reads. Once wherever the scheduler puts it, and once with all on one processor.

import { execFileSync, fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch, method, policies, Type } from '../lib/index.js';
import { compileTask } from './helpers/compile.js';
import { pairedRatio, summarize, type Ratio, type Summary } from './helpers/statistics.js';

const rounds = 7;
const warmUp = 2;
const floorCount = 20_000;
/** Requests of each task. */
const counts: Readonly<Record<number, number>> = { 1: 6_000, 8: 1_500, 64: 200 };

/** What the C program prints, in nanoseconds. */
interface Printed {
  readonly count: number;
  readonly begun: number;
  readonly ended: number;
  readonly p50: number;
  readonly p99: number;
}
interface Sample {
  readonly perSecond: number;
  /** Microseconds; of several tasks the median of theirs. */
  readonly p50: number;
  readonly p99: number;
  /** Microseconds of processor time of the supervisor for each. */
  readonly cpu: number;
}
interface Order {
  readonly program: string;
  readonly tasks: number;
  readonly count: number;
  /** Nothing but Node: its socket gives back the bytes that it reads. */
  readonly echo?: true;
}

const self = fileURLToPath(import.meta.url);
const policy = policies.command();
const methods = { ping: method({ params: Type.Object({ key: Type.String() }), handler: () => ({ type: 'pong' }) }) };

/** In the measured process. */
async function measure({ program, tasks, count, echo }: Order): Promise<Sample> {
  const before = process.cpuUsage();
  const allowed: string[] = [];
  const started = await Promise.all(Array.from({ length: tasks }, () => launch([program, 'requests', String(count)], { policy, ...(echo ? { channel: true } : { methods, audit: ({ outcome }) => allowed.push(outcome) }) })));
  if (echo) for (const { channel } of started) channel?.on('data', (bytes: Buffer) => channel.write(bytes));
  const printed = await Promise.all(started.map(async (task) => JSON.parse((await task.output()).stdout) as Printed));
  const { user, system } = process.cpuUsage(before);
  if (!echo && (allowed.length !== tasks * count || allowed.some((outcome) => outcome !== 'allowed'))) throw new Error('a request was not answered as it should be');
  const seconds = (Math.max(...printed.map(({ ended }) => ended)) - Math.min(...printed.map(({ begun }) => begun))) / 1e9;
  const median = (values: readonly number[]): number => summarize(values).median / 1000;
  return { perSecond: (tasks * count) / seconds, p50: median(printed.map(({ p50 }) => p50)), p99: median(printed.map(({ p99 }) => p99)), cpu: (user + system) / (tasks * count) };
}

function floorSample(program: string, onOne: readonly string[]): Sample {
  const [command = program, ...words] = [...onOne, program, 'floor', String(floorCount)];
  const { count, begun, ended, p50, p99 } = JSON.parse(execFileSync(command, words, { encoding: 'utf8' })) as Printed;
  return { perSecond: count / ((ended - begun) / 1e9), p50: p50 / 1000, p99: p99 / 1000, cpu: NaN };
}

function hasTaskset(): boolean {
  try {
    execFileSync('taskset', ['-c', '0', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

class Broker {
  readonly #child: ChildProcess;
  constructor(onOne: readonly string[]) {
    const [execPath = process.execPath, ...execArgv] = [...onOne, process.execPath, '--import', 'tsx'];
    this.#child = fork(self, ['--measure'], { execPath, execArgv });
  }
  async sample(order: Order): Promise<Sample> {
    this.#child.send(order);
    return ((await once(this.#child, 'message')) as [Sample])[0];
  }
  end(): void {
    this.#child.disconnect();
  }
}

interface Row {
  readonly where: string;
  readonly what: string;
  readonly perSecond: Summary;
  readonly p50: Summary;
  readonly p99: Summary;
  readonly cpu: Summary;
  /** Of the median time to that of the floor in the same round. */
  readonly ratio: Ratio;
}

async function rowsOf(where: string, onOne: readonly string[], program: string): Promise<Row[]> {
  const broker = new Broker(onOne);
  const samples = new Map<string, Sample[]>();
  const keep = (what: string, sample: Sample): unknown => samples.set(what, [...(samples.get(what) ?? []), sample]);
  for (let round = -warmUp; round < rounds; round++) {
    const floor = floorSample(program, onOne);
    if (round >= 0) keep('C, two processes', floor);
    const echo = await broker.sample({ program, tasks: 1, count: counts[1] ?? 0, echo: true });
    if (round >= 0) keep('Node, an echo', echo);
    for (const [tasks, count] of Object.entries(counts)) {
      const sample = await broker.sample({ program, tasks: Number(tasks), count });
      if (round >= 0) keep(`broker, ${tasks} ${tasks === '1' ? 'task' : 'tasks'}`, sample);
    }
  }
  broker.end();
  const floors = samples.get('C, two processes') ?? [];
  const of = (all: readonly Sample[], field: keyof Sample): Summary => summarize(all.map((sample) => sample[field]));
  return [...samples].map(([what, all]) => ({
    where, what, perSecond: of(all, 'perSecond'), p50: of(all, 'p50'), p99: of(all, 'p99'), cpu: of(all, 'cpu'), ratio: pairedRatio(all.map(({ p50 }) => p50), floors.map(({ p50 }) => p50)),
  }));
}

if (process.argv[2] === '--measure') {
  process.on('message', (order: Order) => void measure(order).then((sample) => process.send?.(sample)));
  process.on('disconnect', () => process.exit());
} else {
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), kernel: release(), node: process.version, uid: process.getuid?.() };
  console.log(`broker: median [quartiles] of ${rounds} rounds; ratio of the p50 to the C floor's of the same round (95 % interval of the median)`);
  console.log(`${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}`);
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
  try {
    const program = compileTask(folder);
    const rows = await rowsOf('anywhere', [], program);
    if (hasTaskset()) rows.push(...(await rowsOf('on one processor', ['taskset', '-c', String(availableParallelism() - 1)], program)));
    else console.log('  skipped: on one processor (no taskset)');
    for (const where of new Set(rows.map((row) => row.where))) {
      console.log(`\n${where}`);
      for (const { what, perSecond, p50, p99, cpu, ratio } of rows.filter((row) => row.where === where)) {
        const span = ({ median, quartiles }: Summary, digits: number): string => `${median.toFixed(digits)} [${quartiles.map((value) => value.toFixed(digits)).join('-')}]`;
        const spent = Number.isNaN(cpu.median) ? '' : `, ${cpu.median.toFixed(0)} us of CPU each`;
        // Several wait for each other, which two processes do not.
        const against = what === 'broker, 1 task' || what === 'Node, an echo' ? `, ${ratio.median.toPrecision(2)} (${ratio.interval.map((value) => value.toPrecision(2)).join('-')}) times the p50 of the floor` : '';
        console.log(`  ${what.padEnd(18)} ${span(perSecond, 0).padStart(24)} a second, p50 ${span(p50, 1)} us, p99 ${p99.median.toFixed(0)} us${spent}${against}`);
      }
    }
    if (process.argv[2] !== undefined) writeFileSync(process.argv[2], JSON.stringify({ machine, rounds, rows }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
