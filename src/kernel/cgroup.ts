import { accessSync, constants, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { native } from '../native.js';

const wanted = ['memory', 'pids', 'cpu'] as const;
export type CgroupController = (typeof wanted)[number];

/** Where this host lets tasks have a cgroup v2 each. Plain data. */
export interface Cgroups {
  /** The cgroup below which a task's own is made; '' where none can be. */
  readonly folder: string;
  /** What such a cgroup can bound: those of memory, pids and cpu that its parent passes on. */
  readonly controllers: readonly CgroupController[];
  /** Why it is not all of them, or none; '' when nothing lacks. */
  readonly missing: string;
}

/** /proc escapes space, tab, newline and backslash in octal. proc(5) */
const unescaped = (path: string): string => path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));

/**
 * The folder of a process's own cgroup v2, from /proc/<pid>/cgroup and mountinfo. Pure.
 *
 * @returns undefined where none is mounted that shows it. Hybrid hosts mount it at /sys/fs/cgroup/unified.
 */
export function cgroupFolder(cgroup: string, mountinfo: string): string | undefined {
  const own = /^0::(\/.*)$/m.exec(cgroup)?.[1];
  if (own === undefined || own.startsWith('/..')) return undefined; // outside its cgroup namespace
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root = '', point = ''] = before.split(' ').map(unescaped);
    if (!after.startsWith('cgroup2 ')) continue;
    const below = root === '/' ? own : own === root || own.startsWith(`${root}/`) ? own.slice(root.length) : undefined;
    if (below !== undefined) return join(point, below).replace(/(?<=.)\/$/, '');
  }
  return undefined;
}

const words = (file: string): string[] => readFileSync(file, 'utf8').split(/\s+/).filter((word) => word !== '');

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

/** What can be passed on to children of `folder`, enabled where it is not yet, and why the rest cannot. */
function enabled(folder: string): Pick<Cgroups, 'controllers' | 'missing'> {
  const there = words(join(folder, 'cgroup.controllers'));
  const control = join(folder, 'cgroup.subtree_control');
  const missing: string[] = [];
  // cgroups(7), "no internal processes". The kernel would let pids and cpu through, and then let nobody into the
  // children: with processes of its own the folder becomes the root of a threaded subtree. The root alone is exempt.
  const busy = existsSync(join(folder, 'cgroup.type')) && words(join(folder, 'cgroup.procs')).length > 0;
  const controllers = wanted.filter((name) => {
    if (!there.includes(name)) return void missing.push(`${name}: not given to ${folder}`);
    if (words(control).includes(name)) return true;
    if (busy) return void missing.push(`${name}: ${folder} holds processes; start the supervisor in a cgroup below one that is delegated to it (systemd: Delegate=yes, DelegateSubgroup=supervisor)`);
    try {
      writeFileSync(control, `+${name}`);
      return true;
    } catch (error) {
      return void missing.push(`${name}: ${codeOf(error)} on ${control}`);
    }
  });
  return { controllers, missing: missing.join('; ') };
}

function find(folder: string): Cgroups {
  try {
    const passedOn = enabled(folder);
    native().tryCgroup(folder);
    // To start a process below it, whoever does must be able to move one there. cgroups(7), delegation
    accessSync(join(folder, 'cgroup.procs'), constants.W_OK);
    return { folder, ...passedOn };
  } catch (error) {
    return { folder: '', controllers: [], missing: `no cgroup can be made below ${folder}: ${codeOf(error)}` };
  }
}

/**
 * Looks for a cgroup below which tasks can have their own: the supervisor's, or the one above where that was delegated
 * to the supervisor's user and the supervisor sits in a leaf of it. Tries for real, and leaves nothing but the
 * controllers enabled for children; no process is moved.
 *
 * @see cgroups(7), Linux 5.14.
 */
export function cgroups(): Cgroups {
  const none = (missing: string): Cgroups => ({ folder: '', controllers: [], missing });
  let own: string | undefined;
  try {
    own = cgroupFolder(readFileSync('/proc/self/cgroup', 'utf8'), readFileSync('/proc/self/mountinfo', 'utf8'));
  } catch (error) {
    return none(`/proc/self: ${codeOf(error)}`);
  }
  if (own === undefined) return none('no cgroup v2 hierarchy is mounted that shows this process');
  const found = find(own);
  if (found.controllers.length === wanted.length || !delegated(dirname(own))) return found;
  const above = find(dirname(own));
  return above.folder !== '' && above.controllers.length >= found.controllers.length ? above : found;
}

/** Given to our own user; for root, to whom every cgroup belongs, as systemd marks it. */
function delegated(folder: string): boolean {
  const uid = process.geteuid?.();
  try {
    if (uid === 0) return native().cgroupDelegated(folder);
    return statSync(join(folder, 'cgroup.procs')).uid === uid && statSync(folder).uid === uid;
  } catch {
    return false;
  }
}
