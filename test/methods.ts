import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Type } from '@sinclair/typebox';
import { launch, method, policies, type AuditRecord, type TaskExit } from '../lib/index.js';

const methods = suite('methods');
const root = new URL('..', import.meta.url).pathname;

/** A task that writes raw frames of msgpack to fd 0 and prints what it reads: no SDK between it and the broker. */
const client = (body: string): readonly [string, ...string[]] => [
  process.execPath,
  '-e',
  `const { encode, decode } = require('${root}node_modules/@msgpack/msgpack');
   const fs = require('fs');
   const read = (n) => { const b = Buffer.alloc(n); for (let at = 0; at < n;) { const got = fs.readSync(0, b, at, n - at); if (got === 0) process.exit(9); at += got; } return b; };
   const send = (bytes) => fs.writeSync(0, bytes);
   const frame = (value) => { const b = Buffer.from(encode(value)); const h = Buffer.alloc(4); h.writeUInt32BE(b.length); return Buffer.concat([h, b]); };
   const call = (value) => { send(frame(value)); return decode(read(read(4).readUInt32BE())); };
   ${body}`,
];
const policy = policies.node({ read: [`${root}node_modules/@msgpack`] });

async function run(body: string): Promise<{ exit: TaskExit; output: string; audit: AuditRecord[] }> {
  const audit: AuditRecord[] = [];
  const task = await launch(client(body), {
    policy,
    audit: (record) => audit.push(record),
    name: 'client',
    methods: { add: method({ params: Type.Object({ a: Type.Number(), b: Type.Number() }), handler: ({ a, b }) => a + b }) },
  });
  let output = '';
  for await (const chunk of task.stdout ?? []) output += String(chunk);
  let stderr = '';
  for await (const chunk of task.stderr ?? []) stderr += String(chunk);
  const exit = await task.exited;
  await task[Symbol.asyncDispose]();
  return { exit, output: output + stderr, audit };
}

methods('a task gets answers to what it was granted', async () => {
  const { exit, output, audit } = await run(`console.log(JSON.stringify([call([0, { type: 'add', a: 2, b: 3 }]), call([1, { type: 'add', a: 1, b: 1 }])]))`);
  assert.is(output, '[[0,5,null],[1,2,null]]\n');
  assert.equal(exit, { kind: 'exited', exitCode: 0 });
  assert.equal(audit.map(({ task, method, outcome }) => [task, method, outcome]), [['client', 'add', 'allowed'], ['client', 'add', 'allowed']]);
});

methods('what was not granted, or does not fit, gets a typed refusal and a record', async () => {
  const { output, audit } = await run(`console.log(JSON.stringify([call([0, { type: 'subtract' }])[2].detail.code, call([1, { type: 'add', a: 'x', b: 3 }])[2].detail.code, call([2, null])[2].detail.code, call([3, { type: 'add', a: 2, b: 3 }])[1]]))`);
  assert.is(output, '["ERR_BROKER_DENIED","ERR_BROKER_DENIED","ERR_BROKER_DENIED",5]\n');
  assert.equal(audit.map(({ outcome }) => outcome), ['denied', 'denied', 'denied', 'allowed']);
});

methods('a program asks with request() of sallyport/task, and ends by itself when it is done', async () => {
  const program = `import('${root}lib/sdk/index.js').then(async ({ request }) => {
    console.log(await request('add', { a: 2, b: 3 }));
    console.log((await Promise.all([1, 2, 3].map((a) => request('add', { a, b: 1 })))).join());
    await request('subtract').catch(({ code }) => console.log(code));
    await request('add', { type: 'subtract', a: 1, b: 1 }).then(console.log);
  })`;
  const task = await launch([process.execPath, '-e', program], {
    policy: policies.node({ read: [`${root}lib`, `${root}package.json`, `${root}node_modules/@msgpack`] }),
    methods: { add: method({ params: Type.Object({ a: Type.Number(), b: Type.Number() }), handler: ({ a, b }) => a + b }) },
  });
  let output = '';
  for await (const chunk of task.stdout ?? []) output += String(chunk);
  assert.is(output, '5\n2,3,4\nERR_BROKER_DENIED\n2\n');
  assert.equal(await task.exited, { kind: 'exited', exitCode: 0 });
  await task[Symbol.asyncDispose]();
});

for (const [name, bytes] of [
  ['garbage', `send(Buffer.from('GET / HTTP/1.1\\r\\n\\r\\n'))`],
  ['a frame of 4 GiB', `send(Buffer.from([0xff, 0xff, 0xff, 0xff]))`],
  ['an empty frame', `send(Buffer.alloc(4))`],
  ['a frame that is not msgpack', `send(Buffer.from([0, 0, 0, 1, 0xc1]))`],
  ['a frame that nests too deep', `let v = 1; for (let i = 0; i < 90; i++) v = [v]; send(frame(v))`],
  ['a request that is not one', `send(frame('hello'))`],
] as const) {
  methods(`${name} ends the task and says why`, async () => {
    const control = await run(`console.log(call([0, { type: 'add', a: 2, b: 3 }])[1])`);
    assert.is(control.output, '5\n');
    const { exit, output } = await run(`console.log('sent'); ${bytes}; setInterval(() => {}, 1000)`);
    assert.is(output, 'sent\n');
    assert.is(exit.kind, 'ended');
    assert.is((exit as { violation: { code?: string } }).violation.code, 'ERR_BROKER_VIOLATION');
  });
}

methods('fields that the schema does not name never reach the handler, and what it throws reaches its author alone', async () => {
  const seen: unknown[] = [];
  const task = await launch(client(`console.log(call([0, { type: 'look', a: 1, extra: 'evil' }])[1], call([1, { type: 'fail' }])[2].detail.code)`), {
    policy,
    onMethodError: (error, { method: name }) => seen.push([(error as Error).message, name]),
    methods: {
      look: method({ params: Type.Object({ a: Type.Number() }), handler: (params) => Object.keys(params).join() }),
      fail: method({ params: Type.Object({}), handler: () => { throw Object.assign(new Error('hunter2'), { code: 'ERR_INTERNAL' }); } }),
    },
  });
  const { stdout } = await task.output();
  assert.is(stdout, 'a ERR_BROKER_METHOD\n');
  assert.equal(seen, [['hunter2', 'fail']]);
});

methods('a task that ends in the middle of a frame, or before it reads, is an ordinary exit', async () => {
  assert.equal((await run(`send(Buffer.from([0, 0, 1]))`)).exit, { kind: 'exited', exitCode: 0 });
  assert.equal((await run(`send(frame([0, { type: 'add', a: 2, b: 3 }])); process.exit(4)`)).exit, { kind: 'exited', exitCode: 4 });
});

methods('the channel cannot be had twice', async () => {
  try {
    await launch(['true'], { policy, channel: true, methods: {} });
    assert.unreachable();
  } catch (error) {
    assert.is((error as { code?: string }).code, 'ERR_INVALID_ARG_TYPE');
  }
});

methods.run();
