import { constants, openSync, statSync } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const pollMs = 200;
const chunkBytes = 1 << 16;
/** Longer than any line that a supervisor writes; what is not ours may have longer ones, which are cut. */
const mostLine = 4 << 20;

/** RFC 1952 section 2.3.1 */
const gzip = 0x1f8b;
function refuseCompressed(start: Buffer, path: string): void {
  if (start.length < 2 || start.readUInt16BE() !== gzip) return;
  throw Object.assign(new Error(`'${path}' is compressed; it is shown by: zcat '${path}' | sallyport logs /dev/stdin`), { code: 'EINVAL', syscall: 'read', path });
}

interface Generation {
  readonly file: FileHandle;
  readonly ino: bigint;
}

/**
 * The files of one log that are there now, the oldest first. A rotation renames from the oldest on, and they are opened from the newest
 * on: what moves meanwhile is met again. One number may be missing, 0 too: in the instant of a rotation and, where a supervisor was
 * killed in that, for longer.
 */
async function generations(path: string): Promise<Generation[]> {
  const found: Generation[] = [];
  let absent: unknown;
  try {
    for (let number = 0, missing = 0; missing < 2; number++) {
      const generation = await openLog(number === 0 ? path : `${path}.${number}`).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
        absent ??= error;
      });
      missing = generation === undefined ? missing + 1 : 0;
      if (found.some(({ ino }) => ino === generation?.ino)) await generation?.file.close();
      else if (generation !== undefined) found.push(generation);
    }
    if (found.length === 0) throw absent;
  } catch (error) {
    await Promise.all(found.map(({ file }) => file.close()));
    throw error;
  }
  return found.reverse();
}

async function openLog(path: string): Promise<Generation> {
  const file = await open(path);
  const stats = await file.stat({ bigint: true });
  if (!stats.isDirectory()) return { file, ino: stats.ino };
  await file.close();
  throw Object.assign(new Error(`EISDIR: a folder, where a log should be, '${path}'`), { code: 'EISDIR', syscall: 'read', path });
}

/** Joins chunks to lines. */
class Lines {
  #rest = '';
  readonly #decoder = new TextDecoder();

  *push(chunk: Buffer): Generator<string> {
    const parts = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.#rest = (parts.pop() ?? '').slice(0, mostLine);
    yield* parts;
  }

  *end(): Generator<string> {
    if (this.#rest !== '') yield this.#rest;
    this.#rest = '';
  }
}

export interface ReadOptions {
  /** Asked when all that is there has been read: whether to wait for more. */
  readonly more: () => boolean;
  readonly signal: AbortSignal;
}

/**
 * The lines of a log, what was rotated out of it first; more as they come, past rotations, while `more` says so.
 * @throws System errors of the file.
 */
export async function* readLog(path: string, { more, signal }: ReadOptions): AsyncGenerator<string, void, undefined> {
  if (statSync(path, { throwIfNoEntry: false })?.isFIFO() === true) return yield* readPipe(path, { more, signal });
  let pending = await generations(path);
  const lines = new Lines();
  const buffer = Buffer.alloc(chunkBytes);
  let isBegun = false;
  try {
    for (;;) {
      const [first] = pending;
      if (first === undefined || signal.aborted) return;
      const { bytesRead } = await first.file.read(buffer, 0, chunkBytes);
      if (!isBegun) refuseCompressed(buffer.subarray(0, bytesRead), path);
      isBegun = true;
      if (bytesRead > 0) yield* lines.push(buffer.subarray(0, bytesRead));
      else if (pending.length > 1) await pending.shift()?.file.close();
      else if (!more()) break;
      else pending = await next(path, first, signal);
    }
    yield* lines.end();
  } finally {
    await Promise.all(pending.map(({ file }) => file.close()));
  }
}

/**
 * The lines that come through a pipe: of one writer and those beside it, and while `more` says so of the next one. Waits by epoll(7): an
 * open(2) or read(2) that waits for a writer holds a thread, and with it this process, beyond any signal. fifo(7), O_NONBLOCK.
 */
async function* readPipe(path: string, { more, signal }: ReadOptions): AsyncGenerator<string, void, undefined> {
  do {
    const pipe = new Socket({ fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), readable: true, writable: false, signal });
    const lines = new Lines();
    let isBegun = false;
    try {
      for await (const chunk of pipe) {
        if (!isBegun) refuseCompressed(chunk as Buffer, path);
        isBegun = true;
        yield* lines.push(chunk as Buffer);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    yield* lines.end();
  } while (!signal.aborted && more());
}

/** What to read on after the end of the newest file: the same, later, or what came in its place, after another look at the old one. */
async function next(path: string, last: Generation, signal: AbortSignal): Promise<Generation[]> {
  await sleep(pollMs, undefined, { signal }).catch(() => {});
  const now = await stat(path, { bigint: true }).catch(() => undefined);
  if (now === undefined || now.ino === last.ino) return [last];
  const found = await generations(path).catch((error: NodeJS.ErrnoException): Generation[] => {
    if (error.code !== 'ENOENT') throw error;
    return []; // it was there a moment ago: a rotation, and the next look finds what has come of it
  });
  const at = found.findIndex(({ ino }) => ino === last.ino);
  await Promise.all(found.splice(0, at + 1).map(({ file }) => file.close()));
  return [last, ...found];
}

/** Resolves when there is something at the path; at once, where there is. @param onWait Called once, where there is nothing yet. */
export async function awaitFile(path: string, signal: AbortSignal, onWait: () => void): Promise<void> {
  for (let looks = 0; !signal.aborted; looks++) {
    const there = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
    });
    if (there !== undefined) return;
    if (looks === 0) onWait();
    await sleep(pollMs, undefined, { signal }).catch(() => {});
  }
}
