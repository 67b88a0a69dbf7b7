import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EnforcementPartial, launch, policies, type Policy, type TaskExit } from '../lib/index.js';
import { cgroupFolder, type Cgroups } from '../lib/kernel/cgroup.js';
import { probe } from '../lib/kernel/probe.js';
import { taskGuarantees } from '../lib/policy/enforcement.js';
import { plan } from '../lib/policy/plan.js';
import { leavesHopping } from './helpers/hops.js';
import { running, until } from './helpers/processes.js';
import { runTask } from './helpers/run-task.js';
import { where } from './helpers/where.js';

const cgroup = suite('cgroup');
const here = probe().cgroups as Cgroups;
const open: Policy = { dangerouslyUnconfined: true };
/** Whoever lives on holds what it inherited. */
const scratch = mkdtempSync(join(tmpdir(), 'sallyport-cgroup-'));
cgroup.after(() => rmSync(scratch, { recursive: true, force: true }));

const own = (): string[] => readdirSync(here.folder).filter((name) => name.startsWith('sallyport.'));

cgroup('the own cgroup is found on unified and hybrid hosts, in a container and below another root', () => {
  const unified = '29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n';
  const hybrid = '38 31 0:35 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n';
  const bound = '41 31 0:38 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n';
  const rows: [cgroup: string, mountinfo: string, folder: string | undefined][] = [
    ['0::/user.slice/a.service\n', unified, '/sys/fs/cgroup/user.slice/a.service'],
    ['9:name=systemd:/\n8:pids:/x\n0::/\n', hybrid, '/sys/fs/cgroup/unified'],
    ['0::/docker/abc\n', bound, '/sys/fs/cgroup'],
    ['0::/docker/abc/leaf\n', bound, '/sys/fs/cgroup/leaf'],
    ['0::/docker/abcd\n', bound, undefined],
    ['0::/../other\n', unified, undefined],
    ['8:pids:/x\n', hybrid, undefined],
    ['0::/a\n', '38 31 0:35 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n', undefined],
    ['0::/a\n', '41 31 0:38 / /mnt/with\\040space rw - cgroup2 cgroup2 rw\n', '/mnt/with space/a'],
  ];
  for (const [text, mountinfo, folder] of rows) assert.is(cgroupFolder(text, mountinfo), folder, text);
});

cgroup('the plan for a host with all controllers, with none, and with no cgroup', () => {
  const limits = { memoryBytes: 64e6, processes: 20 };
  const made = (cgroups: Cgroups, policy: Policy): ReturnType<typeof plan> => plan({ limits, ...policy }, { ...probe(), cgroups });
  const all: Cgroups = { folder: '/sys/fs/cgroup/x', controllers: ['memory', 'pids', 'cpu'], missing: '' };
  assert.equal(made(all, { limits: { ...limits, cpuWeight: 50 } }).cgroup, { folder: '/sys/fs/cgroup/x', memoryBytes: 64e6, processes: 20, cpuWeight: 50 });
  assert.equal(made({ ...all, controllers: [] }, {}).cgroup, { folder: '/sys/fs/cgroup/x', memoryBytes: 0, processes: 0, cpuWeight: 0 });
  const none: Cgroups = { folder: '', controllers: [], missing: 'because' };
  assert.is(made(none, {}).cgroup, undefined);
  // A task that may write cgroup files could leave its own.
  assert.is(made(all, { without: ['interference'] }).cgroup, undefined);
  for (const lacking of [none, { ...all, controllers: ['memory'] as const }]) {
    assert.throws(() => made(lacking, { limits: { cpuWeight: 50 } }), (error: EnforcementPartial) => error.code === 'ERR_ENFORCEMENT_PARTIAL' && error.guarantee === 'resources');
  }
  const mentions = (cgroups: Cgroups): string[] => taskGuarantees({ ...probe(), cgroups }).filter(({ mechanisms }) => mechanisms.some((text) => text.includes('a cgroup v2') || text.startsWith('cgroup v2'))).map(({ name }) => name);
  assert.equal(mentions(all), ['resources', 'leftovers']);
  assert.equal(mentions({ ...all, controllers: [] }), ['leftovers']);
  assert.equal(mentions(none), []);
});

cgroup('where none can be had, the reason is said', () => {
  assert.is(here.folder === '' && here.missing === '', false);
  if (here.controllers.length < 3) assert.is.not(here.missing, '');
});

const withCgroup = where(cgroup, here.folder !== '', 'a cgroup of its own for each task', here.missing);

withCgroup('a task is in a cgroup of its own, which is gone when it has ended', async () => {
  const [first, second] = await Promise.all([0, 1].map(() => launch(['sleep', '30'], { policy: policies.command() })));
  const of = (task: typeof first): string => /^0::.*\/(sallyport\.\w+)$/m.exec(readFileSync(`/proc/${task?.pid}/cgroup`, 'utf8'))?.[1] ?? '';
  const names = [of(first), of(second)];
  assert.is(new Set(names).size, 2);
  for (const name of names) assert.ok(existsSync(join(here.folder, name)), name);
  await first?.[Symbol.asyncDispose]();
  assert.equal(names.map((name) => existsSync(join(here.folder, name))), [false, true]);
  await second?.[Symbol.asyncDispose]();
  assert.equal(own().filter((name) => names.includes(name)), []);
});

withCgroup('a launch that fails leaves no cgroup', async () => {
  const before = own().length;
  for (const policy of [policies.command({ cwd: '/does/not/exist' }), policies.command({ read: ['/does/not/exist'] })]) {
    try {
      await launch(['true'], { policy });
      assert.unreachable();
    } catch (error) {
      assert.is((error as { code?: string }).code, 'ERR_TASK_START');
    }
  }
  assert.ok(own().length <= before);
});

withCgroup('what forks and ends, again and again, is gone when `exited` resolves', async () => {
  const folder = mkdtempSync(join(scratch, 'hop-'));
  const { exit, hops } = await leavesHopping(folder, (program) => policies.command({ execute: [program], write: [folder] }));
  assert.equal(exit, { kind: 'exited', exitCode: 0 });
  const after = hops();
  assert.ok(after > 0);
  await sleep(300);
  assert.is(hops(), after);
});

withCgroup('a task can write no cgroup file, its own neither', async () => {
  const attempts = (folder: string): string => `for f in ${folder} ${folder}/sallyport.*; do (echo 0 > $f/cgroup.procs) 2>/dev/null && echo wrote; done; mkdir ${folder}/mine 2>/dev/null && rmdir ${folder}/mine && echo made; ls ${folder} >/dev/null 2>&1 && echo listed; exit 0`;
  const shell = ['sh', '-c', attempts(here.folder)] as const;
  const neighbour = await launch(['sleep', '30'], { policy: policies.command() });
  const control = await runTask(shell, { policy: { ...open, environment: { PATH: '/usr/bin:/bin' } } });
  assert.match(control.stdout, /^(wrote\n)+made\nlisted\n$/, 'control');
  assert.is((await runTask(shell, { policy: policies.command() })).stdout, '');
  await neighbour[Symbol.asyncDispose]();
});

withCgroup('a supervisor that is killed leaves no cgroup', async () => {
  const mark = `73${process.pid}`;
  const child = spawn(process.execPath, [fileURLToPath(new URL('fixtures/supervisor-to-kill.js', import.meta.url)), mark, 'confined'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  await until(() => running(`sleep\0${mark}`).length === 4);
  const of = running(`sleep\0${mark}`).map((pid) => readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('/').at(-1)?.trim() ?? '');
  assert.is(new Set(of).size, 1);
  assert.ok(own().includes(of[0] ?? ''));
  child.kill('SIGKILL');
  await until(() => !own().includes(of[0] ?? ''));
  assert.equal(running(`sleep\0${mark}`), []);
});

const exceeded = (exit: TaskExit): string => (exit.kind === 'ended' ? ((exit.violation as { limit?: string }).limit ?? '') : JSON.stringify(exit));

where(cgroup, here.controllers.includes('memory'), 'a memory controller for tasks', here.missing)('memory.max ends the whole task, by its name', async () => {
  const hog = `const b = Buffer.alloc(200e6, 1); setTimeout(() => process.exit(b[0] - 1), 400)`;
  const bounds = (memoryBytes: number): Policy => policies.node({ limits: { memoryBytes, wallTimeMs: 60_000 } });
  assert.is(exceeded((await runTask([process.execPath, '-e', hog], { policy: bounds(2e9) })).exit), '{"kind":"exited","exitCode":0}', 'control');
  assert.is(exceeded((await runTask([process.execPath, '-e', hog], { policy: bounds(150e6) })).exit), 'memoryBytes');
});

where(cgroup, here.controllers.includes('pids'), 'a pids controller for tasks', here.missing)('pids.max ends the whole task, by its name', async () => {
  const bomb = 'n=0; while [ $n -lt 60 ]; do sleep 1 & n=$((n+1)); done; wait';
  const bounds = (processes: number): Policy => policies.command({ limits: { processes, wallTimeMs: 60_000 } });
  assert.is(exceeded((await runTask(['sh', '-c', bomb], { policy: bounds(100) })).exit), '{"kind":"exited","exitCode":0}', 'control');
  assert.is(exceeded((await runTask(['sh', '-c', bomb], { policy: bounds(30) })).exit), 'processes');
});

cgroup.run();
