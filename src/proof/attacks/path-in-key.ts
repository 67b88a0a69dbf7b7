import type { Scene } from '../scene.js';
import { ask } from './forged-identity.js';

/** Names what it wants so that the supervisor's URL for it leads elsewhere. */
export async function run(scene: Scene): Promise<void> {
  const key = scene.neighbourVariable;
  for (const path of [`own/../${key}`, `../variables/${key}`, `${key}?`, `${key}#`, `%2e%2e/variables/${key}`]) await ask({ type: 'GetVariable', key: path });
}
