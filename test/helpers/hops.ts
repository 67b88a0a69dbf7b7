import { rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Policy, TaskExit } from '../../lib/index.js';
import { compile } from './compile.js';
import { runTask } from './run-task.js';

/**
 * Runs a shell that leaves behind what forks and ends, again and again: without a policy, where it lives on, and under one.
 *
 * @param folder For its files, granted by `locked`.
 * @param locked Made for the program.
 * @returns How the locked one ended, and how many times it has hopped so far.
 */
export async function leavesHopping(folder: string, locked: (program: string) => Policy): Promise<{ readonly exit: TaskExit; readonly hops: () => number }> {
  const program = compile('hop');
  // Each with a file of its own: what the control has under way when that is gone comes to nothing, however late.
  const hopping = async (name: string, policy: Policy) => {
    const file = join(folder, `hops-${name}`);
    writeFileSync(file, '');
    const { exit } = await runTask(['sh', '-c', `${program} '${file}' & while [ ! -s '${file}' ]; do sleep 0.05; done`], { policy, stdout: 'ignore', stderr: 'ignore' });
    return { file, exit, hops: () => statSync(file).size };
  };
  const control = await hopping('control', { dangerouslyUnconfined: true });
  for (const before = control.hops(); control.hops() < before + 100; ) await sleep(5); // it lives on
  rmSync(control.file);
  return hopping('locked', locked(program));
}
