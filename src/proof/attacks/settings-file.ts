import { appendFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { told, type Scene } from '../scene.js';
import { attempt } from './refused.js';

/** Changes, empties, replaces and removes a file, and puts a new one beside it. */
export async function run(scene: Scene): Promise<void> {
  const settings = told(scene, 'settings');
  const own = join(told(scene, 'workshop'), 'settings');
  await attempt(() => appendFileSync(settings, 'strict = false\n'));
  await attempt(() => truncateSync(settings));
  await attempt(() => writeFileSync(join(told(scene, 'vault'), 'more-settings'), ''));
  await attempt(() => {
    writeFileSync(own, 'strict = false\n');
    renameSync(own, settings);
  });
  await attempt(() => rmSync(settings));
}
