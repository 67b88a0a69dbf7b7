import { readdir, readFile } from 'node:fs/promises';

/** What a task's processes use together. */
export interface TaskUsage {
  /** Their own: anonymous and shared memory, swapped out, page tables. What limits.memoryBytes bounds, but for memory that no process shows. */
  readonly memoryBytes: number;
  /** And threads. */
  readonly processes: number;
  /** Of those that live. */
  readonly cpuSeconds: number;
}

interface Seen {
  readonly pid: number;
  readonly parent: number;
  readonly session: number;
  readonly ticks: number;
  readonly threads: number;
}

const ticksPerSecond = 100; // USER_HZ, which is 100 wherever Node runs

/**
 * One look at /proc: what the tasks with these main processes use. Descendants are found by parent and session; one that has left both
 * is counted by the limits and not here. proc(5).
 */
export async function usageOf(tasks: readonly number[]): Promise<ReadonlyMap<number, TaskUsage>> {
  const sums = new Map(tasks.map((pid) => [pid, { memoryBytes: 0, processes: 0, cpuSeconds: 0 }]));
  if (sums.size === 0) return sums;
  const all = new Map<number, Seen>();
  for (const name of await readdir('/proc')) {
    const seen = /^\d+$/.test(name) ? stat(await text(`/proc/${name}/stat`)) : undefined;
    if (seen !== undefined) all.set(seen.pid, seen);
  }
  for (const seen of all.values()) {
    const sum = sums.get(ownerOf(seen, sums, all));
    if (sum === undefined) continue;
    sum.processes += seen.threads;
    sum.cpuSeconds += seen.ticks / ticksPerSecond;
    const status = await text(`/proc/${seen.pid}/status`);
    for (const kind of ['RssAnon', 'RssShmem', 'VmSwap', 'VmPTE']) sum.memoryBytes += Number(new RegExp(`^${kind}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) * 1024;
  }
  return sums;
}

/** The task that a process belongs to; 0: none. */
function ownerOf(seen: Seen, tasks: ReadonlyMap<number, unknown>, all: ReadonlyMap<number, Seen>): number {
  // What changes while it is read could make a circle.
  for (let at: Seen | undefined = seen, steps = 0; at !== undefined && steps < 1000; at = all.get(at.parent), steps++) {
    if (tasks.has(at.pid)) return at.pid;
    if (tasks.has(at.session)) return at.session;
  }
  return 0;
}

/** Fields 1, 4, 6, 14, 15 and 20. The name between may hold anything. */
function stat(line: string): Seen | undefined {
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ').map(Number);
  const [, parent, , session] = fields;
  const [utime, stime, threads] = [fields[11], fields[12], fields[17]];
  if (parent === undefined || session === undefined || utime === undefined || stime === undefined || threads === undefined) return undefined;
  return { pid: Number.parseInt(line), parent, session, ticks: utime + stime, threads };
}

/** Empty, where the process has ended meanwhile. */
const text = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
