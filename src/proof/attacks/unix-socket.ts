import { told, type Scene } from '../scene.js';
import { hear } from './tcp.js';

/** A socket with a path, as container engines, agents and databases have: file rules of Landlock let it through. */
export async function run(scene: Scene): Promise<void> {
  await hear({ path: told(scene, 'unixSocket') });
}
