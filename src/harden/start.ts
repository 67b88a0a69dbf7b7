import { accessSync, constants, existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Level } from '../guarantees.js';
import { showsNothing, wasBornDumpable } from '../kernel/dumpable.js';
import type { Row } from './report.js';

/** Files of /proc/<pid> that go on showing a process after its dumpable flag is cleared, to whoever has them open. */
const telling = new Set(['mem', 'environ', 'maps', 'smaps', 'smaps_rollup', 'numa_maps', 'pagemap', 'auxv', 'clear_refs', 'stack', 'syscall', 'io']);

/**
 * Nobody opened this process's memory before the flag was cleared. A descriptor on its way through a socket is in no
 * process's table and is not found: being born non-dumpable is what `strict` asks for.
 */
export function start(row: Row, level: Level): void {
  const tracer = tracerOf();
  if (tracer !== 0) row.refuse(`process ${tracer} traces this one`);
  else row.rests('TracerPid is 0 on every thread');

  let { watchers, hidden } = lookForWatchers();
  // ps(1) and monitors read a file and close it: only what is open still, look after look, is a watcher.
  for (let looks = 1; watchers.length > 0 && looks < 4; looks++) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 25);
    ({ watchers, hidden } = lookForWatchers());
  }
  for (const { pid, file } of watchers) row.refuse(`process ${pid} has ${file} open`);
  if (watchers.length === 0) row.rests('no process that we can look into has our memory open');

  if (!wasBornDumpable()) {
    row.rests(`closed to every process of this user from its first instruction: ${readable(process.execPath) ? 'its real and effective ids differed when it was executed' : 'its binary may be executed and not read'}`);
    return;
  }
  row.rests('tasks, and what they leave behind, are in their Landlock domains for life');
  if (hidden.length > 0) row.notes(`the descriptors of processes of this user, none of them a task's, could not be listed: ${hidden.join(', ')}`);
  const born = 'this process was dumpable when it started: a process of this user outside Sallyport could watch it; `sallyport exec --user`, or a node binary of root\'s with mode 0711, closes that';
  if (level === 'strict') row.refuse(born);
  else row.notes(born);
}

function readable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function tracerOf(): number {
  for (const tid of readdirSync('/proc/self/task')) {
    const tracer = Number(statusField(`self/task/${tid}`, 'TracerPid'));
    if (tracer > 0) return tracer;
  }
  return 0;
}

function lookForWatchers(): { watchers: { pid: number; file: string }[]; hidden: number[] } {
  const watchers: { pid: number; file: string }[] = [];
  const hidden: number[] = [];
  const threads = new Set(readdirSync('/proc/self/task').map(Number));
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const links = descriptorsOf(pid);
    if (links === 'hidden') {
      if (couldHaveOpened(pid)) hidden.push(pid);
      continue;
    }
    const file = links.find(({ link, fd }) => showsUs(link, threads, () => showsNothing(pid, fd)));
    if (file !== undefined) watchers.push({ pid, file: file.link });
  }
  return { watchers, hidden };
}

function descriptorsOf(pid: number): { fd: number; link: string }[] | 'hidden' {
  let fds: string[];
  try {
    fds = readdirSync(`/proc/${pid}/fd`);
  } catch (error) {
    return ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '') ? 'hidden' : [];
  }
  return fds.flatMap((fd) => {
    try {
      return [{ fd: Number(fd), link: readlinkSync(`/proc/${pid}/fd/${fd}`) }];
    } catch {
      return []; // closed meanwhile
    }
  });
}

/** `/proc/12/mem` and `/proc/12/task/13/mem`, wherever that procfs is mounted. A thread's number shows the process as well. */
function showsUs(link: string, threads: ReadonlySet<number>, isOver: () => boolean): boolean {
  const [, id, file] = /\/(\d+)\/(?:task\/\d+\/)?([a-z_]+)$/.exec(link) ?? [];
  if (file === undefined || !telling.has(file)) return false;
  if (threads.has(Number(id))) return true;
  // One that ended may have been a thread of ours: its descriptor would still show us.
  return Number(id) > process.pid && !existsSync(`/proc/${id}`) && !isOver();
}

/** A process of our user that keeps its descriptors to itself. Those of others could never open our memory, and kernel threads have none. */
function couldHaveOpened(pid: number): boolean {
  const uids = statusField(String(pid), 'Uid')?.split('\t') ?? [];
  return uids.includes(String(process.geteuid?.())) && statusField(String(pid), 'VmSize') !== undefined;
}

function statusField(folder: string, name: string): string | undefined {
  try {
    return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/${folder}/status`, 'latin1'))?.[1];
  } catch {
    return undefined; // it ended
  }
}
