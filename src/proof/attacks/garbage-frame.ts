import { writeSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';

/** Node's IPC reads JSON lines and throws outside every listener; the broker reads a length first: here four gigabytes. */
export async function run(): Promise<void> {
  const fd = (process.channel as { fd?: number } | undefined)?.fd ?? 0;
  const garbage = process.channel === undefined ? Buffer.alloc(64, 0xff) : Buffer.from('this is not JSON\n');
  writeSync(fd, garbage);
  await wait(500); // to be there when it takes effect
}
