import { createReadStream, readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { told, type Scene } from '../scene.js';
import { attempt } from './refused.js';

/** Reads a file by its own name. */
export async function run(scene: Scene): Promise<void> {
  const file = told(scene, 'secretFile');
  await attempt(() => console.log(readFileSync(file, 'utf8')));
  await attempt(async () => console.log(await text(createReadStream(file))));
}
