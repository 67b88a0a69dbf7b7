import { spawnSync } from 'node:child_process';
import type { Scene } from '../scene.js';
import { refused } from './refused.js';

/** What any user's shell can do: the whole command line and environment of a process. ps(1) */
export function run(scene: Scene): void {
  const ps = spawnSync('ps', ['eww', '-o', 'args', '-p', String(scene.supervisorPid)], { encoding: 'latin1', timeout: 8_000, killSignal: 'SIGKILL' });
  if (ps.error !== undefined) return refused(ps.error);
  console.log(ps.stdout);
  if (ps.status !== 0) refused(ps.stderr.trim() || 'ps shows no such process');
}
