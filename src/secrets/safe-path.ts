import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';

/** One folder, link or file on the way to a path. */
export interface Step {
  readonly path: string;
  readonly stats: Stats;
}

const mostLinks = 40; // the kernel's own limit, path_resolution(7)

/**
 * Every step of the way to `path`, links followed by hand: whoever can change one of them decides what the path
 * means. The last step is what the path names, with a path that holds no link.
 *
 * @param seen Steps of earlier walks; whoever looks at many paths asks for each folder once.
 * @throws System error, `syscall: 'lstat'`: a step is missing; `ELOOP`: too many links.
 */
export function walk(path: string, seen = new Map<string, Step>()): readonly [Step, ...Step[]] {
  const step = (at: string): Step => {
    const known = seen.get(at) ?? { path: at, stats: lstatSync(at) };
    seen.set(at, known);
    return known;
  };
  const steps: [Step, ...Step[]] = [step('/')];
  // Not resolve(): it takes `link/..` for nothing, and the kernel does not.
  const pending = parts(isAbsolute(path) ? path : `${process.cwd()}/${path}`);
  let current = '/';
  let links = 0;
  for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
    if (name === '..') {
      current = dirname(current);
      continue;
    }
    const next = join(current, name);
    steps.push(step(next));
    if (!step(next).stats.isSymbolicLink()) {
      current = next;
      continue;
    }
    if (++links > mostLinks) throw Object.assign(new Error(`ELOOP: too many symbolic links, lstat '${path}'`), { code: 'ELOOP', syscall: 'lstat', path });
    const target = readlinkSync(next);
    if (target.startsWith('/')) current = '/';
    pending.unshift(...parts(target));
  }
  if (steps.at(-1)?.path !== current) steps.push(step(current));
  return steps;
}

function parts(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

/**
 * Why another user could change this step, or undefined. As sshd's safe_path(): owned by root or by us and writable by
 * nobody else; unlike it, a sticky folder such as /tmp is accepted, for what we or root own in it others can
 * neither rename nor remove, and the next step must be ours or root's as well.
 */
export function changeableByOthers({ stats }: Step): string | undefined {
  if (stats.uid !== 0 && stats.uid !== process.geteuid?.()) return `is owned by uid ${stats.uid}`;
  if (stats.isSymbolicLink()) return undefined; // its mode means nothing
  if ((stats.mode & 0o022) === 0) return undefined;
  if (stats.isDirectory() && (stats.mode & 0o1000) !== 0) return undefined;
  return `is writable by its group or by everyone (mode ${(stats.mode & 0o7777).toString(8)})`;
}
