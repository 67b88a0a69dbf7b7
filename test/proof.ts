// The proof itself: what it calls blocked was tried, and what it starts is gone afterwards.
// The exploits are run by test/proof-*.ts.

import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ApiProcess } from '../lib/proof/api-process.js';
import type { Attack } from '../lib/proof/attack.js';
import { catalogue } from '../lib/proof/catalogue.js';
import { exitCodeOf, reportRow } from '../lib/proof/report.js';
import { attempt, type AttackResult, type Verdict } from '../lib/proof/runner.js';

const proof = suite('proof');

let api: ApiProcess;
let scratch: string;

proof.before(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'sallyport-test-'));
  mkdirSync(join(scratch, 'tmp'));
  process.env['TMPDIR'] = join(scratch, 'tmp');
  api = await ApiProcess.start();
});

proof.after(async () => {
  delete process.env['TMPDIR'];
  rmSync(scratch, { recursive: true, force: true });
  await api.end();
});

proof('every exploit has a name and a title of its own', () => {
  for (const field of ['name', 'title'] as const) assert.is(new Set(catalogue.map((attack) => attack[field])).size, catalogue.length, field);
});

proof('an attack that does not run is an error, and never blocked', async () => {
  const absent: Attack = { ...(catalogue[0] as Attack), name: 'no-such-attack' };
  for (const side of ['ordinary', 'sallyport'] as const) {
    const { verdict, evidence } = await attempt(absent, side, api);
    assert.is(verdict, 'error', evidence);
  }
});

proof('a supervisor that holds no token of the server protects nothing, and is not called blocked', async () => {
  const bad = (which: 'token' | 'neighbourToken') => ({
    baseUrl: api.baseUrl,
    admit: async () => ({ ...(await api.admit()), [which]: `eyJ${'x'.repeat(60)}.eyJ${'x'.repeat(60)}.x` }),
    result: () => Promise.resolve(null),
  });
  const without = await attempt(catalogue[0] as Attack, 'sallyport', bad('token'));
  assert.is(without.verdict, 'disrupted', without.evidence);
  const neighbourWithout = await attempt(catalogue[0] as Attack, 'sallyport', bad('neighbourToken'));
  assert.is(neighbourWithout.verdict, 'error', neighbourWithout.evidence);
});

proof('no attempt left a file or a process behind', () => {
  assert.equal(readdirSync(join(scratch, 'tmp')), []);
  const here = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && workingFolder(pid).startsWith(scratch));
  assert.equal(here, []);
});

function workingFolder(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

// ---

const resultWith = (word: Verdict): AttackResult => ({
  attack: catalogue[0] as Attack,
  unprotected: { verdict: 'leaked', evidence: 'x' },
  protected: { verdict: word, evidence: 'y' },
});

proof('the exit code is 0 when everything was blocked, and only then', () => {
  assert.is(exitCodeOf([resultWith('blocked'), resultWith('blocked')]), 0);
  for (const word of ['leaked', 'disrupted', 'error'] as const) assert.is(exitCodeOf([resultWith('blocked'), resultWith(word)]), 1);
  assert.is(exitCodeOf([]), 1);
});

proof('a row of the report has the four fields that others read', () => {
  assert.equal(Object.keys(reportRow(resultWith('blocked'))), ['name', 'unprotected', 'protected', 'detail']);
});

proof.run();
