// chmod, chown and utime in a task: the supervisor makes them, beneath the task's own folders and nowhere else.
import { chmodSync, chownSync, linkSync, mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launch, policies, PolicyInvalid, type Policy } from '../lib/index.js';
import type { Probe } from '../lib/kernel/probe.js';
import { probe } from '../lib/kernel/probe.js';
import { plan } from '../lib/policy/plan.js';
import { runTask } from './helpers/run-task.js';

const modes = suite('file modes');
const root = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-file-modes-')));
modes.after(() => rmSync(root, { recursive: true, force: true }));
chmodSync(root, 0o755);
const at = (...names: string[]): string => join(root, ...names);
const open: Policy = { dangerouslyUnconfined: true, environment: { PATH: '/usr/bin:/bin' } };

/** `own` to write, `other` to read, `none` not at all; everything as it was. */
function fresh(): Policy {
  for (const name of ['own', 'other', 'none']) {
    rmSync(at(name), { recursive: true, force: true });
    mkdirSync(at(name), { mode: 0o755 });
    writeFileSync(at(name, 'file'), 'x');
    chmodSync(at(name, 'file'), 0o644);
    utimesSync(at(name, 'file'), 1e9, 1e9);
  }
  symlinkSync(at('other', 'file'), at('own', 'out'));
  symlinkSync('../other/file', at('own', 'dots'));
  symlinkSync('file', at('own', 'in'));
  symlinkSync(at('other'), at('own', 'folder'));
  return policies.command({ write: [at('own')], read: [at('other')] });
}

const seen = (...names: string[]): [number, number] => [statSync(at(...names)).mode & 0o7777, statSync(at(...names)).mtimeMs];

/** Each call of the family by Python, which has them all; prints what became of it. */
const calls = (path: string): Record<string, string> => ({
  chmod: `os.chmod(${path}, 0o777)`,
  'chmod beneath a descriptor': `os.chmod('file' if os.path.basename(${path}) == 'file' else os.path.basename(${path}), 0o777, dir_fd=os.open(os.path.dirname(${path}) or '.', os.O_RDONLY))`,
  'fchmod, opened to read': `os.fchmod(os.open(${path}, os.O_RDONLY), 0o777)`,
  'fchmod, opened without rights': `os.chmod('/proc/self/fd/%d' % os.open(${path}, os.O_PATH), 0o777)`,
  utime: `os.utime(${path}, (5, 5))`,
  'utime now': `os.utime(${path})`,
  'futimens, opened to read': `os.utime(os.open(${path}, os.O_RDONLY), (5, 5))`,
  'futimens now, opened to read': `os.utime(os.open(${path}, os.O_RDONLY))`,
});

async function python(code: string, policy: Policy): Promise<string> {
  const { stdout, stderr } = await runTask(['python3', '-c', `import os, errno\ntry:\n  ${code}\n  print('done')\nexcept OSError as e: print(errno.errorcode[e.errno])`], { policy });
  return stdout.trim() === '' ? stderr : stdout.trim();
}

modes('on its own files they take effect, by path, from a folder, by descriptor, through a link that stays inside', async () => {
  for (const [name, code] of Object.entries(calls(`${JSON.stringify(at('own'))} + '/file'`))) {
    const policy = fresh();
    const before = seen('own', 'file');
    assert.is(await python(code, policy), 'done', name);
    assert.not.equal(seen('own', 'file'), before, name);
  }
  const policy = fresh();
  const { stdout, stderr } = await runTask(['sh', '-c', `cd ${at('own')}; chmod 600 in; mkdir -p a/b; chmod 711 a/b; chmod 640 a/../file; cd a; chmod 604 ../file; cd b; stat -c %a . ../../file`], { policy });
  assert.is(stdout, '711\n604\n', stderr);
});

modes('on anything else each is refused, whatever leads there, and nothing changes; unconfined each does it', async () => {
  const ways = [`${at('other')}/file`, `${at('own')}/../other/file`, `${at('own')}/out`, `${at('own')}/dots`, `${at('own')}/folder/file`, `${at('none')}/file`];
  for (const way of ways) {
    const place = way.includes('none') ? 'none' : 'other';
    for (const [name, code] of Object.entries(calls(JSON.stringify(way)))) {
      const policy = fresh();
      const before = seen(place, 'file');
      assert.match(await python(code, policy), /^E(PERM|ACCES|LOOP)$/, `${name} ${way}`);
      assert.equal(seen(place, 'file'), before, `${name} ${way}`);
    }
    fresh();
    const before = seen(place, 'file');
    assert.is(await python(calls(JSON.stringify(way))['chmod'] as string, open), 'done', 'control');
    assert.not.equal(seen(place, 'file'), before, 'control');
  }
});

modes('whether a file exists where the task may not look is not told', async () => {
  const policy = fresh();
  symlinkSync(at('none', 'missing'), at('own', 'probe'));
  for (const path of [at('none', 'missing'), at('none', 'file'), at('own', 'probe'), at('own', 'out'), '/root/missing', `${at('own')}/../none/missing`]) {
    assert.is(await python(`os.chmod(${JSON.stringify(path)}, 0o777)`, policy), 'EPERM', path);
  }
  assert.is(await python(`os.chmod(${JSON.stringify(at('own', 'missing'))}, 0o777)`, policy), 'ENOENT');
});

modes('a path that changes while it is looked at never leads out', async () => {
  const policy = fresh();
  // The last step of the path and a folder on the way turn into links and back, as fast as they can.
  const race = `
import os, threading
os.chdir(${JSON.stringify(at('own'))}); os.mkdir('d'); open('d/file', 'w').close(); os.symlink(${JSON.stringify(at('other'))}, 'l'); open('f', 'w').close(); os.symlink(${JSON.stringify(at('other', 'file'))}, 'g')
go = True
def swap(a, b):
    while go:
        os.rename(a, 't' + a); os.rename(b, a); os.rename(a, b); os.rename('t' + a, a)
threads = [threading.Thread(target=swap, args=pair) for pair in (('d', 'l'), ('f', 'g'))]
for t in threads: t.start()
done = 0
for i in range(4000):
    for path in ('d/file', 'f'):
        try: os.chmod(path, 0o777); done += 1
        except OSError: pass
go = False
for t in threads: t.join()
print(done > 0)`;
  const before = seen('other', 'file');
  const { stdout, stderr } = await runTask(['python3', '-c', race], { policy });
  assert.is(stdout, 'True\n', stderr);
  assert.equal(seen('other', 'file'), before);
});

modes('no bit that gives privileges, no other owner', async () => {
  const policy = fresh();
  assert.is(await python(`os.chmod(${JSON.stringify(at('own', 'file'))}, 0o6755)`, policy), 'done');
  assert.is(seen('own', 'file')[0], 0o755);
  const { uid, gid } = statSync(at('own', 'file'));
  assert.is(await python(`os.chown(${JSON.stringify(at('own', 'file'))}, 1, 1)`, policy), 'done');
  assert.equal([statSync(at('own', 'file')).uid, statSync(at('own', 'file')).gid], [uid, gid]);
  assert.is(await python(`os.chown(${JSON.stringify(at('other', 'file'))}, 1, 1)`, policy), 'EPERM');
});

if (process.getuid?.() === 0) {
  modes("a file of another user in its folder is not the task's, though the supervisor could", async () => {
    const policy = fresh();
    chownSync(at('own', 'file'), 1234, 1234);
    const before = seen('own', 'file');
    assert.is(await python(`os.chmod(${JSON.stringify(at('own', 'file'))}, 0o777)`, policy), 'EPERM');
    assert.equal(seen('own', 'file'), before);
  });

  modes('a task of another user has its own files', async () => {
    const base = fresh();
    const policy = Object.freeze({ ...base, identity: { uid: 65534, gid: 65534 } });
    const { stdout } = await runTask(['sh', '-c', `touch f; chmod 751 f; stat -c %a f; chmod 777 ${at('own', 'file')} 2>&1 || true`], { policy });
    assert.match(stdout, /^751\nchmod: .*not permitted/);
  });
}

modes('a folder that was renamed is still the one that is meant, and what took its place is not', async () => {
  const policy = fresh();
  const task = await launch(['sh', '-c', `read go; chmod 700 ${at('moved', 'file')} && echo moved; chmod 700 ${at('own', 'file')} || echo refused`], { policy, stdin: 'pipe', stderr: 'ignore' });
  rmSync(at('moved'), { recursive: true, force: true });
  renameSync(at('own'), at('moved'));
  mkdirSync(at('own'));
  writeFileSync(at('own', 'file'), 'new');
  task.stdin?.end('\n');
  assert.is((await task.output()).stdout, 'moved\nrefused\n');
});

modes('a path that is no text, too long, or nowhere is the kernel\'s errno and harms nobody', async () => {
  const policy = fresh();
  const code = `
import ctypes, os, errno
c = ctypes.CDLL(None, use_errno=True)
def call(*args):
    ctypes.set_errno(0); c.syscall(*args); return errno.errorcode.get(ctypes.get_errno(), 0)
nr = 268 if os.uname().machine == 'x86_64' else 53
print(call(nr, -100, ctypes.c_void_p(0), 0o700), call(nr, -100, ctypes.c_void_p(-1), 0o700), call(nr, -100, b'x' * 9000, 0o700), call(nr, -100, b'', 0o700), call(nr, 99, b'file', 0o700), call(nr, -7, b'file', 0o700))`;
  assert.is((await runTask(['python3', '-c', code], { policy })).stdout, 'EFAULT EFAULT ENAMETOOLONG ENOENT EBADF EBADF\n');
});

modes('times of a file of the user\'s that is open to read change beneath its own folders alone, whatever the policy says of modes', async () => {
  const file = (folder: string): string => `os.utime(os.open(${JSON.stringify(at(folder, 'file'))}, os.O_RDONLY))`;
  const answers = { own: ['EPERM', 'done'], ignored: ['done', 'done'], refused: ['EPERM', 'EPERM'] } as const;
  for (const [fileModes, [outside, inside]] of Object.entries(answers) as [keyof typeof answers, readonly [string, string]][]) {
    const policy: Policy = { ...fresh(), fileModes };
    const before = [seen('own', 'file'), seen('other', 'file')];
    assert.is(await python(file('other'), policy), outside, fileModes);
    assert.is(await python(file('own'), policy), inside, fileModes);
    assert.equal(seen('other', 'file'), before[1], fileModes);
    assert.is(seen('own', 'file')[1] !== before[0]?.[1], fileModes === 'own', fileModes);
  }
  const code = `
import ctypes, os, errno
c = ctypes.CDLL(None, use_errno=True)
def call(*args):
    ctypes.set_errno(0); c.syscall(*args); return errno.errorcode.get(ctypes.get_errno(), 0)
nr = 280 if os.uname().machine == 'x86_64' else 88
r, w = os.pipe()
print(call(nr, -100, None, None, 0), call(nr, 99, None, None, 0), call(nr, w, None, None, 0), call(nr, os.open(${JSON.stringify(at('own', 'file'))}, os.O_RDONLY), None, ctypes.c_void_p(-1), 0))`;
  assert.is((await runTask(['python3', '-c', code], { policy: fresh() })).stdout, 'EFAULT EBADF EPERM EFAULT\n');
});

modes("'refused' and 'ignored' never ask, and a host that cannot answer has 'ignored', and says so", async () => {
  const policy = fresh();
  const file = JSON.stringify(at('own', 'file'));
  assert.is(await python(`os.chmod(${file}, 0o777)`, Object.freeze({ ...policy, fileModes: 'refused' as const })), 'EPERM');
  assert.is(await python(`os.chmod(${file}, 0o777)`, Object.freeze({ ...policy, fileModes: 'ignored' as const })), 'done');
  assert.is(seen('own', 'file')[0], 0o644);
  const host = probe();
  const without: Probe = { ...host, notify: { available: false, lacks: ['seccomp user notification'], anyUser: false } };
  const made = plan(policy, without);
  assert.equal([made.fileModes, made.umask], ['ignored', 0o077]);
  assert.match(made.notes.join(), /'own' needs seccomp user notification/);
  assert.equal([plan(policy, host).fileModes, plan(policy, host).umask, plan(policy, host).notes], ['own', undefined, []]);
  assert.throws(() => plan({ fileModes: 'all' as never }, host), (error: unknown) => error instanceof PolicyInvalid && error.path === 'fileModes');
});

modes('a hard link made beforehand is what its folder says it is', async () => {
  const policy = fresh();
  linkSync(at('other', 'file'), at('own', 'linked'));
  // The task may write it by this name already.
  assert.is((await runTask(['sh', '-c', `echo y >> ${at('own', 'linked')} && chmod 600 ${at('own', 'linked')} && echo done`], { policy })).stdout, 'done\n');
});

modes('no call makes a file that is set-uid or set-gid, whatever is granted', async () => {
  const ways = ['os.open(f, os.O_CREAT | os.O_WRONLY, 0o4755)', 'os.open(f, os.O_CREAT | os.O_WRONLY, 0o2755)', 'os.mknod(f, 0o104755)', 'os.open(os.path.dirname(f), os.O_TMPFILE | os.O_RDWR, 0o4755)'];
  for (const way of ways) {
    const policy = fresh();
    const code = `f = ${JSON.stringify(at('own', 'made'))}; ${way}`;
    for (const network of ['none', { connect: [{ host: 'localhost', port: 9 }] }] as const) assert.is(await python(code, { ...policy, network }), 'EPERM', way);
    assert.is(await python(code.replace(/0o(10)?[24]755/, '0o100755'), policy), 'done', way);
    rmSync(at('own', 'made'), { force: true });
    assert.is(await python(code, open), 'done', `control: ${way}`);
  }
});

modes.run();
