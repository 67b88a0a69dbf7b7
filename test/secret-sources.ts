import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Secret, SecretRefused } from '../lib/index.js';

const sources = suite('secret-sources');
const isRoot = process.getuid?.() === 0;
const value = 'hunter2-and-then-some';

let folder = '';
sources.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-'));
});
sources.after(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array = value, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

const text = (secret: Secret): string => secret.use((bytes) => Buffer.from(bytes).toString());

/** It refuses, says where the secret was looked for, leaks nothing and leaves no descriptor behind. */
function refuses(read: () => Secret, problem: RegExp): void {
  const fds = readdirSync('/proc/self/fd').length;
  try {
    read();
  } catch (error) {
    if (!(error instanceof SecretRefused)) throw error;
    assert.is(error.code, 'ERR_SECRET_REFUSED');
    assert.match(error.message, problem);
    assert.not.match(`${error.stack} ${String(error.cause)}`, value);
    assert.is(readdirSync('/proc/self/fd').length, fds);
    return;
  }
  assert.unreachable(`not refused: ${problem}`);
}

sources('a file of ours that nobody else can read is taken, without the newline at its end', () => {
  assert.is(text(Secret.fromFile(file('plain'))), value);
  assert.is(text(Secret.fromFile(file('line', `${value}\n`))), value);
  assert.is(text(Secret.fromFile(file('lines', `${value}\n\n`))), `${value}\n`);
  assert.is(text(Secret.fromFile(file('read-only', value, 0o400))), value);
  assert.equal(Secret.fromFile(file('binary', Uint8Array.of(0, 255, 10, 0))).use((bytes) => [...bytes]), [0, 255, 10, 0]);
  assert.is(Secret.fromFile(file('largest', `${'x'.repeat(65_536)}\n`)).byteLength, 65_536);
});

sources('a relative path, and folders behind links of ours, are followed', () => {
  const path = file('linked');
  symlinkSync(folder, join(folder, 'loop'));
  assert.is(text(Secret.fromFile(join(folder, 'loop', 'loop', 'linked'))), value);
  assert.is(text(Secret.fromFile(`${folder}/./loop/../${folder.split('/').at(-1)}/linked`)), value);
  const before = process.cwd();
  process.chdir(folder);
  assert.is(text(Secret.fromFile('linked')), value);
  process.chdir(before);
  assert.ok(path);
});

sources('a mode that lets others in is refused, whoever they are', () => {
  for (const mode of [0o640, 0o604, 0o660, 0o666, 0o610, 0o602]) refuses(() => Secret.fromFile(file('open', value, mode)), /mode/);
});

sources('what is not a regular file is refused, and a pipe is not waited for', () => {
  symlinkSync(file('target'), join(folder, 'link'));
  refuses(() => Secret.fromFile(join(folder, 'link')), /symbolic link/);
  execFileSync('mkfifo', ['-m', '600', join(folder, 'pipe')]);
  refuses(() => Secret.fromFile(join(folder, 'pipe')), /regular file/);
  mkdirSync(join(folder, 'folder'), { mode: 0o700 });
  refuses(() => Secret.fromFile(join(folder, 'folder')), /regular file/);
  refuses(() => Secret.fromFile('/dev/null'), /regular file/);
});

sources('missing, empty and too large are refused', () => {
  refuses(() => Secret.fromFile(join(folder, 'missing')), /ENOENT/);
  refuses(() => Secret.fromFile(join(folder, 'missing', 'folder')), /ENOENT/);
  refuses(() => Secret.fromFile(join(file('a-file'), 'below')), /ENOTDIR/);
  refuses(() => Secret.fromFile(file('empty', '')), /empty/);
  refuses(() => Secret.fromFile(file('newline', '\n')), /empty/);
  refuses(() => Secret.fromFile(file('large', 'x'.repeat(65_537))), /longer|larger/);
  refuses(() => Secret.fromFile(file('huge', 'x'.repeat(1_000_000))), /larger/);
});

sources('a folder that others can change is refused, a sticky one accepted', () => {
  const inner = join(folder, 'inner');
  mkdirSync(inner);
  writeFileSync(join(inner, 'key'), value, { mode: 0o600 });
  for (const mode of [0o777, 0o770, 0o707]) {
    chmodSync(inner, mode);
    refuses(() => Secret.fromFile(join(inner, 'key')), /inner is writable/);
  }
  chmodSync(inner, 0o1777);
  assert.is(text(Secret.fromFile(join(inner, 'key'))), value);
  // The link's own folder counts as well as the one it leads to.
  const open = join(folder, 'open-folder');
  mkdirSync(open);
  symlinkSync(inner, join(open, 'way'));
  chmodSync(open, 0o777);
  refuses(() => Secret.fromFile(join(open, 'way', 'key')), /open-folder is writable/);
});

const asRoot = isRoot ? sources : sources.skip;
if (!isRoot) console.log('skipped: files of another user need root');

asRoot('a file, a folder or a link of another user is refused', () => {
  const path = file('others');
  chownSync(path, 12345, 0);
  refuses(() => Secret.fromFile(path), /uid 12345/);
  const theirs = join(folder, 'theirs');
  mkdirSync(theirs, { mode: 0o755 });
  writeFileSync(join(theirs, 'key'), value, { mode: 0o600 });
  chownSync(theirs, 12345, 0);
  refuses(() => Secret.fromFile(join(theirs, 'key')), /uid 12345/);
  // In a sticky folder others may still make a link of their own to a folder of ours.
  const sticky = join(folder, 'sticky');
  mkdirSync(sticky);
  chmodSync(sticky, 0o1777);
  execFileSync('ln', ['-s', folder, join(sticky, 'way')]);
  execFileSync('chown', ['-h', '12345', join(sticky, 'way')]);
  refuses(() => Secret.fromFile(join(sticky, 'way', 'plain')), /uid 12345/);
});

sources('a path that is none is misuse', () => {
  for (const wrong of [7, null, undefined, Buffer.from('x')]) assert.throws(() => Secret.fromFile(wrong as never), (error: NodeJS.ErrnoException) => error.code === 'ERR_INVALID_ARG_TYPE');
  for (const wrong of ['', 'a\0b']) assert.throws(() => Secret.fromFile(wrong), (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE');
});

sources('a variable leaves the environment with its value', () => {
  process.env.SALLYPORT_A = value;
  const secret = Secret.fromEnv('SALLYPORT_A');
  assert.is(text(secret), value);
  assert.is(process.env.SALLYPORT_A, undefined);
  assert.not.ok('SALLYPORT_A' in process.env);
  refuses(() => Secret.fromEnv('SALLYPORT_A'), /not set/);
});

sources('an empty variable, and one beyond 64 KiB, is refused', () => {
  process.env.SALLYPORT_EMPTY = '';
  refuses(() => Secret.fromEnv('SALLYPORT_EMPTY'), /empty/);
  process.env.SALLYPORT_LONG = value.repeat(10_000);
  refuses(() => Secret.fromEnv('SALLYPORT_LONG'), /longer/);
  delete process.env.SALLYPORT_LONG;
});

sources('a name that is none is misuse', () => {
  for (const wrong of [7, null, undefined]) assert.throws(() => Secret.fromEnv(wrong as never), (error: NodeJS.ErrnoException) => error.code === 'ERR_INVALID_ARG_TYPE');
  for (const wrong of ['', 'A=B', 'A\0']) assert.throws(() => Secret.fromEnv(wrong), (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE');
});

sources.run();
