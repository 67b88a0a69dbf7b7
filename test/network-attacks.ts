import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launch, policies, type NetworkPolicy, type Policy, type Task } from '../lib/index.js';
import { compileSeccomp, type SyscallRule } from '../lib/kernel/seccomp.js';
import type { Architecture } from '../lib/kernel/syscalls.js';
import { native } from '../lib/native.js';
import { compile } from './helpers/compile.js';
import { runTask } from './helpers/run-task.js';

const attacks = suite('network attacks');
const program = compile('network-attack');
const open: Policy = { dangerouslyUnconfined: true };

/** A port that counts who comes, and a second one that the policy never grants. */
interface Port {
  readonly server: Server;
  readonly number: number;
  readonly last: Set<number>;
  seen: number;
}

async function listening(host = '127.0.0.1', number = 0): Promise<Port> {
  const server = createServer((socket) => {
    port.seen++;
    port.last.add(socket.remotePort ?? 0);
    socket.on('error', () => {}).resume();
  }).listen(number, host);
  await once(server, 'listening');
  const port: Port = { server, number: (server.address() as AddressInfo).port, last: new Set(), seen: 0 };
  return port;
}

let granted: Port;
let other: Port;
attacks.before(async () => {
  granted = await listening();
  other = await listening();
});
attacks.after(() => {
  granted.server.close();
  other.server.close();
});

const toGranted = (): NetworkPolicy => ({ connect: [{ host: 'localhost', port: granted.number }] });
const argv = (way: string, ...args: string[]): readonly [string, ...string[]] => [program, way, String(granted.number), String(other.number), ...args];

async function tried(way: string, policy: Policy, ...args: string[]): Promise<string> {
  const { stdout, stderr, exit } = await runTask(argv(way, ...args), { policy });
  assert.equal(exit, { kind: 'exited', exitCode: 0 }, `${way}: ${stderr}`);
  return stdout.trim().split('\n').join(' ');
}
const locked = (network: NetworkPolicy | 'none' = toGranted()): Policy => policies.command({ network, limits: { wallTimeMs: 60_000 } });

/** Until every connection that was made before has been seen: they are accepted in their order, so our own comes last. */
async function settled(port: Port = other): Promise<void> {
  const last = connect(port.number, (port.server.address() as AddressInfo).address);
  await once(last, 'connect');
  while (!port.last.has(last.localPort ?? 0)) await new Promise((resolve) => setTimeout(resolve, 1));
  last.destroy();
  port.seen--;
}

const [EPERM, EACCES, EISCONN, EPIPE, ENOPROTOOPT] = ['-1', '-13', '-106', '-32', '-92'];

/** way, what it prints without a policy, what it prints under one. Where it says so, the other port must have been reached in the first case. */
const table: readonly [way: string, open: string | RegExp, locked: string, reaches: boolean][] = [
  ['families', 'reached reached reached reached reached', `${EACCES} ${EACCES} ${EACCES} ${EACCES} ${EACCES}`, false],
  ['mptcp', 'reached', EACCES, true],
  ['fast-open', /^(reached|-115) (reached|-115) (reached|-115)$/, `${EPERM} ${EPERM} ${EPERM}`, false],
  ['fast-open-connect', 'reached reached', `${ENOPROTOOPT} ${EACCES}`, true],
  ['send-unconnected', `${EPIPE} reached`, `${EPIPE} reached`, false],
  ['mapped', 'reached -106', `${EACCES} reached`, true],
  // The source route needs CAP_NET_RAW, the filter room for compiled programs, which is one for the host: both are there for root.
  ['options', process.getuid?.() === 0 ? 'reached reached reached reached reached reached' : /^(reached|-1) reached reached reached (reached|-1) reached$/, `${ENOPROTOOPT} ${ENOPROTOOPT} ${ENOPROTOOPT} ${ENOPROTOOPT} ${ENOPROTOOPT} ${ENOPROTOOPT}`, false],
  ['twice', `reached ${EISCONN} reached reached`, `reached ${EACCES} ${EACCES} ${EACCES}`, true],
  ['forked', 'reached reached', `reached ${EACCES}`, true],
  // A filter of its own whose answers outrank the supervisor's, or a second one that asks somebody: ENOSYS and EINVAL, as for any task.
  ['filters', 'reached reached reached', '-38 -38 -22', false],
];
for (const [way, before, after, reaches] of table) {
  attacks(`${way}: not past the policy`, async () => {
    const control = await tried(way, open);
    if (typeof before === 'string') assert.is(control, before, 'control');
    else assert.match(control, before, 'control');
    await settled();
    if (reaches) assert.ok(other.seen > 0, 'control: the other port was reached');
    other.seen = 0;
    assert.is(await tried(way, locked()), after);
    await settled();
    assert.is(other.seen, 0, 'the other port was not');
  });
}

attacks('UDP leaves no task', async () => {
  const receiver = createSocket('udp4').bind(0, '127.0.0.1');
  await once(receiver, 'listening');
  let seen = 0;
  receiver.on('message', () => seen++);
  const to = String(receiver.address().port);
  const send = async (policy: Policy): Promise<string> => (await runTask([program, 'udp', '1', to], { policy })).stdout.trim();
  assert.is(await send(open), 'reached');
  await eventually(() => seen === 1); // control
  assert.is(await send(locked()), EACCES);
  assert.is(await send(open), 'reached');
  await eventually(() => seen === 2); // and none in between: they arrive in their order
  receiver.close();
});

attacks('Unix sockets, by path or abstract, are not reached from a task with a network', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-network-'));
  for (const [listen, name] of [[join(folder, 'socket'), join(folder, 'socket')], [`\0${folder}`, `@${folder}`]] as const) {
    const server = createServer((socket) => socket.destroy()).listen(listen);
    await once(server, 'listening');
    assert.match(await tried('unix', open, name), /^reached/, 'control');
    const policy = policies.command({ network: { ...toGranted(), listen: [{ port: 0 }] }, write: [folder] });
    assert.is(await tried('unix', policy, name), `${EACCES} ${EACCES} ${EACCES}`);
    server.close();
  }
  rmSync(folder, { recursive: true });
});

attacks('metadata addresses, and the granted port of any other host, are refused before a packet is sent', async () => {
  for (const host of ['169.254.169.254', '100.100.100.200', '168.63.129.16', '127.0.0.2', '0.0.0.0', '192.0.2.77']) {
    assert.match(await tried('literal', open, host), /^(reached|-111|-101|-113)$/, `control: ${host}`);
    assert.is(await tried('literal', locked(), host), EACCES, host);
  }
  const elsewhere = await listening('127.0.0.2', granted.number);
  assert.is(await tried('literal', open, '127.0.0.2'), 'reached');
  await settled(elsewhere);
  assert.is(elsewhere.seen, 1, 'control');
  assert.is(await tried('literal', locked(), '127.0.0.2'), EACCES);
  await settled(elsewhere);
  assert.is(elsewhere.seen, 1);
  assert.is(await tried('literal', locked({ connect: [{ host: '127.0.0.2', port: granted.number }] }), '127.0.0.2'), 'reached', 'an address that the policy names is granted');
  elsewhere.server.close();
});

attacks('an address that another thread rewrites meanwhile never leads elsewhere', async () => {
  assert.match(await tried('rewritten', open), /^1/);
  await settled();
  assert.ok(other.seen > 0, 'control: without the policy the race reaches both');
  await settled(granted);
  other.seen = granted.seen = 0;
  assert.is(await tried('rewritten', locked()), '1 1', 'both addresses were seen');
  await Promise.all([settled(granted), settled()]);
  assert.ok(granted.seen > 0);
  assert.is(other.seen, 0);
});

attacks('a descriptor that other threads swap and unblock meanwhile leads nowhere else, and holds nobody up', async () => {
  assert.is(await tried('swapped', open), 'done');
  await settled();
  assert.ok(other.seen > 0, 'control');
  other.seen = 0;
  assert.is(await tried('swapped', locked()), 'done');
  await settled();
  assert.is(other.seen, 0);
});

// --- the supervisor's own

const descriptors = (): number => readdirSync('/proc/self/fd').length;
const ready = async (task: Task): Promise<string> => String(((await once(task.stdout as NodeJS.EventEmitter & NodeJS.ReadableStream, 'data')) as [Buffer])[0]).trim();
const eventually = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
};

attacks('ten thousand sockets one after the other leave the supervisor with a handful', async () => {
  await tried('forked', locked());
  const before = descriptors();
  let most = 0;
  const watch = setInterval(() => (most = Math.max(most, descriptors())), 1);
  assert.is(await tried('many', locked()), '10000 reached');
  clearInterval(watch);
  assert.ok(most > before, 'it was looked at');
  assert.ok(most < before + 200, `${most} of ${before}`);
  await eventually(() => descriptors() <= before);
});

attacks('sockets that are kept end at the task\'s own limit, and go with it', async () => {
  const before = descriptors();
  const task = await launch(argv('keep'), { policy: locked() });
  assert.is(await ready(task), '1 -24');
  assert.ok(descriptors() < before + 200, String(descriptors() - before));
  await task[Symbol.asyncDispose]();
  await eventually(() => descriptors() <= before);
});

attacks('a task that keeps all sockets that tasks may have together leaves another one its few', async () => {
  const limit = (soft: string): void => void execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${soft}:`]);
  const before = execFileSync('prlimit', ['--pid', String(process.pid), '--nofile', '--noheadings', '--output', 'SOFT'], { encoding: 'utf8' }).trim();
  const task = await launch(argv('keep'), { policy: locked() });
  assert.is(await ready(task), '1 -24');
  limit('400'); // a quarter of which is less than one task may keep
  try {
    assert.is(await tried('forked', locked()), `reached ${EACCES}`);
  } finally {
    limit(before);
    await task[Symbol.asyncDispose]();
  }
});

attacks('a flood of calls keeps neither the event loop nor another task from its turn', async () => {
  const task = await launch(argv('flood'), { policy: locked() });
  assert.is(await ready(task), 'flooding');
  granted.seen = 0;
  for (let i = 0; i < 5; i++) assert.is(await tried('forked', locked()), `reached ${EACCES}`);
  await settled(granted);
  assert.is(granted.seen, 5);
  assert.is(task.exitCode, null, 'it floods still');
  await task[Symbol.asyncDispose]();
});

attacks('a connect that waits keeps no other task waiting, and ends with its task', async () => {
  const silent = await launch([program, 'silent', '0', '0'], { policy: open });
  const at = await ready(silent);
  const before = descriptors();
  const task = await launch([program, 'waiting', at, '0'], { policy: locked({ connect: [{ host: '127.0.0.1', port: Number(at) }] }) });
  assert.is(await ready(task), 'waiting');
  assert.is(await tried('forked', locked()), `reached ${EACCES}`);
  assert.is(task.exitCode, null, 'it waits still');
  task.kill('SIGKILL');
  assert.equal(await task.exited, { kind: 'signaled', signal: 'SIGKILL' });
  await task[Symbol.asyncDispose]();
  await eventually(() => descriptors() <= before);
  await silent[Symbol.asyncDispose]();
});

attacks('a task listens on no socket that was not bound for it, and binds none elsewhere', async () => {
  const idle = await listening('127.0.0.1', 10_000 + (process.pid % 20_000)); // none that the kernel gives to another program meanwhile
  idle.server.close();
  const run = async (policy: Policy): Promise<string> => (await runTask([program, 'listening', String(idle.number), '0'], { policy })).stdout.trim().split('\n').join(' ');
  assert.is(await run(open), 'reached reached -22 -22 reached', 'control');
  assert.is(await run(locked({ listen: [{ port: idle.number }] })), `${EACCES} ${EACCES} ${EACCES} reached reached`);
  assert.is(await run(locked()), `${EACCES} ${EACCES} ${EACCES} ${EACCES} ${EACCES}`);
});

attacks('Landlock closes TCP in the domain itself, should the filter ever let a connect through', async () => {
  const addon = native();
  const { prepare } = addon;
  // Everything is allowed but the call by which a launch makes sure of its filter, and all else of the plan is as it is.
  const witness: SyscallRule = { clauses: [{ tests: [{ argument: 0, type: 'int', equals: 0x53414c59 }], action: { errno: 0 } }], action: 'allow' };
  const filter = compileSeccomp({ rules: new Map([['prctl', witness]]), defaultAction: 'allow' }, process.arch as Architecture);
  addon.prepare = (given) => prepare({ ...given, filter });
  try {
    assert.is(await tried('twice', locked('none')), `${EACCES} ${EACCES} reached ${EACCES}`);
  } finally {
    addon.prepare = prepare;
  }
});

attacks.run();
