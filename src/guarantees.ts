/**
 * The eighteen guarantees, by the names that reports, errors, tests and documents use.
 * SECURITY.md says what each one means and which exploit shows it.
 */
export const guaranteeNames = [
  'memory',
  'environ',
  'debugger',
  'start',
  'code',
  'secrets',
  'signals',
  'interference',
  'siblings',
  'privileges',
  'files',
  'network',
  'inheritance',
  'kernel',
  'resources',
  'leftovers',
  'identity',
  'channel',
] as const;

export type GuaranteeName = (typeof guaranteeNames)[number];

/** What really took effect on this host. */
export type Enforcement = 'enforced' | 'partial' | 'unavailable';

/** One row of a report. */
export interface Guarantee {
  readonly name: GuaranteeName;
  readonly enforcement: Enforcement;
  /** What it rests on here, read back from the kernel: `PR_GET_DUMPABLE is 0`. */
  readonly mechanisms: readonly string[];
  /** What is missing and why; empty when enforced. */
  readonly missing: readonly string[];
  /** What the level does not promise, and a stricter one or another set-up would: how far `enforced` goes on this host. */
  readonly notes: readonly string[];
}

/** How much must hold. `strict` adds namespaces, a cgroup and a start that no process of the user can watch. */
export type Level = 'standard' | 'strict';
