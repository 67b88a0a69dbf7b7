import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { changeableByOthers, walk, type Step } from '../secrets/safe-path.js';
import type { Row } from './report.js';

const packageRoot = fileURLToPath(new URL('../..', import.meta.url));
/** What of this package runs in this process: compiled TypeScript and the addon. */
const runs = [/^lib\/.*\.js$/, /^package\.json$/, /^(prebuilds|build\/Release)\/.*\.node$/];

/**
 * No other user can change what this process runs: the node binary, this package, the main script, and every folder on
 * the way to them. This user can, unless root owns them; a task of the same user is kept from it by its Landlock rules.
 */
export function code(row: Row): void {
  const injected = ['LD_PRELOAD', 'LD_AUDIT'].filter((name) => (process.env[name] ?? '') !== '');
  for (const name of injected) row.refuse(`${name} is set: code that we know nothing of runs in this process`);

  const seen = new Map<string, Step>();
  for (const file of [process.execPath, ...packageFiles(), ...mainScript()]) walk(file, seen);
  const steps = [...seen.values()];
  const open = steps.map((step) => ({ step, problem: changeableByOthers(step) })).find(({ problem }) => problem !== undefined);
  if (open !== undefined) row.refuse(`${open.step.path} ${open.problem}`);
  else row.rests('no other user can change the node binary, this package, the main script or their folders');

  const own = steps.filter(({ stats }) => stats.uid === process.geteuid?.()).sort((a, b) => Number(b.stats.isFile()) - Number(a.stats.isFile()))[0];
  if (own !== undefined) row.lacks(`${own.path} belongs to this user: the Landlock rules of each task keep it from there, nothing keeps other programs of this user`);
}

function packageFiles(): string[] {
  return readdirSync(packageRoot)
    .filter((name) => ['lib', 'package.json', 'prebuilds', 'build'].includes(name))
    .flatMap((name) => (name === 'package.json' ? [name] : readdirSync(join(packageRoot, name), { recursive: true, encoding: 'utf8' }).map((file) => `${name}/${file}`)))
    .filter((file) => runs.some((pattern) => pattern.test(file)))
    .map((file) => join(packageRoot, file));
}

/** Absent for `node -e`; Node resolves it before it runs anything. */
function mainScript(): string[] {
  const script = process.argv[1];
  return script === undefined || !script.startsWith('/') ? [] : [script];
}
