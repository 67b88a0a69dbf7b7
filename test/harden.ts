import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { on, once } from 'node:events';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { harden, type Guarantee, type HardenReport } from '../lib/index.js';
import { compile } from './helpers/compile.js';
import { Fixture, inChild, withoutCapabilities, type FixtureOptions } from './helpers/fixture.js';

const hardening = suite('harden');
const isRoot = process.getuid?.() === 0;

interface Hardened {
  report: HardenReport | null;
  error: { code: string; guarantee: string; missing: string } | null;
}
interface Attack {
  environ: string;
  maps: string;
  memory: string;
  copies: number;
}

/** The same user with the same capabilities, none: what a task is. */
const sameUser: FixtureOptions = { through: withoutCapabilities };

function attack(fixture: Fixture, canary = 'no canary'): Promise<Attack> {
  return inChild<Attack>('attack.js', { args: [String(fixture.pid), canary], ...sameUser });
}

/** Starts the fixture, hardens it with `options`, and gives what that said. */
async function hardened(options: object, how: FixtureOptions = {}, meanwhile?: (fixture: Fixture) => Promise<void>): Promise<Hardened & { fixture: Fixture }> {
  const fixture = new Fixture('harden.js', { ...sameUser, ...how, args: [JSON.stringify(options)] });
  await fixture.next();
  await meanwhile?.(fixture);
  fixture.go();
  return { ...(await fixture.next<Hardened>()), fixture };
}

function row(report: HardenReport | null, name: string): Guarantee {
  const found = report?.guarantees.find((guarantee) => guarantee.name === name);
  if (found === undefined) throw new Error(`no row "${name}"`);
  return found;
}

hardening('a process of the same user reads memory and environment before, and neither after', async () => {
  const canary = `canary${randomBytes(20).toString('hex')}`;
  let before: Attack | undefined;
  const { fixture, report } = await hardened({}, { env: { SALLYPORT_CANARY: canary } }, async (running) => {
    before = await attack(running, canary);
  });
  try {
    assert.equal([before?.environ, before?.maps, before?.memory], ['leaked', 'read', 'read']); // control
    assert.ok((before?.copies ?? 0) >= 2); // control: in the environment and in a Buffer
    const after = await attack(fixture, canary);
    assert.equal(after, { environ: 'EACCES', maps: 'EACCES', memory: 'EACCES', copies: 0, where: [] } as never);
    for (const name of ['memory', 'environ', 'debugger', 'secrets']) assert.is(row(report, name).enforcement, 'enforced', name);
    assert.is(row(report, 'start').enforcement, 'enforced');
    assert.match(row(report, 'start').notes.join(), /dumpable when it started/);
  } finally {
    await fixture.end();
  }
});

hardening('not even gdb attaches afterwards', async () => {
  try {
    execFileSync('gdb', ['--version'], { stdio: 'ignore' });
  } catch {
    return console.log('skipped: gdb is not installed');
  }
  const attach = (pid: number): string => {
    const [program = 'gdb', ...rest] = [...withoutCapabilities, 'gdb', '--batch', '-nx', '-p', String(pid), '-ex', 'info proc'];
    return execFileSync(program, rest, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, DEBUGINFOD_URLS: '' } });
  };
  const outcome = (pid: number): string => {
    try {
      return /^process \d+$/m.test(attach(pid)) ? 'attached' : 'refused';
    } catch {
      return 'refused';
    }
  };
  let before = '';
  const { fixture } = await hardened({}, {}, async (running) => {
    before = outcome(running.pid);
  });
  const after = outcome(fixture.pid);
  await fixture.end();
  assert.equal([before, after], ['attached', 'refused']);
});

hardening('SIGUSR1 opens the inspector before, and not after', async () => {
  const control = new Fixture('inspector.js', sameUser);
  await control.next();
  control.child.kill('SIGUSR1');
  assert.match(await control.next<string>(), /^ws:/);
  await control.end();

  const { fixture } = await hardened({});
  for (let i = 0; i < 5; i++) fixture.child.kill('SIGUSR1');
  fixture.child.kill('SIGUSR2'); // ends a process by default
  fixture.go();
  const { inspector } = await fixture.next<{ inspector: string | null }>();
  await fixture.end();
  assert.is(inspector, null);
  assert.not.match(fixture.stderr, /Debugger listening/);
});

hardening('a SIGUSR1 from before, that opens the inspector during or after, ends the process', async () => {
  const fixture = new Fixture('raced-inspector.js', sameUser);
  const { code } = await fixture.exited;
  assert.is.not(code, 0);
  assert.match(fixture.stderr, /ERR_ENFORCEMENT_PARTIAL/);
  assert.match(fixture.stderr, /debugger/);
});

hardening('each dangerous option is refused by name, as an argument and in NODE_OPTIONS', async () => {
  const asArguments = ['--inspect-port=0', '--report-on-signal', '--report-on-fatalerror', '--report_uncaught_exception', '--heapsnapshot-near-heap-limit=1', '--abort-on-uncaught-exception', '--cpu-prof', '--heap-prof'];
  for (const [options, env] of [...asArguments.map((option) => [[option], {}] as const), [[], { NODE_OPTIONS: '--max-old-space-size=512 "--report-on-signal"' }] as const]) {
    const { error, fixture } = await hardened({}, { node: options, env });
    await fixture.end();
    assert.is(error?.code, 'ERR_ENFORCEMENT_PARTIAL');
    assert.is(error?.guarantee, 'debugger');
    const name = (options[0] ?? '--report-on-signal').split('=')[0]?.replaceAll('_', '-') ?? '';
    assert.match(error?.missing ?? '', name);
  }
});

hardening('an open inspector is refused, unless the caller does without', async () => {
  const refused = await hardened({}, { node: ['--inspect=127.0.0.1:0'] });
  await refused.fixture.end();
  assert.is(refused.error?.guarantee, 'debugger');
  const without = await hardened({ without: ['debugger'] }, { node: ['--inspect=127.0.0.1:0'] });
  await without.fixture.end();
  assert.is(without.error, null);
  assert.is(row(without.report, 'debugger').enforcement, 'unavailable');
  assert.ok(row(without.report, 'debugger').missing.includes('the inspector is open'));
});

hardening('a process that has our memory open already is found, and named', async () => {
  for (const file of ['mem', 'environ', 'maps']) {
    let watcher: ReturnType<typeof spawn> | undefined;
    const { error, fixture } = await hardened({}, {}, async ({ pid }) => {
      const [program = '', ...rest] = [...withoutCapabilities, process.execPath, '-e', `require('fs').openSync('/proc/${pid}/${file}'); console.log('open'); setInterval(() => {}, 1000)`];
      watcher = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
      await once(watcher.stdout as NodeJS.ReadableStream, 'data');
    });
    await fixture.end();
    watcher?.kill('SIGKILL');
    assert.is(error?.guarantee, 'start');
    assert.is(error?.missing, `process ${watcher?.pid} has /proc/${fixture.pid}/${file} open`);
  }
});

hardening('a thread that ended still shows our memory to who has it open; a process that ended shows nothing', async () => {
  // Holds the memory of each id that ends before it is told so, and of no other.
  const watcher = (ids: readonly string[]) => {
    const script = `const fs = require('fs');
      const held = ${JSON.stringify(ids)}.map((id) => [id, ['mem', 'maps'].map((file) => fs.openSync('/proc/' + id + '/' + file))]);
      console.log('open');
      process.stdin.once('data', () => {
        for (const [id, files] of held) if (fs.existsSync('/proc/' + id)) files.forEach(fs.closeSync);
        console.log('holds');
      });`;
    const [program = '', ...rest] = [...withoutCapabilities, process.execPath, '-e', script];
    return spawn(program, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
  };
  const keep = join(mkdtempSync(join(tmpdir(), 'sallyport-harden-')), 'keep');
  writeFileSync(keep, '');
  chmodSync(dirname(keep), 0o755);
  const thread = `import { Worker } from 'node:worker_threads';
    new Worker("const { existsSync } = require('fs'); setInterval(() => existsSync(" + ${JSON.stringify(JSON.stringify(keep))} + ") || process.exit(), 5)", { eval: true });`;
  const options = { node: ['--import', `data:text/javascript,${encodeURIComponent(thread)}`] };

  for (const what of ['thread', 'process'] as const) {
    writeFileSync(keep, '');
    let watching: ReturnType<typeof watcher> | undefined;
    let ended = '';
    const { error, fixture } = await hardened({}, options, async ({ pid }) => {
      const [sleeper = '', ...words] = [...withoutCapabilities, 'sleep', '60'];
      const program = spawn(sleeper, words);
      await once(program, 'spawn');
      const threads = readdirSync(`/proc/${pid}/task`).filter((id) => id !== String(pid));
      watching = watcher(what === 'thread' ? threads : [String(program.pid)]);
      const said = on(watching.stdout, 'data');
      await said.next();
      rmSync(keep);
      program.kill('SIGKILL');
      await once(program, 'exit');
      const gone = () => threads.filter((id) => !existsSync(`/proc/${pid}/task/${id}`));
      while (gone().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      ended = what === 'thread' ? (gone()[0] ?? '') : String(program.pid);
      watching.stdin.write('\n');
      await said.next();
      assert.ok(Number(ended) > pid); // control: both have a number that may be a thread's
    });
    await fixture.end();
    watching?.kill('SIGKILL');
    if (what === 'process') assert.is(error, null);
    else assert.match(error?.missing ?? 'nothing', `process ${watching?.pid} has /proc/${ended}/mem open`);
  }
  rmSync(dirname(keep), { recursive: true });
});

hardening('a tracer is found', async () => {
  try {
    execFileSync('gdb', ['--version'], { stdio: 'ignore' });
  } catch {
    return console.log('skipped: gdb is not installed');
  }
  let tracer: ReturnType<typeof spawn> | undefined;
  const { error, fixture } = await hardened({}, {}, async ({ pid }) => {
    const [program = '', ...rest] = [...withoutCapabilities, 'gdb', '-nx', '-q', '-p', String(pid), '-ex', 'handle all nostop noprint pass', '-ex', 'echo attached\\n', '-ex', 'continue'];
    tracer = spawn(program, rest, { stdio: ['pipe', 'pipe', 'ignore'], env: { ...process.env, DEBUGINFOD_URLS: '' } });
    for await (const chunk of tracer.stdout as NodeJS.ReadableStream) if (String(chunk).includes('attached')) break;
  });
  tracer?.kill('SIGKILL');
  await fixture.end();
  assert.is(error?.guarantee, 'start');
  assert.match(error?.missing ?? '', `process ${tracer?.pid} traces`);
});

hardening('a library that the loader was told to preload is refused', async () => {
  const { error, fixture } = await hardened({}, { env: { LD_PRELOAD: 'libc.so.6' } });
  await fixture.end();
  assert.is(error?.guarantee, 'code');
  assert.match(error?.missing ?? '', /LD_PRELOAD/);
});

const { dependencies } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { dependencies: Record<string, string> };
/** The packages that are loaded; the one that is not is there to compile the addon. */
const packages = Object.keys(dependencies).filter((name) => name !== 'node-addon-api');

/** Calls `use` with an installed copy of this package, to be spoilt, and what `harden()` says in it. */
async function withCopy(use: (folder: string, run: (...node: string[]) => Promise<Hardened>) => Promise<void>): Promise<void> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-')));
  try {
    const root = fileURLToPath(new URL('..', import.meta.url));
    const parts = ['lib', 'package.json', 'test/fixtures', 'build/Release/sallyport.node', ...packages.map((name) => `node_modules/${name}`)];
    for (const name of parts) cpSync(join(root, name), join(folder, name), { recursive: true, dereference: true });
    execFileSync('chmod', ['-R', 'u=rwX,go=rX', folder]);
    await use(folder, async (...node) => {
      const child = spawn(process.execPath, [...node, join(folder, 'test/fixtures/harden-once.js')], { stdio: ['ignore', 'pipe', 'inherit'] });
      const [chunk] = (await once(child.stdout, 'data')) as [Buffer];
      return JSON.parse(String(chunk)) as Hardened;
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

hardening('code that others can change is refused, and named', async () => {
  await withCopy(async (folder, run) => {
    const good = await run();
    assert.is(good.error, null); // control
    assert.is(row(good.report, 'code').enforcement, 'enforced');
    assert.match(row(good.report, 'code').notes.join(), /belongs to this user/);
    const table: readonly (readonly [string, number])[] = [
      ['lib/errors.js', 0o666], ['lib/harden', 0o777], ['test/fixtures/harden-once.js', 0o622], ['build/Release/sallyport.node', 0o775],
      ...packages.map((name) => [`node_modules/${name}/package.json`, 0o646] as const),
      ['node_modules/undici/index.js', 0o777], ['node_modules/undici/lib/dispatcher', 0o777], ['node_modules/jose', 0o775], ['node_modules/@sinclair', 0o777], ['node_modules', 0o777],
    ];
    for (const [name, mode] of table) {
      chmodSync(join(folder, name), mode);
      const { error } = await run();
      assert.is(error?.guarantee, 'code', name);
      assert.match(error?.missing ?? '', `${join(folder, name)} is writable`);
      chmodSync(join(folder, name), 0o755);
    }
    assert.is((await run()).error, null); // control
    if (!isRoot) return console.log('skipped: a file of another user needs root to make it');
    chownSync(join(folder, 'node_modules/undici/index.js'), 65534, 0);
    assert.match((await run()).error?.missing ?? '', `${join(folder, 'node_modules/undici/index.js')} is owned by uid 65534`);
  });
});

hardening('a package that a link leads to is looked at where it is', async () => {
  await withCopy(async (folder, run) => {
    // As pnpm installs: each package a link into a store.
    mkdirSync(join(folder, 'store'));
    renameSync(join(folder, 'node_modules/jose'), join(folder, 'store/jose'));
    symlinkSync('../store/jose', join(folder, 'node_modules/jose'));
    // And links within one: to a file elsewhere, and to a folder above.
    cpSync(join(folder, 'node_modules/undici/package.json'), join(folder, 'store/linked.json'));
    symlinkSync('../../../store/linked.json', join(folder, 'node_modules/undici/lib/linked.json'));
    symlinkSync('..', join(folder, 'node_modules/undici/lib/loop'));
    assert.is((await run()).error, null); // control
    for (const name of ['store', 'store/jose/package.json', 'store/linked.json']) {
      chmodSync(join(folder, name), 0o777);
      assert.match((await run()).error?.missing ?? '', `${join(folder, name)} is writable`);
      chmodSync(join(folder, name), 0o755);
    }
  });
});

hardening('a file that options have Node run first is looked at, and a package that they name is reported', async () => {
  await withCopy(async (folder, run) => {
    const file = join(folder, 'first.cjs');
    writeFileSync(file, '');
    for (const options of [['--require', file], [`--require=${file}`], ['-r', file], ['--import', file], [`--import=${pathToFileURL(file)}`]]) {
      chmodSync(file, 0o644);
      assert.is((await run(...options)).error, null); // control
      chmodSync(file, 0o666);
      assert.match((await run(...options)).error?.missing ?? '', `${file} is writable`, options.join(' '));
    }
    assert.is((await run()).error, null); // control: only where it runs
    const { error, report } = await run('--require', 'node:path');
    assert.is(error, null);
    assert.match(row(report, 'code').missing.join(), '--require and the name of a package');
  });
});

hardening('strict asks for a process that was born non-dumpable', async () => {
  const { error, fixture } = await hardened({ level: 'strict' });
  await fixture.end();
  assert.is(error?.guarantee, 'start');
  const accepted = await hardened({ level: 'strict', without: ['start'] });
  await accepted.fixture.end();
  assert.is(accepted.error, null);
  assert.is(accepted.report?.level, 'strict');
});

const asRoot = isRoot ? hardening : hardening.skip;
if (!isRoot) console.log('skipped: a process that is born non-dumpable needs root to start it');

asRoot('strict holds where the ids differ at the start, and the process was never dumpable', async () => {
  // setpriv with a real id unlike the effective one: fs/exec.c starts such a process non-dumpable.
  const through = ['setpriv', '--bounding-set=-all', '--inh-caps=-all', '--rgid=65534', '--keep-groups'];
  const { error, report, fixture } = await hardened({ level: 'strict', without: ['code'] }, { through });
  await fixture.end();
  assert.is(error, null);
  assert.is(row(report, 'start').enforcement, 'enforced');
});

hardening('without memfd_secret(2) the report says what secrets lack', async () => {
  const { report, fixture } = await hardened({}, { through: [...withoutCapabilities, compile('without-memfd-secret')] });
  await fixture.end();
  assert.is(row(report, 'secrets').enforcement, 'partial');
  assert.match(row(report, 'secrets').missing.join(), /memfd_secret/);
});

hardening('misuse is named', () => {
  assert.throws(() => harden({ level: 'paranoid' as never }), (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE');
  assert.throws(() => harden({ without: ['everything' as never] }), (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE');
  assert.throws(() => harden({ without: 'start' as never }), (error: NodeJS.ErrnoException) => error.code === 'ERR_INVALID_ARG_TYPE');
  assert.throws(() => harden({ wipeArguments: 1 as never }), (error: NodeJS.ErrnoException) => error.code === 'ERR_INVALID_ARG_TYPE');
});

hardening('twice is fine, the report is frozen, and workers, children and reports go on working', async () => {
  const seen = await inChild<{ same: boolean; frozen: boolean; worker: string; child: string; core: string; cmdline: string }>('harden-twice.js', { ...sameUser, args: ['an-argument'] });
  assert.equal(seen, { same: true, frozen: true, worker: 'works', child: 'works', core: '0 0', cmdline: process.execPath });
});

hardening.run();
