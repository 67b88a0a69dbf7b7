import { readdirSync, type Stats } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { SecretRefused } from '../errors.js';
import { readableByOthers, withSecretFile } from './secret-file.js';

/**
 * Opens one of the credentials that systemd passed to this service, and calls `read` with its descriptor.
 *
 * @throws {SecretRefused} `ERR_SECRET_REFUSED`: no `$CREDENTIALS_DIRECTORY`, no such credential, or too open.
 * @see systemd.exec(5), "Credentials".
 */
export function withCredential<T>(name: string, mostBytes: number, read: (fd: number) => T): T {
  const source = `credential "${name}"`;
  const folder = process.env['CREDENTIALS_DIRECTORY'];
  if (folder === undefined || folder === '') {
    throw new SecretRefused(source, `CREDENTIALS_DIRECTORY is not set: name it in the service's unit, LoadCredential=${name}:/path or LoadCredentialEncrypted=, and start it by systemd`);
  }
  if (!isAbsolute(folder)) throw new SecretRefused(source, 'CREDENTIALS_DIRECTORY is not an absolute path');
  return withSecretFile(join(folder, name), mostBytes, read, { source, tooOpen: credentialTooOpen });
}

/** The names of those there are; none where systemd passed none, or where the folder cannot be read. */
export function credentialNames(): readonly string[] {
  try {
    return readdirSync(process.env['CREDENTIALS_DIRECTORY'] || '/nonexistent').sort();
  } catch {
    return [];
  }
}

/**
 * To a service of another user than root, systemd grants root's file by an access list that names that one user. The group's bits
 * of the mode are then the list's mask (acl(5)): the group itself has nothing. That there is such a list follows from our having
 * opened the file, being neither its owner nor of its group.
 */
function credentialTooOpen(stats: Stats): string | undefined {
  const notOurs = process.geteuid?.() !== 0 && process.getegid?.() !== 0 && process.getgroups?.().includes(0) !== true;
  const byAccessList = stats.uid === 0 && stats.gid === 0 && (stats.mode & 0o7777) === 0o440 && notOurs;
  return byAccessList ? undefined : readableByOthers(stats);
}
