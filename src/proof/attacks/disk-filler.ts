import { mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Scene } from '../scene.js';
import { attempt } from './refused.js';

/** Fills the disk with files of 4 MiB, keeps them for a while, and cleans up after itself where nobody else does. */
export async function fill(each: (path: string) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-fill-'));
  try {
    const piece = Buffer.alloc(4 << 20, 'x');
    await attempt(async () => {
      for (let number = 0; number < 40; number++) {
        const path = join(folder, String(number));
        writeSync(openSync(path, 'w'), piece);
        each(path);
        await wait(5);
      }
    });
    await wait(2500);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export async function run(_scene: Scene): Promise<void> {
  await fill(() => {});
}
