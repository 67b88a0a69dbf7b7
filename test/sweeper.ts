import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const sweeper = suite('sweeper');
const fixture = fileURLToPath(new URL('fixtures/supervisor-to-kill.js', import.meta.url));

function processes(): { pid: number; ppid: number; command: string }[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      const ppid = Number(readFileSync(`/proc/${name}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')[1]);
      return command === '' ? [] : [{ pid: Number(name), ppid, command }];
    } catch {
      return [];
    }
  });
}

const sleeping = (mark: string): number[] => processes().filter(({ command }) => command.startsWith(`sleep ${mark}`)).map(({ pid }) => pid);

/** Waits for as long as it takes: a hang is the runner's to end. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(20);
}

async function supervisor(mark: string, how: 'confined' | 'identity' | 'unconfined'): Promise<ChildProcess> {
  const child = spawn(process.execPath, [fixture, mark, how], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  await until(() => sleeping(mark).length === 4);
  return child;
}

const sweepersOf = (pid: number | undefined): number[] => processes().filter(({ ppid, command }) => ppid === pid && /\/sweeper [0-9a-f]+ [0-9a-f]+( |$)/.test(command)).map(({ pid }) => pid);

sweeper('a supervisor that is killed takes along all that its tasks had started', async () => {
  const mark = `71${process.pid}`;
  const open = await supervisor(mark, 'unconfined');
  open.kill('SIGKILL');
  await once(open, 'exit');
  await until(() => sleeping(mark).length <= 3); // the main process has a parent-death signal in any case
  await sleep(500);
  const left = sleeping(mark);
  assert.is(left.length, 3, 'control');
  for (const pid of left) process.kill(pid, 'SIGKILL');
  await until(() => sleeping(mark).length === 0);

  for (const how of process.getuid?.() === 0 ? (['confined', 'identity'] as const) : (['confined'] as const)) {
    const locked = await supervisor(mark, how);
    await until(() => sweepersOf(locked.pid).length === 1);
    const [sweeping = 0] = sweepersOf(locked.pid);
    locked.kill('SIGKILL');
    await until(() => sleeping(mark).length === 0);
    await until(() => !processes().some(({ pid }) => pid === sweeping));
  }
});

sweeper('it is one for all tasks, ends with a supervisor that exits, and one that is killed is replaced', async () => {
  const mark = `72${process.pid}`;
  const script = `
    const { launch, policies } = await import('${new URL('../lib/index.js', import.meta.url).href}');
    const policy = policies.command();
    for await (const _ of process.stdin) {
      await using task = await launch(['true'], { policy });
      await task.exited;
      process.stdout.write('ran');
    }`.replace('await using task', 'const task');
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, mark], { stdio: ['pipe', 'pipe', 'inherit'] });
  const run = async (): Promise<number[]> => {
    child.stdin?.write('go');
    await once(child.stdout as NodeJS.ReadableStream, 'data');
    await until(() => sweepersOf(child.pid).length > 0); // a moment after its execve its command line is still empty
    return sweepersOf(child.pid);
  };
  const first = await run();
  assert.is(first.length, 1);
  assert.equal(await run(), first);
  process.kill(first[0] ?? 0, 'SIGKILL');
  await until(() => !sweepersOf(child.pid).includes(first[0] ?? 0));
  const second = await run();
  assert.is(second.length, 1);
  assert.is.not(second[0], first[0]);
  child.stdin?.end();
  await once(child, 'exit');
  await until(() => !processes().some(({ pid }) => pid === second[0]));
});

sweeper.run();
