import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launch, policies, TaskLimitExceeded, type Limits, type Policy, type TaskExit } from '../lib/index.js';
import { sleeping } from './helpers/processes.js';
import { runTask } from './helpers/run-task.js';
import { withReadableCopy } from './helpers/unprivileged.js';

const limits = suite('limits');
const open: Policy = { dangerouslyUnconfined: true };

function exceeded(exit: TaskExit): string {
  return exit.kind === 'ended' && exit.violation instanceof TaskLimitExceeded ? exit.violation.limit : JSON.stringify(exit);
}

async function bounded(argv: readonly [string, ...string[]], bounds: Limits): Promise<string> {
  return exceeded((await runTask(argv, { policy: policies.node({ limits: { wallTimeMs: 60_000, ...bounds } }) })).exit);
}

/** Touches 200 MB in one process, or 50 MB in each of four, and ends well. */
const hog = (inEach: number): string => `const b = Buffer.alloc(${inEach}, 1); setTimeout(() => process.exit(b[0] - 1), 400)`;
const four = `const { spawn } = require('child_process'); let left = 4; for (let i = 0; i < 4; i++) spawn(process.execPath, ['-e', ${JSON.stringify(hog(50e6))}]).on('exit', () => --left || process.exit(0))`;

limits('memory is bounded for all processes of a task together', async () => {
  for (const program of [hog(200e6), four]) {
    assert.equal((await runTask([process.execPath, '-e', program], { policy: open })).exit, { kind: 'exited', exitCode: 0 }, 'control');
    assert.is(await bounded([process.execPath, '-e', program], { memoryBytes: 150e6 }), 'memoryBytes');
  }
  assert.is(await bounded([process.execPath, '-e', hog(20e6)], { memoryBytes: 150e6 }), '{"kind":"exited","exitCode":0}');
});

limits('what the kernel counts per user stays out of its reach', async () => {
  const { stdout } = await runTask(['cat', '/proc/self/limits'], { policy: policies.command() });
  const rows = Object.fromEntries([...stdout.matchAll(/^Max (.*?) {2,}(\S+) +(\S+)/gm)].map(([, name = '', soft, hard]) => [name, [soft, hard]]));
  assert.equal(rows['locked memory'], ['65536', '65536']);
  assert.equal(rows['pending signals'], ['512', '512']);
  for (const name of ['msgqueue size', 'nice priority', 'realtime priority']) assert.equal(rows[name], ['0', '0'], name);
  assert.equal(rows['core file size'], ['1', '1']);
});

limits('shared memory counts', async () => {
  const shared = `const b = new SharedArrayBuffer(200e6); new Uint8Array(b).fill(1); setTimeout(() => process.exit(0), 400)`;
  assert.is(await bounded([process.execPath, '-e', shared], { memoryBytes: 150e6 }), 'memoryBytes');
});

/** 800 processes in the background, half of them in sessions of their own. Others of the host may sleep for five seconds too. */
const five = `5.0${process.pid}`;
const bomb = `n=0; while [ $n -lt 400 ]; do sleep ${five} & setsid sleep ${five} & n=$((n+1)); done; wait`;

limits('the number of processes is bounded, and none of a bomb is left', async () => {
  const { exit } = await runTask(['sh', '-c', bomb.replace('400', '40').replaceAll(five, '0.1')], { policy: open });
  assert.equal(exit, { kind: 'exited', exitCode: 0 }, 'control');
  assert.is(await bounded(['sh', '-c', bomb], { processes: 50 }), 'processes');
  assert.equal(sleeping(five), []);
});

limits('a fork bomb stands still at its bound, and the supervisor and another task go on', async () => {
  const other = await launch(['cat'], { policy: policies.command(), stdin: 'pipe' });
  const answers = other.stdout?.[Symbol.asyncIterator]();
  const task = await launch(['bash', '-c', ':(){ :|:& };:; sleep 60'], { policy: policies.command({ limits: { processes: 64 } }) });
  let most = 0;
  const looking = setInterval(() => (most = Math.max(most, ofSession(task.pid))), 1);
  other.stdin?.write('still here');
  assert.is(String((await answers?.next())?.value), 'still here');
  assert.is(exceeded(await task.exited), 'processes');
  clearInterval(looking);
  assert.ok(most <= 64, `${most} at once`);
  assert.is(ofSession(task.pid), 0);
  await other[Symbol.asyncDispose]();
  // The control: a bound that it does not reach ends nobody. Each sleeps for longer than it takes to start them all.
  const some = 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 3 & done; wait';
  assert.is(await bounded(['bash', '-c', some], { processes: 64 }), '{"kind":"exited","exitCode":0}');
  assert.is(await bounded(['bash', '-c', some], { processes: 16 }), 'processes');
});

/** How many processes of a session there are, aside from zombies and those that are just being reaped. */
function ofSession(sid: number): number {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && new RegExp(`^\\d+ \\(.*\\) [^ZX] \\d+ \\d+ ${sid} `).test(stat(pid))).length;
}

function stat(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return ''; // it has ended
  }
}

limits('a shell whose children end while it starts others is not disturbed', async () => {
  for (const shell of ['sh', 'bash']) {
    const script = 'i=0; while [ $i -lt 400 ]; do i=$((i+1)); true | true & done; wait; echo done $i';
    const { exit, stdout, stderr } = await runTask([shell, '-c', script], { policy: policies.command({ limits: { processes: 4096 } }) });
    assert.equal([exit, stdout, stderr], [{ kind: 'exited', exitCode: 0 }, 'done 400\n', ''], shell);
  }
});

limits('threads count as processes do', async () => {
  const threads = `const { Worker } = require('worker_threads'); for (let i = 0; i < 60; i++) new Worker('setTimeout(() => {}, 30000)', { eval: true })`;
  assert.is(await bounded([process.execPath, '-e', threads], { processes: 50 }), 'processes');
});

limits('a task within its bounds ends as it does', async () => {
  assert.is(await bounded(['sh', '-c', 'exit 3'], { processes: 50, memoryBytes: 50e6 }), '{"kind":"exited","exitCode":3}');
});

const inScratch = (script: string, bounds: Limits): Promise<string> => bounded(['python3', '-c', script], bounds);
const python = (body: string): string => `import os, time, mmap, socket\n${body}\n`;
const small = { scratchBytes: 20e6, scratchFiles: 500, fileBytes: 1e9 };

/** Each writes some 60 MB, or makes 2000 files, in its scratch folder, and then waits to be seen. */
const fillers: Record<string, readonly [limit: string, script: string]> = {
  'one file': ['scratchBytes', python(`f = open('f', 'wb')\nfor i in range(60): f.write(b'x' * 1000000)\nf.flush(); time.sleep(2)`)],
  'many files': ['scratchFiles', python(`for i in range(2000): open('f%d' % i, 'w').close()\ntime.sleep(2)`)],
  'hard links': ['scratchFiles', python(`open('f', 'w').close()\nfor i in range(2000): os.link('f', 'l%d' % i)\ntime.sleep(2)`)],
  'folders in each other': ['scratchFiles', python(`for i in range(2000): os.mkdir('d'); os.chdir('d')\ntime.sleep(2)`)],
  'folders it closed to itself': ['scratchFiles', python(`for i in range(40):\n  os.mkdir('d%d' % i)\n  for j in range(50): open('d%d/%d' % (i, j), 'w').close()\n  os.rename('d%d' % i, 'e%d' % i)\nos.umask(0o777); os.mkdir('closed')\ntime.sleep(2)`)],
  'a file without a name': ['scratchBytes', python(`f = open('f', 'wb'); os.unlink('f')\nfor i in range(60): f.write(b'x' * 1000000)\nf.flush(); time.sleep(2)`)],
  'O_TMPFILE': ['scratchBytes', python(`f = os.open('.', os.O_TMPFILE | os.O_RDWR)\nfor i in range(60): os.write(f, b'x' * 1000000)\ntime.sleep(2)`)],
  'a mapping alone': ['scratchBytes', python(`m = []\nfor i in range(60):\n  f = open('f', 'w+b'); os.truncate('f', 1000000); m.append(mmap.mmap(f.fileno(), 1000000)); m[-1].write(b'x' * 1000000); f.close(); os.unlink('f'); time.sleep(0.01)\ntime.sleep(3)`)],
  'a descriptor on its way': ['scratchBytes', python(`a, b = socket.socketpair()\nfor i in range(60):\n  f = open('f', 'w+b'); f.write(b'x' * 1000000); f.flush(); os.unlink('f'); socket.send_fds(a, [b'x'], [f.fileno()]); f.close()\ntime.sleep(3)`)],
  'a thread with descriptors of its own, main thread gone': ['scratchBytes', python(`import threading, ctypes\ndef fill():\n  f = open('f', 'wb'); os.unlink('f')\n  for i in range(60): f.write(b'x' * 1000000)\n  f.flush(); time.sleep(2); os._exit(0)\nthreading.Thread(target=fill).start(); ctypes.CDLL(None).pthread_exit(None)`)],
};

for (const [what, [limit, script]] of Object.entries(fillers)) {
  limits(`a disk filled with ${what} ends the task by name`, async () => {
    assert.is(await inScratch(script, small), limit);
    // Last: the kernel frees what was on its way when it finds the time, and hidden bytes show as the disk's growth alone.
    assert.is(await inScratch(script, { scratchBytes: 1e9, scratchFiles: 5000 }), '{"kind":"exited","exitCode":0}', 'control');
  });
}

/** An ordinary user may look into neither, and root may: as both it is the same. */
const dead: Record<string, string> = {
  'a zombie': python('os.fork() or os._exit(0)\ntime.sleep(3)'),
  'what is about to be one': python('end = time.time() + 3\nwhile time.time() < end:\n  if os.fork() == 0: os._exit(0)\n  os.wait()'),
};
for (const [what, script] of Object.entries(dead)) {
  limits(`${what} hides nothing: what others write meanwhile is not its task's`, async () => {
    const root = fileURLToPath(new URL('..', import.meta.url));
    const run = async (at: string, words: readonly string[] = []): Promise<void> => {
      const program = `
        const { launch, policies } = await import(${JSON.stringify(join(at, 'lib/index.js'))});
        const task = await launch(['python3', '-c', ${JSON.stringify(script)}], { policy: policies.command({ limits: ${JSON.stringify(small)} }) });
        console.log('started');
        const { kind, exitCode, violation } = await task.exited;
        console.log(kind, exitCode ?? violation.limit);`;
      const [first = '', ...rest] = [...words, process.execPath, '--input-type=module', '-e', program];
      const child = spawn(first, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
      const said = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const others = join(tmpdir(), `sallyport-others-${process.pid}`);
      try {
        assert.is((await said.next()).value, 'started');
        for (let part = 0; part < 20; part++) {
          writeFileSync(others, Buffer.alloc(3_000_000), { flag: 'a' });
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        assert.is((await said.next()).value, 'exited 0');
      } finally {
        rmSync(others, { force: true });
      }
    };
    await run(root);
    if (process.getuid?.() === 0) await withReadableCopy(root, run);
  });
}

limits('a file too large for the scratch folder, and fallocate, do not pass between two looks', async () => {
  assert.is(await bounded(['sh', '-c', 'exec dd if=/dev/zero of=f bs=1M count=50 2>/dev/null'], { scratchBytes: 20e6 }), 'scratchBytes');
  assert.is(await bounded(['sh', '-c', 'exec dd if=/dev/zero of=f bs=1M count=50 2>/dev/null'], { fileBytes: 20e6 }), 'fileBytes');
  const { stdout } = await runTask(['python3', '-c', python(`import ctypes\nf = os.open('f', os.O_CREAT | os.O_RDWR); c = ctypes.CDLL(None, use_errno=True); c.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]; r = c.fallocate(f, 1, 0, 1 << 28); print(r, ctypes.get_errno()); os.posix_fallocate(f, 0, 10000); print(os.fstat(f).st_size)`)], { policy: policies.python() });
  assert.is(stdout, '-1 95\n10000\n');
});

limits('processor time counts for all processes, those that have ended included', async () => {
  const burn = `end=$(( $(date +%s) + 8 )); while [ $(date +%s) -lt $end ]; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; done`;
  assert.is(await bounded(['sh', '-c', burn], { cpuSeconds: 1 }), 'cpuSeconds');
  const forking = python(`import signal\nt = time.time()\nwhile time.time() - t < 20:\n  pid = os.fork()\n  if pid == 0:\n    s = time.process_time()\n    while time.process_time() - s < 0.2: pass\n    os._exit(0)\n  os.waitpid(pid, 0)`);
  assert.is(await bounded(['python3', '-c', forking], { cpuSeconds: 1 }), 'cpuSeconds');
  const unwaited = forking.replace('import signal', 'import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)').replace('os.waitpid(pid, 0)', 'time.sleep(0.2)');
  assert.is(await bounded(['python3', '-c', unwaited], { cpuSeconds: 1 }), 'cpuSeconds');
  // Each uses less than /proc counts, and belongs to nobody by the time it ends.
  const small = python(`t = time.time()\nwhile time.time() - t < 60:\n  pid = os.fork()\n  if pid == 0:\n    if os.fork() == 0:\n      s = time.process_time()\n      while time.process_time() - s < 0.004: pass\n    os._exit(0)\n  os.waitpid(pid, 0)`);
  assert.is(await bounded(['python3', '-c', small], { cpuSeconds: 1 }), 'cpuSeconds'); // after some 250, well before they are too many
  assert.is(await bounded(['python3', '-c', 'print(1)'], { cpuSeconds: 5 }), '{"kind":"exited","exitCode":0}');
});

limits('memory counts when the main thread has ended', async () => {
  const script = python(`import threading, ctypes\ndef fill():\n  b = bytearray(200000000); time.sleep(2); os._exit(0)\nthreading.Thread(target=fill).start(); ctypes.CDLL(None).pthread_exit(None)`);
  assert.is(await bounded(['python3', '-c', script], { memoryBytes: 400e6 }), '{"kind":"exited","exitCode":0}', 'control');
  assert.is(await bounded(['python3', '-c', script], { memoryBytes: 100e6 }), 'memoryBytes');
});

/** Each takes some 300 MB that no process's own memory shows, and then waits to be seen. */
const hidden: Record<string, string> = {
  'a shared mapping that is not mapped at the moment': python(`m = mmap.mmap(-1, 300000000)\nfor i in range(0, 300000000, 1000000):\n  m[i:i + 1000000] = b'x' * 1000000\n  if i % 10000000 == 0: m.madvise(mmap.MADV_DONTNEED)\nm.madvise(mmap.MADV_DONTNEED); time.sleep(4); os._exit(0)`),
  'mappings themselves': python(`import ctypes
c = ctypes.CDLL(None); c.mmap.restype = ctypes.c_void_p; c.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]; c.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
at = c.mmap(None, 120000 * 4096, 0, 0x22, -1, 0)
for i in range(0, 120000, 2): c.mprotect(at + i * 4096, 4096, 1)
for i in range(24):
  if os.fork() == 0: time.sleep(8); os._exit(0)
time.sleep(8)`),
  'buffers of sockets': python(`pairs = []
for i in range(7):
  if os.fork() == 0: break
for i in range(230):
  for end in socket.socketpair():
    end.setblocking(False); pairs.append(end)
    try:
      while True: end.send(b'x' * 100000)
    except BlockingIOError: pass
time.sleep(5)`),
};

for (const [what, script] of Object.entries(hidden)) {
  limits(`memory that hides in ${what} counts`, async () => {
    assert.is(await bounded(['python3', '-c', script], { memoryBytes: 100e6 }), 'memoryBytes');
    assert.is(await bounded(['python3', '-c', script], { memoryBytes: 4e9 }), '{"kind":"exited","exitCode":0}', 'control');
  });
}

limits('a task has so many sessions and no more, and its timers are no finer than a millisecond', async () => {
  const sessions = python(`refused = 0\nfor i in range(100):\n  r, w = os.pipe()\n  if os.fork() == 0:\n    try: os.setsid(); os.write(w, b'y')\n    except PermissionError: os.write(w, b'n')\n    time.sleep(3); os._exit(0)\n  refused += os.read(r, 1) == b'n'; os.close(r); os.close(w)\nprint(refused > 0, refused < 80, flush=True); os._exit(0)`);
  const slack = python(`import ctypes; p = ctypes.CDLL(None).prctl; print(p(29, 1, 0, 0, 0), p(30, 0, 0, 0, 0))`);
  for (const [script, confined, free] of [[sessions, 'True True\n', 'False True\n'], [slack, '0 1000000\n', '0 1\n']] as const) {
    assert.is((await runTask(['python3', '-c', script], { policy: policies.command() })).stdout, confined);
    assert.is((await runTask(['python3', '-c', script], { policy: { dangerouslyUnconfined: true } })).stdout, free, 'control');
  }
});

limits('output is bounded over descriptors 1, 2 and 3 together, and lines of descriptor 3', async () => {
  const flood = (fd: number): string => `while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy >&${fd}; done`;
  for (const fd of [1, 2, 3]) {
    const task = await launch(['sh', '-c', flood(fd)], { policy: policies.command({ limits: { outputBytes: 100_000 } }), logs: true });
    let bytes = 0;
    for (const stream of [task.stdout, task.stderr, task.logs]) stream?.on('data', (chunk: Buffer) => (bytes += chunk.byteLength));
    assert.is(exceeded(await task.exited), 'outputBytes');
    assert.is(bytes, 100_000);
    await task[Symbol.asyncDispose]();
  }
  const long = await launch(['sh', '-c', 'echo short >&3; head -c 3000000 /dev/zero >&3; sleep 5'], { policy: policies.command(), logs: true });
  long.logs?.resume();
  assert.is(exceeded(await long.exited), 'logLineBytes');
  const ordinary = await launch(['sh', '-c', 'i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo {} >&3; done'], { policy: policies.command({ limits: { logLineBytes: 100, outputBytes: 6000 } }), logs: true });
  ordinary.logs?.resume();
  assert.is(exceeded(await ordinary.exited), '{"kind":"exited","exitCode":0}');
  // Of chunks with many lines, and lines over many chunks, the same is kept: all before the byte that is one too many.
  const zeros = (count: number): string => `head -c ${count} /dev/zero >&3`;
  const cases: readonly [script: string, limit: string, bytes: number][] = [
    [`${zeros(100_000)}; echo >&3; ${zeros(100_000)}; echo >&3`, '{"kind":"exited","exitCode":0}', 200_002],
    [`echo >&3; ${zeros(100_000)}; echo >&3; ${zeros(100_001)}; sleep 5`, 'logLineBytes', 200_002],
    [`head -c 300000 /dev/zero | tr '\\0' '\\n' >&3; ${zeros(100_001)}; sleep 5`, 'logLineBytes', 400_000],
  ];
  for (const [script, limit, expected] of cases) {
    const task = await launch(['bash', '-c', script], { policy: policies.command({ limits: { logLineBytes: 100_000 } }), logs: true });
    let bytes = 0;
    task.logs?.on('data', (chunk: Buffer) => (bytes += chunk.byteLength));
    assert.is(exceeded(await task.exited), limit, script);
    await task[Symbol.asyncDispose]();
    assert.is(bytes, expected, script);
  }
  try {
    await launch(['true'], { policy: policies.command({ limits: { outputBytes: 1 } }), stdout: 'inherit' });
    assert.unreachable();
  } catch (error) {
    assert.is((error as { path?: string }).path, 'limits.outputBytes');
  }
});

limits('a flood of newlines on descriptor 3 is counted at a small multiple of what it costs on descriptor 1', async () => {
  const milliseconds = async (fd: 1 | 3): Promise<number> => {
    const script = `head -c 40000000 /dev/zero | tr '\\0' '\\n' >&${fd}`;
    const start = process.cpuUsage();
    const task = await launch(['bash', '-c', script], { policy: policies.command(), logs: true });
    (fd === 1 ? task.stdout : task.logs)?.resume();
    assert.is(exceeded(await task.exited), '{"kind":"exited","exitCode":0}');
    await task[Symbol.asyncDispose]();
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1000;
  };
  const [plain, counted] = [await milliseconds(1), await milliseconds(3)];
  assert.ok(counted < 3 * plain + 300, `${counted} ms against ${plain} ms`); // 1600 against 110 when each newline was looked for by itself
});

limits('output() is the text that was written, wherever its characters are cut', async () => {
  const script = `s = 'aé€😀' * 60001; import sys; sys.stdout.write('a' + s); sys.stdout.flush(); sys.stdout.buffer.write(b'\\xf0\\x9f'); sys.stderr.write('€' * 70001)`;
  const task = await launch(['python3', '-c', script], { policy: policies.python({ environment: { PYTHONIOENCODING: 'utf-8' } }) });
  const { stdout, stderr } = await task.output();
  assert.ok(stdout === `a${'aé€😀'.repeat(60_001)}\u{fffd}`);
  assert.ok(stderr === '€'.repeat(70_001));
});

limits.run();
