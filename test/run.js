// Runs each test file in a process of its own, for hardening cannot be undone, one for each
// core, and adds up what uvu counted. `npm test` or `node test/run.js [name ...]`.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('.', import.meta.url));
const timeoutMs = 600_000; // a hang is a failure, not a wait

/** What uses up something of the user's or the host's, measures, or builds here: with nobody beside it. */
const alone = ['cgroup.ts', 'descriptors.ts', 'limits.ts', 'package.ts', 'proof-bounds.ts', 'set-up.ts', 'sweeper.ts'];

const wanted = process.argv.slice(2);
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
  .filter((name) => wanted.length === 0 || wanted.includes(name.replace(/\.ts$/, '')))
  .sort();

function runFile(file) {
  return new Promise((resolve) => {
    let output = '';
    const child = spawn(process.execPath, ['--import', 'tsx', file], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, FORCE_COLOR: '0', UVU_DEFER: undefined },
    });
    const timer = setTimeout(() => {
      output += `\n  ${file} did not end within ${timeoutMs / 1000} s\n`;
      child.kill('SIGKILL');
    }, timeoutMs);
    const keep = (chunk) => (output += chunk);
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => keep(`\n  ${file} could not be started: ${error.message}\n`));
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, output });
    });
  });
}

const sum = { passed: 0, failed: 0, skipped: 0 };
const broken = [];

async function runAndCount(file) {
  const { code, output } = await runFile(file);
  process.stdout.write(`\n# ${file}\n${output}`);
  const count = (word) => [...output.matchAll(new RegExp(`^\\s*${word}:\\s+(\\d+)\\s*$`, 'gm'))].reduce((total, match) => total + Number(match[1]), 0);
  const total = count('Total');
  const passed = count('Passed');
  sum.passed += passed;
  const skipped = count('Skipped');
  sum.skipped += skipped;
  // A file that dies, hangs or runs no test at all counts as one failure.
  const failed = Math.max(total - passed, code === 0 && total + skipped > 0 ? 0 : 1);
  sum.failed += failed;
  if (failed > 0) broken.push(file);
}

const together = files.filter((file) => !alone.includes(file));
await Promise.all(
  Array.from({ length: availableParallelism() }, async () => {
    for (let file = together.shift(); file !== undefined; file = together.shift()) await runAndCount(file);
  }),
);
for (const file of files.filter((name) => alone.includes(name))) await runAndCount(file);

if (broken.length > 0) console.log(`\nfailed: ${broken.join(', ')}`);
console.log(`\n${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
process.exitCode = sum.failed > 0 || files.length === 0 ? 1 : 0;
