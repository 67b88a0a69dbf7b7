import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { realpathSync } from 'node:fs';
import type { Policy } from '../policy/policy.js';
import { policies } from '../policy/presets.js';

const lib = fileURLToPath(new URL('..', import.meta.url));

/** The program that runs a TypeScript or JavaScript task file. */
export const taskMain = join(lib, 'sdk', 'main.js');

/** What that program reads of this package: the task's side alone, and msgpack wherever an installer put it. */
function ownFiles(): string[] {
  // Node looks for package.json to learn that lib/ holds ES modules, and what `sallyport/task` means.
  const own = [join(lib, 'sdk'), join(lib, 'broker'), join(lib, 'errors.js'), join(lib, '..', 'package.json')];
  return [...own.map((path) => realpathSync(path)), packageFolder('@msgpack/msgpack')];
}

function packageFolder(name: string): string {
  const suffix = join('node_modules', ...name.split('/'));
  const entry = createRequire(import.meta.url).resolve(name);
  return entry.slice(0, entry.lastIndexOf(suffix) + suffix.length);
}

const byPolicy = new WeakMap<Policy, Map<string, Policy>>();
let ownPolicy: Policy | undefined;

/**
 * A policy and what a task file needs on top of it: to read its bundle and the task's side of this package.
 * The same one for the same two, so that what a launch prepares is prepared once.
 */
export function policyFor(root: string, wanted: Policy | undefined): Policy {
  const base = wanted ?? (ownPolicy ??= policies.node());
  let byRoot = byPolicy.get(base);
  if (byRoot === undefined) byPolicy.set(base, (byRoot = new Map<string, Policy>()));
  let made = byRoot.get(root);
  if (made === undefined || !Object.isFrozen(base)) {
    made = Object.freeze({ ...base, read: Object.freeze([...(base.read ?? []), root, ...ownFiles()]) });
    byRoot.set(root, made);
  }
  return made;
}

