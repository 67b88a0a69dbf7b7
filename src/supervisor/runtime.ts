import { fileURLToPath } from 'node:url';
import type { Policy } from '../policy/policy.js';
import { policies } from '../policy/presets.js';

/** The program that runs a JavaScript task file. */
export const taskMain = fileURLToPath(new URL('../sdk/main.js', import.meta.url));

const byPolicy = new WeakMap<Policy, Map<string, Policy>>();
let standard: Policy | undefined;

/**
 * A policy and what a task file needs on top of it: to read its bundle, and what `policies.node()` lets any Node program read.
 * The same one for the same two, so that what a launch prepares is prepared once.
 */
export function policyFor(root: string, wanted: Policy | undefined): Policy {
  standard ??= policies.node();
  const base = wanted ?? standard;
  let byRoot = byPolicy.get(base);
  if (byRoot === undefined) byPolicy.set(base, (byRoot = new Map<string, Policy>()));
  let made = byRoot.get(root);
  if (made === undefined || !Object.isFrozen(base)) {
    const read = new Set([...(base.read ?? []), ...(standard.read ?? []), root]);
    made = Object.freeze({ ...base, read: Object.freeze([...read]) });
    byRoot.set(root, made);
  }
  return made;
}
