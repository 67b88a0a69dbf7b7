import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Compiles ./task.c into a folder. @returns The program's path. */
export function compileTask(folder: string): string {
  const program = join(folder, 'task');
  execFileSync(process.env['CC'] ?? 'cc', ['-O2', '-Wall', '-Wextra', '-o', program, fileURLToPath(new URL('task.c', import.meta.url))], { stdio: ['ignore', 'inherit', 'inherit'] });
  return program;
}
