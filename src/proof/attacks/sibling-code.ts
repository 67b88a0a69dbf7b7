import type { Scene } from '../scene.js';
import { rewrite } from './supervisor-code.js';

export async function run(scene: Scene): Promise<void> {
  await rewrite(scene.neighbourCode);
}
