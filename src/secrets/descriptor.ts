import { closeSync, fstatSync, type Stats } from 'node:fs';
import { SecretRefused } from '../errors.js';
import { noteSecretFile, readableByOthers } from './secret-file.js';

/**
 * Calls `read` with an inherited descriptor that a secret can come from, and closes it, whatever happens. A file with a name must be as
 * closed to others as one that is opened by its name; one without (memfd_create(2), O_TMPFILE) has no other door.
 *
 * @throws {SecretRefused} `ERR_SECRET_REFUSED`: not open; or not a file, pipe or socket, which is then left open, for Node has others of its
 *   own under numbers next to it.
 */
export function withInheritedDescriptor<T>(fd: number, source: string, read: (fd: number) => T): T {
  let stats: Stats;
  try {
    stats = fstatSync(fd);
  } catch (cause) {
    throw new SecretRefused(source, 'it is not open: was it inherited, and not read before?', { cause });
  }
  if (!stats.isFile() && !stats.isFIFO() && !stats.isSocket()) throw new SecretRefused(source, 'it is neither a file nor a pipe nor a socket');
  try {
    if (stats.isFile() && stats.nlink > 0) {
      const problem = readableByOthers(stats);
      if (problem !== undefined) throw new SecretRefused(source, problem);
      noteSecretFile(fd);
    }
    return read(fd);
  } finally {
    closeSync(fd);
  }
}
