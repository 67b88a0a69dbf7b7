import { readdirSync, watch } from 'node:fs';
import { told, type Scene } from '../scene.js';
import { attempt } from './refused.js';

/** Asks which files a folder holds, and to be told of those that come. */
export async function run(scene: Scene): Promise<void> {
  const folder = told(scene, 'nameFolder');
  await attempt(() => console.log(readdirSync(folder).join('\n')));
  await attempt(() => watch(folder).close());
}
