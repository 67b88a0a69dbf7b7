import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

const noteName = '.running-trigger';
const noteBytes = 16;

/**
 * The trigger whose code ran last in a child, by what the child's side has noted in its scratch folder. The child's code can write
 * anything there, so that this is a suspicion and no more. Never rejects.
 */
export async function suspectIn(scratch: string | null): Promise<number | undefined> {
  if (scratch === null) return undefined;
  try {
    // What lies there may be a link, or a FIFO that waits for a writer.
    await using file = await open(join(scratch, noteName), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile()) return undefined;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(noteBytes), 0, noteBytes, 0);
    const text = buffer.toString('latin1', 0, bytesRead).trim();
    return /^\d+$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}
