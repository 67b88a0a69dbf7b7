// Under Docker's default seccomp profile, as most supervisors run: first that filter alone, then a container of crun's.

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compileSeccomp } from '../lib/kernel/seccomp.js';
import { probe } from '../lib/kernel/probe.js';
import { syscallNumbers, type SyscallName } from '../lib/kernel/syscalls.js';
import { compile } from './helpers/compile.js';
import { noContainer, runInContainer } from './helpers/container.js';
import { dockerCapabilities, dockerFilter } from './helpers/docker-seccomp.js';
import { withReadableCopy } from './helpers/unprivileged.js';

const container = suite('container');
const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const isRoot = process.getuid?.() === 0;
const folder = mkdtempSync(join(tmpdir(), 'sallyport-container-test-'));
chmodSync(folder, 0o755);
container.after(() => rmSync(folder, { recursive: true, force: true }));

const { arch } = probe();
if (arch === 'other') throw new Error('no profile for this architecture');

function filterFile(capabilities: readonly string[]): string {
  const file = join(folder, `filter-${capabilities.length}`);
  writeFileSync(file, compileSeccomp(dockerFilter(arch as 'x64' | 'arm64', capabilities), arch as 'x64' | 'arm64'), { mode: 0o644 });
  return file;
}

/** A container's root: uid 0 with Docker's capabilities and none besides. */
const containerRoot = ['setpriv', `--bounding-set=-all${dockerCapabilities.map((name) => `,+${name.slice(4).toLowerCase()}`).join('')}`, '--inh-caps=-all'];

interface Report {
  readonly harden: readonly { name: string; enforcement: string; missing: readonly string[] }[];
  readonly plain: { exit: object; output: string };
  readonly connected: { exit: object; output: string };
}

function run(words: readonly string[], cwd = root): { status: number | null; stdout: string; stderr: string } {
  const [program = '', ...args] = words;
  return spawnSync(program, args, { encoding: 'utf8', cwd, timeout: 240_000, killSignal: 'SIGKILL', env: { PATH: process.env['PATH'], HOME: '/tmp', LANG: 'C.UTF-8' } });
}

function report(words: readonly string[], cwd: string): Report {
  const { stdout, stderr, status } = run([...words, process.execPath, join(root, 'test/fixtures/docker-report.js')], cwd);
  assert.is(status, 0, stderr);
  return JSON.parse(stdout) as Report;
}

/** The words that run a command as this kind of user, with and without Docker's filter. */
async function asEach(use: (name: string, plain: readonly string[], filtered: readonly string[]) => void): Promise<void> {
  const confine = compile('confine');
  chmodSync(join(confine, '..'), 0o755);
  const unprivileged = isRoot ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all'] : [];
  use('an ordinary user', unprivileged, [...unprivileged, confine, filterFile([])]);
  if (isRoot) use("a container's root", containerRoot, [...containerRoot, confine, filterFile(dockerCapabilities)]);
}

container("under Docker's filter harden() and launch() report what they report without it, and tasks run", () =>
  asEach((name, plain, filtered) => {
    const without = report(plain, root);
    const within = report(filtered, root);
    assert.equal(within, without, name);
    assert.ok(within.harden.every(({ enforcement }) => enforcement !== 'unavailable'), name);
    assert.equal([within.plain.exit, within.plain.output], [{ kind: 'exited', exitCode: 3 }, 'ran\n'], name);
    assert.equal([within.connected.exit, within.connected.output], [{ kind: 'exited', exitCode: 0 }, 'reached'], name);
  }));

container("the filter is on: clone3 answers ENOSYS, so that launches took the other way, and mounts are refused", () =>
  asEach((name, plain, filtered) => {
    const number = (call: SyscallName): number => syscallNumbers[call][arch === 'x64' ? 0 : 1];
    const calls = [`${number('clone3')} -1 88`, `${number('keyctl')} 99 0`, `${number('getpid')}`];
    const answers = (words: readonly string[]): number[] => run([...words, compile('try-syscall'), ...calls]).stdout.trim().split('\n').map(Number);
    assert.equal(answers(plain).slice(0, 2), [-14, -95], `control: ${name}`);
    assert.equal(answers(filtered).slice(0, 2), [-38, -1], name);
  }));

/** All attacks of the demo, against an ordinary supervisor and against Sallyport. */
function checkDemo(name: string, { status, stdout, stderr }: { status: number | null; stdout: string; stderr: string }): void {
  assert.is(status, 0, `${name}\n${stdout}\n${stderr}`);
  assert.match(stdout, /^ +ordinary +\d+ leaked, \d+ disrupted/m, name);
  assert.match(stdout, /^ +Sallyport +\d+ blocked$/m, name);
}

const lacking = noContainer();
if (lacking !== undefined) console.log(`skipped: ${lacking}`);
const real = lacking === undefined ? container : container.skip;

// A container is the same and more.
if (lacking !== undefined) {
  container("under Docker's filter the demo's attacks are blocked", () =>
    asEach((name, _plain, filtered) => checkDemo(name, run([...filtered, process.execPath, 'lib/cli/main.js', 'demo']))));
}

for (const user of [65534, 0]) {
  real(`in a container, as uid ${user}, the demo's attacks are blocked`, () =>
    withReadableCopy(root, async (copy) => checkDemo(`uid ${user}`, runInContainer(user, [process.execPath, 'lib/cli/main.js', 'demo'], copy))));
}

real('in a container the tests of launch() pass as they do outside', () => {
  const { stdout, stderr } = runInContainer(0, [process.execPath, 'test/run.js', 'launch'], root);
  assert.match(stdout, /^\d+ passed, 0 failed, 0 skipped$/m, stdout + stderr);
});

container.run();
