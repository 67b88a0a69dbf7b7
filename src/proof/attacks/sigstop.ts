import type { Scene } from '../scene.js';
import { attempt } from './refused.js';

export async function run(scene: Scene): Promise<void> {
  await attempt(() => process.kill(scene.supervisorPid, 'SIGSTOP'));
}
