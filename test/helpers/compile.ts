import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-test-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Compiles test/fixtures/<name>.c and returns the program's path. It is removed when this process ends. */
export function compile(name: string): string {
  const program = join(folder, name);
  const source = fileURLToPath(new URL(`../fixtures/${name}.c`, import.meta.url));
  execFileSync(process.env['CC'] ?? 'cc', ['-O1', '-Wall', '-Wextra', '-pthread', '-o', program, source], { stdio: ['ignore', 'inherit', 'inherit'] });
  return program;
}
