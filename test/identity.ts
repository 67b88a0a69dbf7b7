import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launch, policies, PolicyInvalid, TaskLimitExceeded, type Policy } from '../lib/index.js';
import type { Probe } from '../lib/kernel/probe.js';
import { plan } from '../lib/policy/plan.js';
import { inChild } from './helpers/fixture.js';
import { runTask } from './helpers/run-task.js';

const identity = suite('identity');
const host: Probe = { arch: 'x64', landlockAbi: 7, landlockErrata: 7, seccomp: true, procWhole: true, notify: { available: true, lacks: [], anyUser: true }, user: { uid: 0, gid: 0, lacks: [] } };
const nobody = { uid: 65534, gid: 65533 };

function refusedPath(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    assert.instance(error, PolicyInvalid);
    return (error as PolicyInvalid).path;
  }
  throw new Error('it was accepted');
}

identity('what is no pair of ids is refused with its path', () => {
  const rows: [unknown, string][] = [
    [0, 'identity'], [[], 'identity'], [null, 'identity'], [{}, 'identity.uid'], [{ uid: 1 }, 'identity.gid'], [{ uid: -1, gid: 1 }, 'identity.uid'],
    [{ uid: 1, gid: 2 ** 32 - 1 }, 'identity.gid'], [{ uid: 1.5, gid: 1 }, 'identity.uid'], [{ uid: '1', gid: 1 }, 'identity.uid'], [{ uid: NaN, gid: 1 }, 'identity.uid'],
    [{ uid: 1, gid: 1, groups: [] }, 'identity.groups'],
  ];
  for (const [value, path] of rows) assert.is(refusedPath(() => plan({ identity: value } as Policy, host)), path, JSON.stringify(value));
  assert.equal(plan({ identity: { uid: 2 ** 32 - 2, gid: 0 } }, host).identity, { uid: 2 ** 32 - 2, gid: 0 });
});

identity('a supervisor that cannot give one, or would give more than its own, is refused', () => {
  const as = (uid: number, gid: number, ...lacks: string[]): Probe => ({ ...host, user: { uid, gid, lacks } });
  assert.is(refusedPath(() => plan({ identity: nobody }, as(1000, 1000, 'CAP_SETUID'))), 'identity');
  assert.is(refusedPath(() => plan({ identity: { uid: 0, gid: 5 } }, as(1000, 1000))), 'identity.uid');
  assert.is(refusedPath(() => plan({ identity: { uid: 5, gid: 0 } }, as(1000, 1000))), 'identity.gid');
  assert.equal(plan({ identity: { uid: 5, gid: 0 } }, as(1000, 0)).identity, { uid: 5, gid: 0 });
});

if (process.getuid?.() !== 0) {
  identity('without privileges a launch with an identity throws, and nothing runs', async () => {
    await launch(['true'], { policy: policies.command({ identity: nobody }) }).then(
      () => assert.unreachable('it ran'),
      (error: PolicyInvalid) => assert.equal([error.code, error.path], ['ERR_POLICY_INVALID', 'identity']),
    );
  });
} else {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-identity-'));
  identity.after(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  const policy = policies.command({ identity: nobody, read: [folder] });

  identity('the task is that user, in no other group, and has nothing else', async () => {
    const { stdout } = await runTask(['sh', '-c', 'cat /proc/$$/status'], { policy });
    const field = (name: string): string | undefined => new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, 'm').exec(stdout)?.[1];
    assert.is(field('Uid'), Array(4).fill(nobody.uid).join('\t'));
    assert.is(field('Gid'), Array(4).fill(nobody.gid).join('\t'));
    assert.is(field('Groups'), '');
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.is(Number(`0x${field(set)}`), 0, set);
    assert.equal([field('NoNewPrivs'), field('Seccomp')], ['1', '2']);
  });

  identity("files that are root's alone are closed though the policy grants them; the user's own are open", async () => {
    writeFileSync(join(folder, 'roots'), 'r\n', { mode: 0o600 });
    writeFileSync(join(folder, 'theirs'), 't\n', { mode: 0o600 });
    chownSync(join(folder, 'theirs'), nobody.uid, nobody.gid);
    const read = async (chosen: Policy): Promise<string> => (await runTask(['sh', '-c', `cat ${folder}/roots ${folder}/theirs`], { policy: chosen })).stdout;
    assert.is(await read(policies.command({ read: [folder] })), 'r\n', 'control: uid 0 without capabilities reads what is its own');
    assert.is(await read(policy), 't\n');
  });

  identity('the supervisor rules it: signals, limits, leftovers, time', async () => {
    const task = await launch(['sleep', '30'], { policy });
    assert.is(statSync(`/proc/${task.pid}`).uid, nobody.uid);
    assert.is(task.kill('SIGTERM'), true);
    assert.equal(await task.exited, { kind: 'signaled', signal: 'SIGTERM' });

    const mark = `93${process.pid}`;
    const sleepers = async (): Promise<string> => (await runTask(['pgrep', '-xf', `sleep ${mark}`], { policy: { dangerouslyUnconfined: true } })).stdout;
    const left = await launch(['sh', '-c', `(setsid sleep ${mark} &) ; read ended`], { policy, stdin: 'pipe' });
    while ((await sleepers()) === '') continue; // the control: it runs
    left.stdin?.end('\n');
    assert.equal(await left.exited, { kind: 'exited', exitCode: 0 });
    assert.is(await sleepers(), '');

    const bounded = policies.command({ identity: nobody, limits: { processes: 20 } });
    const { exit } = await runTask(['sh', '-c', 'n=0; while [ $n -lt 60 ]; do sleep 5 & n=$((n+1)); done; wait'], { policy: bounded });
    assert.is(exit.kind === 'ended' && (exit.violation as TaskLimitExceeded).limit, 'processes');
  });

  identity('it reaches neither the supervisor nor root, and is no way back', async () => {
    const attempt = `kill -0 ${process.pid}; echo kill $?; echo x > /proc/${process.pid}/oom_score_adj; echo write $?; setpriv --reuid=0 true; echo setuid $?; cat /proc/${process.pid}/environ; echo environ $?`;
    const control = await runTask(['sh', '-c', attempt.replace('echo x >', 'cat')], { policy: { dangerouslyUnconfined: true, environment: { PATH: '/usr/bin:/bin' } } });
    assert.equal([...control.stdout.matchAll(/^\w+ \d+$|(?:kill|write|setuid|environ) \d+$/gm)].map(([line]) => line), ['kill 0', 'write 0', 'setuid 0', 'environ 0'], 'control');
    const { stdout } = await runTask(['sh', '-c', attempt], { policy });
    assert.equal(stdout.trim().split('\n').map((line) => line.replace(/[1-9]\d*$/, 'refused')), ['kill refused', 'write refused', 'setuid refused', 'environ refused']);
  });

  identity('Node runs as another user, children and workers included', async () => {
    const code = `const { execFileSync } = require('child_process'); const { Worker } = require('worker_threads');
      new Worker('require("worker_threads").parentPort.postMessage(process.getuid())', { eval: true }).on('message', (uid) => console.log(uid, process.getgid(), process.getgroups().join(), execFileSync('id', ['-u']).toString().trim()))`;
    const { stdout, stderr } = await runTask([process.execPath, '-e', code], { policy: policies.node({ identity: nobody }) });
    assert.is(stdout, `${nobody.uid} ${nobody.gid} ${nobody.gid} ${nobody.uid}\n`, stderr);
  });

  identity('a program that this user may not execute: the error says so', async () => {
    const program = join(folder, 'program');
    writeFileSync(program, '#!/bin/sh\n', { mode: 0o700 });
    const error = await launch([program], { policy }).then(() => assert.unreachable(), (caught: Error) => caught);
    assert.match((error as Error).message, /uid 65534 may not execute/);
  });

  identity('the supervisor stays who it is, and is not dumpable from then on', async () => {
    const { before, after, ids } = await inChild<{ before: number; after: number; ids: string }>('identity.js');
    assert.equal([before, after, ids], [1, 0, '0 0 0']);
    assert.is(readFileSync('/proc/sys/fs/suid_dumpable', 'latin1').trim() === '1', false);
  });

  identity('a supervisor that dropped CAP_KILL after the plan was made launches no such task', async () => {
    assert.equal(await inChild('identity.js', { args: ['drop'] }), { code: 'ERR_TASK_START', step: 'identity', cause: 'EPERM' });
  });
}

identity.run();
