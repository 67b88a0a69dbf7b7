// ResendLoggingFD: a log of its own for a program that a task started, by a descriptor in a reply.

import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Type } from '@sinclair/typebox';
import { DescriptorReply } from '../lib/broker/descriptor.js';
import { encodeFrame } from '../lib/broker/frame.js';
import { method, serve, type AuditRecord } from '../lib/broker/index.js';
import { launch, policies, type Task } from '../lib/index.js';
import { findPython } from '../lib/policy/python.js';
import { resendLoggingFd } from '../lib/supervisor/logs/resend.js';
import { settled } from './helpers/peer.js';
import { until } from './helpers/processes.js';
import { socketPair } from './helpers/socket-pair.js';
import { Supervised } from './helpers/supervised.js';

const resend = suite('resend');

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-resend-')));
resend.after(() => rmSync(folder, { recursive: true, force: true }));

const python = findPython('python3').executable;
const descriptors = (): number => readdirSync('/proc/self/fd').length;

/** Closing takes a turn or two: there are as few as before, sooner or later. */
async function backTo(before: number): Promise<void> {
  for (let tries = 0; descriptors() > before; tries++) {
    assert.ok(tries < 500, `${descriptors()} descriptors, where ${before} were open before`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** As Airflow's CommsDecoder asks: the header with its descriptors first, then the body. msgpack by hand, for Python has none. */
const ask = `
import os, socket, struct, sys
channel = socket.socket(fileno=0)
def ask(number):
    body = b'\\x92\\xcd' + struct.pack('>H', number) + b'\\x81\\xa4type\\xafResendLoggingFD'
    channel.sendall(struct.pack('>I', len(body)) + body)
    header, fds, flags, address = socket.recv_fds(channel, 4, 1)
    (length,) = struct.unpack('>I', header)
    reply = b''
    while len(reply) < length:
        reply += channel.recv(length - len(reply))
    return reply, list(fds)
`;

interface Ran { readonly logs: readonly string[]; readonly stdout: string; readonly records: readonly AuditRecord[]; readonly task: Task }

/** Runs Python that may ask, on a channel that serves nothing else. */
async function run(source: string, limits: object = {}): Promise<Ran> {
  const read: Promise<string>[] = [];
  const records: AuditRecord[] = [];
  await using task = await launch([python, '-c', ask + source], { policy: policies.python({ limits }), channel: true });
  const channel = task.channel;
  if (channel === null) throw new Error('no channel');
  const broker = serve(channel, {
    methods: {
      ...resendLoggingFd(task, (stream) => read.push(text(stream))),
      Large: method({ params: Type.Object({}), handler: () => 'x'.repeat(3 << 20) }),
    },
    audit: (entry) => records.push(entry),
    onViolation: (violation) => task.end(violation),
  });
  const stdout = text(task.stdout as Readable);
  await task.exited;
  await broker.closed;
  return { logs: await Promise.all(read), stdout: await stdout, records, task };
}

resend('a task that does not read is looked at less and less often', async () => {
  const { near: ours, far: theirs } = await socketPair();
  let tries = 0;
  let isRead = false;
  const broker = serve(ours, {
    methods: {
      Attached: method({ params: Type.Object({}), handler: () => new DescriptorReply('sent', (bytes) => {
        tries++;
        if (isRead) return bytes.length;
        throw Object.assign(new Error('EAGAIN'), { code: 'EAGAIN' });
      }, () => {}) }),
    },
    onViolation: () => {},
  });
  for (let id = 0; id < 16; id++) theirs.write(encodeFrame([id, { type: 'Attached' }]));
  await until(() => tries >= 16);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  assert.ok(tries <= 16 * 10, `${tries}`); // every 5 ms: 4800
  isRead = true;
  const before = tries;
  await until(() => tries >= before + 16);
  assert.is(await settled(() => tries), before + 16); // control: each goes out in the end, once
  broker.close();
});

resend('the reply has a socket attached to its first bytes, and what is written there is read as a log', async () => {
  const { logs, stdout, records } = await run(`
reply, fds = ask(1)
print(len(fds), b'SentFDs' in reply, socket.socket(fileno=os.dup(fds[0])).family == socket.AF_UNIX, os.get_inheritable(fds[0]) or True)
os.write(fds[0], b'{"event": "from another interpreter"}\\n')
more, again = ask(2)
os.write(again[0], b'second\\n')
os.write(fds[0], b'no end')
`);
  assert.is(stdout.trim(), '1 True True True');
  assert.equal(logs, ['{"event": "from another interpreter"}\nno end', 'second\n']);
  assert.equal(records.map(({ method, outcome }) => [method, outcome]), [['ResendLoggingFD', 'allowed'], ['ResendLoggingFD', 'allowed']]);
});

resend('sixteen times and no more, and nothing stays open in the supervisor', async () => {
  await run('ask(1)'); // what is opened once for the process is
  const before = descriptors();
  const { stdout, records, logs } = await run(`
print([len(ask(number)[1]) for number in range(1, 20)])
`);
  assert.is(stdout.trim(), JSON.stringify([...Array<number>(16).fill(1), 0, 0, 0]).replaceAll(',', ', '));
  assert.equal(records.slice(-3).map(({ outcome }) => outcome), ['denied', 'denied', 'denied']);
  assert.is(logs.length, 16);
  await backTo(before);
});

resend('where earlier replies wait to be read, the descriptor comes after them, with its own frame and no other', async () => {
  const { stdout } = await run(`
import time
def request(number, name):
    body = b'\\x92\\xcd' + struct.pack('>H', number) + b'\\x81\\xa4type' + bytes([0xa0 + len(name)]) + name
    channel.sendall(struct.pack('>I', len(body)) + body)
for number in range(1, 7):
    request(number, b'Large' if number % 2 else b'ResendLoggingFD')
time.sleep(0.3)
seen = []
for number in range(1, 7):
    header, fds, flags, address = socket.recv_fds(channel, 4, 16)
    (length,) = struct.unpack('>I', header)
    reply = b''
    while len(reply) < length:
        reply += channel.recv(length - len(reply))
    seen.append((len(fds), b'SentFDs' in reply))
print(sorted(seen))
`);
  assert.is(stdout.trim(), '[(0, False), (0, False), (0, False), (1, True), (1, True), (1, True)]');
});

resend('descriptors that a task attaches to its lines are nobody\'s', async () => {
  const before = descriptors();
  const { logs, stdout } = await run(`
reply, fds = ask(1)
log = socket.socket(fileno=fds[0])
sent = 0
for number in range(300):
    try:
        socket.send_fds(log, [b'line\\n'], [1, 2])
        sent += 1
    except PermissionError: # Linux 6.16 refuses them at the sender
        log.send(b'line\\n')
        sent += 1
print(sent)
`);
  assert.is(stdout.trim(), '300');
  assert.is(logs[0]?.split('\n').length, 301);
  await backTo(before);
});

resend('one that never reads ends like any other, and its descriptors with it', async () => {
  const before = descriptors();
  const { records } = await run(`
for number in range(1, 10):
    name = b'Large' if number % 2 else b'ResendLoggingFD'
    body = b'\\x92\\xcd' + struct.pack('>H', number) + b'\\x81\\xa4type' + bytes([0xa0 + len(name)]) + name
    channel.sendall(struct.pack('>I', len(body)) + body)
import time
time.sleep(0.3)
os._exit(0)
`);
  assert.ok(records.length <= 9);
  await backTo(before);
});

resend('what is written there counts towards the limits of output and of a line', async () => {
  const output = await run('reply, fds = ask(1)\nos.write(fds[0], b"x\\n" * 5000)\nimport time\ntime.sleep(60)', { outputBytes: 4000 });
  assert.equal(output.task.signalCode, 'SIGKILL');
  assert.is(output.logs[0]?.length, 4000);
  const line = await run('reply, fds = ask(1)\nos.write(fds[0], b"x" * 5000)\nimport time\ntime.sleep(60)', { logLineBytes: 3000 });
  assert.is(line.logs[0]?.length, 3000);
  const control = await run('reply, fds = ask(1)\nos.write(fds[0], b"x" * 2000 + b"\\n")', { outputBytes: 4000, logLineBytes: 3000 });
  assert.equal([control.logs[0]?.length, control.task.exitCode], [2001, 0]);
});

resend('in a whole run it ends in the try\'s log, masked', async () => {
  await using supervised = await Supervised.start();
  await supervised.server.seed({ variables: { my_secret: 'correct horse' } });
  const root = join(folder, 'logs');
  await using supervisor = supervised.supervisor({ logs: { folder: root } });
  const preset = policies.python();
  const outcome = await supervised.run(supervisor, `
    import { spawnSync } from 'node:child_process';
    import { variables } from 'sallyport/task';
    export default async () => {
      const secret = await variables.get('my_secret');
      // Node stands still meanwhile, so that the channel is the other program's.
      const { status } = spawnSync(${JSON.stringify(python)}, ['-c', ${JSON.stringify(ask)} + 'reply, fds = ask(5000)\\nos.write(fds[0], ("{\\\\"event\\\\": \\\\"said ' + secret + '\\\\"}\\\\n").encode())'], { stdio: [0, 'inherit', 'inherit'] });
      if (status !== 0) throw new Error('status ' + status);
    };
  `, { workload: { log_path: 'x.log' }, grants: { variables: ['my_secret'] }, policy: policies.node({ read: [...(preset.read ?? [])], execute: [...(preset.execute ?? [])] }) });
  const lines = readFileSync(join(root, 'x.log'), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as { event: string; logger: string });
  assert.equal([outcome.state, lines.map(({ event, logger }) => `${logger}: ${event}`)], ['success', ['supervisor: the task has started', 'task: said ***', 'supervisor: the task has ended: success']]);
});

resend.run();
