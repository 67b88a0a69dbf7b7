import { randomBytes } from 'node:crypto';
import { closeSync, constants, fsync, linkSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, realpathSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { open, readdir, rename, unlink, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { outOfRange } from '../errors.js';
import { changeableByOthers, walk } from '../secrets/safe-path.js';
import { noteSecretFile } from '../secrets/secret-file.js';

const sync = promisify(fsync);
const suffix = '.json';
const unfinished = '.new';
const writing = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
/** What one frame of a task can hold comes to less, as JSON too. */
const mostBytes = 32 << 20;
const aside = 'refused';
const lock = 'lock';

const writtenAtOnce = 1 << 18;

/** A short file in one part: each costs a turn of another thread, which is as much as all else of it. */
function together(parts: Iterable<Uint8Array>): Uint8Array[] {
  const all = [...parts];
  return all.reduce((sum, { length }) => sum + length, 0) > writtenAtOnce ? all : [Buffer.concat(all)];
}

/**
 * A folder of one supervisor's own with a file for each report, that no crash leaves by half: written beside, synced, renamed. Names sort by
 * age. Nobody else may look into it or change it, and no task may be granted it.
 */
export class ReportFolder {
  readonly #path: string;
  readonly #descriptor: number;
  #closed = false;

  /** @throws {RangeError} `ERR_OUT_OF_RANGE`: not ours alone, or another supervisor's. System errors as they come. */
  constructor(path: string) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    this.#path = realpathSync(path);
    const own = lstatSync(this.#path);
    if (!own.isDirectory() || own.uid !== process.geteuid?.() || (own.mode & 0o077) !== 0) throw outOfRange('options.reports.folder', "a folder of this user's, of mode 0700");
    const open = walk(path).find((step) => changeableByOthers(step) !== undefined);
    if (open !== undefined) throw outOfRange('options.reports.folder', `one that others cannot move: ${open.path} ${changeableByOthers(open)}`);
    noteSecretFile(this.#path);
    mkdirSync(join(this.#path, aside), { recursive: true, mode: 0o700 });
    this.#lock();
    // What a crash left half written was never acted upon.
    for (const folder of [this.#path, join(this.#path, aside)]) {
      for (const name of readdirSync(folder).filter((name) => name.endsWith(unfinished))) unlinkSync(join(folder, name));
    }
    this.#descriptor = openSync(this.#path, constants.O_RDONLY | constants.O_DIRECTORY);
  }

  /** Oldest first. */
  names(): string[] {
    return readdirSync(this.#path).filter((name) => name.endsWith(suffix)).sort();
  }

  newName(id: string): string {
    return `${String(Date.now()).padStart(15, '0')}-${id}-${randomBytes(4).toString('hex')}${suffix}`;
  }

  /** Replaces what was there by what is to outlive this process, and not the host: whole, or not at all. */
  async note(name: string, parts: Iterable<Uint8Array>): Promise<void> {
    const temporary = join(this.#path, `${name}${unfinished}`);
    await writeFile(temporary, together(parts), { mode: 0o600, flag: writing });
    await rename(temporary, join(this.#path, name));
  }

  /** The same by what is to outlive the host too. */
  async write(name: string, parts: Iterable<Uint8Array>): Promise<void> {
    const temporary = join(this.#path, `${name}${unfinished}`);
    await using file = closing(await open(temporary, writing, 0o600));
    for (const part of together(parts)) await file.handle.writeFile(part); // each goes on where the last one ended
    await file.handle.sync();
    await rename(temporary, join(this.#path, name));
    await sync(this.#descriptor);
  }

  /** @throws Where it is none of our files. */
  async read(name: string): Promise<Buffer> {
    await using file = closing(await open(join(this.#path, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK));
    const stats = await file.handle.stat();
    if (!stats.isFile() || stats.uid !== process.geteuid?.() || stats.size > mostBytes) throw new Error('not a file of this supervisor');
    return file.handle.readFile();
  }

  /** One that is gone is fine. */
  async remove(name: string): Promise<void> {
    await unlink(join(this.#path, name)).catch(unlessMissing);
  }

  /** Keeps it, or something else in its place, for a person to look at; and the oldest no more where there are more than so many. */
  async setAside(name: string, parts: Iterable<Uint8Array> | undefined, most: number): Promise<void> {
    if (parts === undefined) await rename(join(this.#path, name), join(this.#path, aside, name));
    else {
      await this.note(join(aside, name), parts);
      await this.remove(name);
    }
    const names = (await readdir(join(this.#path, aside))).filter((each) => each.endsWith(suffix)).sort();
    for (const old of names.slice(0, Math.max(0, names.length - most))) await this.remove(join(aside, old));
  }

  /** Another supervisor may have it. Twice is fine. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#descriptor);
    unlinkSync(join(this.#path, lock));
  }

  /** Two that send the same reports would each take the other's answer for a refusal. */
  #lock(): void {
    const path = join(this.#path, lock);
    const own = join(this.#path, `${lock}-${randomBytes(4).toString('hex')}${unfinished}`);
    writeFileSync(own, identity(process.pid) ?? '', { flag: 'wx', mode: 0o600 });
    try {
      while (!linked(own, path)) {
        const holder = readIfThere(path);
        if (holder !== undefined && isAlive(holder)) throw outOfRange('options.reports.folder', `one that no other supervisor uses: process ${Number.parseInt(holder, 10)} does`);
        // Left by one that has ended. Of several that see so one moves it; who moves another's new one by that gives it back.
        const moved = `${own}.old${unfinished}`;
        if (!renamed(path, moved)) continue;
        if (isAlive(readIfThere(moved) ?? '')) linked(moved, path);
        unlinkSync(moved);
      }
    } finally {
      unlinkSync(own);
    }
  }
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  }
}

function renamed(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    unlessMissing(error);
    return false;
  }
}

const isAlive = (holder: string): boolean => holder !== '' && holder === identity(Number.parseInt(holder, 10));

/** A process and when it started, in clock ticks since boot: a number alone is given again. @see proc_pid_stat(5), field 22 */
function identity(pid: number): string | undefined {
  if (!Number.isInteger(pid)) return undefined;
  const stat = readIfThere(`/proc/${pid}/stat`);
  return stat === undefined ? undefined : `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}

function unlessMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}

/** Node 20's handles are disposable, Node 20's types are not. */
const closing = (handle: FileHandle): { readonly handle: FileHandle } & AsyncDisposable => ({ handle, [Symbol.asyncDispose]: () => handle.close() });
