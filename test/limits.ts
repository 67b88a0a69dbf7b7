import { readdirSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { policies, TaskLimitExceeded, type Limits, type Policy, type TaskExit } from '../lib/index.js';
import { runTask } from './helpers/run-task.js';

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

/** 800 processes in the background, half of them in sessions of their own. */
const bomb = 'n=0; while [ $n -lt 400 ]; do sleep 5 & setsid sleep 5 & n=$((n+1)); done; wait';

limits('the number of processes is bounded, and none of a bomb is left', async () => {
  const { exit } = await runTask(['sh', '-c', bomb.replace('400', '40').replaceAll('sleep 5', 'sleep 0.1')], { policy: open });
  assert.equal(exit, { kind: 'exited', exitCode: 0 }, 'control');
  assert.is(await bounded(['sh', '-c', bomb], { processes: 50 }), 'processes');
  const left = readdirSync('/proc').filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sleep\u00005\u0000');
    } catch {
      return false;
    }
  });
  assert.equal(left, []);
});

limits('threads count as processes do', async () => {
  const threads = `const { Worker } = require('worker_threads'); for (let i = 0; i < 60; i++) new Worker('setTimeout(() => {}, 1000)', { eval: true })`;
  assert.is(await bounded([process.execPath, '-e', threads], { processes: 50 }), 'processes');
});

limits('a task within its bounds ends as it does', async () => {
  assert.is(await bounded(['sh', '-c', 'exit 3'], { processes: 50, memoryBytes: 50e6 }), '{"kind":"exited","exitCode":3}');
});

limits.run();
