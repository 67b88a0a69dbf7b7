// Ordinary programs run under the presets unchanged: each prints the same in a task as it does unconfined.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launch, policies, type Policy } from '../lib/index.js';
import { node } from './programs/node.js';
import { limited } from './programs/limited.js';
import type { Program } from './programs/program.js';
import { python } from './programs/python.js';
import { shell } from './programs/shell.js';

const has = (command: string): boolean => spawnSync('sh', ['-c', 'command -v "$1"', 'sh', command], { stdio: 'ignore' }).status === 0;

interface Kind {
  readonly policy: () => Policy;
  readonly argv: (code: string) => readonly [string, ...string[]];
}

const kinds: Record<'shell' | 'node' | 'python', Kind> = {
  shell: { policy: () => policies.command(), argv: (code) => ['bash', '-e', '-c', code] },
  node: { policy: () => policies.node(), argv: (code) => [process.execPath, '-e', code] },
  python: { policy: () => policies.python(), argv: (code) => ['python3', '-c', code] },
};

interface Seen {
  readonly exit: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

async function seen(argv: readonly [string, ...string[]], policy: Policy, folder?: string): Promise<Seen> {
  await using task = await launch(argv, { policy });
  const { exit, stdout, stderr } = await task.output();
  const own = folder ?? task.scratch ?? '/nowhere';
  return { exit, stdout: stdout.replaceAll(own, '<own>'), stderr: stderr.replaceAll(own, '<own>') };
}

/** The same, as `child_process.spawn` would start it: in a folder of its own, with the same environment. */
async function control(argv: readonly [string, ...string[]], policy: Policy): Promise<Seen> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-programs-')));
  try {
    const environment = { ...policy.environment, HOME: folder, TMPDIR: folder };
    return await seen(argv, { dangerouslyUnconfined: true, environment, cwd: folder }, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function programs(kind: keyof typeof kinds, rows: readonly Program[]): void {
  const { policy, argv } = kinds[kind];
  const tests = suite(`programs: ${kind}`);
  for (const { name, code, needs = [] } of rows) {
    const missing = needs.filter((command) => !has(command));
    if (missing.length > 0) console.log(`skipped, without ${missing.join(', ')}: ${name}`);
    (missing.length > 0 ? tests.skip : tests)(name, async () => {
      const chosen = policy();
      const [expected, task] = await Promise.all([control(argv(code), chosen), seen(argv(code), chosen)]);
      const errors = `unconfined: ${expected.stderr.slice(-800)}\nin a task: ${task.stderr.slice(-800)}`;
      assert.equal(expected.exit, { kind: 'exited', exitCode: 0 }, `control\n${errors}`);
      assert.is(task.stdout, expected.stdout, errors);
      assert.equal(task.exit, expected.exit, errors);
    });
  }
  tests.run();
}

programs('shell', shell);
programs('node', node);
if (has('python3')) programs('python', python);
else console.log('skipped, without python3: the programs in Python');

const known = suite('programs: what docs/in-a-task.md says does not work');
for (const { name, kind, code, unconfined, inTask, needs = [] } of limited) {
  (needs.every(has) ? known : known.skip)(name, async () => {
    const { policy, argv } = kinds[kind];
    assert.match((await control(argv(code), policy())).stdout, unconfined, 'control');
    const { stdout, stderr } = await seen(argv(code), policy());
    assert.match(stdout + stderr, inTask);
    assert.not.match(stdout, unconfined);
  });
}
known.run();
