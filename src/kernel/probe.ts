import { native } from '../native.js';
import { landlockAbi, landlockErrata } from './landlock.js';
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
}

let probed: Probe | undefined;

/** Asks the kernel, once per process: nothing here changes while it runs. */
export function probe(): Probe {
  probed ??= Object.freeze({
    arch: architectures.find((known) => known === process.arch) ?? 'other',
    landlockAbi: landlockAbi(),
    landlockErrata: landlockErrata(),
    seccomp: seccompAvailable(),
    procWhole: native().procIsWhole(),
  });
  return probed;
}
