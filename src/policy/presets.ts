import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { networkPlan } from './network.js';
import { copyPolicy, type Policy } from './policy.js';
import { findPython } from './python.js';

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
  '/usr/include',
  '/usr/share',
  '/usr/local/include',
  '/usr/local/share',
  '/etc/ld.so.cache',
  '/etc/ld.so.conf',
  '/etc/ld.so.conf.d',
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
  '/etc/lsb-release',
  '/etc/debian_version',
  '/etc/networks',
  '/etc/shells',
  '/etc/magic',
  '/etc/terminfo',
  '/etc/fonts',
  '/etc/perl',
  '/etc/mime.types',
  '/etc/ssl/certs',
  '/etc/ssl/openssl.cnf',
  '/etc/pki/tls/openssl.cnf',
  '/etc/crypto-policies',
  '/etc/pki/ca-trust/extracted',
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
  const own = [join(lib, 'sdk'), join(lib, 'broker'), join(lib, 'definition'), join(lib, 'errors.js'), join(lib, 'guarantees.js'), join(lib, '..', 'package.json')];
  const entry = createRequire(import.meta.url).resolve('@msgpack/msgpack');
  const folder = join('node_modules', '@msgpack', 'msgpack');
  const msgpack = entry.slice(0, entry.lastIndexOf(folder) + folder.length);
  return (taskFiles ??= [...own, msgpack].map((path) => realpathSync(path)));
}

/** Libraries that a node of its own folder is linked to, and npm. A system's node has both in folders of the system. */
function besideNode(node: string): { execute: readonly string[]; read: readonly string[] } {
  const lib = join(dirname(dirname(node)), 'lib');
  if (isSystemPath(lib) || !existsSync(lib)) return { execute: [], read: [] };
  const libraries = readdirSync(lib).filter((name) => /\.so(\.|$)/.test(name));
  return { execute: existing([join(lib, 'node_modules', 'npm')]), read: libraries.map((name) => join(lib, name)) };
}

const existing = (paths: readonly string[]): string[] => paths.filter((path) => existsSync(path));

/** What a caller left undefined is what the preset has. */
const given = (wishes: Policy): Policy => Object.fromEntries(Object.entries(wishes).filter(([, value]) => value !== undefined));

function preset(base: Policy, wished: Policy): Policy {
  const wishes = given(copyPolicy(wished));
  // With a scratch folder, that is its home.
  const home = wishes.scratch === false ? { HOME: '/' } : {};
  // git's system-wide configuration may hold credentials, and git gives up on one that it may not read.
  const environment = Object.freeze({ LANG: 'C.UTF-8', ...home, GIT_CONFIG_NOSYSTEM: '1', ...base.environment, ...wishes.environment });
  return Object.freeze({
    // git, tar, npm, pip, `cp -p` and Python's shutil end with an error where chmod, chown or utime do.
    fileModes: 'own',
    ...base,
    scratch: true,
    ...wishes,
    execute: Object.freeze([...(base.execute ?? []), ...(wishes.execute ?? [])]),
    read: Object.freeze([...(base.read ?? []), ...(wishes.read ?? [])]),
    write: Object.freeze([...(wishes.write ?? [])]),
    network: networkPlan(wishes.network) ?? 'none',
    limits: Object.freeze({ ...wishes.limits }),
    without: Object.freeze([...(wishes.without ?? [])]),
    environment,
  });
}

/** Which Python. */
export interface PythonOptions {
  readonly interpreter?: string;
}

const path = '/usr/local/bin:/usr/bin:/bin';

/**
 * Policies for ordinary programs, to which a caller adds what this one task needs. Each has a scratch folder. Each result is
 * frozen; launch the same one again and what it took to prepare is not done twice.
 */
export const policies = Object.freeze({
  /** Any program of the system: its binaries, libraries, locale and certificates. No file of yours, no network. */
  command(wishes: Policy = {}): Policy {
    return preset({ execute: existing(systemExecute), read: existing(systemRead), environment: { PATH: path } }, wishes);
  },

  /** The same, the `node` that runs the supervisor, wherever it is installed, and `sallyport/task`. */
  node(wishes: Policy = {}): Policy {
    const node = realpathSync(process.execPath);
    const folders = new Set([dirname(node), ...path.split(':')]);
    const { execute, read } = besideNode(node);
    const environment = { PATH: [...folders].join(':') };
    return preset({ execute: [...existing(systemExecute), node, ...execute], read: [...existing(systemRead), ...taskSide(), ...read], environment }, wishes);
  },

  /**
   * The same as `command`, and a Python: its standard library, site-packages and console scripts, those of a virtual environment
   * and of pyenv included. It is found by looking, nothing is run. No bytecode is written.
   *
   * @param options.interpreter A path, or a name to look up in the supervisor's PATH, where an activated environment comes first. @default 'python3'
   * @throws {PolicyInvalid} `ERR_POLICY_INVALID` with path `interpreter`: it is not there.
   */
  python(wishes: Policy = {}, { interpreter = 'python3' }: PythonOptions = {}): Policy {
    const { executable, execute, read } = findPython(interpreter);
    const folders = new Set([dirname(executable), ...path.split(':')]);
    const environment = { PATH: [...folders].join(':'), PYTHONDONTWRITEBYTECODE: '1' };
    return preset({ execute: [...existing(systemExecute), ...execute], read: [...existing(systemRead), ...read], environment }, wishes);
  },
});
