import { spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { native } from '../lib/native.js';
import { compile } from './helpers/compile.js';

const descriptors = suite('descriptors');
const folder = mkdtempSync(join(tmpdir(), 'sallyport-descriptors-'));
const file = join(folder, 'file');
writeFileSync(file, 'what the file holds');
descriptors.after(() => rmSync(folder, { recursive: true }));

const receiver = compile('receive-descriptor');

/** What another process gets from the far end of a socket, after `send` was given the near one. */
async function received(send: (socket: number) => void): Promise<string> {
  const [near, far] = native().socketPair();
  try {
    const child = spawn(receiver, [], { stdio: [far, 'pipe', 'inherit'] });
    send(near);
    return await text(child.stdout as NodeJS.ReadableStream as never);
  } finally {
    closeSync(near);
    closeSync(far);
  }
}

descriptors('a descriptor arrives in another process, with the bytes it came with, and ours stays open', async () => {
  const fd = openSync(file, 'r');
  assert.is(await received((socket) => writeSync(socket, 'hello')), 'hello:no descriptor\n'); // control
  assert.is(await received((socket) => assert.is(native().sendDescriptor(socket, fd, Buffer.from('hello')), 5)), 'hello:what the file holds\n');
  assert.ok(fstatSync(fd).isFile());
  // One open file: the other process has read it to its end.
  assert.is(readSync(fd, Buffer.alloc(8)), 0);
  closeSync(fd);
});

descriptors('only the view of the bytes is sent', async () => {
  const fd = openSync(file, 'r');
  const bytes = Buffer.from('before|hello|after').subarray(7, 12);
  assert.is(await received((socket) => native().sendDescriptor(socket, fd, bytes)), 'hello:what the file holds\n');
  closeSync(fd);
});

descriptors('what cannot be sent is a system error, and misuse a TypeError', () => {
  const [near, far] = native().socketPair();
  const closed = openSync(file, 'r');
  closeSync(closed);
  const send = (socket: number, fd: unknown, bytes: unknown) => () => native().sendDescriptor(socket, fd as number, bytes as Uint8Array);
  const x = Buffer.from('x');
  const failsWith = (code: keyof typeof constants.errno) => (error: NodeJS.ErrnoException) => error.errno === -constants.errno[code] && error.syscall === 'sendmsg';
  assert.is(send(near, far, x)(), 1); // control
  assert.throws(send(near, closed, x), failsWith('EBADF'));
  const fd = openSync(file, 'r');
  assert.throws(send(fd, far, x), failsWith('ENOTSOCK'));
  for (const [wrongFd, bytes] of [['1', x], [far, 'x'], [far, Buffer.alloc(0)]] as const) assert.throws(send(near, wrongFd, bytes), (error: unknown) => error instanceof TypeError);
  const [ours, theirs] = native().socketPair();
  closeSync(theirs);
  assert.throws(send(ours, fd, x), failsWith('EPIPE'));
  for (const each of [fd, near, far, ours]) closeSync(each);
});

descriptors.run();
