import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const chunkBytes = 4 * 1024 * 1024;

/** Which of the marks another process has somewhere in memory that it can read itself. Secret pages cannot be read: they hold none. */
export function marksIn(pid: number, marks: Readonly<Record<string, Buffer>>): string[] {
  const overlap = Math.max(...Object.values(marks).map(({ length }) => length)) - 1;
  const found = new Set<string>();
  const buffer = Buffer.allocUnsafe(chunkBytes);
  const fd = openSync(`/proc/${pid}/mem`, 'r');
  let read = 0;
  try {
    for (const [, from = '', to = ''] of readFileSync(`/proc/${pid}/maps`, 'latin1').matchAll(/^([0-9a-f]+)-([0-9a-f]+) r/gm)) {
      const end = BigInt(`0x${to}`);
      let at = BigInt(`0x${from}`);
      while (at < end) {
        let length = 0;
        try {
          length = readSync(fd, buffer, 0, Number(end - at < chunkBytes ? end - at : BigInt(chunkBytes)), at);
        } catch {
          break; // the kernel's own pages, or secret ones
        }
        if (length === 0) break;
        read += length;
        for (const [name, mark] of Object.entries(marks)) if (buffer.subarray(0, length).includes(mark)) found.add(name);
        at += BigInt(length > overlap && at + BigInt(length) < end ? length - overlap : length);
      }
    }
  } finally {
    closeSync(fd);
  }
  if (read < chunkBytes) throw new Error(`only ${read} bytes of process ${pid} could be read`);
  return [...found].sort();
}

/** A secret as it is, and as it may be written: no part of 24 bytes or more is to be found. */
export function marksOf(secret: Buffer): Record<string, Buffer> {
  const half = secret.subarray(0, 32);
  return {
    bytes: Buffer.from(half),
    middle: Buffer.from(secret.subarray(16, 40)),
    hex: Buffer.from(half.toString('hex')),
    base64: Buffer.from(half.toString('base64').slice(0, 40)),
    base64url: Buffer.from(half.toString('base64url').slice(0, 40)),
    utf16: Buffer.from(half.toString('latin1'), 'utf16le'),
  };
}
