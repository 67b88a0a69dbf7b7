import { linkSync, readFileSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { told, type Scene } from '../scene.js';
import { attempt } from './refused.js';

/** Gives a file another name in a folder of the task's own, and reads it there. */
export async function run(scene: Scene): Promise<void> {
  for (const put of [symlinkSync, linkSync, renameSync]) {
    const name = join(told(scene, 'workshop'), put.name);
    await attempt(() => {
      put(told(scene, 'secretFile'), name);
      console.log(readFileSync(name, 'utf8'));
    });
  }
}
