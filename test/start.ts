// The guarantee `start` against any process of the user, with a node binary that may be executed and not read. That it holds
// with `sallyport exec --user` is shown by test/proof-supervisor.ts, as root.

import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ProofReport } from '../lib/proof/verification.js';
import { cli } from './helpers/cli.js';
import { withReadableCopy } from './helpers/unprivileged.js';

const start = suite('start');
const root = fileURLToPath(new URL('..', import.meta.url));
const isRoot = process.getuid?.() === 0;
const asRoot = isRoot ? start : start.skip;
if (!isRoot) console.log('an execute-only node: skipped, only root can make one');

interface Doctor {
  readonly verdict: { readonly strict: { readonly lacks: string[] } };
  readonly checks: { readonly name: string; readonly status: string; readonly advice: string }[];
}

asRoot('uid 65534 with an execute-only node: watched from before its birth, and nothing is got', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-start-'));
  try {
    chmodSync(folder, 0o755);
    const node = join(folder, 'node');
    copyFileSync(process.execPath, node);
    await withReadableCopy(root, async (copy, unprivileged) => {
      const main = `${copy}/lib/cli/main.js`;
      const run = async (...args: string[]): Promise<string> => (await cli([...unprivileged, node, main] as unknown as readonly [string, ...string[]], args, { env: { NODE_OPTIONS: '' } })).stdout;
      const births = async (): Promise<string[][]> => {
        const report = JSON.parse(await run('verify', '--json', '--guarantee', 'start')) as ProofReport;
        return report.guarantees.flatMap(({ exploits }) => exploits).filter(({ name }) => name.startsWith('birth-')).map(({ name, off, on, reason }) => [name, off, on, reason ?? '']);
      };
      const words = ['birth-mem', 'birth-environ', 'birth-descriptor', 'birth-trace'];

      chmodSync(node, 0o755); // control: readable, it is not closed, and nothing is claimed
      assert.equal((await births()).map(([name, off]) => [name, off]), words.map((name) => [name, 'skipped']));
      const open = JSON.parse(await run('doctor', '--json')) as Doctor;
      assert.match(open.checks.find(({ name }) => name === 'node binary')?.advice ?? '', /exec --user|chmod 0711/);
      assert.ok(open.verdict.strict.lacks.some((lack) => lack.startsWith('node binary')));

      chmodSync(node, 0o711);
      assert.equal(await births(), words.map((name) => [name, 'leaked', 'blocked', '']));
      const closed = JSON.parse(await run('doctor', '--json')) as Doctor;
      assert.is(closed.checks.find(({ name }) => name === 'node binary')?.status, 'ok');
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

start('a process whose flag something cleared on the way is not taken for one that was born without it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-start-'));
  try {
    // A second copy of the addon stands for what cleared it: it has a memory of its own.
    const [addon, other] = [join(root, 'build/Release/sallyport.node'), join(folder, 'other.node')];
    copyFileSync(addon, other);
    const script = `
      const other = require(${JSON.stringify(other)});
      other.disableDumpable();
      const addon = require(${JSON.stringify(addon)});
      console.log(JSON.stringify([other.bornDumpable(), addon.getDumpable(), addon.bornDumpable()]));`;
    assert.equal(JSON.parse(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' })), [true, 0, true]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

start.run();
