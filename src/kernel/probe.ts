import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { native } from '../native.js';
import { getCapabilities } from './capabilities.js';
import { cgroups, type Cgroups } from './cgroup.js';
import { landlockAbi, landlockErrata } from './landlock.js';
import { namespaces, type Namespaces } from './namespaces.js';
import { seccompAvailable } from './seccomp.js';
import { architectures, type Architecture } from './syscalls.js';

/** What this host's kernel has, as far as a plan depends on it. Plain data: tests make their own. */
export interface Probe {
  readonly arch: Architecture | 'other';
  readonly landlockAbi: number;
  readonly landlockErrata: number;
  readonly seccomp: boolean;
  /** Whether /proc shows every process of our PID namespace: what it does not show cannot be found. */
  readonly procWhole: boolean;
  /** Where tasks can have a cgroup v2 each. @default nowhere */
  readonly cgroups?: Cgroups;
  /** What `strict` needs; undefined where nobody has asked. */
  readonly namespaces?: Namespaces;
  /** Memory that the host, or the container that the supervisor is in, has in all; undefined where nobody has asked. */
  readonly memoryBytes?: number;
  /** What the supervisor lacks to answer calls of its tasks itself, as `network` needs; and whether it may look into tasks of other users. */
  readonly notify: { readonly available: boolean; readonly lacks: readonly string[]; readonly anyUser: boolean };
  /** Who the supervisor is, and what it lacks for tasks that run as someone else. */
  readonly user: { readonly uid: number; readonly gid: number; readonly lacks: readonly string[] };
}

const SECBIT_NOROOT = 1;

/** The sweeper too must be able to signal such a task: a program started by uid 0 has capabilities, another one only the ambient ones. */
function lacksForIdentity(): string[] {
  const { effective, ambient, securebits } = getCapabilities();
  const lacks: string[] = (['CAP_SETUID', 'CAP_SETGID', 'CAP_KILL'] as const).filter((name) => !effective.includes(name));
  const inherited = (process.geteuid?.() === 0 && (securebits & SECBIT_NOROOT) === 0) || ambient.includes('CAP_KILL');
  if (lacks.length === 0 && !inherited) lacks.push('CAP_KILL in its ambient set');
  // The kernel gives the memory of whoever changes identity this value, and until it has exec'ed a task shares the supervisor's.
  if (suidDumpable() === 1) lacks.push('fs.suid_dumpable other than 1');
  return lacks;
}

/** proc_sys_fs(5); where it cannot be read the dangerous value is assumed. */
function suidDumpable(): number {
  try {
    return Number(readFileSync('/proc/sys/fs/suid_dumpable', 'latin1'));
  } catch {
    return 1;
  }
}

/** The address that a task connects to lies in its memory: what ptrace(2) needs is needed to read it. Yama: Documentation/admin-guide/LSM/Yama.rst. */
function lacksForNotify(available: boolean, anyUser: boolean): string[] {
  const lacks = available ? [] : ['seccomp user notification (Linux 5.14)'];
  if (!anyUser && yamaScope() >= 2) lacks.push('kernel.yama.ptrace_scope below 2, or CAP_SYS_PTRACE');
  return lacks;
}

function yamaScope(): number {
  try {
    return Number(readFileSync('/proc/sys/kernel/yama/ptrace_scope', 'latin1'));
  } catch {
    return 0; // a kernel without Yama
  }
}

/** process.constrainedMemory() is 0, or larger than any host, where no cgroup has a limit. */
function memory(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

let probed: Probe | undefined;

/** Asks the kernel, once per process: nothing here changes while it runs. */
export function probe(): Probe {
  if (probed !== undefined) return probed;
  const anyUser = getCapabilities().effective.includes('CAP_SYS_PTRACE');
  const available = native().notificationsAvailable();
  probed = Object.freeze({
    arch: architectures.find((known) => known === process.arch) ?? 'other',
    landlockAbi: landlockAbi(),
    landlockErrata: landlockErrata(),
    seccomp: seccompAvailable(),
    procWhole: native().procIsWhole(),
    notify: Object.freeze({ available, lacks: Object.freeze(lacksForNotify(available, anyUser)), anyUser }),
    user: Object.freeze({ uid: process.geteuid?.() ?? -1, gid: process.getegid?.() ?? -1, lacks: Object.freeze(lacksForIdentity()) }),
    cgroups: Object.freeze(cgroups()),
    memoryBytes: memory(),
  });
  return probed;
}

let probedStrict: Probe | undefined;

/** The same and what `strict` needs, which takes a child to find out: asked when a strict task is first wanted. */
export function strictProbe(): Probe {
  return (probedStrict ??= Object.freeze({ ...probe(), namespaces: Object.freeze(namespaces()) }));
}
