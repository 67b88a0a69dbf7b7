import { readFileSync } from 'node:fs';
import { native } from '../native.js';

/** The numbers of asm-generic/resource.h, which x86-64 and arm64 share. */
const resources = {
  cpu: 0, fsize: 1, data: 2, stack: 3, core: 4, rss: 5, nproc: 6, nofile: 7, memlock: 8,
  as: 9, locks: 10, sigpending: 11, msgqueue: 12, nice: 13, rtprio: 14, rttime: 15,
} as const;

export type Resource = keyof typeof resources;

/** In the resource's own unit; `Infinity` is RLIM_INFINITY. */
export interface Rlimit {
  readonly soft: number;
  readonly hard: number;
}

/** A limit of this process. @see getrlimit(2). */
export function getRlimit(resource: Resource): Rlimit {
  return native().getRlimit(resources[resource]);
}

/** Scope: process, and every process it starts later. Raising `hard` needs CAP_SYS_RESOURCE. @see setrlimit(2). */
export function setRlimit(resource: Resource, { soft, hard }: Rlimit): void {
  native().setRlimit(resources[resource], soft, hard);
}

/** What counts against RLIMIT_MEMLOCK, in bytes. @see proc_pid_status(5), VmLck. */
export function lockedBytes(): number {
  const [, kib = '0'] = /^VmLck:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? [];
  return Number(kib) * 1024;
}
