import { writeSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { attempt } from './refused.js';

const pieces = 400;

/** One message that never ends: a line for Node's IPC; a frame of the greatest length for a broker, then another. */
export async function run(): Promise<void> {
  const ipc = process.channel as { fd?: number } | undefined;
  const piece = Buffer.alloc(1 << 20, 'x');
  const head = Buffer.from([0, 0x40, 0, 0]); // 4 MiB, big-endian
  await attempt(async () => {
    if (ipc === undefined) writeAll(0, head);
    for (let sent = 0; sent < pieces; sent++) {
      writeAll(ipc?.fd ?? 0, piece);
      if (sent % 8 === 0) await wait(1);
    }
  });
  await wait(1000);
}

/** All of it, to a channel that may be full for a moment. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let sent = 0; sent < bytes.length;) {
    try {
      sent += writeSync(fd, bytes, sent);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
    }
  }
}
