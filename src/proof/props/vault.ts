import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, copyFileSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nativeProgram } from '../../native.js';
import { installed } from '../locate.js';
import type { Prop } from '../props.js';

/** In the form of a well-known kind of credential, which attacks look for. */
export const credential = (): string => `ghp_${randomBytes(24).toString('hex')}`;

/** Files that no policy grants: one with a secret, one that tells it when it is run, one whose name is the secret, one to be changed. */
export function vault(): Prop {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-vault-'));
  const [secret, told, name] = [credential(), credential(), credential()];
  const file = (path: string, text: string, mode = 0o600): string => {
    writeFileSync(join(folder, path), text, { mode });
    return join(folder, path);
  };
  mkdirSync(join(folder, 'names'));
  file(join('names', name), '');
  const paths = { vault: folder, secretFile: file('secret', `${secret}\n`), teller: file('teller', `#!/bin/sh\necho ${told}\n`, 0o700), settings: file('settings', 'strict = true\n'), nameFolder: join(folder, 'names') };
  const untouched = snapshot(folder);
  return {
    told: paths,
    loot: { 'a file outside the policy': secret, 'what a program outside the policy tells': told, 'the name of a file outside the policy': name },
    seen: () => (snapshot(folder) === untouched ? undefined : { verdict: 'disrupted', evidence: 'a file outside the policy was changed' }),
    end: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Names, modes, owners, times, links and contents: everything a change shows in. ctime stands for extended attributes. */
function snapshot(folder: string): string {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .sort()
    .map((name) => {
      const stat = lstatSync(join(folder, name));
      return [name, stat.mode, stat.uid, stat.gid, stat.nlink, stat.mtimeMs, stat.ctimeMs, stat.isFile() ? readFileSync(join(folder, name), 'latin1') : ''].join(' ');
    })
    .join('\n');
}

/** A folder that the task may write. */
export function workshop(): Prop {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-workshop-'));
  const device = join(folder, 'device');
  return {
    told: { workshop: folder, device },
    grants: { write: [folder] },
    seen: () => (isDevice(device) ? { verdict: 'disrupted', evidence: 'a device file was made' } : undefined),
    end: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function isDevice(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat !== undefined && (stat.isCharacterDevice() || stat.isBlockDevice());
}

const another = 12345; // a user id that is nobody's here

/** A file of another user's, which is readable by its owner alone: to the policy it is granted, to the modes of files it is not. */
export function foreignFile(): Prop {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-foreign-'));
  chmodSync(folder, 0o755);
  const secret = credential();
  const path = join(folder, 'secret');
  writeFileSync(path, `${secret}\n`);
  chmodSync(path, 0o400);
  chownSync(path, another, another);
  return {
    told: { foreignFile: path },
    loot: { "a file of another user's": secret },
    grants: { read: [folder] },
    end: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A set-uid program that the task may execute: one of root's that waits, or, where root sets it up, one of another user's. */
export function setUidProgram(): Prop {
  if (process.geteuid?.() !== 0) return { told: { setUidProgram: installed('su') ?? '' }, end: () => {} };
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-set-uid-'));
  chmodSync(folder, 0o755);
  const path = join(folder, 'program');
  copyFileSync(nativeProgram('attack'), path);
  chownSync(path, another, another);
  chmodSync(path, 0o4755);
  return { told: { setUidProgram: path }, grants: { execute: [folder] }, end: () => rmSync(folder, { recursive: true, force: true }) };
}
