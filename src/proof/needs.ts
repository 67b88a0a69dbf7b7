import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { Attack, Need } from './attack.js';
import { installed } from './locate.js';

/** A program of this host. */
export const program = (name: string): Need => () => (installed(name) === undefined ? `${name} is not installed` : undefined);

/** Capabilities, which an ordinary supervisor of root's passes on to its tasks. */
export const root: Need = () => (process.geteuid?.() === 0 ? undefined : 'works with capabilities alone');

/** Attaching to a process that is not one's child, which Yama's ptrace_scope refuses to all but an ancestor. ptrace(2) */
export const attaching: Need = () => (process.geteuid?.() === 0 || !['1', '2', '3'].includes(setting('yama/ptrace_scope')) ? undefined : 'Yama refuses it on this host');

function setting(name: string): string {
  try {
    return readFileSync(`/proc/sys/kernel/${name}`, 'latin1').trim();
  } catch {
    return ''; // a kernel without it
  }
}

/** Why an exploit cannot be shown on this host; undefined when it can. */
export function whyNot({ needs = [] }: Pick<Attack, 'needs'>): string | undefined {
  return needs.map((need) => need()).find((lack) => lack !== undefined);
}

/** A core is a file in the folder where its process ran, and no program's to take. core(5) */
export const coreIsFile: Need = () => (/^[^|/]+$/.test(setting('core_pattern')) ? undefined : 'cores go elsewhere on this host: core_pattern');

export const severalCpus: Need = () => (availableParallelism() > 1 ? undefined : 'there is one processor');

export const autogroups: Need = () => (setting('sched_autogroup_enabled') === '1' ? undefined : 'the kernel has no autogroups, or has them switched off');
