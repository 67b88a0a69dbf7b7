// `sallyport doctor`: on this host for real, on others by their facts.

import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { verdictOn } from '../lib/cli/doctor.js';
import { checks } from '../lib/cli/doctor-checks.js';
import { kernelVersion, type Check, type Examined } from '../lib/cli/doctor-row.js';
import { guaranteeNames, type Guarantee } from '../lib/index.js';
import { hostFacts } from '../lib/kernel/host.js';
import { probe, type Probe } from '../lib/kernel/probe.js';
import { asEachUser, asWeAre, cli, type Done } from './helpers/cli.js';

const doctor = suite('doctor');
const root = fileURLToPath(new URL('..', import.meta.url));

interface Printed {
  host: { platform: string; kernel: string; node: string };
  verdict: Record<'standard' | 'strict', { holds: boolean; lacks: string[] }>;
  checks: Check[];
}

const all = guaranteeNames.map((name): Guarantee => ({ name, enforcement: 'enforced', mechanisms: [], missing: [], notes: [] }));

/** A current distribution on bare metal, as an ordinary user. */
const good: Examined = {
  platform: 'linux',
  arch: 'x64',
  release: '6.12.48-generic',
  nodeVersion: '22.20.0',
  addonProblem: undefined,
  probe: { ...probe(), arch: 'x64', landlockAbi: 6, landlockErrata: 0, seccomp: true, procWhole: true, namespaces: { by: 'user', missing: '' }, cgroups: { folder: '/sys/fs/cgroup/user.slice', controllers: ['memory', 'pids', 'cpu'], missing: '' } },
  uid: 1000,
  capabilities: [],
  secretMemory: 'memfd_secret',
  memlockBytes: 8 << 20,
  bornDumpable: false,
  node: { path: '/usr/bin/node', uid: 0, mode: 0o711, writable: false },
  temporary: { path: '/tmp', filesystem: 0xef53 },
  texts: {
    '/proc/sys/kernel/yama/ptrace_scope': '1',
    '/proc/sys/kernel/seccomp/actions_avail': 'kill_process kill_thread trap errno user_notif trace log allow',
    '/proc/sys/kernel/core_pattern': '|/usr/lib/systemd/systemd-coredump %P %u',
    '/proc/swaps': 'Filename Type Size Used Priority',
    '/proc/self/cgroup': '0::/user.slice',
  },
  markers: [],
  loaderVariables: [],
  guarantees: all,
};

const on = (facts: Partial<Examined>, changed: Partial<Probe> = {}): Examined => ({ ...good, probe: { ...(good.probe as Probe), ...changed }, ...facts });
const without = (...names: string[]): Guarantee[] => all.map((row) => (names.includes(row.name) ? { ...row, enforcement: 'unavailable', missing: ['why'] } : row));

function find(facts: Examined, name: string): Check {
  const found = checks(facts).find((row) => row.name === name);
  if (found === undefined) throw new Error(`no row ${name}`);
  return found;
}

doctor('a host that has everything: nothing to do, and both levels hold', () => {
  const rows = checks(on({ release: '7.2.1' }, { landlockAbi: 10, landlockErrata: 7 }));
  assert.equal(rows.filter(({ status }) => status !== 'ok'), []);
  assert.equal(verdictOn(good, rows), { standard: { holds: true, lacks: [] }, strict: { holds: true, lacks: [] } });
});

doctor('other hosts: the row that differs, its status, and what to do', () => {
  const rows: [host: string, facts: Examined, row: string, status: string, said: RegExp][] = [
    ['older than Landlock', on({ release: '5.10.0-33-amd64' }, { landlockAbi: 0 }), 'Landlock', 'missing', /older.*Linux 6\.12/],
    ['Landlock not switched on', on({ texts: { ...good.texts, '/sys/kernel/security/lsm': 'capability,yama,apparmor' } }, { landlockAbi: 0 }), 'Landlock', 'missing', /not among.*lsm=landlock,capability,yama,apparmor/],
    ['WSL2: no securityfs, and Landlock absent', on({ release: '6.6.87.2-microsoft-standard-WSL2' }, { landlockAbi: 0 }), 'Landlock', 'missing', /built without it, switched off at boot/],
    ['WSL2: no securityfs, and Landlock there', on({ release: '6.18.0-microsoft-standard-WSL2' }, { landlockAbi: 7 }), 'Landlock', 'ok', /ABI 7/],
    ['Linux 6.8', on({ release: '6.8.0' }, { landlockAbi: 4 }), 'Landlock', 'missing', /ABI 4.*ABI 6.*6\.12/],
    ['errata unknown', on({}, { landlockErrata: 0 }), 'Landlock errata', 'warn', /cannot be asked/],
    ['errata: one open', on({}, { landlockAbi: 7, landlockErrata: 3 }), 'Landlock errata', 'warn', /moved out of a bind mount/],
    ['errata: a harmless one open', on({}, { landlockAbi: 7, landlockErrata: 5 }), 'Landlock errata', 'ok', /threads of one process/],
    ['no seccomp', on({}, { seccomp: false }), 'seccomp filters', 'missing', /CONFIG_SECCOMP_FILTER/],
    ['no notifications', on({ texts: { ...good.texts, '/proc/sys/kernel/seccomp/actions_avail': 'kill_thread trap errno trace log allow' } }), 'seccomp notify', 'warn', /no network/],
    ['hidepid=2', on({}, { procWhole: false }), '/proc', 'missing', /hidepid=0/],
    ['riscv', on({ arch: 'riscv64' }, { arch: 'other' }), 'architecture', 'missing', /x86_64 and aarch64/],
    ['no memfd_secret', on({ secretMemory: 'mlock' }), 'memfd_secret', 'warn', /secretmem\.enable=1/],
    ['little to lock', on({ memlockBytes: 65536 }), 'RLIMIT_MEMLOCK', 'warn', /64 KiB.*ulimit -l/],
    ['nothing to lock with, and swap', on({ secretMemory: undefined, texts: { ...good.texts, '/proc/swaps': 'Filename\n/dev/sda2 partition 1 0 -2' } }), 'swap', 'warn', /swapoff/],
    ['a core handler', good, 'core_pattern', 'ok', /systemd-coredump.*dumpable/],
    ['no Yama', on({ bornDumpable: true, texts: {} }), 'Yama', 'warn', /not there.*ptrace_scope=1/],
    ['Yama off', on({ bornDumpable: true, texts: { '/proc/sys/kernel/yama/ptrace_scope': '0' } }), 'Yama', 'warn', /ptrace_scope 0/],
    ['Yama on', on({ bornDumpable: true }), 'Yama', 'ok', /ptrace_scope 1/],
    ['an ordinary node', on({ bornDumpable: true, node: { path: '/usr/bin/node', uid: 0, mode: 0o755, writable: false } }), 'node binary', 'warn', /chmod 0711/],
    ['a node of our own', on({ bornDumpable: true, node: { path: '/home/me/node', uid: 1000, mode: 0o755, writable: true } }), 'node binary, code', 'warn', /chown root/],
    ['root with an execute-only node', on({ uid: 0, bornDumpable: true }), 'node binary', 'warn', /ordinary user/],
    ['Node 18', on({ nodeVersion: '18.20.4' }), 'Node', 'missing', /20\.19/],
    ['Node 22.11', on({ nodeVersion: '22.11.0' }), 'Node', 'missing', /22\.12/],
    ['Node 24', on({ nodeVersion: '24.8.0' }), 'Node', 'ok', /supported/],
    ['LD_PRELOAD', on({ loaderVariables: ['LD_PRELOAD'] }), 'loader variables', 'missing', /unset LD_PRELOAD/],
    ['NODE_OPTIONS', on({ loaderVariables: ['NODE_OPTIONS'] }), 'loader variables', 'warn', /unset NODE_OPTIONS/],
    ['Docker', on({ markers: ['/.dockerenv'], texts: { ...good.texts, '/proc/self/status': 'Seccomp:\t2' } }), 'own filter', 'ok', /under a seccomp filter/],
    ['Docker by name', on({ markers: ['/.dockerenv'] }), 'container', 'ok', /Docker/],
    ['Kubernetes', on({ texts: { '/proc/1/cgroup': '0::/kubepods/burstable' } }), 'container', 'ok', /Kubernetes/],
    ['Podman', on({ markers: ['/run/.containerenv'] }), 'container', 'ok', /Podman/],
    ['WSL', on({ texts: { '/proc/version': 'Linux version 6.6 (oe-user@oe-host) microsoft-standard-WSL2' } }), 'container', 'ok', /WSL/],
    ['root', on({ uid: 0, capabilities: ['CAP_SYS_PTRACE'] }), 'capabilities', 'warn', /CAP_SYS_PTRACE.*dropCapabilities/],
    ['Docker: no namespaces', on({ markers: ['/.dockerenv'] }, { namespaces: { by: 'none', missing: 'they may not be made' } }), 'namespaces', 'warn', /may not be made.*seccomp=unconfined/],
    ['Ubuntu 24.04', on({ texts: { ...good.texts, '/proc/sys/kernel/apparmor_restrict_unprivileged_userns': '1' } }, { namespaces: { by: 'none', missing: 'nothing may be mounted in one' } }), 'namespaces', 'warn', /AppArmor/],
    ['namespaces switched off', on({ texts: { '/proc/sys/user/max_user_namespaces': '0' } }, { namespaces: { by: 'none', missing: 'no' } }), 'namespaces', 'warn', /max_user_namespaces=15000/],
    ['root', on({}, { namespaces: { by: 'own', missing: '' } }), 'namespaces', 'ok', /CAP_SYS_ADMIN/],
    ['cgroup v1', on({}, { cgroups: { folder: '', controllers: [], missing: 'version 2 is not mounted' } }), 'cgroup', 'warn', /not mounted.*Delegate=yes/],
    ['controllers elsewhere', on({ uid: 0 }, { cgroups: { folder: '/sys/fs/cgroup', controllers: ['pids'], missing: 'memory and cpu are not passed on' } }), 'cgroup', 'warn', /pids; memory and cpu.*mounted writable/],
    ['few watches', on({ texts: { '/proc/sys/fs/epoll/max_user_watches': '8192' } }), 'epoll watches', 'warn', /max_user_watches=/],
    ['TIOCSTI allowed', on({ texts: { '/proc/sys/dev/tty/legacy_tiocsti': '1' } }), 'legacy_tiocsti', 'ok', /legacy_tiocsti=0/],
    ['a kernel before the fix', good, 'CVE-2026-46333', 'warn', /cannot be told/],
    ['a kernel with the fix', on({ release: '7.1.0' }), 'CVE-2026-46333', 'ok', /fixed in Linux 7\.1/],
    ['no known fix, and no need of one', good, 'CVE-2026-72183', 'ok', /closed by Sallyport.*session/],
    ['systemd-coredump', good, 'CVE-2025-4598', 'ok', /closed by Sallyport/],
    ['no addon', on({ addonProblem: 'it is not there', probe: undefined }), 'addon', 'missing', /npm rebuild/],
    ['a package of our own', on({ guarantees: all.map((row) => (row.name === 'code' ? { ...row, notes: ['/x belongs to this user'] } : row)) }), 'guarantee code', 'warn', /belongs to this user/],
    ['macOS', on({ platform: 'darwin' }), 'system', 'missing', /Linux alone/],
  ];
  for (const [host, facts, name, status, said] of rows) {
    const row = find(facts, name);
    assert.is(row.status, status, `${host}: ${JSON.stringify(row)}`);
    assert.match(`${row.value} ${row.meaning} ${row.advice}`, said, host);
    if (status === 'missing') assert.is(verdictOn(facts, checks(facts)).standard.holds, false, host);
    if (status !== 'ok') assert.ok(row.advice !== '', host);
  }
});

doctor('the verdict is what was tried: a guarantee that did not hold, or a process that could not be hardened', () => {
  assert.equal(verdictOn(on({ guarantees: without('code') }), checks(good)).standard, { holds: false, lacks: ['code: why'] });
  assert.is(verdictOn(on({ guarantees: undefined }), checks(good)).standard.holds, false);
  const strict = verdictOn(good, checks(on({}, { namespaces: { by: 'none', missing: 'denied' } }))).strict;
  assert.is(strict.holds, false);
  assert.match(strict.lacks.join(), /namespaces: denied/);
});

doctor('every row of any host names guarantees that exist, and is plain data', () => {
  const bare: Examined = { ...good, texts: {}, probe: undefined, addonProblem: 'x', node: undefined, uid: undefined, memlockBytes: undefined, secretMemory: undefined, bornDumpable: undefined, guarantees: undefined };
  for (const facts of [good, bare, { ...bare, platform: 'win32' }, { ...hostFacts(), guarantees: all }]) {
    for (const row of checks(facts)) {
      assert.ok(row.guarantees.every((name) => guaranteeNames.includes(name)), row.name);
      assert.equal(JSON.parse(JSON.stringify(row)), row);
      assert.not.match(`${row.value}${row.meaning}${row.advice}`, /undefined|NaN|\[object/);
    }
  }
});

doctor('kernel versions compare as numbers', () => {
  assert.ok(kernelVersion('6.2.0') < kernelVersion('6.12.0-rc1') && kernelVersion('6.18') < kernelVersion('7.0.0'));
  assert.is(kernelVersion('nonsense'), 0);
});

// ---

const ask = (args: readonly string[] = [], options = {}): Promise<Done> => cli([...asWeAre, 'doctor'], args, options);

doctor('on this host, as each user: standard holds, and --json says the same as the text', async () => {
  await asEachUser(async (words, who) => {
    const { code, stdout, stderr } = await cli([...words, 'doctor'], []);
    assert.equal([code, stderr], [0, ''], who + stdout);
    assert.match(stdout, /standard +holds/);
    for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line);
    assert.not.match(stdout, /\u001b|undefined|NaN/);
    const json = await cli([...words, 'doctor'], ['--json']);
    const printed = JSON.parse(json.stdout) as Printed;
    assert.equal(Object.keys(printed), ['host', 'verdict', 'checks']);
    assert.ok(printed.verdict.standard.holds);
    assert.is(printed.host.node, process.versions.node);
    for (const row of printed.checks) {
      assert.equal(Object.keys(row), ['name', 'value', 'status', 'guarantees', 'meaning', 'advice']);
      assert.ok(stdout.includes(row.name) && ['ok', 'warn', 'missing'].includes(row.status), row.name);
    }
  });
});

doctor('it sees what is set around it', async () => {
  const { code, stdout } = await ask(['--json'], { env: { LD_PRELOAD: '/nonexistent.so' } });
  const { verdict, checks: rows } = JSON.parse(stdout) as Printed;
  assert.is(code, 1);
  assert.match(verdict.standard.lacks.join(), /LD_PRELOAD/);
  assert.is(rows.find(({ name }) => name === 'loader variables')?.status, 'missing');
});

doctor('on another system, and where the addon is absent, it says so and does not throw', async () => {
  const other = await cli([process.execPath, '--import', 'data:text/javascript,Object.defineProperty(process,"platform",{value:"darwin"})', `${root}lib/cli/main.js`, 'doctor'], []);
  assert.equal([other.code, other.stderr], [1, '']);
  assert.match(other.stdout, /Linux alone/);

  const folder = mkdtempSync(join(tmpdir(), 'sallyport-doctor-'));
  try {
    for (const part of ['lib', 'package.json']) cpSync(join(root, part), join(folder, part), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    const bare = await cli([process.execPath, join(folder, 'lib/cli/main.js'), 'doctor'], []);
    assert.equal([bare.code, bare.stderr], [1, '']);
    assert.match(bare.stdout, /addon +not loaded/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

doctor('--help, and what it does not take', async () => {
  assert.match((await ask(['--help'])).stdout, /usage: sallyport doctor/);
  for (const args of [['--nope'], ['more']]) {
    const { code, stdout, stderr } = await ask(args);
    assert.equal([code, stdout], [2, '']);
    assert.match(stderr, /^sallyport doctor: /);
  }
});

doctor.run();
