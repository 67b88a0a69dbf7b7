import { execFileSync } from 'node:child_process';
import { inspect } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Secret } from '../lib/index.js';
import { compile } from './helpers/compile.js';
import { codeOf } from './helpers/code-of.js';
import { inChild } from './helpers/fixture.js';

const secret = suite('secret');

secret('holds the bytes, and wipes those it was made of', () => {
  const bytes = Uint8Array.of(1, 2, 3, 4, 5);
  const view = bytes.subarray(1, 4);
  const made = Secret.fromBytes(view);
  assert.equal(bytes, Uint8Array.of(1, 0, 0, 0, 5));
  assert.is(made.byteLength, 3);
  assert.equal(made.use((held) => [...held]), [2, 3, 4]);
});

secret('lends a view that is detached afterwards: after a return, a throw, a promise', async () => {
  const made = Secret.fromBytes(Uint8Array.of(9));
  let view: Uint8Array = new Uint8Array();
  made.use((bytes) => (view = bytes));
  assert.is(view.length, 0);
  assert.throws(() => made.use((bytes) => {
    view = bytes;
    throw new Error('mine');
  }), /mine/);
  assert.is(view.length, 0);

  let resolve = (_: string): void => {};
  const pending = made.use((bytes) => {
    view = bytes;
    return new Promise<string>((done) => (resolve = done));
  });
  const inner = made.use((bytes) => bytes[0]);
  assert.is(inner, 9);
  assert.is(view[0], 9, 'a second use does not end the first');
  resolve('done');
  assert.is(await pending, 'done');
  assert.is(view.length, 0);

  await made.use(async (bytes) => {
    view = bytes;
    throw new Error('mine');
  }).catch(() => {});
  assert.is(view.length, 0);
});

secret('is wiped when destroyed, twice is fine, and a view that is still open reads zeros', async () => {
  const made = Secret.fromBytes(Uint8Array.of(9, 9));
  let resolve = (): void => {};
  let view: Uint8Array = new Uint8Array();
  const pending = made.use((bytes) => {
    view = bytes;
    return new Promise<void>((done) => (resolve = done));
  });
  made.destroy();
  made.destroy();
  made[Symbol.dispose]();
  assert.equal([...view], [0, 0]);
  resolve();
  await pending;
  assert.is(view.length, 0);
  assert.is(codeOf(() => made.use(() => 1)), 'ERR_SECRET_DESTROYED');
  assert.is(codeOf(() => made.equals(made)), 'ERR_SECRET_DESTROYED');
  assert.is(String(made), 'Secret { byteLength: 2 }');
});

secret('compares bytes', () => {
  const [a, same, other, longer] = ['abc', 'abc', 'abd', 'abcd'].map((text) => Secret.fromBytes(Buffer.from(text))) as [Secret, Secret, Secret, Secret];
  assert.equal([a.equals(same), a.equals(other), a.equals(longer), a.equals(a)], [true, false, false, true]);
  assert.is(codeOf(() => a.equals('abc' as never)), 'ERR_INVALID_ARG_TYPE');
});

secret('is never printed', () => {
  const made = Secret.fromBytes(Buffer.from('hunter2'));
  const error = new Error('failed', { cause: made });
  for (const text of [inspect(made, { showHidden: true, depth: 9 }), String(made), `${made}`, JSON.stringify({ made }), inspect({ deep: [made] }), inspect(error)]) {
    assert.ok(text.includes('Secret { byteLength: 7 }'), text);
    assert.not.ok(text.includes('hunter2'));
  }
  assert.equal(Object.values(made).filter((value) => typeof value === 'object'), []);
});

secret('misuse is a TypeError; nothing, or too much, is refused', () => {
  for (const wrong of ['text', 7, null, undefined, [1], new Uint16Array(1), new ArrayBuffer(1)]) assert.is(codeOf(() => Secret.fromBytes(wrong as never)), 'ERR_INVALID_ARG_TYPE');
  assert.is(codeOf(() => Secret.fromBytes(new Uint8Array())), 'ERR_SECRET_REFUSED');
  assert.is(codeOf(() => Secret.fromBytes(new Uint8Array(65_537))), 'ERR_SECRET_REFUSED');
  assert.is(Secret.fromBytes(new Uint8Array(65_536)).byteLength, 65_536);
  assert.is(codeOf(() => Secret.fromBytes(Uint8Array.of(1)).use('x' as never)), 'ERR_INVALID_ARG_TYPE');
});

interface Counts {
  mappings: number;
  fds: number;
  locked: number;
}

interface Counts {
  mappings: number;
  fds: number;
  lockedKiB: number;
}
const pageKiB = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' })) / 1024;

for (const [kind, through] of [['memfd_secret', []], ['mlock', [compile('without-memfd-secret')]]] as const) {
  secret(`ten thousand made and destroyed leave mappings, descriptors and locked memory as they were: ${kind}`, async () => {
    const { before, during, after, protection } = await inChild<Record<'before' | 'during' | 'after', Counts> & { protection: string }>('secret-count.js', { through });
    if (kind === 'mlock') assert.is(protection, kind);
    // Control: they show, and share pages, 64 to each.
    assert.is(during.lockedKiB - before.lockedKiB, Math.ceil(10_000 / 64) * pageKiB);
    assert.ok(during.mappings > before.mappings);
    assert.is(during.fds, before.fds, 'their descriptors are closed already');
    assert.equal(after, before);
  });
}

secret('a thousand forgotten are wiped and given back when collected', async () => {
  const { before, during, after } = await inChild<Record<'before' | 'during' | 'after', Counts>>('secret-count.js', { args: ['forget'], node: ['--expose-gc'] });
  assert.ok(during.lockedKiB > before.lockedKiB); // control
  assert.ok(after.lockedKiB <= before.lockedKiB + pageKiB, JSON.stringify({ before, after }));
});

secret('a spent RLIMIT_MEMLOCK is a clear error, the bytes are not lost, and what is destroyed makes room', async () => {
  const seen = await inChild<{ made: number; error: { code: string; guarantee: string; message: string }; large: string; bytesLeft: number; again: number }>('memlock.js');
  assert.is(seen.made % 64, 0, 'every page that could be locked is full');
  assert.ok(seen.made > 0 && seen.made <= (64 / pageKiB) * 64);
  assert.is(seen.error.code, 'ERR_ENFORCEMENT_PARTIAL');
  assert.is(seen.error.guarantee, 'secrets');
  assert.match(seen.error.message, /RLIMIT_MEMLOCK is 64 KiB, of which this process has locked 64 KiB/);
  assert.is(seen.large, 'ERR_ENFORCEMENT_PARTIAL');
  assert.is(seen.bytesLeft, 7);
  assert.is(seen.again, 1);
});

secret.run();
