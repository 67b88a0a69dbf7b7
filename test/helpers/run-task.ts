import { text } from 'node:stream/consumers';
import { launch, type LaunchOptions, type TaskExit } from '../../lib/index.js';

/** Launches, reads all output and waits. */
export async function runTask(argv: readonly [string, ...string[]], options: LaunchOptions = {}): Promise<{ exit: TaskExit; stdout: string; stderr: string; pid: number }> {
  const task = await launch(argv, options);
  const [stdout, stderr, exit] = await Promise.all([task.stdout ? text(task.stdout) : '', task.stderr ? text(task.stderr) : '', task.exited]);
  await task[Symbol.asyncDispose]();
  return { exit, stdout, stderr, pid: task.pid };
}
