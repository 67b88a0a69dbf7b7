import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nativeProgram } from '../lib/native.js';

const sanitizers = suite('sanitizers');
const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'sallyport-sanitizers-'));
sanitizers.after(() => rmSync(folder, { recursive: true, force: true }));

const kernel = readdirSync(join(root, 'native', 'kernel')).filter((name) => name.endsWith('.cc')).map((name) => join(root, 'native', 'kernel', name));
const drivers = ['kernel-driver.cc', 'process-driver.cc', 'calls-driver.cc', 'files-driver.cc'].map((name) => join(root, 'test', 'fixtures', name));

function build(name: string, ...flags: string[]): string {
  const program = join(folder, name);
  const options = ['-std=c++17', '-O1', '-g', '-fno-rtti', '-fno-exceptions', '-Wl,--wrap=pthread_create', ...flags];
  const built = spawnSync(process.env['CXX'] ?? 'g++', [...options, '-o', program, ...drivers, ...kernel, '-lpthread'], { encoding: 'utf8' });
  assert.is(built.status, 0, built.stderr);
  return program;
}

function run(program: string, env = {}): void {
  const { status, signal, stdout, stderr } = spawnSync(program, [nativeProgram('sweeper'), nativeProgram('stage')], { encoding: 'utf8', timeout: 300_000, env: { ...process.env, ...env } });
  assert.equal({ status, signal, stdout, stderr }, { status: 0, signal: null, stdout: 'ok\n', stderr: '' });
}

sanitizers('native/kernel runs clean under AddressSanitizer and UndefinedBehaviorSanitizer', () => {
  run(build('address', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'));
});

sanitizers('native/kernel runs clean under ThreadSanitizer', () => {
  // A child that shares our memory has descriptors of its own (no CLONE_FILES): ThreadSanitizer knows one table for each memory, and takes
  // what the child opens and moves for ours. So what these do to descriptors alone is not looked at. Nor what closedir(3) does: it is seen,
  // and opendir(3) is not, so that the number is taken for what had it before.
  const suppressions = join(folder, 'suppressions');
  writeFileSync(suppressions, ['ArrangeDescriptors', 'EnterLandlockDomain', 'VerifyDomain', 'LockIn', '^closedir$'].map((name) => `race:${name}\n`).join(''));
  run(build('thread', '-fsanitize=thread'), { TSAN_OPTIONS: `suppressions=${suppressions}` });
});

sanitizers('the sanitizers are on: a fault planted in the same program is found', () => {
  const program = build('planted', '-fsanitize=address', '-DPLANT_A_FAULT');
  const { status, stderr } = spawnSync(program, { encoding: 'utf8' });
  assert.is.not(status, 0);
  assert.match(stderr, /AddressSanitizer/);
});

sanitizers.run();
