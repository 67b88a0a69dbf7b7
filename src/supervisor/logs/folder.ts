import { constants, mkdirSync } from 'node:fs';
import { lstat, mkdir, open, rename, type FileHandle } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { LogRefused } from '../../errors.js';
import { changeableByOthers, walk } from '../../secrets/safe-path.js';

const { O_APPEND, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;

const newline = 10;

/** A name in a folder that is open, whatever has become of the folder's own name: openat(2) in the words that Node has. */
const below = (folder: FileHandle, name: string): string => `/proc/self/fd/${folder.fd}/${name}`;

/**
 * Makes the folder of all logs where it is missing, readable by this user alone.
 *
 * @returns Its path without links.
 * @throws {LogRefused} `ERR_LOG_REFUSED`: another user could put something else in its place. System errors of mkdir(2).
 */
export function logFolder(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const steps = walk(resolve(path));
  for (const step of steps) {
    const problem = changeableByOthers(step);
    if (problem !== undefined) throw new LogRefused(step.path, problem);
  }
  return steps.at(-1)?.path ?? path;
}

/** The folder of one log. What lies in it is opened by name, links never followed. */
export class OpenFolder {
  /** For people and messages. */
  readonly path: string;
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.path = path;
  }

  /**
   * Goes down from `root`, making folders of mode 0700 that are missing.
   * @throws {LogRefused} `ERR_LOG_REFUSED`: a name on the way is a link, or no folder. System errors.
   */
  static async descend(root: string, names: readonly string[]): Promise<OpenFolder> {
    let at = await open(root, O_RDONLY | O_DIRECTORY);
    let path = root;
    try {
      for (const name of names) {
        path = join(path, name);
        await mkdir(below(at, name), 0o700).catch(unlessThere);
        const next = await open(below(at, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        await at.close();
        at = next;
      }
      return new OpenFolder(at, path);
    } catch (error) {
      await at.close();
      throw explained(error, path);
    }
  }

  /**
   * A file to write at the end of, of mode 0600; `torn`: a supervisor that was killed has left half a line there.
   * @throws {LogRefused} `ERR_LOG_REFUSED`: there is something that is not a file of ours with this one name. System errors.
   */
  async append(name: string): Promise<{ readonly file: FileHandle; readonly size: number; readonly torn: boolean }> {
    const path = join(this.path, name);
    let file: FileHandle | undefined;
    try {
      // Not blocking: a FIFO that nobody reads would keep us here.
      file = await open(below(this.#handle, name), O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
      const stats = await file.stat();
      if (!stats.isFile() || stats.nlink !== 1 || stats.uid !== process.geteuid?.()) throw new LogRefused(path, 'is not a file of this user with one name');
      if ((stats.mode & 0o077) !== 0) await file.chmod(0o600);
      const { bytesRead, buffer } = await file.read(Buffer.alloc(1), 0, 1, Math.max(0, stats.size - 1));
      return { file, size: stats.size, torn: bytesRead > 0 && buffer[0] !== newline };
    } catch (error) {
      await file?.close();
      throw explained(error, path);
    }
  }

  /** `name` becomes `name.1`, that `name.2` and so on; what would be beyond `last` is gone. Where there is no `name`, an earlier rotation has got no further. */
  async rotate(name: string, last: number): Promise<void> {
    if (!(await isThere(below(this.#handle, name)))) return;
    for (let number = last; number > 0; number--) {
      const from = number === 1 ? name : `${name}.${number - 1}`;
      await rename(below(this.#handle, from), below(this.#handle, `${name}.${number}`)).catch(unlessMissing);
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** By the path that people know, not by ours through /proc. */
function explained(error: unknown, path: string): unknown {
  const { code, syscall, errno } = error as NodeJS.ErrnoException;
  if (code === 'ELOOP' || code === 'ENOTDIR' || code === 'EISDIR' || code === 'ENXIO') return new LogRefused(path, 'is a link, or neither a folder nor a file, where one should be', { cause: error });
  if (syscall === undefined) return error;
  return Object.assign(new Error(`${code}: ${syscall} '${path}'`, { cause: error }), { code, syscall, errno, path });
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(() => true, (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return false;
  });
}

function unlessThere(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
}

function unlessMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}
