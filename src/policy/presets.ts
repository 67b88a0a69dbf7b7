import { existsSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkPolicy, type Policy } from './policy.js';

/**
 * What programs of any kind read and execute: binaries and libraries where distributions put them.
 * Not all of /usr: containers keep applications, and what they must not leak, in /usr/src.
 */
const systemExecute = [
  '/bin',
  '/sbin',
  '/lib',
  '/lib32',
  '/lib64',
  '/usr/bin',
  '/usr/sbin',
  '/usr/lib',
  '/usr/lib32',
  '/usr/lib64',
  '/usr/libexec',
  '/usr/local/bin',
  '/usr/local/sbin',
  '/usr/local/lib',
  '/usr/local/libexec',
];

/** Without ld.so.cache, locale and the processor list every start of Node is about a millisecond slower. */
const systemRead = [
  '/usr/share',
  '/usr/local/share',
  '/etc/ld.so.cache',
  '/etc/ld.so.conf',
  '/etc/localtime',
  '/etc/timezone',
  '/etc/locale.alias',
  '/etc/nsswitch.conf',
  '/etc/passwd',
  '/etc/group',
  '/etc/hosts',
  '/etc/host.conf',
  '/etc/gai.conf',
  '/etc/resolv.conf',
  '/etc/services',
  '/etc/protocols',
  '/etc/os-release',
  '/etc/mime.types',
  '/etc/ssl/certs',
  '/etc/ssl/openssl.cnf',
  '/etc/pki/tls/certs',
  '/etc/ca-certificates',
  '/dev/zero',
  '/dev/random',
  '/dev/urandom',
  '/proc/cpuinfo',
  '/proc/filesystems',
  '/proc/loadavg',
  '/proc/meminfo',
  '/proc/stat',
  '/proc/uptime',
  '/proc/version',
  '/proc/sys/kernel/osrelease',
  '/proc/sys/kernel/ostype',
  '/proc/sys/kernel/pid_max',
  '/proc/sys/kernel/version',
  '/proc/sys/vm/max_map_count',
  '/proc/sys/vm/overcommit_memory',
  '/sys/devices/system/cpu',
  '/sys/kernel/mm/transparent_hugepage',
];

const systemPaths = new Set(['/dev/null', ...systemExecute, ...systemRead]);

/** Whether a path belongs to the system, and not to what a task could have made anew between two launches. */
export const isSystemPath = (path: string): boolean => systemPaths.has(path);

let taskFiles: readonly string[] | undefined;

/** What a task reads of this package: its own side alone, and msgpack wherever an installer put it. */
function taskSide(): readonly string[] {
  const lib = fileURLToPath(new URL('..', import.meta.url));
  // package.json tells Node that lib/ holds ES modules, and what `sallyport/task` means.
  const own = [join(lib, 'sdk'), join(lib, 'broker'), join(lib, 'errors.js'), join(lib, 'guarantees.js'), join(lib, '..', 'package.json')];
  const entry = createRequire(import.meta.url).resolve('@msgpack/msgpack');
  const folder = join('node_modules', '@msgpack', 'msgpack');
  const msgpack = entry.slice(0, entry.lastIndexOf(folder) + folder.length);
  return (taskFiles ??= [...own, msgpack].map((path) => realpathSync(path)));
}

const existing = (paths: readonly string[]): string[] => paths.filter((path) => existsSync(path));

function preset(base: Policy, wishes: Policy): Policy {
  checkPolicy(wishes);
  const environment = Object.freeze({ ...base.environment, ...wishes.environment });
  return Object.freeze({
    ...base,
    ...wishes,
    execute: Object.freeze([...(base.execute ?? []), ...(wishes.execute ?? [])]),
    read: Object.freeze([...(base.read ?? []), ...(wishes.read ?? [])]),
    write: Object.freeze([...(wishes.write ?? [])]),
    limits: Object.freeze({ ...wishes.limits }),
    without: Object.freeze([...(wishes.without ?? [])]),
    environment,
  });
}

const path = '/usr/local/bin:/usr/bin:/bin';

/**
 * Policies for ordinary programs, to which a caller adds what this one task needs. Each result is
 * frozen; launch the same one again and what it took to prepare is not done twice.
 */
export const policies = Object.freeze({
  /** Any program of the system: its binaries, libraries, locale and certificates. No file of yours, no network. */
  command(wishes: Policy = {}): Policy {
    const environment = { PATH: path, LANG: 'C.UTF-8', HOME: '/' };
    return preset({ execute: existing(systemExecute), read: existing(systemRead), environment }, wishes);
  },

  /** The same, the `node` that runs the supervisor, wherever it is installed, and `sallyport/task`. */
  node(wishes: Policy = {}): Policy {
    const node = realpathSync(process.execPath);
    const folders = new Set([dirname(node), ...path.split(':')]);
    const environment = { PATH: [...folders].join(':'), LANG: 'C.UTF-8', HOME: '/' };
    return preset({ execute: [...existing(systemExecute), node], read: [...existing(systemRead), ...taskSide()], environment }, wishes);
  },
});
