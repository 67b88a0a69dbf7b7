import { closeSync, constants, fstatSync, openSync, realpathSync, type Stats } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { SecretRefused } from '../errors.js';
import { changeableByOthers, walk } from './safe-path.js';

/** Every file that a secret of this process was read from. A policy that grants one is refused. */
export const secretFiles: ReadonlySet<string> = new Set();

/** Keeps tasks from a file whose secret is being read: the descriptor it is read from, or its path where another process of ours reads it. */
export function noteSecretFile(file: number | string): void {
  (secretFiles as Set<string>).add(realpathSync(typeof file === 'number' ? `/proc/self/fd/${file}` : file));
}

/** Why others could read a secret's file, by ssh's rule for private keys: of root's or ours, with no access for group or others. */
export function readableByOthers({ uid, mode }: Stats): string | undefined {
  if (uid !== 0 && uid !== process.geteuid?.()) return `it is owned by uid ${uid}`;
  if ((mode & 0o077) !== 0) return `its mode ${(mode & 0o7777).toString(8)} gives access to its group or to everyone; chmod 600 it`;
  return undefined;
}

export interface SecretFileRules {
  /** What errors call it. @default its path */
  readonly source?: string;
  /** Why it is too open, if it is. @default {@link readableByOthers} */
  readonly tooOpen?: (stats: Stats) => string | undefined;
}

/**
 * Opens a file that holds a secret, calls `read` with its descriptor, and closes it. The rules are ssh's for private
 * keys, looked at on the opened descriptor: a regular file, not a link, of root's or ours, with no access for group or
 * others, in folders that nobody else can change.
 *
 * @throws {SecretRefused} `ERR_SECRET_REFUSED`: missing, unreadable, too open or too large.
 */
export function withSecretFile<T>(path: string, mostBytes: number, read: (fd: number) => T, { source = `file "${path}"`, tooOpen = readableByOthers }: SecretFileRules = {}): T {
  const refuse = (problem: string, options?: ErrorOptions): never => {
    throw new SecretRefused(source, problem, options);
  };
  let fd: number;
  try {
    const folders = walk(dirname(path));
    for (const step of folders) {
      const problem = changeableByOthers(step);
      if (problem !== undefined) refuse(`${step.path} ${problem}`);
    }
    const folder = folders[folders.length - 1]?.path ?? '/';
    // O_NONBLOCK: opening a pipe that someone put there must not wait for its writer.
    fd = openSync(join(folder, basename(path)), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (cause) {
    if (cause instanceof SecretRefused) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    return refuse(code === 'ELOOP' ? 'it is a symbolic link' : `it cannot be opened: ${code}`, { cause });
  }
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) refuse('it is not a regular file');
    const problem = tooOpen(stats);
    if (problem !== undefined) refuse(problem);
    if (stats.size > mostBytes + 1) refuse(`it is larger than ${mostBytes} bytes`);
    noteSecretFile(fd);
    return read(fd);
  } finally {
    closeSync(fd);
  }
}
