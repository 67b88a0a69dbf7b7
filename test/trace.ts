import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launch, policies, type Policy, type RefusedCall, type TaskExit } from '../lib/index.js';
import { syscallNumbers, type SyscallName } from '../lib/kernel/syscalls.js';
import { compile } from './helpers/compile.js';

const trace = suite('trace');
const root = mkdtempSync(join(tmpdir(), 'sallyport-trace-'));
trace.after(() => rmSync(root, { recursive: true, force: true }));
for (const folder of ['read', 'write', 'none']) {
  mkdirSync(join(root, folder));
  writeFileSync(join(root, folder, 'file'), folder);
  writeFileSync(join(root, folder, 'program'), '#!/bin/sh\n', { mode: 0o755 });
}

const strict: Policy = policies.command({ read: [join(root, 'read')], write: [join(root, 'write')], fileModes: 'refused' });

async function traced(argv: readonly string[], policy: Policy = strict, on = true): Promise<{ exit: TaskExit; stdout: string; stderr: string; refused: readonly RefusedCall[] }> {
  const task = await launch(argv, { policy, trace: on });
  const output = await task.output();
  return { ...output, refused: task.refused };
}

const number = (name: SyscallName): number => syscallNumbers[name][process.arch === 'x64' ? 0 : 1];
const inRoot = (refused: readonly RefusedCall[]): string[] => refused.filter(({ detail }) => detail?.startsWith(root)).map(({ call, action, detail = '', grant = '' }) => `${call} ${action} ${detail.slice(root.length)} ${grant.replace(root, '')}`);

trace('what the file rules refuse is named by its path, with what would grant it; what they grant, and what is missing, is not', async () => {
  const script = `cd ${root}/write
cat ../read/file file /etc/passwd; echo x >new; rm new; mkdir sub; rmdir sub; cat absent
cat ../none/file; ls ${root}/none; echo x >>${root}/read/file; mkdir ${root}/read/sub; rm ${root}/none/file; ln -s a ${root}/none/link; echo x >${root}/none/new; ${root}/read/program; true`;
  const { refused, exit } = await traced(['sh', '-c', script]);
  assert.equal(exit, { kind: 'exited', exitCode: 0 });
  const simple = inRoot(refused).map((line) => line.replace(/^(open|mkdir|unlink|symlink)(at)? /, '$1 '));
  assert.equal(simple, [
    'open EACCES /none/file read: /none/file',
    'open EACCES /none read: /none',
    'open EACCES /read/file write: /read/file',
    'mkdir EACCES /read/sub write: /read',
    'unlink EACCES /none/file write: /none',
    'symlink EACCES /none/link write: /none',
    'open EACCES /none/new write: /none',
    'execve EACCES /read/program execute: /read/program',
  ]);
  assert.equal((await traced(['sh', '-c', script], strict, false)).refused, [], 'without a trace nothing is kept');
});

trace('calls that the filter refuses are named, counted and answered as without a trace', async () => {
  const program = compile('try-syscall');
  const calls: [SyscallName, ...(number | string)[]][] = [
    ['ptrace', 0x4206, 0x7fffffff], ['socket', 2, 2, 0], ['socket', 2, 2, 0], ['socket', 16, 3, 0], ['clone3', -1, 88], ['prctl', 1, 15], ['ioctl', 0, 0x5412, -1], ['fcntl', 0, 8, 0],
    ['io_uring_setup', 1, -1], ['keyctl', 0], ['fchmodat', -100, -1, 0], ['sendto', 0, -1, 0, 0x20000000], ['getpid'], ['prlimit64', 1, 7, 0, -1], ['memfd_create', -1, 0], ['unshare', 0x10000000],
  ];
  const words = [...calls.map(([name, ...args]) => [number(name), ...args].join(' ')), '470', '4000'];
  const plain = await traced([program, ...words], strict, false);
  const { refused, stdout } = await traced([program, ...words]);
  const withoutPid = (text: string): string[] => text.trim().split('\n').filter((line) => Number(line) <= 0);
  assert.equal(withoutPid(stdout), withoutPid(plain.stdout));
  assert.is(withoutPid(stdout).length, words.length - 1, 'getpid alone was answered');
  const said = refused.map(({ call, action, count, detail }) => [call, action, count, detail].filter((part) => part !== undefined).join(' '));
  for (const line of ['ptrace EPERM 1', 'socket EACCES 2 AF_INET SOCK_DGRAM 0', 'socket EACCES 1 AF_NETLINK SOCK_RAW 0', 'clone3 ENOSYS 1', 'io_uring_setup ENOSYS 1', 'ioctl EPERM 1 0x5412', 'syscall 4000 ENOSYS 1', 'memfd_create ENOSYS 1', 'prlimit64 EPERM 1 1 7']) {
    assert.ok(said.includes(line), `${line} in ${said.join('; ')}`);
  }
  assert.not.ok(said.some((line) => line.startsWith('getpid')));
});

trace('modes name the field that lets programs go on', async () => {
  const { refused } = await traced(['sh', '-c', `chmod 600 ${root}/write/file; chmod 600 ${root}/write/file`]);
  assert.equal(refused.map(({ action, count, detail, grant }) => [action, count, detail, grant]), [['EPERM', 2, `${root}/write/file`, 'fileModes: "own"']]);
});

trace('a connection that is not granted is named with its address', async () => {
  const script = `require('net').connect(2, '127.0.0.1').on('error', (e) => console.log(e.code))`;
  const { refused, stdout } = await traced([process.execPath, '-e', script], policies.node({ network: { connect: [{ host: '127.0.0.1', port: 1 }] } }));
  assert.is(stdout, 'EACCES\n');
  assert.equal(refused.filter(({ call }) => call === 'connect'), [{ call: 'connect', action: 'EACCES', count: 1, detail: '127.0.0.1:2', grant: 'network.connect: 127.0.0.1:2' }]);
  const { refused: none } = await traced([process.execPath, '-e', script], policies.node());
  assert.equal(none.filter(({ call }) => call === 'socket').map(({ detail, grant }) => [detail, grant]), [['AF_INET SOCK_STREAM 0', 'network: { connect: [{ host, port }] } or { listen: [{ port }] }']]);
});

trace('an ordinary program is refused nothing that matters to it', async () => {
  const { refused, stdout } = await traced(['sh', '-c', 'echo done; date >/dev/null; ls / >/dev/null 2>&1; sort /etc/passwd >/dev/null'], policies.command());
  assert.is(stdout, 'done\n');
  assert.equal(refused.filter(({ detail }) => detail !== '/').map(({ call, detail }) => [call, detail]), []);
});

trace('what is kept is bounded, and read while the task runs', async () => {
  const script = 'i=0; while [ $i -lt 3000 ]; do true >/none-$i; i=$((i+1)); done 2>/dev/null; echo ready; read line';
  const task = await launch(['sh', '-c', script], { policy: strict, trace: true, stdin: 'pipe' });
  await new Promise((resolve) => task.stdout?.once('data', resolve));
  const kinds = task.refused.length;
  assert.ok(kinds > 500 && kinds <= 1024, String(kinds));
  assert.is(task.exitCode, null, 'it runs');
  task.stdin?.end('\n');
  await task.exited;
});

trace('paths through two thousand folders, a thousand at once, do not hold the event loop', async () => {
  const script = `import os
path = os.getcwd()
while len(path) < 3900: os.mkdir('d'); os.chdir('d'); path += '/d'
for i in range(1200):
  try: os.open('none%d' % i, os.O_RDONLY)
  except OSError: pass
print('ready', flush=True)
os.read(0, 1)`;
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const task = await launch(['python3', '-S', '-c', script], { policy: policies.python(), trace: true, stdin: 'pipe' });
  await new Promise((resolve) => task.stdout?.once('data', resolve));
  await new Promise((resolve) => setTimeout(resolve, 1000)); // ten looks
  task.stdin?.end();
  assert.equal(await task.exited, { kind: 'exited', exitCode: 0 });
  delay.disable();
  assert.ok(delay.max < 10e9, `held for ${delay.max / 1e6} ms`); // a minute where each folder of each path is looked at by its name
});

trace('a launch that fails leaves nothing behind', async () => {
  try {
    await launch([join(root, 'absent')], { policy: strict, trace: true });
    assert.unreachable();
  } catch (error) {
    assert.is((error as { code?: string }).code, 'ERR_TASK_START');
  }
});

if (process.arch === 'x64') {
  trace('a call of the i386 ABI ends the task, which says so', async () => {
    for (const on of [true, false]) {
      const { exit, refused } = await traced([compile('int80')], policies.command(), on);
      assert.equal(exit, { kind: 'signaled', signal: 'SIGSYS' });
      assert.is(refused.at(-1)?.action, 'SIGSYS');
    }
  });
}

trace.run();
