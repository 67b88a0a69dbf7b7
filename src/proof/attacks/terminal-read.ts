import { openSync, readSync } from 'node:fs';
import { attempt } from './refused.js';

/** Opens the terminal of its session and reads what was typed there. */
export async function run(): Promise<void> {
  const line = Buffer.alloc(4096);
  await attempt(() => console.log(line.toString('utf8', 0, readSync(openSync('/dev/tty', 'r'), line))));
}
