// What triggers cost while they wait: memory and processor time of the process that a team's triggers share, and of the host.
// Each number of triggers in a fresh process; each trigger looks once a second at whether there is something to fire for.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TriggerHost } from '../lib/hosts/index.js';

const counts = [1, 100, 1000, 5000];
const settleMs = 3_000;
const watchedMs = 5_000;
const ticksPerSecond = 100; // sysconf(_SC_CLK_TCK), on every Linux that Node runs on

const folder = mkdtempSync(join(tmpdir(), 'sallyport-triggers-'));
writeFileSync(join(folder, 'wait.mjs'), `import { sleep } from 'sallyport/trigger';
export default async function* ({ signal }) { yield 'begun'; for (;;) await sleep(1_000, signal); }`);

/** VmRSS in MiB. */
const memoryOf = (pid: number): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/** Milliseconds of processor time. */
function processorOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond;
}

interface Row {
  readonly triggers: number;
  readonly startedMs: number;
  readonly childMiB: number;
  /** Of each second. */
  readonly childCpuMs: number;
  readonly hostCpuMs: number;
  readonly hostHeapMiB: number;
}

async function measure(triggers: number): Promise<Row> {
  let begun = 0;
  let told = (): void => {};
  const all = new Promise<void>((resolve) => { told = resolve; });
  const heap = process.memoryUsage().heapUsed;
  await using host = new TriggerHost({
    teams: { team: { bundles: { b: folder } } },
    onChanges: ({ events, failures }) => {
      if (failures.length > 0) throw new Error(String(failures[0]?.[1]));
      begun += events.length;
      if (begun >= triggers) told();
    },
  });
  const start = performance.now();
  await host.sync({ to_create: Array.from({ length: triggers }, (_, id) => ({ id, team_name: 'team', bundle_info: { name: 'b' }, classpath: 'wait.mjs' })) });
  await all;
  const startedMs = performance.now() - start;
  await sleep(settleMs);
  const [pid = 0] = host.pids('team');
  const [child, own] = [processorOf(pid), process.cpuUsage()];
  await sleep(watchedMs);
  const seconds = watchedMs / 1000;
  const { user, system } = process.cpuUsage(own);
  return { triggers, startedMs, childMiB: memoryOf(pid), childCpuMs: (processorOf(pid) - child) / seconds, hostCpuMs: (user + system) / 1000 / seconds, hostHeapMiB: (process.memoryUsage().heapUsed - heap) / 2 ** 20 };
}

const rows: Row[] = [];
for (const count of counts) rows.push(await measure(count));
rmSync(folder, { recursive: true, force: true });

const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), kernel: release(), node: process.version, uid: process.getuid?.() };
console.log('triggers: that look once a second, in one process');
console.log(`${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}\n`);
console.log('  triggers  all begun   process   its CPU a second   host CPU a second');
for (const { triggers, startedMs, childMiB, childCpuMs, hostCpuMs } of rows) {
  console.log(`  ${String(triggers).padStart(8)}  ${`${startedMs.toFixed(0)} ms`.padStart(9)}  ${`${childMiB.toFixed(0)} MiB`.padStart(8)}  ${`${childCpuMs.toFixed(1)} ms`.padStart(16)}  ${`${hostCpuMs.toFixed(1)} ms`.padStart(17)}`);
}
const [, , out] = process.argv;
if (out !== undefined) writeFileSync(out, JSON.stringify({ machine, rows }));
