import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { GuaranteeName } from '../../lib/index.js';
import { ApiProcess } from '../../lib/proof/api-process.js';
import { catalogue } from '../../lib/proof/catalogue.js';
import { whyNot } from '../../lib/proof/needs.js';
import type { AttackResult } from '../../lib/proof/runner.js';
import { prove, type ProofReport } from '../../lib/proof/verification.js';
import { withReadableCopy } from './unprivileged.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const isRoot = process.getuid?.() === 0;
if (isRoot && spawnSync('setpriv', ['--version']).status !== 0) throw new Error('as root these tests need setpriv, of util-linux');

/** The exploits of some guarantees, against both supervisors: as whoever runs the tests, and where that is root as uid 65534 too. */
export function proveGuarantees(name: string, ...guarantees: readonly GuaranteeName[]): void {
  const proof = suite(name);
  const attacks = catalogue.filter(({ guarantee }) => guarantees.includes(guarantee));
  let results: readonly AttackResult[];

  proof('the exploits run, and leave no file and no process behind', async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'sallyport-test-'));
    process.env['TMPDIR'] = scratch;
    const api = await ApiProcess.start();
    try {
      results = await prove(attacks, api);
      assert.equal(readdirSync(scratch), []);
      assert.equal(readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && workingFolder(pid).startsWith(scratch)), []);
    } finally {
      delete process.env['TMPDIR'];
      await api.end();
      rmSync(scratch, { recursive: true, force: true });
    }
  });

  for (const attack of attacks) {
    const lack = whyNot(attack);
    const test = lack === undefined ? proof : proof.skip;
    if (lack !== undefined) console.log(`${attack.name}: skipped, ${lack}`);
    test(`${attack.name}: works on an ordinary supervisor, and is blocked by a hardened one, which holds the token all the while`, () => {
      const result = results.find((candidate) => candidate.attack === attack);
      assert.is(result?.unprotected.verdict, attack.off, result?.unprotected.evidence);
      assert.is(result?.protected.verdict, 'blocked', result?.protected.evidence);
    });
  }

  if (isRoot) {
    proof('the same as uid 65534, by `sallyport verify`', async () => {
      await withReadableCopy(root, async (folder, [program, ...args]) => {
        const options = guarantees.flatMap((guarantee) => ['--guarantee', guarantee]);
        const report = await verify(program, [...args, process.execPath, `${folder}/lib/cli/main.js`, 'verify', '--json', ...options]);
        const rows = report.guarantees.flatMap(({ exploits }) => exploits);
        assert.equal(rows.map((row) => row.name), attacks.map((attack) => attack.name));
        for (const { name: exploit, off, on, reason } of rows) {
          const attack = attacks.find((candidate) => candidate.name === exploit);
          if (off === 'skipped' && attack?.needs !== undefined) continue;
          assert.equal([exploit, off, on], [exploit, attack?.off, 'blocked'], reason);
        }
      });
    });
  }

  proof.run();
}

function workingFolder(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

function verify(program: string, args: readonly string[]): Promise<ProofReport> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (stdout === '') reject(error ?? new Error(stderr));
      else resolve(JSON.parse(stdout) as ProofReport);
    });
  });
}
