import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { AuditFile, launch, method, policies, Pool, type Policy, type PoolOptions, type Task, type TaskExit, Type } from '../lib/index.js';
import { running, until } from './helpers/processes.js';

const pool = suite('pool');

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-pool-')));
pool.after(() => rmSync(folder, { recursive: true, force: true }));

/** A shell that waits for its work: one line on descriptor 0. `mark` finds it among all processes. */
const waiter = (mark: string): readonly string[] => ['sh', '-c', 'read -r line; eval "$line"', mark];

let pools = 0;
/** A pool of such shells, and where they are to be found. */
function shells(options: Partial<PoolOptions> = {}): { readonly subject: Pool; readonly mark: string } {
  const mark = `sallyport-pool-test-${process.pid}-${++pools}`;
  return { subject: new Pool(waiter(mark), { size: 2, policy: policies.command(), ...options }), mark };
}

/** Gives a task its work, and waits for what comes of it. */
async function work(task: Task, line: string): Promise<{ readonly exit: TaskExit; readonly stdout: string; readonly stderr: string }> {
  task.channel?.end(`${line}\n`);
  const done = await task.output();
  await task[Symbol.asyncDispose]();
  return done;
}

const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'done', (error: NodeJS.ErrnoException) => error.code ?? String(error));
// --- Taking

pool('what waits is taken, each once, and replaced', async () => {
  const { subject, mark } = shells();
  await using _ = subject;
  const seen = new Set<number>();
  for (let round = 0; round < 6; round++) {
    await subject.filled();
    await until(() => running(mark).length === 2);
    const before = running(mark);
    const task = await subject.take();
    assert.ok(before.includes(task.pid), 'it ran before it was taken');
    assert.not.ok(seen.has(task.pid), 'it was taken once');
    seen.add(task.pid);
    assert.is((await work(task, 'echo $$')).stdout, `${task.pid}\n`);
  }
  await subject.filled();
  assert.is(subject.waiting, 2);
});

pool('who finds none waiting is given one that is launched then', async () => {
  const { subject } = shells({ size: 1 });
  await using _ = subject;
  const tasks = await Promise.all(Array.from({ length: 5 }, () => subject.take()));
  assert.is(new Set(tasks.map(({ pid }) => pid)).size, 5);
  const done = await Promise.all(tasks.map((task, index) => work(task, `echo ${index}`)));
  assert.equal(done.map(({ stdout }) => stdout), ['0\n', '1\n', '2\n', '3\n', '4\n']);
});

pool('methods are those of the task that was taken, and its requests wait for it', async () => {
  const file = join(folder, 'asks.mjs');
  const sdk = fileURLToPath(new URL('../lib/sdk/index.js', import.meta.url));
  writeFileSync(file, `import { request } from ${JSON.stringify(sdk)}; console.log(await request('job'), await request('other').catch(({ code }) => code));`);
  await using subject = new Pool([process.execPath, file], { size: 2, policy: policies.node({ read: [file] }) });
  await subject.filled();
  const job = (name: string) => ({ job: method({ params: Type.Object({}), handler: () => name }) });
  const tasks = await Promise.all(['a', 'b', 'c'].map((name) => subject.take({ methods: job(name) })));
  assert.equal(tasks.map(({ channel }) => channel), [null, null, null]);
  const done = await Promise.all(tasks.map((task) => task.output()));
  assert.equal(done.map(({ stdout }) => stdout), ['a', 'b', 'c'].map((name) => `${name} ERR_BROKER_DENIED\n`));
});

pool('an abort ends what was taken, and one before it takes nothing', async () => {
  const { subject } = shells();
  await using _ = subject;
  await subject.filled();
  const reason = new Error('enough');
  assert.is(await subject.take({ signal: AbortSignal.abort(reason) }).catch((error: unknown) => error), reason);
  assert.is(subject.waiting, 2);
  const controller = new AbortController();
  const task = await subject.take({ signal: controller.signal });
  controller.abort(reason);
  assert.equal(await task.exited, { kind: 'ended', violation: reason });
});

// --- Limits

pool('wall time begins when it is taken', async () => {
  const { subject } = shells({ policy: policies.command({ limits: { wallTimeMs: 3_000 } }) });
  await using _ = subject;
  await subject.filled();
  await sleep(3_500);
  assert.is(subject.waiting, 2);
  const [short, long] = [await subject.take(), await subject.take()];
  assert.equal((await work(short, 'echo done')), { exit: { kind: 'exited', exitCode: 0 }, stdout: 'done\n', stderr: '' });
  const { exit } = await work(long, 'while :; do sleep 0.1; done');
  assert.is(exit.kind === 'ended' && (exit.violation as NodeJS.ErrnoException).code, 'ERR_TASK_TIMEOUT');
});

pool('waiting takes no processor time of its limit', async () => {
  const { subject } = shells({ size: 1, policy: policies.command({ limits: { cpuSeconds: 1 } }) });
  await using _ = subject;
  await subject.filled();
  await sleep(1500);
  const first = await subject.take();
  assert.equal((await work(first, 'echo done')).exit, { kind: 'exited', exitCode: 0 });
  await subject.filled();
  const { exit } = await work(await subject.take(), 'while :; do :; done');
  assert.is(exit.kind === 'ended' && (exit.violation as NodeJS.ErrnoException).code, 'ERR_TASK_LIMIT');
});

// --- What happens meanwhile

pool('one that dies while it waits is not taken, and another takes its place', async () => {
  const { subject, mark } = shells();
  await using _ = subject;
  await subject.filled();
  await until(() => running(mark).length === 2);
  const [victim] = running(mark);
  assert.type(victim, 'number');
  const warned = once(process, 'warning');
  process.kill(victim as number, 'SIGKILL');
  const [warning] = (await warned) as [Error & { code?: string }];
  assert.is(warning.code, 'SALLYPORT_POOL');
  const tasks = [await subject.take(), await subject.take()];
  const pids = tasks.map(({ pid }) => pid);
  const done = await Promise.all(tasks.map((task) => work(task, 'echo alive')));
  assert.equal(done.map(({ stdout }) => stdout), ['alive\n', 'alive\n']);
  assert.not.ok(pids.includes(victim as number));
  await until(() => subject.waiting === 2);
});

pool('a program that does not live, or does not start, is told', async () => {
  await using ends = new Pool(['sh', '-c', 'exit 3'], { size: 2, policy: policies.command() });
  // It may be seen while it lives.
  let code = 'done';
  for (; code === 'done'; await sleep(1)) code = await codeOf(ends.filled());
  assert.is(code, 'ERR_TASK_START');
  await until(() => ends.waiting === 0);
  assert.equal(await (await ends.take()).exited, { kind: 'exited', exitCode: 3 });

  await using absent = new Pool([join(folder, 'absent')], { size: 1 });
  assert.is(await codeOf(absent.filled()), 'ERR_TASK_START');
  assert.is(await codeOf(absent.take()), 'ERR_TASK_START');
});

pool('a folder that is made anew under its name is the one that a task gets', async () => {
  const bundle = join(folder, 'bundle');
  const fill = (text: string): void => {
    mkdirSync(bundle);
    writeFileSync(join(bundle, 'version'), text);
  };
  fill('one');
  const { subject } = shells({ policy: policies.command({ read: [bundle] }) });
  await using _ = subject;
  await subject.filled();
  assert.is((await work(await subject.take(), `cat ${bundle}/version`)).stdout, 'one');
  await subject.filled();
  renameSync(bundle, join(folder, 'old'));
  fill('two');
  const { stdout, stderr } = await work(await subject.take(), `cat ${bundle}/version; cat ${folder}/old/version`);
  assert.is(stdout, 'two');
  assert.match(stderr, /Permission denied/);
});

pool('what is kept from tasks since it was started is no task\'s, and others are taken as before', async () => {
  const granted = join(folder, 'granted');
  const other = join(folder, 'other');
  for (const path of [granted, other]) mkdirSync(path);
  const reading = shells({ policy: policies.command({ read: [granted] }), size: 1 });
  const beside = shells({ policy: policies.command({ read: [other] }), size: 1 });
  await using _1 = reading.subject;
  await using _2 = beside.subject;
  const waiting = async (): Promise<readonly number[]> => {
    await Promise.all([reading.subject.filled(), beside.subject.filled()]);
    await until(() => running(reading.mark).length + running(beside.mark).length === 2); // a moment after its execve a command line is still empty
    return [...running(reading.mark), ...running(beside.mark)];
  };
  await waiting();
  assert.is((await work(await reading.subject.take(), `cat ${granted}/audit.jsonl && echo read`)).stderr.includes('No such file'), true); // control
  const pids = await waiting();
  using audit = new AuditFile(join(granted, 'audit.jsonl'));
  audit.record({ at: '', task: '', id: 0, method: 'GetVariable', outcome: 'allowed' });
  assert.is(await codeOf(reading.subject.take()), 'ERR_POLICY_INVALID');
  const task = await beside.subject.take();
  assert.ok(pids.includes(task.pid), 'it had waited');
  await work(task, 'true');
});

pool('one waits no longer than it may, and a pool that nobody uses empties', async () => {
  const { subject, mark } = shells({ maxWaitMs: 1_500 });
  await using _ = subject;
  await subject.filled();
  await until(() => subject.waiting === 0 && running(mark).length === 0);
  const task = await subject.take();
  assert.is((await work(task, 'echo again')).stdout, 'again\n');
  await until(() => subject.waiting === 2); // it is used again
});

pool('disposed, it ends what waits and leaves what was taken', async () => {
  const { subject, mark } = shells();
  await subject.filled();
  await until(() => running(mark).length === 2);
  const task = await subject.take();
  await subject.filled();
  await subject[Symbol.asyncDispose]();
  await subject[Symbol.asyncDispose]();
  assert.equal(running(mark), [task.pid]);
  assert.is(await codeOf(subject.take()), 'ERR_BROKER_CLOSED');
  assert.is((await work(task, 'echo mine')).stdout, 'mine\n');
  await until(() => running(mark).length === 0);
});

pool('disposed while it starts some, it leaves none', async () => {
  for (let round = 0; round < 5; round++) {
    const { subject, mark } = shells({ size: 4 });
    if (round % 2 === 0) void subject.take().then((task) => task[Symbol.asyncDispose](), () => {});
    await subject[Symbol.asyncDispose]();
    await until(() => running(mark).length === 0);
  }
});

pool('options that are none are refused', async () => {
  const wrong: readonly (readonly [unknown, unknown])[] = [
    [['sh'], {}], [['sh'], { size: 0 }], [['sh'], { size: 1.5 }], [['sh'], { size: 1, maxWaitMs: 0 }], [['sh'], { size: 1, signal: undefined }], ['sh', { size: 1 }],
  ];
  for (const [argv, options] of wrong) assert.throws(() => new Pool(argv as string[], options as PoolOptions), (error: NodeJS.ErrnoException) => /^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/.test(error.code ?? ''));
  const { subject } = shells({ size: 1 });
  await using _ = subject;
  assert.is(await codeOf(subject.take({ policy: {} } as object)), 'ERR_OUT_OF_RANGE');
});

// --- Among themselves

pool('a task that was taken reaches no process that waits; the same program unconfined does', async () => {
  const { subject, mark } = shells({ size: 3 });
  await using _ = subject;
  await subject.filled();
  const task = await subject.take();
  await until(() => running(mark).length > 1);
  const other = running(mark).find((pid) => pid !== task.pid);
  assert.type(other, 'number');
  const attacks: Readonly<Record<string, string>> = {
    signal: `kill -0 ${other}`,
    stop: `kill -STOP ${other} && kill -CONT ${other}`,
    environ: `cat /proc/${other}/environ`,
    'command line': `cat /proc/${other}/cmdline`,
    descriptors: `ls /proc/${other}/fd`,
    channel: `: < /proc/${other}/fd/1`,
    priority: `renice -n 5 -p ${other}`,
  };
  const script = Object.entries(attacks).map(([name, attack]) => `(${attack}) >/dev/null 2>&1 && echo "${name}"`).join('; ');
  const { stdout } = await work(task, `${script}; echo end`);
  assert.is(stdout, 'end\n');
  const control = spawnSync('sh', ['-c', `${script}; echo end`], { encoding: 'utf8' });
  assert.equal(control.stdout.trim().split('\n'), [...Object.keys(attacks), 'end']);
});

pool('each has a scratch folder of its own, and nothing of an earlier one', async () => {
  const { subject } = shells({ size: 1 });
  await using _ = subject;
  const seen = new Set<string>();
  for (let round = 0; round < 3; round++) {
    await subject.filled();
    const task = await subject.take();
    seen.add(task.scratch ?? '');
    const { stdout } = await work(task, 'ls -A; pwd; echo secret > left');
    assert.is(stdout, `${task.scratch}\n`);
    assert.not.ok(existsSync(task.scratch ?? '/'));
  }
  assert.is(seen.size, 3);
});

pool('a policy that its author goes on changing is the one that it was', async () => {
  const file = join(folder, 'later');
  writeFileSync(file, 'later');
  const read: string[] = [];
  const policy: Policy = { ...policies.command(), read };
  read.push(...(policies.command().read ?? []));
  const { subject } = shells({ size: 1, policy });
  await using _ = subject;
  read.push(file);
  const told = await launch(['cat', file], { policy });
  assert.is((await told.output()).stdout, 'later'); // control
  for (let round = 0; round < 2; round++) {
    await subject.filled();
    assert.is((await work(await subject.take(), `cat ${file} 2>/dev/null || echo refused`)).stdout, 'refused\n');
  }
});

pool.run();
