import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Scene } from '../scene.js';
import { attempt } from './refused.js';

/** The supervisor would run this at its next start. Written over, and put in its place: two different rights. */
export async function rewrite(path: string): Promise<void> {
  const code = '\nprocess.stdout.write(JSON.stringify(process.env));\n';
  await attempt(() => appendFileSync(path, code));
  await attempt(() => {
    writeFileSync(`${path}.new`, code);
    renameSync(`${path}.new`, path);
  });
}

export async function run(scene: Scene): Promise<void> {
  await rewrite(scene.supervisorCode);
}
