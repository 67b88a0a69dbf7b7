import * as fc from 'fast-check';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, realpathSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launch, policies, PolicyInvalid, SallyportError, Secret, type Policy } from '../lib/index.js';
import type { Probe } from '../lib/kernel/probe.js';
import { plan } from '../lib/policy/plan.js';
import { copyPolicy, isUnchanging } from '../lib/policy/policy.js';
import { runTask } from './helpers/run-task.js';

const bad = suite('bad input');
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-bad-input-')));
bad.after(() => rmSync(folder, { recursive: true, force: true }));
const at = (...names: string[]): string => join(folder, ...names);
const host: Probe = { arch: 'x64', landlockAbi: 7, landlockErrata: 7, seccomp: true, procWhole: true, notify: { available: true, lacks: [], anyUser: true }, user: { uid: 0, gid: 0, lacks: [] } };
const policy = policies.command();

type Failure = Error & { code?: string; path?: string; step?: string; cause?: NodeJS.ErrnoException };

async function failure(act: () => unknown): Promise<Failure> {
  try {
    await act();
  } catch (error) {
    return error as Failure;
  }
  throw new Error('it was accepted');
}

function made(name: string): string {
  mkdirSync(at(name), { recursive: true });
  writeFileSync(at(name, 'file'), `${name}\n`);
  return at(name);
}

const cat = (path: string, chosen: Policy): Promise<string> => runTask(['cat', path], { policy: chosen }).then(({ stdout }) => stdout);

// --- paths

bad('a path that does not exist stops the launch, in each field, and is named', async () => {
  for (const field of ['read', 'write', 'execute'] as const) {
    const error = await failure(() => launch(['true'], { policy: policies.command({ [field]: [at('missing')] }) }));
    assert.equal([error.code, error.step, error.cause?.code, (error.cause as { path?: string }).path], ['ERR_TASK_START', 'landlock', 'ENOENT', at('missing')], field);
  }
  assert.is((await failure(() => launch(['true'], { policy: policies.command({ cwd: at('missing') }) }))).step, 'cwd');
  made('plain');
  assert.is((await failure(() => launch(['true'], { policy: policies.command({ read: [at('plain', 'file', 'below')] }) }))).step, 'landlock');
});

bad('a grant that is a link, or lies behind one, is of what it leads to when the policy is first used', async () => {
  made('target');
  mkdirSync(at('links'));
  symlinkSync(at('target'), at('links', 'folder'));
  const chosen = policies.command({ read: [at('links', 'folder', 'file')] });
  assert.is(await cat(at('links', 'folder', 'file'), chosen), 'target\n');
  made('other');
  unlinkSync(at('links', 'folder'));
  symlinkSync(at('other'), at('links', 'folder'));
  assert.is(await cat(at('links', 'folder', 'file'), chosen), '', 'where the link leads now is not what was granted');
  assert.is(await cat(at('target', 'file'), chosen), 'target\n');
  assert.is(await cat(at('links', 'folder', 'file'), policies.command({ read: [at('links', 'folder', 'file')] })), 'other\n', 'control: a new policy follows it');
});

bad('a folder of the grant that a link took the place of stops the next launch', async () => {
  made('victim');
  made('shared');
  mkdirSync(at('shared', 'in'));
  writeFileSync(at('shared', 'in', 'file'), 'mine\n');
  const chosen = policies.command({ read: [at('shared', 'in')] });
  assert.is(await cat(at('shared', 'in', 'file'), chosen), 'mine\n', 'control');
  rmSync(at('shared', 'in'), { recursive: true });
  symlinkSync(at('victim'), at('shared', 'in'));
  const error = await failure(() => launch(['cat', at('shared', 'in', 'file')], { policy: chosen }));
  assert.equal([error.code, error.step, error.cause?.code], ['ERR_TASK_START', 'landlock', 'ELOOP']);
  assert.match(error.message, /symbolic link that was not there/);
});

bad('between two launches: what has the name is granted, and what had it is not', async () => {
  const chosen = policies.command({ read: [made('named')] });
  assert.is(await cat(at('named', 'file'), chosen), 'named\n');
  renameSync(at('named'), at('named-before'));
  made('named');
  assert.is(await cat(at('named', 'file'), chosen), 'named\n');
  assert.is(await cat(at('named-before', 'file'), chosen), '');
});

bad('during a run: the folder itself is granted, wherever it goes, and what takes its place is not', async () => {
  made('running');
  const task = await launch(['sh', '-c', `read line; cat ${at('running', 'file')} ${at('running-before', 'file')}`], { policy: policies.command({ read: [at('running')] }), stdin: 'pipe' });
  renameSync(at('running'), at('running-before'));
  mkdirSync(at('running'));
  writeFileSync(at('running', 'file'), 'replaced\n');
  task.stdin?.end('go\n');
  assert.is((await task.output()).stdout, 'running\n');
});

// --- grants that void a guarantee

bad("to write what the supervisor runs, obeys or keeps is refused with the reason, and can be waived by the guarantee's name", async () => {
  const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
  const home = userInfo().homedir;
  const own = home !== '/' && homedir() === home && home !== '/nonexistent' ? [[join(home, '.ssh'), 'privileges'], [home, 'privileges'], [join(home, '.config', 'systemd'), 'privileges']] : [];
  const rows = [
    [root, 'code'], [join(root, 'node_modules'), 'code'], [join(root, 'node_modules', 'undici'), 'code'], [dirname(root), 'code'], ['/', 'code'], [process.execPath, 'code'],
    ['/usr/local/lib', 'code'], ['/lib', 'code'], [(process.env['PATH'] ?? '').split(':').find((path) => path.startsWith('/usr')) ?? '/usr/bin', 'code'],
    ['/etc', 'privileges'], ['/etc/cron.d', 'privileges'], ['/etc/passwd', 'privileges'], ['/var/spool/cron', 'privileges'],
    ['/proc', 'interference'], ['/proc/self', 'interference'], ['/proc/sys/kernel/core_pattern', 'interference'], ['/sys/fs/cgroup', 'interference'], ['/dev', 'interference'],
    ...own,
  ] as const;
  for (const [path, guarantee] of rows) {
    const error = await failure(() => launch(['true'], { policy: policies.command({ write: [made('mine'), path as string] }) }));
    assert.equal([error.code, error.path], ['ERR_POLICY_INVALID', 'write[1]'], path);
    assert.match(error.message, /would let the task change .+; grant less, or name '\w+' in policy\.without/, path);
    if (guarantee !== 'privileges') assert.match(error.message, new RegExp(`'${guarantee}'`), path);
  }
  const control = await launch(['true'], { policy: policies.command({ write: [at('mine')] }) });
  assert.equal(await control.exited, { kind: 'exited', exitCode: 0 });
  const waived = await launch(['true'], { policy: policies.command({ write: ['/dev'], without: ['interference'] }) });
  assert.equal(await waived.exited, { kind: 'exited', exitCode: 0 });
});

bad("a file that a secret was read from, and the user's credentials, are granted to nobody", async () => {
  made('secrets');
  writeFileSync(at('secrets', 'token'), 'hunter2', { mode: 0o600 });
  const chosen = policies.command({ read: [at('secrets')] });
  // In the temporary folder, which others may write, a secret's folder must be ours alone.
  chmodSync(at('secrets'), 0o700);
  assert.is(await cat(at('secrets', 'token'), chosen), 'hunter2', 'control: until it is a secret');
  Secret.fromFile(at('secrets', 'token'));
  for (const field of ['read', 'execute', 'write'] as const) {
    const error = await failure(() => launch(['true'], { policy: policies.command({ [field]: [at('secrets')] }) }));
    assert.equal([error.code, error.path], ['ERR_POLICY_INVALID', `${field}[${field === 'write' ? 0 : (policies.command()[field]?.length ?? 0)}]`]);
    assert.match(error.message, /a secret of the supervisor .*'secrets'/);
    assert.not.match(error.message, /hunter2/);
  }
  assert.is((await failure(() => cat(at('secrets', 'token'), chosen))).code, 'ERR_POLICY_INVALID', 'a policy that was used before as well');
});

bad('to write and execute one folder is allowed, and the plan says so', () => {
  const [note, ...others] = plan({ write: ['/srv/build/a'], execute: ['/usr', '/srv/build'] }, host).notes;
  assert.match(note ?? '', /^write\[0\] and execute\[1\] overlap/);
  assert.equal(others, []);
  assert.equal(plan({ write: ['/srv/build/a'], execute: ['/usr', '/srv/build/ab'] }, host).notes, []);
});

// --- commands

bad('a command that cannot run: the step, the reason, what to do', async () => {
  const file = (name: string, text: string | Buffer, mode: number): string => (writeFileSync(at(name), text, { mode }), at(name));
  const rows: [string[], string, RegExp][] = [
    [[folder], 'execve', /is a directory/],
    [['/dev/null'], 'execve', /not a regular file/],
    [[file('not-executable', '#!/bin/sh\n', 0o644)], 'execve', /not executable: chmod \+x/],
    [[file('orphan', '#!/does/not/exist -x\n', 0o755)], 'execve', /interpreter of the script .*"\/does\/not\/exist", does not exist/],
    [[file('closed', `#!${file('interpreter', '#!/bin/sh\n', 0o755)}\n`, 0o755)], 'execve', /the policy does not grant what runs/],
    [[file('text', 'no program\n', 0o755)], 'execve', /neither a binary for this machine nor a script/],
    [[file('empty', '', 0o755)], 'execve', /neither a binary for this machine nor a script/],
    [[file('elf', Buffer.from('7f454c46ffffffff', 'hex'), 0o755)], 'execve', /neither a binary for this machine nor a script/],
    [['true', 'x'.repeat(2 << 20)], 'execve', /larger than the kernel takes/],
    [['true', ...Array.from({ length: 200_000 }, () => 'argument')], 'execve', /larger than the kernel takes|Argument list too long|E2BIG/],
    [['no-such-command'], 'execve', /no executable "no-such-command" in the task's PATH/],
    [['./no-such-file'], 'landlock', /ENOENT/],
    [[`${at('not-executable')}/below`], 'landlock', /ENOTDIR/],
    [[`/${'x'.repeat(5000)}`], 'landlock', /ENAMETOOLONG/],
  ];
  for (const [argv, step, message] of rows) {
    const error = await failure(() => launch(argv, { policy }));
    assert.equal([error.code, error.step], ['ERR_TASK_START', step], argv[0]);
    assert.match(error.message, message, argv[0]);
  }
  assert.is((await runTask([file('script', '#!/bin/sh\necho ran\n', 0o755)], { policy: policies.command() })).stdout, 'ran\n', 'control');
});

bad('what is no command at all is misuse', async () => {
  for (const argv of [[], [''], ['a\0'], ['true', 'b\0'], ['true', undefined], ['true', , 'x'], [1], 'true', undefined, null, { 0: 'true', length: 1 }]) {
    assert.is((await failure(() => launch(argv as string[], { policy }))).code, 'ERR_INVALID_ARG_TYPE', JSON.stringify(argv));
  }
  assert.match((await failure(() => launch([], {}))).message, /got an empty array$/);
  assert.is((await runTask(['printf', '[%s]', '', '-n', '--', 'a b', '$HOME', 'ü'], { policy })).stdout, '[][-n][--][a b][$HOME][ü]', 'control: odd ones that are not');
});

bad('a relative program is found from where the supervisor stands, and runs where the policy says', async () => {
  writeFileSync(at('where'), '#!/bin/sh\npwd\n', { mode: 0o755 });
  const before = process.cwd();
  process.chdir(folder);
  try {
    assert.is((await runTask(['./where'], { policy: policies.command({ cwd: '/usr' }) })).stdout, '/usr\n');
  } finally {
    process.chdir(before);
  }
});

// --- numbers

bad('numbers out of range, and what only looks like one, are refused with the field', () => {
  const wrong = [0, -1, -0, 1.5, NaN, Infinity, 1e400, 2 ** 53, -(2 ** 31), '5', '', null, true, [5], {}, 5n, Symbol('5'), new Date()];
  for (const name of ['wallTimeMs', 'memoryBytes', 'processes', 'cpuSeconds', 'openFiles'] as const) {
    for (const value of wrong) {
      try {
        plan({ limits: { [name]: value } } as unknown as Policy, host);
        assert.unreachable(`${name} ${String(value)}`);
      } catch (error) {
        assert.instance(error, PolicyInvalid, `${name} ${String(value)}: ${String(error)}`);
        assert.ok((error as PolicyInvalid).path.startsWith(`limits.${name}`), (error as PolicyInvalid).path);
      }
    }
  }
  assert.is(plan({ limits: { fileBytes: -0 } }, host).limits.find(({ name }) => name === 'fileBytes')?.value, 0);
  assert.is(plan({ limits: { wallTimeMs: undefined as never } }, host).wallTimeMs, undefined, 'left out');
});

// --- objects that are not what they seem

bad('a policy is read once: a getter or proxy cannot say one thing to the check and another to the plan', () => {
  let reads = 0;
  const changing = { get read() { return reads++ === 0 ? ['/usr'] : ['/etc']; } };
  const { rules } = plan(changing, host).landlock;
  assert.ok(rules.some(({ path }) => path === '/usr') && !rules.some(({ path }) => path === '/etc'));
  assert.not.ok(isUnchanging(Object.freeze(changing)));
  const proxy = new Proxy({ read: ['/usr'] }, { get: (target, name, receiver) => Reflect.get(target, name, receiver) as unknown });
  assert.equal(copyPolicy(proxy), { read: ['/usr'] });
});

bad('frozen all the way down or prepared anew: a list that is added to later counts', async () => {
  const read: string[] = [];
  const shallow = Object.freeze({ ...policies.command(), read });
  made('later');
  assert.is(await cat(at('later', 'file'), shallow), '');
  read.push(...(policies.command().read ?? []), at('later'));
  assert.is(await cat(at('later', 'file'), shallow), 'later\n');
});

bad('an object that hides something is refused, not half understood', () => {
  const rows: [unknown, string][] = [
    [Object.create({ limits: { processes: 5 } }), ''],
    [{ limits: Object.create({ processes: 5 }) as object }, 'limits'],
    [{ read: [, '/usr'] }, 'read[0]'],
    [{ read: ['\ud800'] }, 'read[0]'],
    [{ environment: { A: '\ud800' } }, 'environment.A'],
    [{ environment: new Map([['A', 'b']]) }, 'environment'],
    [{ environment: { A: { B: {} } } }, 'environment.A'],
    [{ without: [,] }, 'without[0]'],
    [new Proxy({}, { ownKeys: () => { throw new Error('no'); } }), ''],
    [{ get cwd() { throw new Error('no'); } }, ''],
    [class Policy {}, ''],
  ];
  for (const [value, path] of rows) {
    try {
      plan(value as Policy, host);
      assert.unreachable(path);
    } catch (error) {
      assert.instance(error, PolicyInvalid, String(error));
      assert.is((error as PolicyInvalid).path, path);
    }
  }
  const circular: { limits?: unknown } = {};
  circular.limits = circular;
  assert.throws(() => plan(circular as Policy, host), (error: unknown) => error instanceof PolicyInvalid);
});

// --- properties

const fieldNames = ['read', 'execute', 'write', 'environment', 'cwd', 'limits', 'fileModes', 'identity', 'level', 'without', 'scratch', 'network', 'dangerouslyUnconfined'];
const anything = fc.anything({ withNullPrototype: true, withSparseArray: true, withBigInt: true, withDate: true, withMap: true, withTypedArray: true, withObjectString: true, maxDepth: 4 });
const path = fc.oneof(fc.string(), fc.constantFrom('/', '.', '..', '/usr', 'a//b/../c', '/proc/self', ' ', '\0', '\ud800', 'ü', 'x'.repeat(5000)));
const likely = fc.record(
  {
    read: fc.array(path, { maxLength: 4 }),
    execute: fc.array(path, { maxLength: 4 }),
    write: fc.array(path, { maxLength: 4 }),
    environment: fc.dictionary(fc.string(), fc.string()),
    cwd: path,
    limits: fc.dictionary(fc.constantFrom('wallTimeMs', 'memoryBytes', 'processes', 'cpuSeconds', 'openFiles', 'fileBytes', '__proto__', 'x'), fc.oneof(fc.integer(), fc.double(), fc.maxSafeNat(), fc.constant(undefined))),
    fileModes: fc.constantFrom('own', 'ignored', 'refused', ''),
    identity: fc.record({ uid: fc.oneof(fc.integer(), fc.maxSafeNat()), gid: fc.nat() }),
    level: fc.constantFrom('standard', 'strict', ''),
    dangerouslyUnconfined: fc.boolean(),
  },
  { requiredKeys: [] },
);

bad('property: whatever a policy is, the plan is made or the refusal is one of ours, with a code', () => {
  const candidates = fc.oneof(anything, fc.dictionary(fc.constantFrom(...fieldNames), anything), likely, likely);
  fc.assert(
    fc.property(candidates, (value) => {
      let accepted: Policy;
      try {
        accepted = copyPolicy(value);
      } catch (error) {
        assert.instance(error, PolicyInvalid, String(error));
        return;
      }
      try {
        const { landlock, environment } = plan(accepted, host);
        for (const rule of landlock.rules) assert.ok(rule.path.startsWith('/') && !rule.path.includes('\0'), rule.path);
        for (const [name, entry] of Object.entries(environment)) assert.ok(!`${name}${entry}`.includes('\0') && !name.includes('='));
      } catch (error) {
        assert.instance(error, SallyportError, String(error)); // of the host, or a level it does not have
      }
    }),
    { numRuns: 2000 },
  );
});

bad('property: what the plan was made of makes the same plan again', () => {
  fc.assert(
    fc.property(likely, (value) => {
      let first;
      try {
        first = plan(value as Policy, host);
      } catch {
        return;
      }
      assert.equal(plan(copyPolicy(value), host), first);
      assert.ok(Object.isFrozen(first));
    }),
    { numRuns: 300 },
  );
});

bad('no descriptor is left by any of it', () => {
  const open = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // that of an earlier task, which is gone by now, or of the folder's own reading
    }
  });
  assert.ok(open.length > 3);
  assert.not.ok(open.some((path) => path.includes('sallyport-bad-input')), open.join(' '));
});

bad.run();
