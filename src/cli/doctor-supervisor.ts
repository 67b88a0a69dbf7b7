// What bears on the supervisor itself: the process that holds the secrets.

import { check, type Check, type Examined, type Status } from './doctor-row.js';

/** More than a secret needs, with its guard pages. */
const enoughMemlock = 1 << 20;

export function supervisorChecks(facts: Examined): Check[] {
  return [...memory(facts), ...start(facts), ...surroundings(facts), ...sysctls(facts)];
}

function memory({ secretMemory, memlockBytes, texts, addonProblem }: Examined): Check[] {
  if (addonProblem !== undefined) return [];
  const rows: Check[] = [];
  if (secretMemory === 'memfd_secret') rows.push(check('memfd_secret', 'ok', 'yes', ['secrets'], 'secrets are in pages that not even root reads through /proc'));
  else rows.push(check('memfd_secret', 'warn', 'no', ['secrets'], 'secrets are locked in ordinary pages, which root and kernel debuggers read', 'Linux 5.14 or newer; before 6.5 boot with secretmem.enable=1'));
  if (memlockBytes !== undefined) {
    const enough = memlockBytes >= enoughMemlock;
    rows.push(check('RLIMIT_MEMLOCK', enough ? 'ok' : 'warn', memlockBytes === Infinity ? 'unlimited' : `${Math.floor(memlockBytes / 1024)} KiB`, ['secrets'], enough ? 'room for many secrets' : 'room for few secrets', enough ? '' : 'ulimit -l 8192, LimitMEMLOCK=8M in a unit, or --ulimit memlock=8388608'));
  }
  const swaps = (texts['/proc/swaps'] ?? '').split('\n').length - 1;
  const kept = secretMemory !== undefined;
  rows.push(check('swap', kept || swaps <= 0 ? 'ok' : 'warn', swaps > 0 ? 'yes' : 'none', ['secrets'], kept ? 'secrets are in pages that are never written there; copies that a program makes of them can be' : 'secrets can be written there', swaps > 0 && !kept ? 'swapoff -a, or encrypted swap' : ''));
  const pattern = texts['/proc/sys/kernel/core_pattern'];
  if (pattern !== undefined) {
    const piped = pattern.startsWith('|');
    rows.push(check('core_pattern', 'ok', piped ? `a program: ${pattern.slice(1).split(' ')[0]}` : (pattern || 'none'), ['secrets', 'debugger'], piped ? 'RLIMIT_CORE 0 does not stop it; harden() does, for it clears the dumpable flag' : 'harden() sets RLIMIT_CORE to 0 and clears the dumpable flag'));
  }
  return rows;
}

function start({ node, bornDumpable, uid, nodeVersion, texts, addonProblem }: Examined): Check[] {
  const rows: Check[] = [];
  const [major = 0, minor = 0] = nodeVersion.split('.').map(Number);
  const supported = (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22;
  rows.push(check('Node', supported ? 'ok' : 'missing', nodeVersion, [], supported ? 'a supported version' : 'not a supported version', supported ? '' : 'Node ^20.19 or >=22.12'));
  if (node !== undefined) {
    const mode = node.mode.toString(8).padStart(4, '0');
    const executeOnly = node.uid === 0 && (node.mode & 0o055) === 0o011 && (node.mode & 0o022) === 0;
    const closed = bornDumpable === false;
    const what = `${node.path}, mode ${mode}, of uid ${node.uid}`;
    if (closed) rows.push(check('node binary', 'ok', `${what}: not dumpable from its first instruction`, ['start'], 'no process of this user could watch the start'));
    else {
      rows.push(
        check('node binary', 'warn', what, ['start'], executeOnly ? 'root reads it all the same, and so could whoever watches the start' : 'holds against tasks; another process of this user can open a starting supervisor before it is hardened', executeOnly ? 'run the supervisor as an ordinary user' : `as root: sallyport exec --user NAME -- node ...; or chown root ${node.path} && chmod 0711 ${node.path}${uid === 0 ? ', and run the supervisor as an ordinary user' : ''}`),
      );
    }
    if (node.writable && uid !== 0) rows.push(check('node binary, code', 'warn', 'this user can change it', ['code'], 'the rules of each task keep it from there; nothing keeps other programs of this user', `as root: chown root ${node.path}`));
  }
  const yama = texts['/proc/sys/kernel/yama/ptrace_scope'];
  const safe = yama !== undefined && yama !== '0';
  const value = yama === undefined ? 'not there' : `ptrace_scope ${yama}`;
  if (addonProblem === undefined) rows.push(check('Yama', safe || bornDumpable === false ? 'ok' : 'warn', value, ['start', 'memory'], safe ? 'other processes cannot attach to a starting supervisor; they can still read its environ' : 'other processes of this user can attach to a supervisor until it is hardened', safe ? '' : 'sysctl -w kernel.yama.ptrace_scope=1, on kernels that have it'));
  return rows;
}

function surroundings({ loaderVariables, capabilities, markers, texts, uid, temporary, addonProblem }: Examined): Check[] {
  const rows: Check[] = [];
  const refused = loaderVariables.filter((name) => name === 'LD_PRELOAD' || name === 'LD_AUDIT');
  const status: Status = refused.length > 0 ? 'missing' : loaderVariables.length > 0 ? 'warn' : 'ok';
  const meaning = { ok: 'nothing is loaded but what is installed', warn: 'they change what the supervisor loads, and whoever sets them is trusted; tasks do not get them', missing: `code that we know nothing of runs in the supervisor: harden() refuses ${refused.join(', ')}` }[status];
  rows.push(check('loader variables', status, loaderVariables.join(', ') || 'none is set', ['code'], meaning, status === 'ok' ? '' : `unset ${loaderVariables.join(' ')}`));

  const own = /^Seccomp:\s*(\d)/m.exec(texts['/proc/self/status'] ?? '')?.[1];
  const container = containerOf(markers, texts);
  rows.push(check('container', 'ok', container ?? 'none recognised', [], container === undefined ? 'nothing else confines this process' : 'works inside; namespaces are most often not to be had'));
  if (own !== undefined) rows.push(check('own filter', 'ok', own === '2' ? 'this process is under a seccomp filter' : 'none', ['kernel'], own === '2' ? 'tasks are under it too, beside their own' : 'tasks get their own'));
  if (addonProblem === undefined) {
    rows.push(
      capabilities.length === 0
        ? check('capabilities', 'ok', 'none', ['memory', 'privileges'], 'there is none to lose')
        : check('capabilities', 'warn', capabilities.length > 3 ? `${capabilities.length}, ${capabilities.includes('CAP_SYS_ADMIN') ? 'CAP_SYS_ADMIN' : capabilities[0]} among them` : capabilities.join(', '), ['memory', 'privileges'], `tasks lose them all; other processes ${uid === 0 ? 'of root' : 'that have them'} read this one's memory in spite of harden()`, 'run the supervisor as an ordinary user, or call dropCapabilities()'),
    );
  }
  rows.push(check('temporary folder', 'ok', `${temporary.path}${filesystemNames[temporary.filesystem ?? -1] === undefined ? '' : `, ${filesystemNames[temporary.filesystem ?? -1]}`}`, ['resources'], temporary.filesystem === TMPFS ? 'what tasks write there takes memory' : 'what tasks write there takes disk'));
  return rows;
}

const TMPFS = 0x01021994;
// linux/magic.h
const filesystemNames: Readonly<Record<number, string>> = { [TMPFS]: 'tmpfs', 0x794c7630: 'overlay', 0xef53: 'ext4', 0x58465342: 'xfs', 0x9123683e: 'btrfs', 0x2fc12fc1: 'zfs', 0x6969: 'nfs', 0x01021997: '9p' };

function containerOf(markers: Examined['markers'], texts: Examined['texts']): string | undefined {
  const cgroup = texts['/proc/1/cgroup'] ?? '';
  if (markers.includes('/var/run/secrets/kubernetes.io') || cgroup.includes('kubepods')) return 'Kubernetes';
  if (markers.includes('/run/.containerenv') || cgroup.includes('libpod')) return 'Podman';
  if (markers.includes('/.dockerenv') || cgroup.includes('docker')) return 'Docker';
  return /microsoft/i.test(texts['/proc/version'] ?? '') ? 'WSL' : undefined;
}

/** Settings of the kernel that concern what a task might try; a task's own filter closes each of them already. */
function sysctls({ texts }: Examined): Check[] {
  const row = (name: string, path: keyof Examined['texts'], guarantees: Check['guarantees'], meaning: string, better: (value: number) => boolean, advice: string): Check[] => {
    const value = texts[path];
    return value === undefined ? [] : [check(name, 'ok', value, guarantees, meaning, better(Number(value)) ? '' : advice)];
  };
  const watches = texts['/proc/sys/fs/epoll/max_user_watches'];
  return [
    ...row('legacy_tiocsti', '/proc/sys/dev/tty/legacy_tiocsti', ['inheritance'], "no task has a terminal, unless launched with stdio 'inherit'; the filter refuses TIOCSTI", (value) => value === 0, 'sysctl -w dev.tty.legacy_tiocsti=0'),
    ...row('perf_event_paranoid', '/proc/sys/kernel/perf_event_paranoid', ['memory'], 'tasks cannot call perf_event_open', (value) => value >= 2, 'sysctl -w kernel.perf_event_paranoid=2'),
    ...row('unprivileged bpf', '/proc/sys/kernel/unprivileged_bpf_disabled', ['kernel'], '1 and 2 forbid it; tasks cannot call bpf in any case', (value) => value > 0, 'sysctl -w kernel.unprivileged_bpf_disabled=2'),
    ...row('io_uring_disabled', '/proc/sys/kernel/io_uring_disabled', ['kernel'], 'tasks cannot call io_uring in any case', () => true, ''),
    ...row('suid_dumpable', '/proc/sys/fs/suid_dumpable', ['identity', 'memory'], '1 would show the memory of whoever changes identity; tasks with an identity are then refused', (value) => value !== 1, 'sysctl -w fs.suid_dumpable=0'),
    ...(watches === undefined ? [] : [check('epoll watches', Number(watches) >= 50_000 ? 'ok' : 'warn', `${watches} for this user`, ['resources'] as const, 'one count for all processes of the user; descriptors of a task are bounded so that it cannot use them up', Number(watches) >= 50_000 ? '' : 'sysctl -w fs.epoll.max_user_watches=1000000')]),
  ];
}
