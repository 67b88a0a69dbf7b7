import { closeSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { Scene } from '../scene.js';
import { writeAll } from './endless-message.js';
import { frame } from './internal-message.js';

/** Asks, and is gone before the answer can be sent. */
export async function run(scene: Scene): Promise<void> {
  const body = { type: 'GetVariable', key: scene.neighbourVariable };
  if (process.channel !== undefined) {
    for (let id = 0; id < 100; id++) process.send?.({ id, ...body });
    process.disconnect();
  } else {
    for (let id = 0; id < 100; id++) writeAll(0, frame([id, body]));
    closeSync(0);
  }
  await wait(800); // for the answers to be on their way
}
