import type { Scene } from '../scene.js';
import { ask } from './forged-identity.js';

/** Asks for a variable that another task was granted. */
export async function run(scene: Scene): Promise<void> {
  await ask({ type: 'GetVariable', key: scene.neighbourVariable });
}
