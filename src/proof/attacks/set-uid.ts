import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { told, type Scene } from '../scene.js';
import { refused } from './refused.js';

/** Runs a program that runs as its owner, and keeps it for a while: one that waits for a password, or one that just stays. */
export async function run(scene: Scene): Promise<void> {
  const program = told(scene, 'setUidProgram');
  const words = program.endsWith('/su') ? ['-c', 'true'] : ['stay', String(scene.supervisorPid)];
  const child = spawn(program, words, { stdio: ['pipe', 'ignore', 'ignore'] });
  const ended = once(child, 'exit').catch(refused);
  await Promise.race([wait(700), ended]);
  child.stdin.destroy();
  await ended;
}
