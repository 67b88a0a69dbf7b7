import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Scene } from '../scene.js';
import { attempt, refused } from './refused.js';

/** Node writes a diagnostic report at SIGUSR2 where it was told to; the environment is part of it. */
export async function run(scene: Scene): Promise<void> {
  await attempt(() => process.kill(scene.supervisorPid, 'SIGUSR2'));
  for (let tries = 0; tries < 10; tries++) {
    await wait(100);
    try {
      const reports = readdirSync(scene.folder).filter((name) => /^report\..*\.json$/.test(name));
      if (reports.length === 0) continue;
      await wait(300); // until it is whole
      for (const name of reports) console.log(readFileSync(join(scene.folder, name), 'latin1'));
      return;
    } catch (error) {
      return refused(error);
    }
  }
}
