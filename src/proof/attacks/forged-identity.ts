import { setTimeout as wait } from 'node:timers/promises';
import type { Scene } from '../scene.js';
import { request } from '../task-channel.js';
import { refused } from './refused.js';

/** Makes one request and prints what came back, as a task that got through would have it. */
export async function ask(body: Record<string, unknown>): Promise<void> {
  const reply = await Promise.race([request(body), wait(3000, undefined, { ref: false })]);
  const [, answer, error] = Array.isArray(reply) ? (reply as [unknown, unknown, { error: string; detail: { message?: string } } | null | undefined]) : [undefined, reply];
  if (reply === undefined) refused('no answer');
  else if (error) refused(error.detail?.message ?? error.error);
  else console.log(`the request was answered: ${JSON.stringify(answer)}`);
}

/** Asks for a result to be written, as a task may, but with another task's ids in the request. */
export async function run(scene: Scene): Promise<void> {
  const { dag_id, run_id, task_id, map_index } = scene.neighbour;
  await ask({ type: 'SetXCom', dag_id, run_id, task_id, map_index, key: 'return_value', value: scene.forgery });
}
