import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Scene } from '../scene.js';
import { attempt } from './refused.js';

/** Where temporary files are, and one level below: folders of tasks lie there. */
export async function run(scene: Scene): Promise<void> {
  for (const folder of new Set([tmpdir(), scene.temporary])) await attempt(() => printBelow(folder, 1));
}

async function printBelow(folder: string, depth: number): Promise<void> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isFile()) await attempt(() => console.log(readFileSync(path, 'latin1')));
    else if (entry.isDirectory() && depth > 0) await attempt(() => printBelow(path, depth - 1));
  }
}
