import type { Scene } from '../scene.js';
import { ask } from './forged-identity.js';

/** Another task's name in forms that a comparison may take for something else, and a template string does not. */
export async function run(scene: Scene): Promise<void> {
  const { dag_id, run_id, task_id, map_index } = scene.neighbour;
  const own = { type: 'SetXCom', key: 'return_value', value: scene.forgery, dag_id, run_id, map_index };
  await ask({ ...own, task_id: [task_id] });
  await ask({ ...own, task_id: [[task_id]], map_index: `${map_index}` });
  await ask({ ...own, task_id, map_index: [map_index] });
}
