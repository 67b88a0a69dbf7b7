import { spawnSync } from 'node:child_process';
import type { Scene } from '../scene.js';
import { refused } from './refused.js';

/** gcore attaches the same way and writes the same memory to a file; printing what is wanted is quicker. */
export function run(scene: Scene): void {
  const commands = ['set print elements 0', 'x/200s *(char **)environ', 'detach'];
  const gdb = spawnSync('gdb', ['-nx', '-batch', '-p', String(scene.supervisorPid), ...commands.flatMap((command) => ['-ex', command])], {
    encoding: 'utf8',
    timeout: 8_000,
    killSignal: 'SIGKILL',
  });
  if (gdb.error !== undefined) throw gdb.error; // it did not run, so nothing was attempted
  console.log(gdb.stdout);
  for (const line of gdb.stderr.split('\n')) {
    if (/^ptrace: |^No such process|^Could not attach/.test(line)) refused(line);
  }
}
