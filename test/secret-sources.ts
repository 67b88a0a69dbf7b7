import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, closeSync, fstatSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { policies, Secret, SecretRefused } from '../lib/index.js';
import { native } from '../lib/native.js';
import { refuseVoidingGrants } from '../lib/policy/grants.js';
import { inChild } from './helpers/fixture.js';

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

/** A descriptor as a supervisor inherits one. */
function inherited(kind: 'pipe' | 'socket' | 'memory' | 'file' | 'large' | 'empty' | 'too-large' | 'open-file' | 'unfinished'): number {
  if (kind === 'file' || kind === 'open-file') return openSync(file(`inherited-${kind}`, `${value}\n`, kind === 'file' ? 0o600 : 0o644), 'r');
  if (kind === 'memory' || kind === 'large' || kind === 'too-large') {
    const path = file('without-a-name', kind === 'memory' ? value : 'x'.repeat(kind === 'large' ? 65_536 : 65_537), 0o644);
    const fd = openSync(path, 'r');
    unlinkSync(path);
    return fd;
  }
  const [ours, theirs] = kind === 'socket' ? native().socketPair() : native().readPipe();
  if (kind !== 'empty') writeFileSync(theirs, value);
  if (kind !== 'unfinished') closeSync(theirs);
  else unfinished.push(theirs);
  return ours;
}
const unfinished: number[] = [];
sources.after(() => unfinished.forEach((fd) => closeSync(fd)));

function closed(fd: number): boolean {
  try {
    fstatSync(fd);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EBADF';
  }
}

/** What systemd does for a service with User=: an access list that grants the path to one more user (acl(5), as Linux stores it). */
const grant = `
import os, struct, sys
path, uid = sys.argv[1], int(sys.argv[2])
may = 5 if os.path.isdir(path) else 4
entries = [(1, may, 2**32 - 1), (2, may, uid), (4, 0, 2**32 - 1), (16, may, 2**32 - 1), (32, 0, 2**32 - 1)]
os.setxattr(path, 'system.posix_acl_access', struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries))
`;

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

sources('a key of arbitrary bytes keeps the newline that it ends with, when asked', () => {
  const bytes = Uint8Array.of(1, 10, 10);
  assert.equal(Secret.fromFile(file('key', bytes), { keepNewline: true }).use((held) => [...held]), [1, 10, 10]);
  assert.equal(Secret.fromFile(file('key', bytes)).use((held) => [...held]), [1, 10]);
  assert.throws(() => Secret.fromFile(file('key', bytes), { keepNewline: 1 as never }), (error: NodeJS.ErrnoException) => error.code === 'ERR_INVALID_ARG_TYPE');
  assert.throws(() => Secret.fromFile(file('key', bytes), { keepNewLine: true } as never), (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE');
});

/** Calls `use` as a service that was passed credentials in `credentials`. */
function asService(credentials: string | undefined, use: () => void): void {
  try {
    if (credentials !== undefined) process.env.CREDENTIALS_DIRECTORY = credentials;
    use();
  } finally {
    delete process.env.CREDENTIALS_DIRECTORY;
  }
}

sources('a credential is taken from where systemd put it, and from nowhere else', () => {
  const credentials = join(folder, 'credentials');
  mkdirSync(credentials, { mode: 0o700 });
  writeFileSync(join(credentials, 'token'), `${value}\n`, { mode: 0o400 });
  asService(credentials, () => {
    assert.is(text(Secret.fromCredential('token')), value);
    assert.is(text(Secret.fromCredential('token', { keepNewline: true })), `${value}\n`);
    refuses(() => Secret.fromCredential('other'), /credential "other".*ENOENT/);
    chmodSync(join(credentials, 'token'), 0o440); // of ours, so that it is no access list's mask
    if (!isRoot) refuses(() => Secret.fromCredential('token'), /mode 440/);
    chmodSync(join(credentials, 'token'), 0o444);
    refuses(() => Secret.fromCredential('token'), /mode 444/);
    chmodSync(join(credentials, 'token'), 0o400);
    chmodSync(credentials, 0o777);
    refuses(() => Secret.fromCredential('token'), /credentials is writable/);
    for (const wrong of ['', '.', '..', '../plain', 'a/b', '/etc/passwd', 'a\0b', 'x'.repeat(256)]) {
      assert.throws(() => Secret.fromCredential(wrong), (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE');
    }
  });
  asService(undefined, () => refuses(() => Secret.fromCredential('token'), /CREDENTIALS_DIRECTORY is not set.*LoadCredential=token:/));
  asService('', () => refuses(() => Secret.fromCredential('token'), /CREDENTIALS_DIRECTORY is not set/));
  asService('credentials', () => refuses(() => Secret.fromCredential('token'), /absolute/));
});

asRoot("root's credential is taken by the one user whom an access list grants it, not by root's group", async () => {
  const credentials = mkdtempSync(join(tmpdir(), 'sallyport-credentials-'));
  try {
    writeFileSync(join(credentials, 'token'), value, { mode: 0o400 });
    for (const path of [join(credentials, 'token'), credentials]) execFileSync('python3', ['-c', grant, path, '65534']);
    assert.is((statSync(join(credentials, 'token')).mode & 0o777).toString(8), '440', 'the mask shows as the group');
    const asUser = (...groups: string[]) =>
      inChild<{ byteLength?: number; message?: string }>('read-credential.js', { env: { CREDENTIALS_DIRECTORY: credentials }, through: ['setpriv', '--reuid=65534', '--regid=65534', ...groups, '--bounding-set=-all'] });
    assert.is((await asUser('--clear-groups')).byteLength, value.length);
    assert.match((await asUser('--groups=0')).message ?? '', /mode 440/);
    asService(credentials, () => refuses(() => Secret.fromCredential('token'), /mode 440/)); // root itself gets no access list
  } finally {
    rmSync(credentials, { recursive: true });
  }
});

sources('a descriptor is read to its end once, whatever it is, and closed', async () => {
  for (const kind of ['pipe', 'socket', 'memory', 'file', 'large'] as const) {
    const fd = inherited(kind);
    const secret = Secret.fromDescriptor(fd);
    assert.is(text(secret), kind === 'large' ? 'x'.repeat(65_536) : value, kind);
    assert.ok(closed(fd), kind);
    refuses(() => Secret.fromDescriptor(fd), /not open/);
  }
});

sources('a descriptor that is refused is closed as well; what cannot be one is left alone', () => {
  const refused = (kind: Parameters<typeof inherited>[0], problem: RegExp): void => {
    const fd = inherited(kind);
    const before = readdirSync('/proc/self/fd').length;
    assert.throws(() => Secret.fromDescriptor(fd, { timeoutMs: 20 }), (error: unknown) => error instanceof SecretRefused && problem.test(error.message) && !error.message.includes(value));
    assert.ok(closed(fd), kind);
    assert.is(readdirSync('/proc/self/fd').length, before - 1);
  };
  refused('empty', /empty/);
  refused('too-large', /longer than/);
  refused('open-file', /mode 644/);
  refused('unfinished', /end in time/);
  const folderFd = openSync(folder, 'r');
  refuses(() => Secret.fromDescriptor(folderFd), /neither a file nor a pipe nor a socket/);
  assert.not.ok(closed(folderFd));
  closeSync(folderFd);
  for (const wrong of ['3', null, undefined]) assert.throws(() => Secret.fromDescriptor(wrong as never), (error: NodeJS.ErrnoException) => error.code === 'ERR_INVALID_ARG_TYPE');
  for (const wrong of [-1, 0, 1, 2, 3.5, NaN, 2 ** 31]) assert.throws(() => Secret.fromDescriptor(wrong), (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE');
  assert.throws(() => Secret.fromDescriptor(999, { timeoutMs: -1 }), (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE');
});

sources('a process that inherits it takes it from a shell, and passes it on to no child', async () => {
  const seen = await inChild<{ byteLength: number; before: boolean; after: boolean; child: boolean }>('inherited-secret.js', {
    through: ['bash', '-c', 'exec "$@" 3<<<"$0"', value],
  });
  assert.equal(seen, { byteLength: value.length, before: true, after: false, child: false });
});

sources('a policy that grants a file which a credential or descriptor was read from is refused', () => {
  const reads = {
    'by-credential': (path: string) => asService(folder, () => Secret.fromCredential(basename(path)).destroy()),
    'by-descriptor': (path: string) => Secret.fromDescriptor(openSync(path, 'r')).destroy(),
  };
  for (const [name, read] of Object.entries(reads)) {
    const path = file(name);
    const policy = policies.command({ read: [path] });
    refuseVoidingGrants(policy); // control
    read(path);
    assert.throws(() => refuseVoidingGrants(policy), (error: NodeJS.ErrnoException) => error.code === 'ERR_POLICY_INVALID');
  }
});

sources('a command is refused, always, and the refusal says what to use', () => {
  for (const command of [undefined, 'cat /etc/airflow/jwt_secret', ['pass', 'show']]) refuses(() => Secret.fromCommand(command), /a task of the same user can run too.*fromDescriptor.*fromCredential/);
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
