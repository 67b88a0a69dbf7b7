import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launch, policies } from '../lib/index.js';

const tasks = suite('task');
const policy = policies.command();

/** What a supervisor sees of a program that is started the one way or the other. */
interface Process {
  readonly stdout: NodeJS.ReadableStream | null;
  readonly stderr: NodeJS.ReadableStream | null;
  readonly pid?: number | undefined;
  readonly exitCode: number | null;
  readonly signalCode: NodeJS.Signals | null;
  readonly killed: boolean;
  readonly spawnargs: readonly string[];
  kill(signal?: NodeJS.Signals): boolean;
  on(event: 'exit' | 'close', listener: (code: number | null, signal: NodeJS.Signals | null) => void): unknown;
}

type Start = (argv: readonly [string, ...string[]]) => Promise<Process>;
const ways: Record<string, Start> = {
  spawn: async ([program, ...args]) => spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] }),
  launch: (argv) => launch(argv, { policy }),
};

/** One run told by its events, in their order but for how the output was cut. */
async function story(start: Start, argv: readonly [string, ...string[]], signal?: NodeJS.Signals): Promise<unknown> {
  const child = await start(argv);
  const told: unknown[] = [typeof child.pid, child.exitCode, child.signalCode, child.killed, child.spawnargs];
  let output = '';
  child.stdout?.on('data', (chunk) => (output += String(chunk)));
  child.stderr?.on('data', (chunk) => (output += String(chunk)));
  child.on('exit', (...how) => told.push('exit', ...how));
  const closed = new Promise<void>((resolve) => child.on('close', (...how) => resolve(void told.push('close', ...how))));
  if (signal !== undefined) told.push(child.kill(signal));
  await closed;
  return [...told, output, child.exitCode, child.signalCode, child.killed, child.kill()];
}

tasks('events and fields are those of a ChildProcess', async () => {
  const rows: [readonly [string, ...string[]], NodeJS.Signals?][] = [
    [['sh', '-c', 'echo out; exit 3']],
    [['true']],
    [['sh', '-c', 'sleep 0.1; echo late >&2']],
    [['sleep', '30'], 'SIGTERM'],
    ...(['INT', 'ABRT', 'IO', 'SEGV', 'SYS', 'PWR'] as const).map((name): [readonly [string, ...string[]]] => [['sh', '-c', `kill -${name} $$`]]),
  ];
  for (const [argv, signal] of rows) assert.equal(await story(ways['launch'] as Start, argv, signal), await story(ways['spawn'] as Start, argv, signal), argv.join(' '));
});

tasks('once(task, "exit") is in time for a program that ends at once', async () => {
  for (let round = 0; round < 50; round++) {
    const task = await launch(['true'], { policy });
    assert.equal(await once(task, 'exit'), [0, null]);
  }
});

tasks('exited has resolved when exit is emitted, and what a task was ended for looks like no success', async () => {
  const task = await launch(['sh', '-c', 'trap "exit 0" TERM; echo up; sleep 30 & wait'], { policy });
  await once(task.stdout!, 'data');
  task.end(new Error('enough'));
  assert.equal(await once(task, 'exit'), [null, 'SIGKILL']);
  assert.is((await task.exited).kind, 'ended');
  assert.equal([task.exitCode, task.signalCode, task.killed], [null, 'SIGKILL', true]);
});

tasks('close waits for the output that was asked for, and for no other', async () => {
  const unread = await launch(['sh', '-c', 'echo unread'], { policy });
  await once(unread, 'close');
  const asked = await launch(['sh', '-c', 'echo asked for'], { policy });
  const { stdout } = asked;
  let closed = false;
  asked.once('close', () => (closed = true));
  await once(asked, 'exit');
  assert.not.ok(closed);
  stdout?.resume();
  await once(asked, 'close');
});

tasks('never emits error: writing to a program that has gone, killing it, aborting it', async () => {
  const controller = new AbortController();
  const task = await launch(['sleep', '30'], { policy, stdin: 'pipe', signal: controller.signal });
  const seen: unknown[] = [];
  const emit = task.emit.bind(task) as (...args: unknown[]) => boolean;
  task.emit = ((...args: unknown[]) => (seen.push(args[0]), emit(...args))) as typeof task.emit;
  controller.abort();
  task.stdin?.write('x');
  await once(task, 'close');
  task.stdin?.write('x');
  assert.is(task.kill(), false);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(seen, ['exit', 'close']);
});

tasks('what a listener throws is an uncaught exception, as with a ChildProcess, and exited resolves', async () => {
  const uncaught = new Promise<Error>((resolve) => process.once('uncaughtException', resolve));
  const task = await launch(['true'], { policy });
  const mine = new Error('of a listener');
  task.once('exit', () => {
    throw mine;
  });
  assert.is(await uncaught, mine);
  assert.equal(await task.exited, { kind: 'exited', exitCode: 0 });
});

tasks('output in packets of one byte takes about a byte each', async () => {
  const count = 100_000;
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const heap = (): number => (collect(), process.memoryUsage().heapUsed);
  // O_DIRECT makes each write to a pipe a packet, which one read takes: pipe(2).
  const run = async (bytes: number) => (await launch(['dd', 'if=/dev/zero', 'bs=1', `count=${bytes}`, 'oflag=direct', 'status=none'], { policy })).output();
  await run(100); // what is loaded and compiled at first is not counted
  const before = heap();
  const { stdout, stderr } = await run(count);
  const taken = heap() - before;
  assert.is(stderr, '');
  // libuv takes a short read before a hang-up for the last one: of sixteen packets that a pipe holds, the rest are lost, as with a ChildProcess.
  assert.ok(stdout.length > count - 16, `${stdout.length}`);
  assert.ok(taken < 10 * count, `${taken} bytes for ${count}`); // a string for each would be 3.2 million
  assert.is(stdout, '\0'.repeat(stdout.length)); // control, last: to compare the text is to write it out
});

tasks.run();
