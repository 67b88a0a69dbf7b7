import { told, type Scene } from '../scene.js';
import { hear } from './tcp.js';

/** A socket with a name that is no path. unix(7) */
export async function run(scene: Scene): Promise<void> {
  await hear({ path: `\0${told(scene, 'abstractSocket')}` });
}
