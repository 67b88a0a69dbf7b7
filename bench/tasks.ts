// What a supervisor spends on each task instance beyond the task's own process: processor time and memory, whether either grows over many of
// them, and what two hundred at once hold. The tasks are a C program that reads its start message and succeeds, in place of Node; a bare launch
// of the same program is what is taken off. The API is a process of its own. SALLYPORT_BENCH_TASKS says how many tasks; by default 2000.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ExecutionApi, launch, policies, Secret, Supervisor, type SupervisorOptions } from '../lib/index.js';
import { spawnServer } from '../lib/server/index.js';
import { compileTask } from './helpers/compile.js';

const total = Number(process.env['SALLYPORT_BENCH_TASKS'] ?? 2_000);
const blocks = 8;
const atOnce = 16;
const concurrent = 200;
const self = fileURLToPath(import.meta.url);

/** What this process holds when nothing runs. Connections stay for a while and are not counted. */
interface Held {
  readonly heapKB: number;
  readonly rssMB: number;
  readonly descriptors: number;
  readonly threads: number;
  readonly children: number;
  /** Timers, handles and requests, as Node counts them, connections left out. */
  readonly resources: number;
}
interface Block extends Held {
  readonly tasks: number;
  /** Milliseconds of this process's own processor time for each. */
  readonly cpuMs: number;
  readonly perSecond: number;
}
interface Measured {
  readonly launchMs: number;
  readonly plain: readonly Block[];
  readonly reports: readonly Block[];
  readonly atOnce: { readonly count: number; readonly rssMBEach: number; readonly heapKBEach: number; readonly cpuMsEachSecond: number };
}

function held(): Held {
  (globalThis as { gc?: () => void }).gc?.();
  (globalThis as { gc?: () => void }).gc?.();
  const connections = new Set(readFileSync('/proc/self/net/tcp', 'latin1').split('\n').map((line) => `socket:[${line.trim().split(/ +/)[9]}]`));
  const descriptors = readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return !connections.has(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false;
    }
  }).length;
  const memory = process.memoryUsage();
  return {
    heapKB: Math.round(memory.heapUsed / 1024),
    rssMB: Math.round(memory.rss / 1e5) / 10,
    descriptors,
    threads: Number(/^Threads:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]),
    children: readdirSync('/proc/self/task').flatMap((id) => readFileSync(`/proc/self/task/${id}/children`, 'latin1').split(' ').filter(Boolean)).length,
    resources: process.getActiveResourcesInfo().filter((name) => !name.startsWith('TCP')).length,
  };
}

const cpuMs = (since?: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
};

async function measure(folder: string): Promise<Measured> {
  const program = compileTask(folder);
  for (const name of ['quick', 'hold']) {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, 'task.mjs'), '');
  }
  await using server = await spawnServer();
  await using api = new ExecutionApi({ baseUrl: server.url });
  const waiting = async (count: number, bundle: string): Promise<{ readonly workload: object; readonly token: Secret }[]> => {
    const all = Array.from({ length: count }, () => ({ id: randomUUID(), dag_id: 'd', run_id: 'r', task_id: randomUUID(), try_number: 1 }));
    await server.seed({ taskInstances: all });
    return Promise.all(all.map(async (ti) => ({ workload: { type: 'ExecuteTask', ti, dag_rel_path: 'task.mjs', bundle_info: { name: bundle } }, token: await server.issueWorkloadToken(ti.id) })));
  };
  const supervisorOf = (more: Partial<SupervisorOptions> = {}): Supervisor =>
    new Supervisor({ api, bundles: { quick: join(folder, 'quick'), hold: join(folder, 'hold') }, ...more });

  process.execPath = program; // what a supervisor runs task files with

  async function some(supervisor: Supervisor, count: number): Promise<{ readonly cpuMs: number; readonly seconds: number }> {
    const tasks = await waiting(count, 'quick');
    const [cpu, begun] = [process.cpuUsage(), performance.now()];
    await Promise.all(Array.from({ length: atOnce }, async () => {
      for (let task = tasks.pop(); task !== undefined; task = tasks.pop()) {
        const { state, reported, error } = await supervisor.run(task.workload, { token: task.token });
        if (state !== 'success' || !reported) throw new Error(`a task ended ${state}`, { cause: error });
      }
    }));
    return { cpuMs: cpuMs(cpu) / count, seconds: (performance.now() - begun) / 1000 };
  }

  async function blocksOf(supervisor: Supervisor): Promise<Block[]> {
    await some(supervisor, 200); // what is made once is made
    const all: Block[] = [];
    for (let block = 1; block <= blocks; block++) {
      const count = Math.ceil(total / blocks);
      const { cpuMs, seconds } = await some(supervisor, count);
      await sleep(300);
      all.push({ tasks: block * count, cpuMs, perSecond: count / seconds, ...held() });
    }
    return all;
  }

  // The process itself: locked, run, waited for.
  const policy = policies.node();
  const bare = async (count: number): Promise<void> => {
    let left = count;
    await Promise.all(Array.from({ length: atOnce }, async () => {
      while (left-- > 0) await ended(await launch([program], { policy, channel: true, logs: true }));
    }));
  };
  await bare(100);
  const before = process.cpuUsage();
  await bare(300);
  const launchMs = cpuMs(before) / 300;

  await using plainly = supervisorOf();
  const plain = await blocksOf(plainly);
  await using keeping = supervisorOf({ reports: { folder: join(folder, 'reports'), key: Secret.fromBytes(randomBytes(32)) } });
  const reports = await blocksOf(keeping);

  // Many at once, each with what it holds while it waits.
  const idle = held();
  const holding = await waiting(concurrent, 'hold');
  let started = 0;
  const count = (): unknown => started++;
  subscribe('sallyport:task:start', count);
  const running = holding.map(({ workload, token }) => plainly.run(workload, { token }));
  while (started < concurrent) await sleep(50);
  unsubscribe('sallyport:task:start', count);
  await sleep(1_000);
  const busy = held();
  const [cpu, from] = [process.cpuUsage(), performance.now()];
  await sleep(10_000); // two heartbeats of each
  const seconds = (performance.now() - from) / 1000;
  const result = { count: concurrent, rssMBEach: (busy.rssMB - idle.rssMB) / concurrent, heapKBEach: (busy.heapKB - idle.heapKB) / concurrent, cpuMsEachSecond: cpuMs(cpu) / seconds / concurrent };
  await plainly.stop();
  await Promise.all(running);
  return { launchMs, plain, reports, atOnce: result };
}

/** Waits for a launch that does nothing. */
async function ended(task: Awaited<ReturnType<typeof launch>>): Promise<void> {
  await task.exited;
  await task[Symbol.asyncDispose]();
}

if (process.argv[2] === '--measure') {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-bench-')));
  try {
    process.send?.(await measure(folder));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  process.disconnect?.();
} else {
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), kernel: release(), node: process.version, uid: process.getuid?.() };
  console.log(`tasks: ${total} tasks, ${atOnce} at once; of the supervisor alone, which here is a process of its own`);
  console.log(`${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}`);
  const child = fork(self, ['--measure'], { execArgv: ['--expose-gc', '--import', 'tsx'] });
  const [measured] = (await Promise.race([once(child, 'message'), once(child, 'exit').then(() => Promise.reject(new Error('measuring failed')))])) as [Measured];
  console.log(`\na bare launch and its end: ${measured.launchMs.toFixed(2)} ms of CPU`);
  for (const [name, all] of [['a task instance', measured.plain], ['a task instance whose report is kept', measured.reports]] as const) {
    console.log(`\n${name}\n  ${'tasks'.padStart(6)}  CPU ms   beyond the launch  a second  heap KB  RSS MB  descriptors  threads  children  resources`);
    for (const each of all) {
      console.log(`  ${String(each.tasks).padStart(6)}  ${each.cpuMs.toFixed(2).padStart(6)}  ${(each.cpuMs - measured.launchMs).toFixed(2).padStart(18)}  ${each.perSecond.toFixed(0).padStart(8)}  ${String(each.heapKB).padStart(7)}  ${each.rssMB.toFixed(1).padStart(6)}  ${String(each.descriptors).padStart(11)}  ${String(each.threads).padStart(7)}  ${String(each.children).padStart(8)}  ${String(each.resources).padStart(9)}`);
    }
  }
  const { atOnce: many } = measured;
  console.log(`\n${many.count} at once, each with a heartbeat every 5 s: ${many.rssMBEach.toFixed(2)} MB of memory (${many.heapKBEach.toFixed(0)} KB of it heap) and ${many.cpuMsEachSecond.toFixed(2)} ms of CPU a second for each`);
  if (process.argv[2] !== undefined) writeFileSync(process.argv[2], JSON.stringify({ machine, total, ...measured }));
}
