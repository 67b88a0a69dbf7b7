import { randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * A name that nobody else has ever had, and by which others of this host see whether its process still runs: host, boot, PID namespace, pid,
 * when it started in clock ticks since boot, for pids come again, and which of several in one process. proc_pid_stat(5).
 */
export function ownName(): string {
  return [...place(), process.pid, startOf(process.pid) ?? 0, randomBytes(4).toString('hex')].join('~');
}

/** Names of this process that are not used any more. Another thread's are known to that thread alone, and taken for used. */
const ended = new Set<string>();

/** It uses the name no more, and lives on. */
export const end = (name: string): unknown => ended.add(name);

/** Whether whoever has this name has ended. One of another host or namespace may live: nobody here can tell. */
export function hasEnded(name: string): boolean {
  if (ended.has(name)) return true;
  const [host, boot, namespace, pid, start, _which, ...rest] = name.split('~');
  const [ownHost, ownBoot, ownNamespace] = place();
  if (rest.length > 0 || start === undefined || host !== ownHost) return false;
  if (boot !== ownBoot) return true;
  if (namespace !== ownNamespace) return false;
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
  const found = startOf(Number(pid));
  return found !== undefined && String(found) !== start;
}

function place(): readonly [host: string, boot: string, namespace: string] {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').slice(0, 8);
  return [hostname().replace(/[^\w.-]/g, '_'), boot, /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? ''];
}

/** Undefined where it is gone, or hidden from us. */
function startOf(pid: number): number | undefined {
  try {
    // Behind the name, which may hold anything: field 22 of all.
    return Number(readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ')[19]);
  } catch {
    return undefined;
  }
}
