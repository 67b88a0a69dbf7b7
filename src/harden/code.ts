import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { changeableByOthers, walk, type Step } from '../secrets/safe-path.js';
import { nodeOptions } from './options.js';
import type { Level } from '../guarantees.js';
import type { Row } from './report.js';

const packageRoot = fileURLToPath(new URL('../..', import.meta.url));
/** What of this package runs: compiled TypeScript, the addon and its programs, prebuilt or compiled. */
const runs = ['package.json', 'lib', 'prebuilds', 'build'].map((name) => join(packageRoot, name));
/** What nothing ever runs, half of the files: each look costs time. */
const inert = /\.(d\.[cm]?ts|map|md)$/;

/**
 * No other user can change what this process runs: the node binary, this package and those it loads, the main script,
 * files loaded before it, and every folder on the way to them. This user can, unless root owns them; a task of the same
 * user is kept from it by its Landlock rules.
 */
export function code(row: Row, level: Level): void {
  const injected = ['LD_PRELOAD', 'LD_AUDIT'].filter((name) => (process.env[name] ?? '') !== '');
  for (const name of injected) row.refuse(`${name} is set: code that we know nothing of runs in this process`);

  const seen = new Map<string, Step>();
  for (const file of [process.execPath, ...mainScript(), ...preloaded(row)]) walk(file, seen);
  const looked = new Set<string>();
  for (const path of [...runs.filter((own) => existsSync(own)), ...loads()]) lookBelow(walk(path, seen), seen, looked);
  const steps = [...seen.values()];
  const open = steps.map((step) => ({ step, problem: changeableByOthers(step) })).find(({ problem }) => problem !== undefined);
  if (open !== undefined) row.refuse(`${open.step.path} ${open.problem}`);
  else row.rests('no other user can change the node binary, this package and those it loads, the main script or their folders');

  const own = steps.filter(({ stats }) => stats.uid === process.geteuid?.()).sort((a, b) => Number(b.stats.isFile()) - Number(a.stats.isFile()))[0];
  if (own === undefined) return;
  row.rests("the Landlock rules of each task, and the grants that `launch()` refuses");
  const others = `${own.path} belongs to this user: nothing keeps other programs of this user from it`;
  if (level === 'strict') row.lacks(others);
  else row.notes(others);
}

/** Absent for `node -e`; Node resolves it before it runs anything. */
function mainScript(): string[] {
  const script = process.argv[1];
  return script === undefined || !script.startsWith('/') ? [] : [script];
}

/** Files that options have Node run before the main script. */
function preloaded(row: Row): string[] {
  const options = nodeOptions();
  return options.flatMap(({ name, value }, at) => {
    if (!['--import', '--require', '-r', '--loader', '--experimental-loader'].includes(name)) return [];
    const named = value ?? options[at + 1]?.name ?? '';
    if (/^\.{0,2}\//.test(named)) return [existsSync(named) ? named : createRequire(`${process.cwd()}/`).resolve(named)]; // without its .js
    if (named.startsWith('file:')) return [fileURLToPath(named)];
    row.lacks(`Node was started with ${name} and the name of a package, which was not looked at`);
    return [];
  });
}

/**
 * The folders of the packages that it depends on, where Node finds them; none of those depends on others. One that is
 * absent is not loaded either. Whoever can change a folder where Node looks before is found on the way to our own files.
 */
function loads(): string[] {
  const require = createRequire(import.meta.url);
  const { dependencies } = require(join(packageRoot, 'package.json')) as { readonly dependencies: Readonly<Record<string, string>> };
  return Object.keys(dependencies).flatMap((name) => {
    const folders = require.resolve.paths(name) ?? [];
    return folders.map((folder) => join(folder, name)).find((folder) => existsSync(folder)) ?? [];
  });
}

/** Everything below the folder that a walk led to, if it did to one. One lstat(2) each: the way to it is known. */
function lookBelow(way: readonly Step[], seen: Map<string, Step>, looked: Set<string>): void {
  const { path: folder, stats } = way.at(-1) as Step;
  if (!stats.isDirectory() || looked.has(folder)) return;
  looked.add(folder);
  for (const name of readdirSync(folder)) {
    if (inert.test(name)) continue;
    const path = `${folder}/${name}`;
    const step = { path, stats: lstatSync(path) };
    seen.set(path, step);
    lookBelow(step.stats.isSymbolicLink() ? walk(path, seen) : [step], seen, looked);
  }
}
