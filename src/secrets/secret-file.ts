import { closeSync, constants, fstatSync, openSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { SecretRefused } from '../errors.js';
import { changeableByOthers, walk } from './safe-path.js';

/** Every file that a secret of this process was read from. A policy that grants one is refused. */
export const secretFiles: ReadonlySet<string> = new Set();

/**
 * Opens a file that holds a secret, calls `read` with its descriptor, and closes it. The rules are ssh's for private
 * keys, looked at on the opened descriptor: a regular file, not a link, of root's or ours, with no access for group or
 * others, in folders that nobody else can change.
 *
 * @throws {SecretRefused} `ERR_SECRET_REFUSED`: missing, unreadable, too open or too large.
 */
export function withSecretFile<T>(path: string, mostBytes: number, read: (fd: number, byteLength: number) => T): T {
  const source = `file "${path}"`;
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
    if (stats.uid !== 0 && stats.uid !== process.geteuid?.()) refuse(`it is owned by uid ${stats.uid}`);
    if ((stats.mode & 0o077) !== 0) refuse(`its mode ${(stats.mode & 0o7777).toString(8)} gives access to its group or to everyone; chmod 600 it`);
    if (stats.size > mostBytes + 1) refuse(`it is larger than ${mostBytes} bytes`);
    (secretFiles as Set<string>).add(realpathSync(`/proc/self/fd/${fd}`));
    return read(fd, stats.size);
  } finally {
    closeSync(fd);
  }
}
