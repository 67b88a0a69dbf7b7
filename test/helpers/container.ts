import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { docker, dockerCapabilities } from './docker-seccomp.js';

/** A rule of config.json, as runtime-spec and libseccomp have it. */
interface Rule {
  readonly names: readonly string[];
  readonly action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO';
  readonly errnoRet?: number;
  readonly args?: readonly { readonly index: number; readonly value: number; readonly valueTwo?: number; readonly op: string }[];
}

function rules(capabilities: readonly string[]): Rule[] {
  const allow = (names: readonly string[]): Rule => ({ names, action: 'SCMP_ACT_ALLOW' });
  const found = [allow([...docker.allowed, ...(process.arch === 'x64' ? docker.x64 : []), ...capabilities.flatMap((name) => docker.byCapability[name] ?? [])])];
  for (const [name, { argument: index, oneOf, noneOf, noneOfBits }] of Object.entries(docker.byArgument)) {
    if (noneOfBits !== undefined) found.push({ ...allow([name]), args: [{ index, value: noneOfBits, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }] });
    for (const value of oneOf ?? []) found.push({ ...allow([name]), args: [{ index, value, op: 'SCMP_CMP_EQ' }] });
    if (noneOf !== undefined) found.push({ ...allow([name]), args: noneOf.map((value) => ({ index, value, op: 'SCMP_CMP_NE' })) });
  }
  for (const [name, errnoRet] of Object.entries(docker.errno)) found.push({ names: [name], action: 'SCMP_ACT_ERRNO', errnoRet });
  return found;
}

/** What `docker run` gives a container, of whose files the host's own are made: read-only, /tmp aside. */
function configuration(user: number, args: readonly string[], cwd: string): object {
  const capabilities = user === 0 ? dockerCapabilities : [];
  const inside = (destination: string, type: string, options: readonly string[]): object => ({ destination, type, source: type, options });
  const folders = ['/usr', '/bin', '/sbin', '/lib', '/lib64', '/etc', dirname(dirname(process.execPath)), cwd];
  const seen = folders.filter((folder, index) => existsSync(folder) && folders.indexOf(folder) === index);
  return {
    ociVersion: '1.0.2',
    hostname: 'sallyport',
    root: { path: 'rootfs', readonly: true },
    process: {
      user: { uid: user, gid: user },
      args,
      cwd,
      env: ['PATH=/usr/local/bin:/usr/bin:/bin', 'HOME=/tmp'],
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: false,
    },
    mounts: [
      inside('/proc', 'proc', ['nosuid', 'noexec', 'nodev']),
      inside('/dev', 'tmpfs', ['nosuid', 'mode=755']),
      inside('/dev/shm', 'tmpfs', ['nosuid', 'noexec', 'nodev', 'mode=1777']),
      inside('/dev/pts', 'devpts', ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620']),
      inside('/sys', 'sysfs', ['nosuid', 'noexec', 'nodev', 'ro']),
      inside('/tmp', 'tmpfs', ['nosuid', 'nodev', 'mode=1777']),
      ...seen.map((path) => ({ destination: path, source: path, type: 'bind', options: ['rbind', 'ro', 'nosuid', 'nodev'] })),
    ],
    linux: {
      namespaces: ['pid', 'ipc', 'uts', 'mount', 'network'].map((type) => ({ type })),
      maskedPaths: ['/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list', '/proc/sched_debug', '/proc/scsi', '/sys/firmware'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
      seccomp: {
        defaultAction: 'SCMP_ACT_ERRNO',
        defaultErrnoRet: 1,
        architectures: [process.arch === 'x64' ? 'SCMP_ARCH_X86_64' : 'SCMP_ARCH_AARCH64'],
        syscalls: rules(capabilities),
      },
    },
  };
}

// crun wants to know nothing of version 1 and version 2 of cgroups side by side; in a mount namespace of its own it sees version 2.
const hybrid = existsSync('/sys/fs/cgroup/unified');
const script = `${hybrid ? 'mount -t cgroup2 none /sys/fs/cgroup && ' : ''}exec crun --cgroup-manager=disabled --root "$1" run --bundle "$2" "$3"`;

/** Why no container can be had here, or undefined. */
export function noContainer(): string | undefined {
  if (process.getuid?.() !== 0) return 'containers need root to start them';
  if (spawnSync('crun', ['--version']).status !== 0) return 'crun is not installed';
  const tried = runInContainer(0, ['/bin/true'], '/usr');
  return tried.status === 0 ? undefined : `crun cannot start a container here: ${tried.stderr.trim()}`;
}

/** Runs a program to its end in a container as Docker makes them by default, as uid 0 or another one. `cwd` is the only folder it sees of the host's others. */
export function runInContainer(user: number, args: readonly string[], cwd: string, timeoutMs = 240_000): SpawnSyncReturns<string> {
  const bundle = mkdtempSync(join(tmpdir(), 'sallyport-container-'));
  try {
    mkdirSync(join(bundle, 'rootfs'));
    mkdirSync(join(bundle, 'state'));
    const config = configuration(user, args, cwd);
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(config));
    const name = bundle.slice(bundle.lastIndexOf('/') + 1);
    const command = ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', join(bundle, 'state'), bundle, name];
    return spawnSync('unshare', command, { encoding: 'utf8', timeout: timeoutMs, killSignal: 'SIGTERM', stdio: ['ignore', 'pipe', 'pipe'] });
  } finally {
    rmSync(bundle, { recursive: true, force: true });
  }
}
