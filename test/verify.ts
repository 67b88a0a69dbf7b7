// The command line of the proof. Its exploits themselves are run by test/proof-*.ts.

import { readdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { guaranteeNames } from '../lib/index.js';
import type { Attack } from '../lib/proof/attack.js';
import { catalogue } from '../lib/proof/catalogue.js';
import { exitCodeOfProof, exploitReport, prove, type ExploitReport, type ProofReport } from '../lib/proof/verification.js';
import type { AttackResult } from '../lib/proof/runner.js';
import { asWeAre, cli } from './helpers/cli.js';

const verify = suite('verify');
const first = catalogue[0] as Attack;

verify('--json prints one object with the fields and words that others read, all eighteen guarantees in it', async () => {
  const { code, stdout, stderr } = await cli(asWeAre, ['verify', '--json', '--exploit', 'proc-environ', '--exploit', 'sigkill']);
  assert.is(code, 0, stderr);
  assert.is(stderr, '');
  const report = JSON.parse(stdout) as ProofReport;
  assert.equal(Object.keys(report), ['host', 'level', 'guarantees']);
  assert.is(report.level, 'standard');
  assert.is(report.host['uid'], process.geteuid?.());
  assert.equal(report.guarantees.map(({ name }) => name), [...guaranteeNames]);
  for (const row of report.guarantees) {
    assert.equal(Object.keys(row), ['name', 'status', 'mechanisms', 'exploits']);
    assert.ok(['enforced', 'partial', 'unavailable'].includes(row.status));
    assert.ok(row.mechanisms.length > 0, row.name);
  }
  assert.equal(report.guarantees.flatMap(({ exploits }) => exploits), [
    { name: 'proc-environ', off: 'leaked', on: 'blocked' },
    { name: 'sigkill', off: 'disrupted', on: 'blocked' },
  ]);
  assert.not.match(stdout, /eyJ|ghp_/);
});

verify('the table groups by guarantee and says what each rests on, without colours in a file', async () => {
  const { code, stdout } = await cli(asWeAre, ['verify', '--guarantee', 'environ', '--jobs', '3', '--evidence']);
  assert.is(code, 0, stdout);
  assert.match(stdout, /^environ {2}enforced {2}the environment area is zero/m);
  for (const { title } of catalogue.filter(({ guarantee }) => guarantee === 'environ')) assert.ok(stdout.includes(title), title);
  assert.match(stdout, /off: it printed the supervisor's token/);
  assert.match(stdout, /Each worked with the protections off, and none with them on/);
  assert.not.match(stdout, /\u001b|eyJ|ghp_/);
});

verify('--list names every exploit and runs none', async () => {
  const { code, stdout } = await cli(asWeAre, ['verify', '--list']);
  assert.is(code, 0);
  for (const { name } of catalogue) assert.ok(stdout.includes(`  ${name} `), name);
});

verify('--help answers, and a wrong value ends with 2 and nothing on standard output', async () => {
  assert.match((await cli(asWeAre, ['verify', '--help'])).stdout, /usage: sallyport verify/);
  for (const args of [['--guarantee', 'everything'], ['--exploit', 'none'], ['--level', 'some'], ['--jobs', '0'], ['--jobs', 'x'], ['--nonsense'], ['more']]) {
    const { code, stdout, stderr } = await cli(asWeAre, ['verify', ...args]);
    assert.is(code, 2, args.join(' '));
    assert.is(stdout, '');
    assert.match(stderr, /sallyport verify: /);
  }
});

for (const [signal, exitCode] of [['SIGINT', 130], ['SIGTERM', 143]] as const) {
  verify(`${signal} ends it with ${exitCode}, without a report, and leaves nothing`, async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'sallyport-test-'));
    try {
      const { code, stdout, stderr } = await cli(asWeAre, ['verify', '--guarantee', 'memory', '--guarantee', 'environ'], {
        env: { TMPDIR: scratch },
        during: (child) => {
          const watch = setInterval(() => {
            if (readdirSync(scratch).length === 0) return; // no exploit runs yet
            clearInterval(watch);
            child.kill(signal);
          }, 20);
          child.once('exit', () => clearInterval(watch));
        },
      });
      assert.is(code, exitCode, stderr);
      assert.not.match(stdout, /exploits in/);
      assert.is(stderr, '');
      assert.equal(readdirSync(scratch), []);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
}

// ---

const reportOf = (status: 'enforced' | 'partial' | 'unavailable', ...exploits: ExploitReport[]): ProofReport => ({
  host: {},
  level: 'standard',
  guarantees: [{ name: 'memory', status, mechanisms: [], exploits }],
});
const shown: ExploitReport = { name: 'a', off: 'leaked', on: 'blocked' };

verify('the exit code is 0 when what is claimed was shown, and only then', () => {
  for (const status of ['enforced', 'partial'] as const) {
    assert.is(exitCodeOfProof(reportOf(status, shown, { name: 'b', off: 'disrupted', on: 'blocked' })), 0);
    assert.is(exitCodeOfProof(reportOf(status, shown, { name: 'b', off: 'skipped', on: 'skipped', reason: 'x' })), 0);
    for (const on of ['leaked', 'disrupted', 'error'] as const) assert.is(exitCodeOfProof(reportOf(status, shown, { name: 'b', off: 'leaked', on })), 1, on);
    for (const off of ['blocked', 'error'] as const) assert.is(exitCodeOfProof(reportOf(status, shown, { name: 'b', off, on: 'blocked' })), 1, off);
  }
  assert.is(exitCodeOfProof(reportOf('enforced')), 1);
  assert.is(exitCodeOfProof(reportOf('enforced', { name: 'b', off: 'skipped', on: 'skipped', reason: 'x' })), 1);
});

verify('what is not claimed on this host may be broken, as the report says', () => {
  const broken = reportOf('unavailable', { name: 'b', off: 'leaked', on: 'leaked' });
  const claimed = reportOf('enforced', shown);
  assert.is(exitCodeOfProof({ ...claimed, guarantees: [...claimed.guarantees, ...broken.guarantees] }), 0);
});

verify('an exploit that did not run says why', () => {
  const result: AttackResult = { attack: first, unprotected: { verdict: 'leaked', evidence: 'x' }, protected: { verdict: 'error', evidence: 'it did not start' } };
  assert.equal(exploitReport(first, result), { name: first.name, off: 'leaked', on: 'error', reason: 'it did not start' });
  const lacking: Attack = { ...first, needs: [() => 'this host has no such thing'] };
  assert.equal(exploitReport(lacking, undefined), { name: first.name, off: 'skipped', on: 'skipped', reason: 'this host has no such thing' });
});

verify('exploits that must be alone run after the others, one at a time', async () => {
  const running = new Set<string>();
  const seen: string[] = [];
  const attacks = ['a', 'b', 'c', 'd'].map((name): Attack => ({ ...first, name, alone: name === 'a' || name === 'b' }));
  const nowhere = { baseUrl: '', admit: () => Promise.reject(new Error('no server')), result: () => Promise.resolve(null) };
  const results = await prove(attacks, nowhere, {
    jobs: 2,
    onStart: ({ name, alone }) => {
      if (alone === true) assert.equal([...running], []);
      running.add(name);
      seen.push(name);
    },
    onResult: ({ attack }) => running.delete(attack.name),
  });
  assert.equal(seen, ['c', 'd', 'a', 'b']);
  assert.equal(results.map(({ attack }) => attack.name), ['a', 'b', 'c', 'd']);
  assert.ok(results.every((result) => result.protected.verdict === 'error'));
});

verify.run();
