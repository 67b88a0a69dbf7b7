import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, utimesSync } from 'node:fs';
import { told, type Scene } from '../scene.js';
import { attempt } from './refused.js';

/** Changes what is known of a file: none of this opens it. */
export async function run(scene: Scene): Promise<void> {
  const settings = told(scene, 'settings');
  await attempt(() => chmodSync(settings, 0o666));
  await attempt(() => utimesSync(settings, 0, 0));
  await attempt(() => chownSync(settings, process.getuid?.() ?? 0, process.getgid?.() ?? 0));
  // A program that knows the other calls: fchmodat with a path, lchown, utimensat.
  await attempt(() => void spawnSync('touch', ['-d', '1970-01-01', settings]));
  await attempt(() => void spawnSync('chmod', ['777', settings]));
}
