// One row of `sallyport doctor`, and what it is drawn from.

import type { Guarantee, GuaranteeName } from '../guarantees.js';
import type { HostFacts } from '../kernel/host.js';

/** `ok`: as it should be. `warn`: `standard` holds, and something is less than it could be. `missing`: `standard` does not hold. */
export type Status = 'ok' | 'warn' | 'missing';

export interface Check {
  readonly name: string;
  /** What it is here. */
  readonly value: string;
  readonly status: Status;
  /** Those that it bears on. */
  readonly guarantees: readonly GuaranteeName[];
  /** What that means for them. */
  readonly meaning: string;
  /** What to do; empty where there is nothing. */
  readonly advice: string;
}

/** The facts, and what `harden()` and a plan made of them in a process of their own; undefined where these cannot run. */
export interface Examined extends HostFacts {
  readonly guarantees: readonly Guarantee[] | undefined;
}

export function check(name: string, status: Status, value: string, guarantees: readonly GuaranteeName[], meaning: string, advice = ''): Check {
  return { name, value, status, guarantees, meaning, advice };
}

/** Major and minor of a kernel's release, as numbers that compare. */
export function kernelVersion(release: string): number {
  const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return Number(major) * 1000 + Number(minor);
}
