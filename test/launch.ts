import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launch, policies, type TaskExit } from '../lib/index.js';
import { compile } from './helpers/compile.js';
import { settled } from './helpers/peer.js';
import { running, sleeping, until } from './helpers/processes.js';
import { runTask } from './helpers/run-task.js';
import { withReadableCopy } from './helpers/unprivileged.js';

const launching = suite('launch');
const policy = policies.command();
const open = Object.freeze({ dangerouslyUnconfined: true });
const folder = mkdtempSync(join(tmpdir(), 'sallyport-launch-'));
launching.after(() => rmSync(folder, { recursive: true, force: true }));

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

async function failure(promise: Promise<unknown>): Promise<Error & { code?: string; step?: string; path?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it did not fail');
}

launching('gives output, exit code and signal', async () => {
  const { exit, stdout, stderr } = await runTask(['sh', '-c', 'echo out; echo err >&2; exit 3'], { policy });
  assert.equal(exit, { kind: 'exited', exitCode: 3 });
  assert.is(stdout, 'out\n');
  assert.is(stderr, 'err\n');
  assert.equal((await runTask(['sh', '-c', 'kill -TERM $$'], { policy })).exit, { kind: 'signaled', signal: 'SIGTERM' });
});

launching('output() gives all of it, and ends a task that writes more than it may', async () => {
  const all = await Promise.all(Array.from({ length: 20 }, async (_, index) => (await launch(['sh', '-c', `echo ${index}; echo e >&2`], { policy })).output()));
  assert.equal(all, all.map((_, index) => ({ exit: { kind: 'exited', exitCode: 0 }, stdout: `${index}\n`, stderr: 'e\n' })));
  const flood = await (await launch(['yes'], { policy })).output({ maxBytes: 100_000 });
  assert.is(flood.stdout.length, 100_000);
  assert.is(flood.exit.kind === 'ended' && (flood.exit.violation as { code?: string }).code, 'ERR_TASK_LIMIT');
});

launching('a program whose loader the policy does not grant is told apart from one that cannot run', async () => {
  const error = await failure(launch(['true']));
  assert.is(error.code, 'ERR_TASK_START');
  assert.match(error.message, /policy does not grant/);
});

launching('a misspelt option, and one of the wrong kind, is misuse and not ignored', async () => {
  const wrong: [object, string][] = [
    [{ polcy: policy }, 'ERR_OUT_OF_RANGE'], [{ stdin: 'nope' }, 'ERR_OUT_OF_RANGE'], [{ stdout: 1 }, 'ERR_OUT_OF_RANGE'], [{ signal: 5 }, 'ERR_INVALID_ARG_TYPE'],
    [{ methods: { a: 1 } }, 'ERR_INVALID_ARG_TYPE'], [{ methods: { a: { handler() {} } } }, 'ERR_INVALID_ARG_TYPE'], [{ methods: {}, stdin: 'pipe' }, 'ERR_INVALID_ARG_TYPE'],
  ];
  for (const [options, code] of wrong) assert.is((await failure(launch(['true'], options))).code, code, JSON.stringify(options));
  assert.is((await failure(launch(['true'], null as never))).code, 'ERR_INVALID_ARG_TYPE');
});

launching('keeps output that nobody had read when the task ended', async () => {
  const task = await launch(['sh', '-c', 'echo late'], { policy });
  await task.exited;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.is(await text(task.stdout!), 'late\n');
});

launching('stdin is the null device, a pipe or the supervisor\'s', async () => {
  assert.is((await runTask(['cat'], { policy })).stdout, '');
  const task = await launch(['cat'], { policy, stdin: 'pipe' });
  task.stdin?.end('through\n');
  assert.is(await text(task.stdout!), 'through\n');
  await task.exited;
});

launching('the kernel says what the task is: no capabilities, no_new_privs, filter, session, limits', async () => {
  const task = await launch(['sleep', '30'], { policy });
  const status = readFileSync(`/proc/${task.pid}/status`, 'utf8');
  const field = (name: string): string | undefined => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1];
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) assert.is(Number(`0x${field(set)}`), 0, set);
  if (process.getuid?.() === 0) assert.is(Number(`0x${field('CapBnd')}`), 0, 'CapBnd');
  assert.is(field('NoNewPrivs'), '1');
  assert.is(field('Seccomp'), '2');
  for (const set of ['SigBlk', 'SigIgn', 'SigCgt']) assert.is(Number(`0x${field(set)}`), 0, set);
  const stat = readFileSync(`/proc/${task.pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ');
  assert.is(Number(stat[2]), task.pid, 'process group');
  assert.is(Number(stat[3]), task.pid, 'session');
  assert.match(readFileSync(`/proc/${task.pid}/limits`, 'utf8'), /Max core file size\s+1\s+1/);
  await task[Symbol.asyncDispose]();
});

launching('nothing of the supervisor is inherited: environment, descriptors, ignored signals', async () => {
  process.env['SALLYPORT_CANARY'] = 'canary-4711';
  const sigusr1 = (): void => {};
  process.on('SIGUSR1', sigusr1);
  const code = `const fs = require('fs'); console.log(JSON.stringify({ env: process.env, fds: fs.readdirSync('/proc/self/fd').map((fd) => { try { return [fd, fs.readlinkSync('/proc/self/fd/' + fd)] } catch { return [fd, ''] } }) }))`;
  const seen = async (chosen: typeof open | typeof policy) => JSON.parse((await runTask([process.execPath, '-e', code], { policy: chosen })).stdout) as { env: object; fds: [string, string][] };
  const { env, fds } = await seen(policies.node());
  assert.equal(Object.keys(env).filter((name) => !/^(XDG_|TMP|TEMP)/.test(name)).sort(), ['GIT_CONFIG_NOSYSTEM', 'HOME', 'LANG', 'PATH']);
  const ours = new Set(readdirSync('/proc/self/fd').map((fd) => { try { return readlinkSync(`/proc/self/fd/${fd}`); } catch { return ''; } }));
  const files = fds.filter(([fd, target]) => Number(fd) > 2 && (target.startsWith('/') || target.startsWith('socket')) && ours.has(target));
  assert.equal(files, []);
  process.off('SIGUSR1', sigusr1);
  delete process.env['SALLYPORT_CANARY'];
});

launching('a descriptor inherited by the supervisor, not close-on-exec, does not reach the task', async () => {
  const { exit, stdout } = await runTask([process.execPath, '--import', 'tsx', new URL('fixtures/inherited-descriptor.ts', import.meta.url).pathname], {
    policy: { ...open, cwd: new URL('..', import.meta.url).pathname },
  });
  assert.equal(exit, { kind: 'exited', exitCode: 0 });
  assert.equal(JSON.parse(stdout), { control: 'readable', locked: 'closed' });
});

launching('a failing step is named, and nothing ran or stays', async () => {
  const before = openDescriptors();
  writeFileSync(join(folder, 'text'), 'not a program', { mode: 0o755 });
  writeFileSync(join(folder, 'plain'), '#!/bin/sh\n', { mode: 0o644 });
  writeFileSync(join(folder, 'orphan'), '#!/does/not/exist\n', { mode: 0o755 });
  const rows: [string, object, string, string][] = [
    ['/does/not/exist', { policy }, 'landlock', 'ENOENT'],
    ['/does/not/exist', { policy: open }, 'execve', 'ENOENT'],
    ['no-such-command', { policy }, 'execve', ''],
    [folder, { policy }, 'execve', 'EACCES'],
    [join(folder, 'text'), { policy }, 'execve', 'ENOEXEC'],
    [join(folder, 'plain'), { policy }, 'execve', 'EACCES'],
    [join(folder, 'orphan'), { policy }, 'execve', 'ENOENT'],
    ['true', { policy: policies.command({ cwd: '/does/not/exist' }) }, 'cwd', 'ENOENT'],
  ];
  for (const [program, options, step, code] of rows) {
    const error = await failure(launch([program], options));
    assert.is(error.code, 'ERR_TASK_START', program);
    assert.is(error.step, step, program);
    if (code !== '') assert.is((error.cause as NodeJS.ErrnoException).code, code, program);
  }
  assert.is(await settled(openDescriptors), before);
});

launching('without room for another thread a launch fails at clone, leaves nothing, and the next one with room is made', async () => {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const tried = async (at: string, unprivileged: readonly string[] = []): Promise<void> => {
    const argv = [...unprivileged, process.execPath, '--input-type=module', '-e', readFileSync(new URL('fixtures/out-of-threads.js', import.meta.url), 'utf8'), '--', join(at, 'lib/index.js')];
    const { stdout, stderr } = spawnSync(argv[0] as string, argv.slice(1), { encoding: 'utf8', timeout: 120_000 });
    assert.equal(JSON.parse(stdout || '{}'), { refused: { code: 'ERR_TASK_START', step: 'clone', cause: ['pthread_create', 'EAGAIN'] }, left: [0, 0], then: { kind: 'exited', exitCode: 0 } }, stderr);
  };
  // Root has no such limit.
  await (process.getuid?.() === 0 ? withReadableCopy(root, tried) : tried(root));
});

launching('wrong arguments and policies are refused before anything starts', async () => {
  for (const argv of [[], [''], ['a\0b'], 'true', [1]]) {
    assert.is((await failure(launch(argv as unknown as [string], { policy }))).code, 'ERR_INVALID_ARG_TYPE');
  }
  const missing = await failure(launch(['true'], { policy: policies.command({ read: ['/does/not/exist'] }) }));
  assert.is(missing.step, 'landlock');
  assert.is((missing.cause as NodeJS.ErrnoException).code, 'ENOENT');
  assert.is((missing.cause as NodeJS.ErrnoException).path, '/does/not/exist');
});

launching('kill() reaches the task by its pidfd and says when it has ended', async () => {
  const task = await launch(['sleep', '30'], { policy });
  assert.is(task.kill(0), true);
  assert.is(task.kill('SIGTERM'), true);
  assert.equal(await task.exited, { kind: 'signaled', signal: 'SIGTERM' });
  assert.is(task.kill(), false);
  assert.throws(() => task.kill(99), (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE');
  await task[Symbol.asyncDispose]();
  await task[Symbol.asyncDispose]();
});

launching('an abort ends the task with its reason, before the launch and after', async () => {
  const reason = new Error('enough');
  assert.is(await failure(launch(['true'], { policy, signal: AbortSignal.abort(reason) })), reason);
  const controller = new AbortController();
  const task = await launch(['sleep', '30'], { policy, signal: controller.signal });
  controller.abort(reason);
  assert.equal(await task.exited, { kind: 'ended', violation: reason });
});

launching('the wall time of the policy ends the task and names the limit', async () => {
  const { exit } = await runTask(['sleep', '30'], { policy: policies.command({ limits: { wallTimeMs: 50 } }) });
  assert.is(exit.kind, 'ended');
  assert.is((exit as Extract<TaskExit, { kind: 'ended' }>).violation.name, 'TaskTimeout');
});

launching('limits reach the kernel', async () => {
  const limits = { openFiles: 64, cpuSeconds: 7, fileBytes: 4096 };
  const { stdout } = await runTask(['sh', '-c', 'ulimit -n; ulimit -t; ulimit -f'], { policy: policies.command({ limits }) });
  assert.is(stdout, '64\n7\n8\n');
});

launching('no descendant lives when `exited` resolves: background, setsid and double-forked ones included', async () => {
  const mark = `86${process.pid}`;
  const script = `sleep ${mark}1 & setsid sleep ${mark}2 & (setsid sh -c 'sleep ${mark}3 & exit' &) ; sleep 0.1; exit 0`;
  const plain = await launch(['sh', '-c', script], { policy: open, stdout: 'ignore', stderr: 'ignore' });
  await plain.exited;
  await until(() => sleeping(mark).length === 3); // the control: an ordinary launch leaves them behind
  for (const pid of sleeping(mark)) process.kill(pid, 'SIGKILL');
  await until(() => running(mark).length === 0);

  const task = await launch(['sh', '-c', script], { policy, stdout: 'ignore', stderr: 'ignore' });
  assert.equal(await task.exited, { kind: 'exited', exitCode: 0 });
  assert.equal(running(mark), []);
});

launching('two tasks at once: ending one leaves the other and what it started alone', async () => {
  const mark = `87${process.pid}`;
  const first = await launch(['sh', '-c', `sleep ${mark} & wait`], { policy });
  const second = await launch(['sh', '-c', `sleep ${mark} & wait`], { policy });
  while (running(mark).length < 4) await new Promise((resolve) => setTimeout(resolve, 10));
  await first[Symbol.asyncDispose]();
  assert.is(running(mark).length, 2);
  await second[Symbol.asyncDispose]();
  assert.is(running(mark).length, 0);
});

launching('a task cannot take off the number by which its leftovers are found', async () => {
  const tag = "require('fs').readFileSync('/proc/self/limits', 'utf8').match(/realtime timeout\\s+(\\S+)\\s+(\\S+)/).slice(1)";
  const { stdout } = await runTask([process.execPath, '-e', `console.log(${tag}.join(' ')); require('child_process').spawnSync('sh', ['-c', 'ulimit -R 5; prlimit --rttime=5:5 --pid $$'], { stdio: 'inherit' }); console.log(${tag}.join(' '))`], { policy: policies.node() });
  const [before, ...after] = stdout.trim().split('\n');
  assert.match(before ?? '', /^\d{18,} \d{18,}$/);
  assert.is(after.at(-1), before);
});

launching('200 launches, 16 at a time, leave no descriptor, thread or listener behind', async () => {
  await runTask(['true'], { policy });
  const now = (): number => openDescriptors() + readdirSync('/proc/self/task').length;
  const before = now();
  for (let round = 0; round < 12; round++) {
    await Promise.all(Array.from({ length: 16 }, () => runTask(['true'], { policy })));
  }
  // Threads that swept are on their way out; a hang is the runner's to end.
  while (now() > before) await new Promise((resolve) => setTimeout(resolve, 10));
});

launching('a task that sends descriptors without end keeps no other one from being started', async () => {
  const program = compile('descriptors-in-flight');
  const fill = async () => {
    const task = await launch([program], { policy: policies.command({ execute: [program] }), stdin: 'pipe' });
    let said = '';
    task.stdout?.on('data', (bytes: Buffer) => (said += bytes));
    while (!said.includes('\n')) await new Promise((resolve) => setTimeout(resolve, 10));
    return { task, said: said.trim() };
  };
  const first = await fill();
  const second = await fill(); // the control: whoever has a task's limits sends nothing more
  assert.equal([first.said, second.said], ['ETOOMANYREFS', 'ETOOMANYREFS']);
  const { exit, stdout } = await runTask(['sh', '-c', 'ulimit -n; ulimit -Hn'], { policy: policies.command({ limits: { openFiles: 100 } }) });
  assert.equal([exit, stdout], [{ kind: 'exited', exitCode: 0 }, '100\n100\n']);
  for (const { task } of [first, second]) {
    task.stdin?.end();
    assert.equal(await task.exited, { kind: 'exited', exitCode: 0 });
  }
});

launching('works where clone3 is hidden, as in a container: from inside a task', async () => {
  const root = new URL('..', import.meta.url).pathname;
  const code = `import('${root}lib/index.js').then(async ({ launch }) => { const task = await launch(['true'], { policy: { dangerouslyUnconfined: true } }); console.log(JSON.stringify(await task.exited)); })`;
  const { stdout, stderr } = await runTask([process.execPath, '-e', code], { policy: policies.node({ read: [root], execute: [root] }) });
  assert.is(stdout, '{"kind":"exited","exitCode":0}\n', stderr);
});

launching('from a worker thread too, whose end ends its tasks', async () => {
  const mark = `88${process.pid}`;
  const { Worker } = await import('node:worker_threads');
  const worker = new Worker(
    `import('${new URL('../lib/index.js', import.meta.url).href}').then(async ({ launch, policies }) => {
       await launch(['sleep', '${mark}'], { policy: policies.command() });
       require('worker_threads').parentPort.postMessage('started');
     })`,
    { eval: true },
  );
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  // The command line appears a moment after the execve is past failing.
  while (running(mark).length < 1) await new Promise((resolve) => setTimeout(resolve, 10));
  await worker.terminate();
  while (running(mark).length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
});

launching.run();
