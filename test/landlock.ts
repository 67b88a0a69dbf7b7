import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { landlockAbi, landlockErrata } from '../lib/kernel/landlock.js';
import { launch, policies, type Policy } from '../lib/index.js';
import { runTask } from './helpers/run-task.js';

const landlock = suite('landlock');
const root = mkdtempSync(join(tmpdir(), 'sallyport-landlock-'));
landlock.after(() => rmSync(root, { recursive: true, force: true }));
for (const folder of ['read', 'write', 'execute', 'none']) {
  mkdirSync(join(root, folder), { mode: 0o755 });
  writeFileSync(join(root, folder, 'file'), folder);
  writeFileSync(join(root, folder, 'program'), '#!/bin/sh\necho ran\n', { mode: 0o755 });
}

const granted = policies.command({ fileModes: 'refused', read: [join(root, 'read')], write: [join(root, 'write')], execute: [join(root, 'execute')] });
const open: Policy = { dangerouslyUnconfined: true };

async function sh(script: string, policy: Policy): Promise<string> {
  const { stdout, stderr } = await runTask(['sh', '-c', `${script} && echo done`], { policy });
  if (/done\n$/.test(stdout)) return 'done';
  return /Permission denied/i.test(stderr) ? 'EACCES' : /Operation not permitted/.test(stderr) ? 'EPERM' : `? ${stderr}`;
}

landlock('the kernel answers what it has', () => {
  assert.ok(Number.isInteger(landlockAbi()) && landlockAbi() >= 0);
  assert.ok(Number.isInteger(landlockErrata()));
});

/** folder, operation, script, with the policy. Without it every row is `done`. */
const table: [string, string, string][] = [
  ['read', 'cat file', 'done'],
  ['read', 'ls .', 'done'],
  ['read', ': >>file', 'EACCES'],
  ['read', ': >new; rm new', 'EACCES'],
  ['read', 'mkdir sub && rmdir sub', 'EACCES'],
  ['read', './program', 'EACCES'],
  ['write', 'cat file', 'done'],
  ['write', 'echo more >>file && : >new && mkdir sub && mv new sub/moved && ln -s file link && rm -r sub link', 'done'],
  ['write', './program', 'EACCES'],
  ['execute', './program', 'done'],
  ['execute', ': >>file', 'EACCES'],
  ['none', 'cat file', 'EACCES'],
  ['none', 'ls .', 'EACCES'],
  ['none', './program', 'EACCES'],
  ['none', ': >new; rm new', 'EACCES'],
];

for (const [folder, script, expected] of table) {
  landlock(`${folder}: ${script}: ${expected}`, async () => {
    const inside = `cd ${join(root, folder)} && ${script}`;
    assert.is(await sh(inside, open), 'done', 'control');
    assert.is(await sh(inside, granted), expected);
  });
}

landlock('a symlink leads where the policy lets it lead', async () => {
  symlinkSync(join(root, 'none', 'file'), join(root, 'read', 'escape'));
  assert.is(await sh(`cat ${join(root, 'read', 'escape')}`, open), 'done', 'control');
  assert.is(await sh(`cat ${join(root, 'read', 'escape')}`, granted), 'EACCES');
});

landlock('a file moved out of a granted folder is not read by its old grant, nor linked into one', async () => {
  assert.is(await sh(`ln ${join(root, 'none', 'file')} ${join(root, 'write', 'linked')} && rm ${join(root, 'write', 'linked')}`, open), 'done', 'control');
  const linked = await sh(`ln ${join(root, 'none', 'file')} ${join(root, 'write', 'linked')}`, granted);
  assert.ok(['EACCES', 'EPERM'].includes(linked) || /Invalid cross-device/.test(linked), linked);
});

landlock('modes, owners and attributes stay as they are, where Landlock alone would let them change', async () => {
  for (const script of ['chmod 000 file', 'chmod 644 file', 'chown $(id -u) file', 'touch -d 2001-01-01 .']) {
    const inside = `cd ${join(root, 'read')} && ${script}`;
    assert.is(await sh(`${inside}; chmod 644 file; true`, open), 'done', 'control');
    assert.is(await sh(inside, granted), 'EPERM', script);
  }
});

landlock('where they are ignored they succeed and stay as they are, so that programs which insist go on', async () => {
  const lenient = policies.command({ read: [join(root, 'read')], write: [join(root, 'write')], fileModes: 'ignored' });
  const before = statSync(join(root, 'read', 'file'));
  assert.is(await sh(`cd ${join(root, 'read')} && chmod 000 file && chown 1:1 file && touch -d 2001-01-01 ../write`, lenient), 'done');
  const after = statSync(join(root, 'read', 'file'));
  assert.equal([after.mode, after.uid, after.mtimeMs], [before.mode, before.uid, before.mtimeMs]);
  const archive = `cd ${join(root, 'write')} && mkdir a && echo x >a/b && tar cf a.tar a && rm -r a && tar xf a.tar && cp -p a/b c && sed -i s/x/y/ c && grep -q y c && rm -r a a.tar`;
  assert.is(await sh(archive, granted), 'EPERM', 'control');
  assert.is(await sh(`rm -rf ${join(root, 'write', 'a')}* && ${archive}`, lenient), 'done');
  assert.is(statSync(join(root, 'write', 'c')).mode & 0o777, 0o600, 'what it creates is its user\'s alone');
});

landlock('a policy that would let a task change what guards it is refused', async () => {
  const package_ = new URL('..', import.meta.url).pathname.replace(/\/$/, '');
  symlinkSync('/proc', join(root, 'write', 'link'));
  const rows: [string, 'code' | 'interference'][] = [
    ['/', 'code'], ['/proc', 'interference'], ['/proc/sys/kernel', 'interference'], ['/sys/fs/cgroup', 'interference'], ['/dev', 'interference'],
    [package_, 'code'], [join(package_, 'lib'), 'code'], [join(package_, '..'), 'code'], [process.execPath, 'code'], [join(root, 'write', 'link', 'self'), 'interference'],
  ];
  for (const [path, guarantee] of rows) {
    try {
      await launch(['true'], { policy: policies.command({ write: [join(root, 'write'), path] }) });
      assert.unreachable(path);
    } catch (error) {
      assert.equal([(error as { code?: string }).code, (error as { path?: string }).path], ['ERR_POLICY_INVALID', 'write[1]'], path);
      assert.match((error as Error).message, new RegExp(`'${guarantee}'`), path);
    }
  }
  rmSync(join(root, 'write', 'link'));
  const waived = await launch(['true'], { policy: policies.command({ write: ['/dev'], without: ['interference'] }) });
  assert.equal(await waived.exited, { kind: 'exited', exitCode: 0 });
});

landlock("a task sees its own /proc and no one else's", async () => {
  const script = (pid: string): string => `read line </proc/${pid}/status`;
  assert.is(await sh(script('self'), granted), 'done');
  assert.is(await sh(script('$PPID'), open), 'done', 'control');
  assert.is(await sh(script('$PPID'), granted), 'EACCES');
  assert.is(await sh('ls /proc', granted), 'EACCES');
});

landlock('its own /proc stays open to it when the kernel drops its caches', async () => {
  // Needs root to drop them; without, it still shows that the rule holds over time.
  const task = await launch(['sh', '-c', 'read go; read line </proc/self/status && echo still'], { policy: granted, stdin: 'pipe' });
  if (process.getuid?.() === 0) writeFileSync('/proc/sys/vm/drop_caches', '2');
  task.stdin?.end('go\n');
  let output = '';
  for await (const chunk of task.stdout ?? []) output += String(chunk);
  assert.is(output, 'still\n');
  await task[Symbol.asyncDispose]();
});

landlock('a folder that was made anew under its name is the one that is granted', async () => {
  renameSync(join(root, 'read'), join(root, 'read-before'));
  mkdirSync(join(root, 'read'));
  writeFileSync(join(root, 'read', 'file'), 'new');
  assert.is(await sh(`cat ${join(root, 'read', 'file')}`, granted), 'done');
  assert.is(await sh(`cat ${join(root, 'read-before', 'file')}`, granted), 'EACCES');
  assert.is(readFileSync(join(root, 'read-before', 'file'), 'utf8'), 'read');
});

landlock.run();
