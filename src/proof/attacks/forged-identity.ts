import { setTimeout as wait } from 'node:timers/promises';
import type { Scene } from '../scene.js';
import { request } from '../task-channel.js';
import { refused } from './refused.js';

/** Asks for a result to be written, as a task may, but with another task's ids in the request. */
export async function run(scene: Scene): Promise<void> {
  const { dag_id, run_id, task_id, map_index } = scene.neighbour;
  const forged = request({ type: 'SetXCom', dag_id, run_id, task_id, map_index, key: 'return_value', value: scene.forgery });
  const reply = await Promise.race([forged, wait(3000)]);
  const [, , error] = Array.isArray(reply) ? (reply as [unknown, unknown, { error: string; detail: { message?: string } } | null | undefined]) : [];
  if (reply === undefined) refused('no answer');
  else if (error) refused(error.detail?.message ?? error.error);
  else console.log('the request was answered');
}
