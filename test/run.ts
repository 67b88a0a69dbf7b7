// `sallyport run` as a shell uses it: pipes, signals, exit codes.

import { spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { traceReport } from '../lib/cli/trace-report.js';
import { asEachUser, asWeAre, cli, type Done } from './helpers/cli.js';
import { compile } from './helpers/compile.js';
import { sleeping } from './helpers/processes.js';

const running = suite('run');
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-run-')));
chmodSync(folder, 0o755);
running.after(() => rmSync(folder, { recursive: true, force: true }));

const run = (args: readonly string[], options = {}): Promise<Done> => cli([...asWeAre, 'run'], args, { cwd: folder, ...options });
const file = (name: string, text: string, mode = 0o644): string => {
  writeFileSync(join(folder, name), text);
  chmodSync(join(folder, name), mode);
  return name;
};

running('output, input and exit code are the program\'s own, as each user', async () => {
  await asEachUser(async (words, who) => {
    const { code, signal, stdout, stderr } = await cli([...words, 'run'], ['sh', '-c', 'cat; echo done; echo error >&2; exit 7'], { cwd: folder, input: 'in\n' });
    assert.equal({ code, signal, stdout, stderr }, { code: 7, signal: null, stdout: 'in\ndone\n', stderr: 'error\n' }, who);
  });
});

running('it dies of the signal that the program died of', async () => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGSEGV', 'SIGUSR1', 'SIGKILL', 'SIGPIPE'] as const) {
    const done = await run(['sh', '-c', `kill -${signal.slice(3)} $$; sleep 5`]);
    assert.equal([done.code, done.signal, done.stderr], [null, signal, ''], signal);
  }
});

running('a signal goes on to the program, which decides what becomes of it', async () => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const) {
    const trap = `trap 'echo got; exit 9' ${signal.slice(3)}; echo ready; while :; do sleep 0.05; done`;
    const done = await run(['sh', '-c', trap], { during: whenReady((child) => child.kill(signal)) });
    assert.equal([done.code, done.stdout], [9, 'ready\ngot\n'], signal);
    const plain = await run(['sh', '-c', 'echo ready; exec sleep 30'], { during: whenReady((child) => child.kill(signal)) });
    assert.equal([plain.code, plain.signal], [null, signal], `${signal} without a trap`);
  }
});

running('stopped it stops the task too, and continued continues it', async () => {
  const states = (pids: readonly number[]): string => pids.map((pid) => / ([A-Z]) \d/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1]).join('');
  // It starts nothing while it waits: stopped between a child's vfork and exec, a shell is D and not T until both go on.
  const program = 'sleep 300 & trap "kill $!; exit 4" TERM; echo $! $$; wait';
  const seen: string[] = [];
  const stopAndGo = async (child: ChildProcess, pids: readonly number[]): Promise<void> => {
    child.kill('SIGTSTP');
    if (await comesAbout(() => states(pids) === 'TTT')) seen.push('stopped');
    child.kill('SIGCONT');
    if (await comesAbout(() => !states(pids).includes('T'))) seen.push('continued');
    child.kill('SIGTERM');
  };
  const { code } = await run(['sh', '-c', program], {
    during: (child: ChildProcess) => child.stdout?.once('data', (line: string) => void stopAndGo(child, [child.pid as number, ...line.trim().split(' ').map(Number)])),
  });
  assert.equal([code, seen], [4, ['stopped', 'continued']]);
});

/** In a minute at most: the host may be busy. */
async function comesAbout(holds: () => boolean): Promise<boolean> {
  for (let tries = 0; !holds(); tries++) {
    if (tries === 1200) return false;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return true;
}

/** Runs a command on a terminal; `keys` are typed one after the other, each when the screen shows what it waits for. */
async function onTerminal(command: readonly string[], keys: readonly (readonly [shown: string, typed: string])[]): Promise<string> {
  const child = spawn(terminal, [...asWeAre, 'run', ...command], { cwd: folder, stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => {}); // typed behind the end
  let screen = '';
  const left = [...keys];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    screen += chunk;
    for (let next = left[0]; next !== undefined && screen.includes(next[0]); next = left[0]) child.stdin.write((left.shift() as typeof next)[1]);
  });
  await once(child, 'close');
  return screen;
}

const terminal = compile('terminal');

running('on a terminal: what is typed arrives, its end too, and the task has none of it', async () => {
  const program = 'tty; (: > /dev/tty) 2>/dev/null && echo a terminal; echo ready; while read line; do echo "got $line"; done; echo over';
  const screen = await onTerminal(['sh', '-c', program], [['ready', 'one\n'], ['got one', 'two\n'], ['got two', '\u0004']]);
  assert.match(screen, /not a tty[^]*got one[^]*got two[^]*over[^]*ended 0 0/);
  assert.not.match(screen, /a terminal/);
  // Type-ahead that the task does not take is no reason to stay.
  assert.match(await onTerminal(['echo', 'short'], [['short', 'x']]), /ended 0 0/);
});

running('on a terminal: Ctrl-C reaches what the program started as well', async () => {
  // bash gives up at a signal only if what it waits for does.
  assert.match(await onTerminal(['bash', '-c', 'echo ready; sleep 60; echo not ended'], [['ready', '\u0003']]), /ready[^]*ended -1 2/);
  assert.match(await onTerminal(['bash', '-c', "trap 'echo trapped; exit 5' INT; echo ready; sleep 60"], [['ready', '\u0003']]), /trapped[^]*ended 5 0/);
});

/** Calls `then` when the program has written something. */
function whenReady(then: (child: ChildProcess) => void): (child: ChildProcess) => void {
  return (child) => child.stdout?.once('data', () => then(child));
}

running('much output arrives whole, at the reader\'s pace, and the reader may go', async () => {
  const bytes = randomBytes(20e6);
  const { stdout } = await run(['sha256sum'], { input: bytes });
  assert.is(stdout, `${createHash('sha256').update(bytes).digest('hex')}  -\n`);

  const back = spawn('sh', ['-c', '"$@" | { sleep 1; sha256sum; }', 'sh', ...asWeAre, 'run', 'head', '-c', '20000000', '/dev/zero'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let seen = '';
  back.stdout.on('data', (chunk) => (seen += String(chunk)));
  await once(back, 'close');
  assert.is(seen, `${createHash('sha256').update(Buffer.alloc(20e6)).digest('hex')}  -\n`);

  const head = spawn('bash', ['-c', '"$@" | head -n 1; echo ${PIPESTATUS[0]}', 'bash', ...asWeAre, 'run', 'yes'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let lines = '';
  head.stdout.on('data', (chunk) => (lines += String(chunk)));
  head.stderr.on('data', (chunk) => (lines += String(chunk)));
  await once(head, 'close');
  assert.is(lines, 'y\n141\n');
});

running('a pipe that others have open too does not become non-blocking', async () => {
  const script = '"$@" run true; grep flags /proc/self/fdinfo/1';
  for (const input of ['printf x |', '']) {
    const child = spawn('sh', ['-c', `${input} { ${script}; } | cat`, 'sh', ...asWeAre], { stdio: ['ignore', 'pipe', 'inherit'] });
    let seen = '';
    child.stdout.on('data', (chunk) => (seen += String(chunk)));
    await once(child, 'close');
    assert.match(seen, /^flags:\s*0\d+\n$/);
    assert.is(Number.parseInt(seen.split(/\s+/)[1] ?? '', 8) & 0o4000, 0, seen); // O_NONBLOCK
  }
});

running('the task has no descriptor, variable or session of the caller\'s', async () => {
  const fds = (await run(['ls', '-l', '/proc/self/fd'])).stdout;
  for (const fd of ['0', '1', '2']) assert.match(fds, new RegExp(` ${fd} -> pipe:`));
  assert.is(fds.split('\n').filter((line) => line.includes('->')).length, 4, fds); // the fourth is the folder that is listed
  const { stdout } = await run(['env'], { env: { SALLYPORT_TEST: 'canary' } });
  assert.match(stdout, /^PATH=/m);
  assert.not.match(stdout, /canary/);
  assert.match((await run(['--env', 'SALLYPORT_TEST', '--env', 'B=c=d', 'env'], { env: { SALLYPORT_TEST: 'canary' } })).stdout, /^SALLYPORT_TEST=canary\nB=c=d$/m);
});

running('files: what is granted can be read and written, what is named but not granted is told', async () => {
  file('input.txt', 'text\n');
  mkdirSync(join(folder, 'out'), { recursive: true });
  const refused = await run(['cat', 'input.txt']);
  assert.is(refused.code, 1);
  assert.match(refused.stderr, /Permission denied[^]*--read input\.txt/);
  assert.is((await run(['--read', 'input.txt', 'cat', 'input.txt'])).stdout, 'text\n');
  assert.is((await run(['sh', '-c', 'echo x > out/y'])).code, 2);
  assert.is((await run(['--write', 'out', 'sh', '-c', 'echo x > out/y'])).code, 0);
  assert.is(readFileSync(join(folder, 'out', 'y'), 'utf8'), 'x\n');
});

running('a script runs, whatever names it: an argument of its interpreter, or its own first line', async () => {
  file('package.json', '{"type":"module"}');
  file('job.js', `#!${process.execPath}\nimport { readFileSync } from 'node:fs'; console.log('job', process.argv.slice(2).join());\n`, 0o755);
  assert.is((await run([process.execPath, 'job.js', 'a', 'b'])).stdout, 'job a,b\n');
  assert.is((await run([process.execPath, '--no-warnings', './job.js'])).stdout, 'job \n');
  assert.is((await run(['./job.js', 'c'])).stdout, 'job c\n');
  file('job.py', '#!/usr/bin/env python3\nimport json, sys; print("py", *sys.argv[1:])\n', 0o755);
  assert.is((await run(['python3', 'job.py', 'a'])).stdout, 'py a\n');
  assert.is((await run(['./job.py', 'b'])).stdout, 'py b\n');
  file('tool', '#!/bin/sh\necho tool "$@"\n', 0o755);
  assert.is((await run(['./tool', 'd'])).stdout, 'tool d\n');
  // Where the caller's PATH leads and the task's does not.
  assert.is((await run(['tool', 'e'], { env: { PATH: `${folder}:${process.env['PATH']}` } })).stdout, 'tool e\n');
});

running('options are ours until the command begins, and the command\'s from there', async () => {
  assert.is((await run(['echo', '--help', '--', '-x'])).stdout, '--help -- -x\n');
  assert.is((await run(['--cwd', '/', '--', 'echo', '--read'])).stdout, '--read\n');
  assert.is((await run(['--cwd=/', 'pwd'])).stdout, '/\n');
  assert.is((await run(['pwd'])).stdout, `${folder}\n`);
});

running('exit codes say what went wrong, in one line that says what to do', async () => {
  file('data', 'no program', 0o644);
  file('odd', '#!/nowhere/interpreter\n', 0o755);
  const rows: [number, readonly string[], RegExp][] = [
    [124, ['--limit', 'wallTimeMs=200', 'sleep', '20'], /wallTimeMs.*--limit wallTimeMs=/],
    [124, ['--limit', 'processes=3', 'sh', '-c', 'sleep 9 & sleep 9 & sleep 9 & sleep 9 & wait'], /processes/],
    [125, [], /which command/],
    [125, ['--bad', 'true'], /--bad/],
    [125, ['--preset', 'nope', 'true'], /--preset is one of/],
    [125, ['--limit', 'memoryBytes=lots', 'true'], /memoryBytes=512M/],
    [125, ['--limit', 'beauty=3', 'true'], /policy\.limits\.beauty/],
    [125, ['--env', 'SALLYPORT_NOT_SET', 'true'], /SALLYPORT_NOT_SET/],
    [125, ['--read', 'missing', 'true'], /missing/],
    [125, ['--cwd', 'missing', 'true'], /missing/],
    [125, ['--policy', 'missing.json', 'true'], /ENOENT.*missing\.json/],
    [125, ['--write', '/', 'true'], /policy\.write\[0\]/],
    [126, ['/'], /directory/],
    [126, ['./data'], /not executable/],
    [127, ['sallyport-no-such-program'], /no executable/],
    [127, ['./sallyport-no-such-program'], /ENOENT/],
    [127, ['./odd'], /interpreter/],
  ];
  for (const [expected, args, message] of rows) {
    const { code, stdout, stderr } = await run(args);
    assert.equal([code, stdout], [expected, ''], args.join(' '));
    assert.match(stderr, message);
    assert.match(stderr, /^sallyport run: .*\n$/, args.join(' '));
  }
});

running('a task that is ended does not wait for a reader that does not read', async () => {
  const [program, ...rest] = [...asWeAre, 'run', '--limit', 'wallTimeMs=300', 'yes'];
  const flood = spawn(program as string, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  const [code] = (await once(flood, 'exit')) as [number];
  assert.is(code, 124);
  flood.stdout.destroy();
});

running('nothing of the task is left: neither after its end nor after ours', async () => {
  const mark = `1${process.pid}.`;
  await run(['sh', '-c', `setsid sleep ${mark}5 & sleep 0.1`]);
  assert.equal(sleeping(mark), []);
  await run(['sh', '-c', `setsid sleep ${mark}6 & sleep 0.1; echo ready; sleep ${mark}7`], { during: whenReady((child) => child.kill('SIGKILL')) });
  assert.ok(await comesAbout(() => sleeping(mark).length === 0));
});

running('--trace says what was refused, how often, and what grants it', async () => {
  file('secret.txt', 'x');
  const program = `cat secret.txt; cat secret.txt; mkdir ${folder}/new; chmod 600 secret.txt; exit 6`;
  const { code, stderr } = await run(['--trace', 'sh', '-c', program]);
  assert.is(code, 6);
  const report = stderr.slice(stderr.indexOf('refused by the policy')).replace(/\n {2,}(?!\d+x)/g, ' ');
  assert.match(report, new RegExp(`2x +openat ${folder}/secret.txt: EACCES; --read ${folder}/secret.txt`));
  assert.match(report, new RegExp(`1x +mkdir ${folder}/new: EACCES; --write ${folder}`));
  // What it says is true.
  const granted = await run(['--trace', '--read', 'secret.txt', 'cat', 'secret.txt']);
  assert.equal([granted.code, granted.stdout], [0, 'x']);
  assert.match(granted.stderr, /refused nothing/);
});

running('--trace names what grants a TCP socket, and nothing for any other', async () => {
  const { stderr } = await run(['--trace', '--preset', 'node', process.execPath, '-e', "require('node:net').connect(80, '127.0.0.1').on('error', () => {}); require('node:dgram').createSocket('udp4').bind(0).on('error', () => {});"]);
  assert.match(stderr, /socket AF_INET SOCK_STREAM 0: EACCES; --connect HOST:PORT or --listen PORT/);
  assert.match(stderr, /socket AF_INET SOCK_DGRAM 0: EACCES; nothing grants it/);
});

running('what a trace shows of a task is nothing that a terminal obeys', () => {
  const report = traceReport([{ call: 'openat', action: 'EACCES', count: 12, detail: '/x\u001b[2J\u202e\u009b\n/y', grant: 'read: /x\u001b[2J' }, { call: 'ptrace', action: 'EPERM', count: 3 }, { call: 'chmod', action: 'EPERM', count: 1, grant: 'fileModes: "own"' }], 80);
  assert.is(report, 'refused by the policy:\n  12x  openat /x?[2J???/y: EACCES; --read /x?[2J\n   1x  chmod: EPERM; "fileModes": "own" in a policy file\n   3x  ptrace: EPERM; nothing grants it');
});

running('network: what is granted can be reached and listened on, and nothing else', async () => {
  const server = createServer((socket) => socket.end('hello\n'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const reach = `require('net').connect(${port}, '127.0.0.1').on('data', (d) => process.stdout.write(d)).on('error', (e) => { console.log(e.code); process.exit(3) })`;
  assert.is((await run(['--connect', `127.0.0.1:${port}`, process.execPath, '-e', reach])).stdout, 'hello\n');
  assert.equal((({ code, stdout }) => [code, stdout])(await run([process.execPath, '-e', reach])), [3, 'EACCES\n']);
  server.close();
  const serve = `require('net').createServer((s) => s.end('served\\n')).listen(0, '127.0.0.1', function () { console.log(this.address().port) })`;
  let served = '';
  await run(['--listen', '0', '--limit', 'wallTimeMs=60s', process.execPath, '-e', serve], {
    during: (child: ChildProcess) => child.stdout?.once('data', (line: string) => {
      connect(Number(line), '127.0.0.1').on('data', (chunk) => (served += String(chunk))).on('close', () => child.kill()).on('error', () => child.kill());
    }),
  });
  assert.is(served, 'served\n');
  for (const args of [['--connect', 'x'], ['--connect', '80'], ['--listen', 'x:y'], ['--connect', 'a:b:1']]) {
    const { code, stderr } = await run([...args, 'true']);
    assert.is(code, 125);
    assert.match(stderr, /HOST:PORT|HOST:\]PORT/);
  }
});

running('a policy file is held to, and the flags add to it', async () => {
  const rows = join(folder, 'project');
  mkdirSync(rows, { recursive: true });
  file('project/data.txt', 'data\n');
  file('project/policy.json', JSON.stringify({ read: ['data.txt'], environment: { A: '1' }, limits: { wallTimeMs: 60000 } }));
  const policy = ['--policy', 'project/policy.json'];
  assert.is((await run([...policy, 'cat', 'project/data.txt'])).stdout, 'data\n');
  assert.is((await run([...policy, '--env', 'B=2', 'sh', '-c', 'echo $A$B'])).stdout, '12\n');
  const self = await run([...policy, '--write', 'project', 'true']);
  assert.is(self.code, 125);
  assert.match(self.stderr, /policy\.write\[0\].*its own policy/);
});

running.run();
