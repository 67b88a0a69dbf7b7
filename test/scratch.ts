import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, existsSync, linkSync, lstatSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, readSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launch, policies } from '../lib/index.js';
import { runTask } from './helpers/run-task.js';
import { withReadableCopy } from './helpers/unprivileged.js';

const scratch = suite('scratch');
const policy = policies.command();
const root = fileURLToPath(new URL('..', import.meta.url));
const temporary = realpathSync(tmpdir());

const folder = mkdtempSync(join(tmpdir(), 'sallyport-test-scratch-'));
scratch.after(() => rmSync(folder, { recursive: true, force: true }));

const gone = (path: string | null): boolean => path !== null && !existsSync(path);

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(20);
}

scratch('a task starts in a folder of its own, which it may write, and which is gone when it is', async () => {
  const task = await launch(['sh', '-c', 'pwd; for v in TMPDIR TMP TEMP HOME XDG_RUNTIME_DIR; do printenv $v; done; printenv XDG_CACHE_HOME; mkdir -p a/b && echo x > a/b/c && mv a/b/c d && cat d; mktemp; cp /bin/true t; ./t; sh -c "exec ./t" || echo no'], { policy });
  const path = task.scratch ?? '';
  assert.is(dirname(dirname(path)), temporary);
  assert.is(statSync(dirname(path)).mode & 0o777, 0o700);
  const { exit, stdout } = await task.output();
  const [pwd, ...lines] = stdout.trim().split('\n');
  assert.is(pwd, path);
  assert.equal(lines.slice(0, 5), [path, path, path, path, path]);
  assert.is(lines[5], `${path}/.cache`);
  assert.is(lines[6], 'x');
  assert.is(dirname(lines[7] ?? ''), path, 'mktemp');
  assert.is(lines[8], 'no', 'what it wrote is not executed');
  assert.is(exit.kind, 'exited');
  assert.ok(gone(path));
  assert.equal(readdirSync(dirname(path)), []);
});

scratch('the policy decides: none, another folder to start in, other variables', async () => {
  for (const none of [await launch(['sleep', '0'], { policy: policies.command({ scratch: false }) }), await launch([process.execPath, '-e', '0'], { policy: { dangerouslyUnconfined: true } })]) {
    assert.is(none.scratch, null);
    await none[Symbol.asyncDispose]();
  }
  const { stdout } = await runTask(['sh', '-c', 'pwd; echo $HOME $TMPDIR | cut -c1-5; touch $XDG_RUNTIME_DIR/x && echo written'], { policy: policies.command({ cwd: '/usr', environment: { HOME: '/', TMPDIR: '/tm' } }) });
  assert.is(stdout, '/usr\n/ /tm\nwritten\n');
  const bare = await runTask(['sh', '-c', 'pwd; echo $HOME'], { policy: { execute: policy.execute ?? [], read: policy.read ?? [] } });
  assert.is(bare.stdout, '/\n/\n');
});

scratch('a task can neither read, write, list nor name away another one’s', async () => {
  const first = await launch(['sh', '-c', 'echo secret > s; echo ready; exec sleep 60'], { policy });
  await once(first.stdout as NodeJS.ReadableStream, 'data');
  const path = first.scratch ?? '';
  const script = `for c in 'cat ${path}/s' 'ls ${path}' 'ls ${dirname(path)}' 'echo x > ${path}/new' 'rm ${path}/s' 'mv ${path} .' 'rmdir $TMPDIR' 'mv $TMPDIR ../other' 'ln ${path}/s l'; do sh -c "$c" 2>/dev/null && echo "done: $c"; done; echo end`;
  const control = spawnSync('sh', ['-c', `cat ${path}/s; ls ${path}`], { encoding: 'utf8' });
  assert.is(control.stdout, 'secret\ns\n', 'control');
  assert.is((await runTask(['sh', '-c', script], { policy })).stdout, 'end\n');
  assert.equal(readdirSync(path), ['s']);
  await first[Symbol.asyncDispose]();
  assert.ok(gone(path));
});

scratch('`collect` gets the folder when the task has ended, before it is removed', async () => {
  const kept: string[] = [];
  const task = await launch(['sh', '-c', 'echo result > out; (setsid sh -c "sleep 0.1; echo late > late; sleep 60" &); until [ -s late ]; do sleep 0.05; done'], {
    policy,
    collect: async (path) => {
      await sleep(50);
      // As its documentation says: by a descriptor, and no link followed.
      const file = openSync(join(path, 'out'), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      const bytes = Buffer.alloc(64);
      kept.push(bytes.toString('utf8', 0, readSync(file, bytes)), ...readdirSync(path).sort());
      closeSync(file);
    },
  });
  await task.exited;
  assert.equal(kept, ['result\n', 'late', 'out']);
  assert.ok(gone(task.scratch));

  const warned = once(process, 'warning');
  const failing = await launch(['true'], { policy, collect: () => Promise.reject(new Error('of the caller')) });
  assert.equal(await failing.exited, { kind: 'exited', exitCode: 0 });
  assert.is(((await warned)[0] as { code?: string }).code, 'SALLYPORT_COLLECT');
  assert.ok(gone(failing.scratch));
  try {
    await launch(['true'], { policy: policies.command({ scratch: false }), collect: () => {} });
    assert.unreachable();
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, 'ERR_INVALID_ARG_TYPE');
  }
});

scratch('folders keep the modes that the task gave them, but for what it takes to measure them', async () => {
  const { stdout } = await runTask(['sh', '-c', 'mkdir d e && chmod 555 d && chmod 0 e && until [ $(stat -c %a e) != 0 ]; do sleep 0.1; done; stat -c %a d e'], { policy });
  assert.is(stdout, '555\n500\n');
});

/** What is hard to remove, made by the task itself. */
const hostileTree = `
import os
for i in range(200): os.mkdir('d'); os.chdir('d'); open('f', 'w').close()
os.chdir(os.environ['TMPDIR'])
os.symlink(os.environ['VICTIM'], 'link'); os.symlink(os.environ['VICTIM'] + '/file', 'filelink'); os.symlink('.', 'loop'); os.symlink('nowhere', 'dangling')
os.mkfifo('fifo')
os.mkdir('closed'); os.mkdir('closed/in'); open('closed/in/f', 'w').close()
os.umask(0o777); os.mkdir('none'); os.umask(0)
os.makedirs('none2/a/b'); os.mkdir('none2/a/c', 0); os.mkdir('none2/empty', 0); os.mkdir('none2/x', 0o300); open('none2/x/file', 'w').close()
for name in ['new\\nline', '-rf', ' ', '*', 'a' * 255, '.up-0', '.up-1', '...', b'\\xff\\xfe']: open(name, 'w').close()
os.mkdir('.up-2'); open('.up-2/f', 'w').close()
os.link('-rf', 'hard'); os.close(os.open('sparse', os.O_CREAT | os.O_RDWR)); os.truncate('sparse', 1 << 30)
for d in range(20):
    os.mkdir('w%d' % d)
    for f in range(200): os.close(os.open('w%d/%d' % (d, f), os.O_CREAT | os.O_WRONLY, 0))
`;

scratch('hostile trees are removed whole, and nothing outside is touched', async () => {
  const victim = join(folder, 'victim');
  mkdirSync(victim, { mode: 0o755 });
  writeFileSync(join(victim, 'file'), 'precious', { mode: 0o600 });
  const before = lstatSync(victim).mode;
  const granted = policies.command({ environment: { VICTIM: victim }, read: [victim] });
  let entries: string[] = [];
  const task = await launch(['python3', '-c', hostileTree], { policy: granted, collect: (path) => {
    entries = readdirSync(path);
    linkSync(join(victim, 'file'), join(path, 'precious')); // the most a hard link can do
  } });
  const { exit, stderr } = await task.output();
  assert.equal(exit, { kind: 'exited', exitCode: 0 }, stderr);
  assert.ok(entries.length > 40);
  assert.ok(gone(task.scratch));
  assert.is(readFileSync(join(victim, 'file'), 'utf8'), 'precious');
  assert.equal([lstatSync(victim).mode, lstatSync(join(victim, 'file')).mode & 0o777, lstatSync(join(victim, 'file')).nlink], [before, 0o600, 1]);
});

const supervisor = (what: string): string => `
  const { launch, policies } = await import(${JSON.stringify(join(root, 'lib/index.js'))});
  const task = await launch(['sh', '-c', 'mkdir -p a/b; echo x > a/b/c; echo ready; (setsid sleep 61 &); exec sleep 60'], { policy: policies.command() });
  await new Promise((resolve) => task.stdout.once('data', resolve));
  console.log(task.scratch);
  ${what}`;

for (const [how, what] of Object.entries({ 'is killed': 'setInterval(() => {}, 1000);', 'calls process.exit()': 'process.exit(0);', 'runs out of work': 'task.kill("SIGKILL");', crashes: 'process.abort();' })) {
  scratch(`nothing is left of it when the supervisor ${how}`, async () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', supervisor(what)], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [said] = (await once(child.stdout, 'data')) as [Buffer];
    const path = said.toString().trim();
    assert.is(dirname(dirname(path)), temporary);
    if (how === 'is killed') {
      assert.ok(existsSync(join(path, 'a/b/c')), 'control');
      child.kill('SIGKILL');
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    if (how === 'calls process.exit()') assert.ok(gone(path));
    await until(() => gone(dirname(path)));
  });
}

scratch('a folder for temporary files that is missing fails the launch by name, and one that was cleaned is made again', async () => {
  const script = (folder: string): string => `
    import { rmSync } from 'node:fs'; import { dirname } from 'node:path';
    const { launch, policies } = await import(${JSON.stringify(join(root, 'lib/index.js'))});
    const policy = policies.command();
    try { const task = await launch(['true'], { policy }); await task.exited; rmSync(dirname(task.scratch), { recursive: true }); const again = await launch(['true'], { policy }); console.log((await again.exited).exitCode); }
    catch (error) { console.log(error.code, error.step, error.cause.code, error.cause.path === ${JSON.stringify(folder)}); }`;
  const run = (folder: string): string => spawnSync(process.execPath, ['--input-type=module', '-e', script(folder)], { encoding: 'utf8', env: { ...process.env, TMPDIR: folder } }).stdout.trim();
  assert.is(run('/does/not/exist'), 'ERR_TASK_START scratch ENOENT true');
  assert.is(run(folder), '0');
});

if (process.getuid?.() === 0) {
  scratch('all of this as an ordinary user', async () => {
    await withReadableCopy(root, async (copy, unprivileged) => {
      const script = `
        import { once } from 'node:events';
        const { launch, policies } = await import(${JSON.stringify(join(copy, 'lib/index.js'))});
        const task = await launch(['python3', '-c', process.env.TREE], { policy: policies.command({ environment: { VICTIM: '/usr' } }) });
        const { exit, stderr } = await task.output();
        const { existsSync } = await import('node:fs');
        console.log(JSON.stringify({ exit, stderr, left: existsSync(task.scratch) }));`;
      const [command, ...words] = unprivileged;
      const { stdout, stderr } = spawnSync(command, [...words, process.execPath, '--input-type=module', '-e', script], { encoding: 'utf8', env: { ...process.env, TREE: hostileTree } });
      assert.equal(JSON.parse(stdout || '{}'), { exit: { kind: 'exited', exitCode: 0 }, stderr: '', left: false }, stderr);
    });
  });
}

scratch.run();
