import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EnforcementPartial, launch, policies, type Policy, type TaskExit } from '../lib/index.js';
import { probe, strictProbe, type Probe } from '../lib/kernel/probe.js';
import { plan } from '../lib/policy/plan.js';
import { leavesHopping } from './helpers/hops.js';
import { running, sleeping, until } from './helpers/processes.js';
import { runTask } from './helpers/run-task.js';
import { where } from './helpers/where.js';

const strict = suite('strict');
const here = strictProbe().namespaces;
const command = (wishes: Policy = {}): Policy => policies.command({ ...wishes, level: 'strict' });
const node = (wishes: Policy = {}): Policy => policies.node({ ...wishes, level: 'strict' });
const open: Policy = { dangerouslyUnconfined: true };
const silent = { stdout: 'ignore', stderr: 'ignore' } as const;
const folder = mkdtempSync(join(tmpdir(), 'sallyport-strict-'));
strict.after(() => rmSync(folder, { recursive: true, force: true }));

const withNamespaces = where(strict, here?.by !== 'none', 'namespaces', here?.missing);

const kinds = ['pid', 'mnt', 'ipc', 'net', 'uts', 'cgroup', 'user'] as const;
const namespace = (pid: number | 'self', kind: string): string => readlinkSync(`/proc/${pid}/ns/${kind}`);

strict('the plan for a host that gives namespaces, with and without root, and for one that does not', () => {
  const given = (by: 'own' | 'user'): Probe => ({ ...probe(), namespaces: { by, missing: '' } });
  assert.is(plan(command(), given('own')).namespaces, 'own');
  assert.is(plan(command(), given('user')).namespaces, 'user');
  assert.is(plan(policies.command(), given('own')).namespaces, undefined);
  for (const host of [{ ...probe(), namespaces: { by: 'none', missing: '/proc/sys/user/max_user_namespaces is 0' } as const }, probe()]) {
    for (const policy of [command(), command({ without: ['leftovers'] })]) {
      assert.throws(() => plan(policy, host), (error: EnforcementPartial) => error.code === 'ERR_ENFORCEMENT_PARTIAL' && error.guarantee === 'leftovers' && error.missing.includes(host.namespaces?.missing ?? ''));
    }
  }
  const withUser: Probe = { ...given('user'), user: { uid: 0, gid: 0, lacks: [] } };
  assert.throws(() => plan(command({ identity: { uid: 1, gid: 1 } }), withUser), (error: { code: string; path: string }) => error.code === 'ERR_POLICY_INVALID' && error.path === 'identity');
  const rests = (host: Probe, policy: Policy): number => plan(policy, host).guarantees.filter(({ mechanisms }) => mechanisms.some((text) => /^an? (PID|IPC|network) namespace/.test(text))).length;
  assert.is(rests(given('own'), command()), 6);
  assert.is(rests(given('own'), policies.command()), 0);
});

strict('where the host gives none, the launch is refused with the reason', () => {
  // A child in a user namespace whose own may have no further one.
  const script = `import { launch, policies } from '${new URL('../lib/index.js', import.meta.url).href}';
    await launch(['true'], { policy: policies.command({ level: 'strict' }) }).then(() => console.log('launched'), (error) => console.log(error.code, error.missing));
    const task = await launch(['true'], { policy: policies.command() });
    console.log((await task.exited).kind);`;
  const without = (file: string): string => `echo 0 > ${file} && exec setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all "$@"`;
  const run = spawnSync('unshare', ['--user', '--map-root-user', 'sh', '-c', without('/proc/sys/user/max_user_namespaces'), 'sh', process.execPath, '--input-type=module', '-e', script], { encoding: 'utf8' });
  if (here?.by !== 'none') assert.match(run.stdout, /^ERR_ENFORCEMENT_PARTIAL .*max_user_namespaces is 0\nexited\n$/, run.stderr);
});

withNamespaces('exit codes, signals and output pass as they do in standard', async () => {
  const { exit, stdout, stderr } = await runTask(['sh', '-c', 'echo out; echo err >&2; exit 3'], { policy: command() });
  assert.equal([exit, stdout, stderr], [{ kind: 'exited', exitCode: 3 }, 'out\n', 'err\n']);
  for (const signal of ['SIGTERM', 'SIGKILL', 'SIGUSR1', 'SIGABRT', 'SIGHUP'] as const) {
    assert.equal((await runTask(['sh', '-c', `kill -${signal.slice(3)} $$`], { policy: command() })).exit, { kind: 'signaled', signal });
    const task = await launch(['sleep', '30'], { policy: command() });
    assert.is(task.kill(signal), true);
    assert.equal(await task.exited, { kind: 'signaled', signal });
    assert.is(task.kill(), false);
  }
  const piped = await launch(['cat'], { policy: command(), stdin: 'pipe' });
  piped.stdin?.end('through\n');
  assert.is((await piped.output()).stdout, 'through\n');
});

withNamespaces('a failing step is named, and nothing ran or stays', async () => {
  const text = join(folder, 'text');
  writeFileSync(text, 'not a program', { mode: 0o755 });
  const rows: [string, Policy, string, string, string | undefined][] = [
    ['/does/not/exist', command(), 'landlock', 'ENOENT', '/does/not/exist'],
    [text, command(), 'execve', 'ENOEXEC', text],
    ['true', command({ cwd: '/does/not/exist' }), 'cwd', 'ENOENT', '/does/not/exist'],
    ['true', command({ read: ['/proc/no-such-file'] }), 'landlock', 'ENOENT', '/proc/no-such-file'],
  ];
  for (const [program, policy, step, code, path] of rows) {
    try {
      await launch([program], { policy });
      assert.unreachable();
    } catch (error) {
      const { step: failed, cause } = error as { step: string; cause: NodeJS.ErrnoException };
      assert.equal([failed, cause.code, cause.path], [step, code, path]);
    }
  }
  assert.equal(running('sallyport-stage').filter(isChild), []);
});

/** Of this process; one of another may have ended since it was listed. */
function isChild(pid: number): boolean {
  try {
    return new RegExp(`^PPid:\\t${process.pid}$`, 'm').test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

withNamespaces('every namespace is its own, and the user in it the same', async () => {
  const task = await launch(['sleep', '30'], { policy: command() });
  const other = await launch(['sleep', '30'], { policy: command() });
  const plain = await launch(['sleep', '30'], { policy: policies.command() });
  for (const kind of kinds) {
    assert.is(namespace(plain.pid, kind), namespace('self', kind), `control: ${kind}`);
    if (kind === 'user' && here?.by === 'own') continue;
    assert.is.not(namespace(task.pid, kind), namespace('self', kind), kind);
    assert.is.not(namespace(task.pid, kind), namespace(other.pid, kind), kind);
  }
  const status = readFileSync(`/proc/${task.pid}/status`, 'utf8');
  assert.match(status, new RegExp(`^Uid:\\s+${process.getuid?.()}\\s`, 'm'));
  assert.match(status, /^NSpid:\t\d+\t2$/m);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.match(status, new RegExp(`^${set}:\\s+0+$`, 'm'), set);
  assert.match(status, /^NoNewPrivs:\s+1$/m);
  assert.match(status, /^Seccomp:\s+2$/m);
  const stage = Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1]);
  assert.match(readFileSync(`/proc/${stage}/status`, 'utf8'), /^CapPrm:\s+0+$/m);
  for (const each of [task, other, plain]) await each[Symbol.asyncDispose]();
  const mine = join(folder, 'mine');
  await runTask(['sh', '-c', `echo x > ${mine}`], { policy: command({ write: [folder] }) });
  assert.is(statSync(mine).uid, process.getuid?.());
});

withNamespaces('a task sees no process of the host, and has no number to signal it by', async () => {
  const target = spawn('sleep', ['30'], { stdio: 'ignore' });
  const look = ['sh', '-c', `test -d /proc/${target.pid} && echo seen; kill -0 ${target.pid} 2>&1; echo $$; test -d /proc/1 && echo init; head -c 0 /proc/1/status`] as const;
  const control = await runTask(look, { policy: policies.command() });
  assert.match(control.stdout, /^seen\n.*not permitted\n/, 'control');
  const { stdout, stderr } = await runTask(look, { policy: command() });
  assert.match(stdout, /^.*No such process\n+2\ninit\n$/);
  assert.match(stderr, /Permission denied/);
  target.kill('SIGKILL');
});

withNamespaces('a task has a loopback device that is down, and no other', async () => {
  // The route to 127.0.0.0/8 is there when the device is up.
  const names = (text: string): string[] => [...(text.split('routes')[0] ?? '').matchAll(/^\s*([\w.-]+):/gm)].map((match) => match[1] ?? '');
  const show = 'console.log(require("fs").readFileSync("/proc/self/net/dev", "utf8") + "routes" + require("fs").readFileSync("/proc/self/net/fib_trie", "utf8"))';
  const [plain, locked] = await Promise.all([policies.node(), node()].map((policy) => runTask([process.execPath, '-e', show], { policy })));
  assert.equal(names(locked?.stdout ?? ''), ['lo']);
  assert.ok(locked?.stdout.endsWith('routes\n'));
  assert.not(plain?.stdout.endsWith('routes\n'), 'control');
  const ours = names(readFileSync('/proc/self/net/dev', 'utf8'));
  assert.equal(names(plain?.stdout ?? '').sort(), ours.sort(), 'control');
});

/** Into a user namespace as who we are. */
const enter = here?.by === 'user' ? ['-U', '--preserve-credentials'] : [];

withNamespaces('System V IPC and POSIX queues of the host are not those inside', async () => {
  const id = /\d+/.exec(execFileSync('ipcmk', ['-M', '4096'], { encoding: 'utf8' }))?.[0] ?? '';
  const segments = (...words: string[]): boolean => execFileSync(words[0] ?? '', [...words.slice(1), 'ipcs', '-m'], { encoding: 'utf8' }).includes(` ${id} `);
  const task = await launch(['sleep', '30'], { policy: command() });
  try {
    assert.ok(segments('env'), 'control');
    assert.not(segments('nsenter', ...enter, '-i', '-t', String(task.pid)));
  } finally {
    execFileSync('ipcrm', ['-m', id]);
    await task[Symbol.asyncDispose]();
  }
});

withNamespaces("the host's mounts are as they were, and inside /proc is a fresh one that nothing of shows outside", async () => {
  const before = readFileSync('/proc/self/mountinfo', 'utf8');
  const task = await launch(['sleep', '30'], { policy: command() });
  const mounts = readFileSync(`/proc/${task.pid}/mountinfo`, 'utf8').trim().split('\n');
  assert.ok(mounts.length > before.trim().split('\n').length);
  assert.match(mounts.at(-1) ?? '', / \/proc \/?.*nosuid,nodev,noexec.* - proc |^\d+ \d+ \S+ \/ \/proc rw,nosuid,nodev,noexec/);
  assert.equal(mounts.filter((line) => /shared:|master:/.test(line)), []);
  assert.is(readFileSync('/proc/self/mountinfo', 'utf8'), before);
  await task[Symbol.asyncDispose]();
});

withNamespaces('the policy holds inside as outside: what it does not grant is refused, /proc of the host included', async () => {
  const secret = join(folder, 'secret');
  writeFileSync(secret, 'secret\n');
  const read = ['sh', '-c', `cat ${secret} /proc/meminfo /proc/sys/kernel/osrelease /proc/cmdline /proc/1/environ; echo x > /proc/sys/kernel/core_pattern; echo x > /proc/self/oom_score_adj`] as const;
  const { stdout, stderr } = await runTask(read, { policy: command() });
  assert.match(stdout, /^MemTotal:/);
  assert.ok(stdout.endsWith(readFileSync('/proc/sys/kernel/osrelease', 'utf8')));
  assert.is((stderr.match(/Permission denied/g) ?? []).length, 5, stderr);
  assert.is((await runTask(['cat', secret], { policy: command({ read: [secret] }) })).stdout, 'secret\n', 'control');
});

withNamespaces('no descendant lives when `exited` resolves: setsid and double-forked ones, and what forks and ends again and again', async () => {
  const mark = `89${process.pid}`;
  const script = `sleep ${mark}1 & setsid sleep ${mark}2 & (setsid sh -c 'sleep ${mark}3 & exit' &) ; sleep 0.1; exit 5`;
  await (await launch(['sh', '-c', script], { policy: open, ...silent })).exited;
  await until(() => sleeping(mark).length === 3); // the control
  for (const pid of sleeping(mark)) process.kill(pid, 'SIGKILL');
  await until(() => running(mark).length === 0);
  assert.equal((await runTask(['sh', '-c', script], { policy: command(), ...silent })).exit, { kind: 'exited', exitCode: 5 });
  assert.equal(running(mark), []);

  // Without a cgroup, so that it is the namespace that ends it.
  const { exit, hops } = await leavesHopping(folder, (program) => command({ execute: [program], write: [folder], without: ['interference'] }));
  assert.equal(exit, { kind: 'exited', exitCode: 0 });
  const after = hops();
  assert.ok(after > 0);
  await sleep(300);
  assert.is(hops(), after);
});

withNamespaces('whoever kills the main process or the stage ends all that is inside', async () => {
  const mark = `90${process.pid}`;
  for (const whom of ['main', 'stage'] as const) {
    const task = await launch(['sh', '-c', `setsid sleep ${mark}1 & exec sleep ${mark}2`], { policy: command(), ...silent });
    await until(() => running(mark).length === 2);
    const stage = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${task.pid}/status`, 'utf8'))?.[1]);
    process.kill(whom === 'main' ? task.pid : stage, 'SIGKILL');
    assert.equal(await task.exited, { kind: 'signaled', signal: 'SIGKILL' });
    assert.equal(running(mark), []);
  }
});

withNamespaces('a supervisor that is killed leaves nothing of a strict task', async () => {
  const mark = `74${process.pid}`;
  const child = spawn(process.execPath, [fileURLToPath(new URL('fixtures/supervisor-to-kill.js', import.meta.url)), mark, 'strict'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  await until(() => running(`sleep\0${mark}`).length === 4);
  child.kill('SIGKILL');
  await until(() => running(mark).length === 0);
});

const limitOf = (exit: TaskExit): string => (exit.kind === 'ended' ? ((exit.violation as { limit?: string }).limit ?? '') : JSON.stringify(exit));

withNamespaces('limits end a strict task by their names', async () => {
  const bounded = async (argv: readonly [string, ...string[]], limits: Policy['limits']): Promise<string> => limitOf((await runTask(argv, { policy: node({ limits: { wallTimeMs: 60_000, ...limits } }), ...silent })).exit);
  assert.is(await bounded([process.execPath, '-e', 'const b = Buffer.alloc(200e6, 1); setTimeout(() => process.exit(b[0] - 1), 400)'], { memoryBytes: 150e6 }), 'memoryBytes');
  assert.is(await bounded(['sh', '-c', 'n=0; while [ $n -lt 200 ]; do sleep 5 & setsid sleep 5 & n=$((n+1)); done; wait'], { processes: 50 }), 'processes');
  assert.is(await bounded(['sleep', '30'], { wallTimeMs: 50 }), 'wallTimeMs');
  assert.is(await bounded(['sh', '-c', 'exit 3'], { memoryBytes: 150e6, processes: 50 }), '{"kind":"exited","exitCode":3}');
});

withNamespaces('ordinary programs of Node, Python and the shell run', async () => {
  const program = `
    const { Worker } = require('worker_threads'), { spawnSync } = require('child_process'), crypto = require('crypto'), fs = require('fs');
    const child = spawnSync(process.execPath, ['-e', 'console.log(6 * 7)'], { encoding: 'utf8' }).stdout.trim();
    fs.writeFileSync('file', crypto.createHash('sha256').update('x').digest('hex'));
    const wasm = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 6, 1, 4, 0, 65, 7, 11))).exports.f();
    new Worker('require("worker_threads").parentPort.postMessage(1)', { eval: true }).on('message', (message) => setTimeout(() => console.log([child, fs.readFileSync('file', 'utf8').slice(0, 4), wasm, message].join(' ')), 5));`;
  const { stdout, stderr, exit } = await runTask([process.execPath, '-e', program], { policy: node({ write: [folder], cwd: folder }) });
  assert.equal([stdout, exit.kind], ['42 2d71 7 1\n', 'exited'], stderr);
  const python = 'import json, subprocess, threading, hashlib; t = threading.Thread(target=lambda: None); t.start(); t.join(); print(json.dumps([hashlib.md5(b"x").hexdigest()[:4], subprocess.run(["echo", "child"], capture_output=True, text=True).stdout.strip()]))';
  const ran = await runTask(['/usr/bin/python3', '-c', python], { policy: command() });
  assert.is(ran.stdout, '["9dd4", "child"]\n', ran.stderr);
});

withNamespaces("a scratch folder is the task's own inside too, and leads to none of the host's mounts", async () => {
  const target = spawn('sleep', ['30'], { stdio: 'ignore' });
  const look = ['sh', '-c', `echo x > file; cat "$TMPDIR/file"; up=.; for i in 1 2 3 4 5 6 7 8; do up=$up/..; done; test -d $up/proc/${target.pid} && echo seen; test -d $up/proc/1 && echo init`] as const;
  assert.is((await runTask(look, { policy: policies.command({ scratch: true }) })).stdout, 'x\nseen\ninit\n', 'control');
  assert.is((await runTask(look, { policy: command({ scratch: true }) })).stdout, 'x\ninit\n');
  target.kill('SIGKILL');
});

withNamespaces("a host and port that the policy grants are reached, from a network namespace that has neither", async () => {
  const server = createServer((_, response) => response.end('answer')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const ask = `fetch('http://127.0.0.1:${port}/').then((r) => r.text()).then(console.log, (e) => console.log(e.cause?.code ?? e.code))`;
  const granted = await runTask([process.execPath, '-e', ask], { policy: node({ network: { connect: [{ host: '127.0.0.1', port }] } }) });
  assert.is(granted.stdout, 'answer\n', granted.stderr);
  assert.is.not((await runTask([process.execPath, '-e', ask], { policy: node() })).stdout, 'answer\n');
  server.close();
});

withNamespaces('100 launches, 10 at a time, leave no descriptor, thread or process behind', async () => {
  await runTask(['true'], { policy: command() });
  const count = (): number => execFileSync('sh', ['-c', `ls /proc/${process.pid}/fd /proc/${process.pid}/task | wc -l`]).toString().trim() as unknown as number;
  const before = Number(count());
  for (let round = 0; round < 10; round++) {
    const pids = await Promise.all(Array.from({ length: 10 }, async () => (await runTask(['true'], { policy: command() })).pid));
    assert.ok(pids.every((pid) => pid > 0));
    assert.is(new Set(pids).size, 10);
  }
  await until(() => Number(count()) <= before);
});

strict.run();
