// A kernel that answers 0 and does nothing: what a launch sets it reads back, or runs into. The lie is a seccomp filter on the supervisor.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compileSeccomp, type SyscallRule } from '../lib/kernel/seccomp.js';
import { probe, strictProbe } from '../lib/kernel/probe.js';
import { syscallNumbers, type SyscallName } from '../lib/kernel/syscalls.js';
import { compile } from './helpers/compile.js';

const restrict = suite('restrict');
const folder = mkdtempSync(join(tmpdir(), 'sallyport-restrict-'));
restrict.after(() => rmSync(folder, { recursive: true, force: true }));
const { arch } = probe();

function launchUnder(lie: Partial<Record<SyscallName, SyscallRule>>, level = 'standard'): unknown {
  const rules = new Map<SyscallName, SyscallRule>();
  for (const name of Object.keys(syscallNumbers) as SyscallName[]) rules.set(name, lie[name] ?? { action: 'allow' });
  const filter = join(folder, 'filter');
  writeFileSync(filter, compileSeccomp({ rules, defaultAction: { errno: 38 } }, arch as 'x64' | 'arm64'));
  const fixture = fileURLToPath(new URL('fixtures/launch-once.js', import.meta.url));
  const { stdout, stderr } = spawnSync(compile('confine'), [filter, process.execPath, fixture, level], { encoding: 'utf8', timeout: 60_000, killSignal: 'SIGKILL' });
  assert.is(stderr, '');
  return JSON.parse(stdout);
}

const done = { errno: 0 };
const prctl = (option: number): SyscallRule => ({ clauses: [{ tests: [{ argument: 0, type: 'int', equals: option }], action: done }], action: 'allow' });

restrict('a launch that is told the truth works', () => {
  assert.equal(launchUnder({}), { exit: { kind: 'exited', exitCode: 0 } });
});

type Lie = [string, Partial<Record<SyscallName, SyscallRule>>, step: string, syscall: string];

/** What is not done, and by which step and call it shows. */
const lies: Lie[] = [
  ['the Landlock domain', { landlock_restrict_self: { action: done } }, 'verify', 'landlock_restrict_self'],
  ['the session', { setsid: { action: done } }, 'sweeper', 'getsid'], // the first to be restricted is our own sweeper
  ...(process.getuid?.() === 0 ? [['the capabilities', { capset: { action: done } }, 'verify', 'capget'] satisfies Lie] : []),
  ['the parent-death signal', { prctl: prctl(1) }, 'verify', 'prctl(PR_GET_PDEATHSIG)'],
  ['the limits', { prlimit64: { clauses: [{ tests: [{ argument: 2, type: 'pointer', equals: 0 }], action: 'allow' }], action: done } }, 'verify', 'prlimit'],
  ['the filter', { seccomp: { action: done } }, 'seccomp', 'seccomp'],
];

for (const [what, lie, step, syscall] of lies) {
  restrict(`${what}: a kernel that only says that it is there starts nothing`, () => {
    assert.equal(launchUnder(lie), { code: 'ERR_TASK_START', step, syscall });
  });
}

if (strictProbe().namespaces?.by !== 'none') {
  restrict('the Landlock domain of a task in namespaces of its own, likewise', () => {
    assert.equal(launchUnder({}, 'strict'), { exit: { kind: 'exited', exitCode: 0 } });
    assert.equal(launchUnder({ landlock_restrict_self: { action: done } }, 'strict'), { code: 'ERR_TASK_START', step: 'verify', syscall: 'landlock_restrict_self' });
  });
}

restrict.run();
