// Runs each test file in a process of its own, for hardening cannot be undone, and
// adds up what uvu counted. `npm test` or `node test/run.js [name ...]`.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('.', import.meta.url));
const timeoutMs = 300_000; // a hang is a failure, not a wait

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
    const keep = (chunk) => {
      output += chunk;
      process.stdout.write(chunk);
    };
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
for (const file of files) {
  console.log(`\n# ${file}`);
  const { code, output } = await runFile(file);
  const count = (word) => [...output.matchAll(new RegExp(`^\\s*${word}:\\s+(\\d+)\\s*$`, 'gm'))].reduce((total, match) => total + Number(match[1]), 0);
  const total = count('Total');
  const passed = count('Passed');
  sum.passed += passed;
  sum.skipped += count('Skipped');
  // A file that dies, hangs or runs no test at all counts as one failure.
  const failed = Math.max(total - passed, code === 0 && total > 0 ? 0 : 1);
  sum.failed += failed;
  if (failed > 0) broken.push(file);
}

if (broken.length > 0) console.log(`\nfailed: ${broken.join(', ')}`);
console.log(`\n${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
process.exitCode = sum.failed > 0 || files.length === 0 ? 1 : 0;
