// `sallyport exec`: how a supervisor gets its secrets, and what it starts without.

import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loaderVariables } from '../lib/harden/loader.js';
import { Secret, type Guarantee } from '../lib/index.js';
import { compile } from './helpers/compile.js';
import { asEachUser, asWeAre, cli, type CliOptions, type Done, type Words } from './helpers/cli.js';

const exec = suite('exec');
const isRoot = process.getuid?.() === 0;
const fixture = fileURLToPath(new URL('fixtures/started.js', import.meta.url));
const canary = (): string => `canary-${randomBytes(20).toString('hex')}`;
const hash = (text: string): string => createHash('sha256').update(text).digest('hex');

interface Started {
  readonly pid: number;
  readonly before: { readonly environ: string; readonly environment: Record<string, string>; readonly cmdline: string; readonly status: string; readonly open: string[] };
  readonly inherited: string;
  readonly taken: string[];
  readonly again: string[];
  readonly left: string | null;
  readonly after: string[];
  readonly groups: number[];
  readonly report: Guarantee | string;
}

let folder: string;
exec.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-exec-'));
  chmodSync(folder, 0o755);
});
exec.after(() => rmSync(folder, { recursive: true, force: true }));

function secretFile(text: string): string {
  const path = join(folder, randomBytes(6).toString('hex'));
  writeFileSync(path, `${text}\n`, { mode: 0o600 });
  return path;
}

function started({ stdout, stderr, code }: Done): Started {
  assert.is(code, 0, stderr);
  return JSON.parse(stdout) as Started;
}

const field = ({ before }: Started, name: string): string => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(before.status)?.[1] ?? '';
const exit = async (args: readonly string[], options: CliOptions = {}): Promise<[number | null, string]> => {
  const { code, stderr } = await cli(asWeAre, ['exec', ...args], options);
  return [code, stderr];
};

exec('secrets from a variable and a file arrive by descriptor, are taken once, and are nowhere else', async () => {
  const [one, two] = [canary(), canary()];
  const env = { TOKEN: one, LEVEL: 'standard' };
  // Control: started without it, the supervisor has the secret in its environment.
  const plain = started(await cli([process.execPath, fixture] as unknown as Words, ['token'], { env }));
  assert.ok(plain.before.environ.includes(one) && plain.before.environment['TOKEN'] === one);
  assert.equal(plain.taken, ['ERR_SECRET_REFUSED']);

  let ours: number | undefined;
  const done = await cli(asWeAre, ['exec', '--secret', 'token=env:TOKEN', '--secret', `key=file:${secretFile(two)}`, process.execPath, fixture, 'token', 'key', 'other'], { env, during: ({ pid }) => (ours = pid) });
  const seen = started(done);
  assert.is(seen.pid, ours); // it is the same process: signals and service managers find it
  assert.equal(seen.taken, [hash(one), hash(two), 'ERR_SECRET_REFUSED']);
  assert.equal(seen.again, ['ERR_SECRET_REFUSED', 'ERR_SECRET_REFUSED', 'ERR_SECRET_REFUSED']);
  assert.is(seen.before.environment['SALLYPORT_SECRETS'], 'token=3,key=4');
  assert.is(seen.before.environment['LEVEL'], 'standard'); // the rest of the environment is passed on
  assert.is(seen.left, null);
  for (const secret of [one, two]) for (const shown of [JSON.stringify(seen.before), seen.inherited]) assert.not.ok(shown.includes(secret));
  const handed = (lines: readonly string[]): string[] => lines.filter((line) => /secretmem|memfd/.test(line));
  assert.equal(handed(seen.before.open).map((line) => line.split(' ')[0]), ['3', '4']); // control: they were there
  assert.equal(handed(seen.after), []);
  assert.not.match(seen.inherited, /secretmem|memfd/); // nor does a child that Node starts have them
});

exec('no_new_privs, no capability, no other descriptor', async () => {
  const source = secretFile(canary());
  const plain = started(await cli([process.execPath, fixture] as unknown as Words, []));
  const seen = started(await cli(asWeAre, ['exec', '--secret', `token=file:${source}`, '--', process.execPath, fixture, 'token']));
  assert.equal([field(plain, 'NoNewPrivs'), field(seen, 'NoNewPrivs')], ['0', '1']);
  const sets = ['CapInh', 'CapPrm', 'CapEff', 'CapAmb', ...(isRoot ? ['CapBnd'] : [])];
  assert.equal(sets.map((set) => field(seen, set)), sets.map(() => '0'.repeat(16)));
  if (isRoot) assert.is.not(field(plain, 'CapEff'), '0'.repeat(16)); // control
  // Before Node opens its own there are 0 to 3; the shell shows what a program finds that opens none.
  const stdio: CliOptions['stdio'] = ['pipe', 'pipe', 'pipe', 'pipe', 'pipe'];
  const listing = async (...args: string[]): Promise<string[]> => (await cli(asWeAre, ['exec', ...args, '--', '/bin/sh', '-c', 'for n in 0 1 2 3 4 5 6 7; do test -e /proc/$$/fd/$n && echo $n; done'], { stdio })).stdout.trim().split('\n');
  assert.equal(await listing('--secret', `token=file:${source}`), ['0', '1', '2', '3']);
  assert.equal(await listing('--descriptor', '4', '--secret', `token=file:${source}`), ['0', '1', '2', '3', '4']);
  assert.equal(await listing('--descriptor', '3', '--secret', `token=file:${source}`), ['0', '1', '2', '3', '4']);
  assert.equal(await listing(), ['0', '1', '2']);
});

exec('from a descriptor, which the supervisor does not get, and from a credential of a service', async () => {
  const [one, two] = [canary(), canary()];
  const credentials = mkdtempSync(join(folder, 'credentials-'));
  writeFileSync(join(credentials, 'key'), two, { mode: 0o400 });
  const seen = started(
    await cli(asWeAre, ['exec', '--secret', 'token=fd:4', '--secret', 'key=credential:key', process.execPath, fixture, 'token', 'key'], {
      stdio: ['pipe', 'pipe', 'pipe', 'ignore', 'pipe'],
      env: { CREDENTIALS_DIRECTORY: credentials },
      during: ({ stdio }) => (stdio[4] as Writable).end(one),
    }),
  );
  assert.equal(seen.taken, [hash(one), hash(two)]);
  assert.is(seen.before.environment['SALLYPORT_SECRETS'], 'token=3,key=4');
});

exec('where there is no memfd_secret, in a memfd of fixed size, which is overwritten when it is taken', async () => {
  const secret = canary();
  const script = `
    const { readFileSync, readlinkSync } = await import('node:fs');
    const { native } = await import('${new URL('../lib/native.js', import.meta.url).href}');
    const { Secret } = await import('${new URL('../lib/index.js', import.meta.url).href}');
    const other = native().duplicate(3); // whoever else may hold it
    const link = readlinkSync('/proc/self/fd/3');
    const held = readFileSync('/proc/self/fd/' + other, 'latin1');
    const size = native().handoverSize(other);
    const taken = Secret.fromExec('token').use((bytes) => Buffer.from(bytes).toString());
    console.log(JSON.stringify([link, held, taken, size, readFileSync('/proc/self/fd/' + other, 'latin1')]));`;
  const [program = '', ...rest] = asWeAre;
  const { stdout, stderr } = await cli([compile('without-memfd-secret'), program, ...rest], ['exec', '--secret', 'token=env:TOKEN', '--', process.execPath, '--input-type=module', '-e', script], { env: { TOKEN: secret } });
  const [link, held, taken, size, left] = JSON.parse(stdout || stderr) as unknown[];
  assert.equal([link, held, taken, size], ['/memfd:sallyport-secret (deleted)', secret, secret, secret.length]); // control: it was there
  assert.is(left, '\0'.repeat(secret.length));
});

exec('as an ordinary user too', async () => {
  await asEachUser(async (words, who) => {
    const secret = canary();
    const script = 'console.log(JSON.stringify([process.env.TOKEN ?? null, process.env.SALLYPORT_SECRETS ?? null, require("fs").readFileSync("/proc/self/status","latin1").match(/NoNewPrivs:\\t(\\d)/)[1]]))';
    const { stdout, stderr } = await cli(words, ['exec', '--secret', 'token=env:TOKEN', '--', process.execPath, '-e', script], { env: { TOKEN: secret } });
    assert.equal(JSON.parse(stdout || 'null'), [null, 'token=3', '1'], `${who}: ${stderr}`);
  });
});

const asRoot = isRoot ? exec : exec.skip;
if (!isRoot) console.log('--user: skipped, only root can become another user');

asRoot('--user: another user, and closed to it from the first instruction', async () => {
  const secret = canary();
  const env = { TOKEN: secret, LEVEL: 'strict' };
  const seen = started(await cli(asWeAre, ['exec', '--user', '65534:65533', '--secret', 'token=env:TOKEN', process.execPath, fixture, 'token'], { env }));
  assert.equal(seen.taken, [hash(secret)]);
  assert.equal([field(seen, 'Uid').split('\t'), field(seen, 'CapBnd'), field(seen, 'NoNewPrivs')], [Array(4).fill('65534'), '0'.repeat(16), '1']);
  assert.is(seen.before.environ, 'EACCES'); // its own, as for everybody: it is not dumpable
  assert.is(field(seen, 'Gid').split('\t')[0], '65533');
  assert.equal([seen.groups[1], seen.before.environment['HOME']], [65533, '/']); // harden() makes the ids equal
  const report = seen.report as Guarantee; // level strict: it would have thrown
  assert.is(report.enforcement, 'enforced');
  assert.match(report.mechanisms.join(), /every process of this user from its first instruction/);

  // Control: the same user without it is open at its start, and strict refuses that.
  const open = started(await cli(['setpriv', '--reuid=65534', '--regid=65533', '--clear-groups', process.execPath, fixture] as unknown as Words, [], { env }));
  assert.ok(open.before.environ.includes(secret));
  assert.is(open.report, 'ERR_ENFORCEMENT_PARTIAL');
});

asRoot('--user with a name: its groups, home and name', async () => {
  const seen = started(await cli(asWeAre, ['exec', '--user', 'nobody', process.execPath, fixture]));
  assert.is(seen.before.environment['USER'], 'nobody');
  assert.is(field(seen, 'Uid').split('\t')[0], '65534');
  assert.match(field(seen, 'Groups'), /\b65534\b/);
});

asRoot('--capability: kept, and no other', async () => {
  const seen = started(await cli(asWeAre, ['exec', '--user', '65534:65533', '--capability', 'CAP_KILL', process.execPath, fixture]));
  assert.equal(['CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map((set) => BigInt(`0x${field(seen, set)}`)), Array(4).fill(1n << 5n));
});

exec('variables that change what is loaded are refused before a secret is read', async () => {
  const source = join(folder, 'is-not-there');
  // Control: with none of them the source is looked at.
  assert.match((await exit(['--secret', `token=file:${source}`, '--', '/bin/true']))[1], /ERR_SECRET_REFUSED/);
  const rows: [Record<string, string>, string][] = [
    [{ LD_LIBRARY_PATH: folder }, 'LD_LIBRARY_PATH'],
    [{ NODE_OPTIONS: '--import data:text/javascript,1' }, 'NODE_OPTIONS (--import)'],
    [{ LD_PRELOAD: 'libc.so.6' }, 'LD_PRELOAD'],
    [{ NODE_PATH: '/tmp' }, 'NODE_PATH'],
    [{ OPENSSL_CONF: '/dev/null' }, 'OPENSSL_CONF'],
    [{ NODE_TLS_REJECT_UNAUTHORIZED: '0' }, 'NODE_TLS_REJECT_UNAUTHORIZED'],
  ];
  for (const [env, said] of rows) {
    const [code, text] = await exit(['--secret', `token=file:${source}`, '--', '/bin/true'], { env });
    assert.ok(code !== 0 && text.includes(said), text);
    assert.not.match(text, /ERR_SECRET_REFUSED/);
  }
  const [code] = await exit(['--trust-variable', 'NODE_PATH', '--', '/bin/true'], { env: { NODE_PATH: '/tmp' } });
  assert.is(code, 0);
  assert.is((await exit(['--', '/bin/true'], { env: { NODE_OPTIONS: '--max-old-space-size=512 --no-warnings' } }))[0], 0);
});

exec('which variables those are', () => {
  const rows: [Record<string, string>, string[]][] = [
    [{ PATH: '/bin', LD: 'x', OLD_: 'x', LD_PRELOAD: '' }, []],
    [{ LD_PRELOAD: 'a.so', LD_AUDIT: 'b.so', LD_DEBUG: 'all', LD_BIND_NOW: '1' }, ['LD_AUDIT', 'LD_BIND_NOW', 'LD_DEBUG', 'LD_PRELOAD']],
    [{ GLIBC_TUNABLES: 'x', GCONV_PATH: 'x', SALLYPORT_PREBUILD: 'x' }, ['GCONV_PATH', 'GLIBC_TUNABLES', 'SALLYPORT_PREBUILD']],
    [{ NODE_COMPILE_CACHE: '/x', OPENSSL_ENGINES: '/x' }, ['NODE_COMPILE_CACHE', 'OPENSSL_ENGINES']],
    [{ NODE_OPTIONS: '--max_old_space_size=64 --enable-source-maps' }, []],
    [{ NODE_OPTIONS: '--max-old-space-size=64 --inspect=0' }, ['NODE_OPTIONS (--inspect)']],
    [{ NODE_OPTIONS: '-r ./x.js' }, ['NODE_OPTIONS (-r)']],
    [{ NODE_OPTIONS: '"--import" data:text/javascript,1' }, ['NODE_OPTIONS (--import)']],
    [{ NODE_OPTIONS: '--no_warnings --experimental_loader=x' }, ['NODE_OPTIONS (--experimental-loader)']],
  ];
  for (const [environment, named] of rows) assert.equal(loaderVariables(environment), named, JSON.stringify(environment));
});

exec('a secret that is in a variable or an argument as well is refused, by its place and never its value', async () => {
  const secret = canary();
  const source = `token=file:${secretFile(secret)}`;
  assert.is((await exit(['--secret', source, '--', '/bin/true']))[0], 0); // control
  const rows: [string[], Record<string, string>, RegExp][] = [
    [['--secret', source, '--', '/bin/true'], { DATABASE_URL: `pg://user:${secret}@host` }, /the variable DATABASE_URL/],
    [['--secret', source, '--', '/bin/true', `--password=${secret}`], {}, /arguments/],
    [['--secret', 'token=env:TOKEN', '--', '/bin/true'], { TOKEN: secret, TOKEN_COPY: secret }, /the variable TOKEN_COPY/],
  ];
  for (const [args, env, where] of rows) {
    const [code, text] = await exit(args, { env });
    assert.is(code, 125, text);
    assert.match(text, /ERR_START_REFUSED/);
    assert.match(text, where);
    assert.not.ok(text.includes(secret));
  }
});

exec('what is wrong is said, and nothing is started', async () => {
  const started = join(folder, 'started');
  const touch = ['--', '/bin/touch', started];
  const rows: [string[], number, RegExp][] = [
    [[], 125, /which supervisor/],
    [['--secret', 'hunter2', ...touch], 125, /NAME=SOURCE/],
    [['--secret', 'token=hunter2', ...touch], 125, /never the secret itself/],
    [['--secret', 'to ken=env:TOKEN', ...touch], 125, /NAME=SOURCE/],
    [['--secret', 'a=env:NO_SUCH', ...touch], 125, /ERR_SECRET_REFUSED/],
    [['--secret', 'a=env:HOME', '--secret', 'a=env:PATH', ...touch], 125, /twice/],
    [['--descriptor', '63', ...touch], 125, /EBADF/],
    [['--descriptor', 'x', ...touch], 125, /number/],
    [['--capability', 'CAP_NONE', ...touch], 125, /capabilities/],
    [['--without', 'everything', ...touch], 125, /without/],
    [['--user', 'no-such-user-here', ...touch], 125, /ERR_START_REFUSED/],
    [['--user', '0:0', ...touch], 125, /another user than root/],
    [['--user', '4294967295:1', ...touch], 125, /ERR_START_REFUSED/],
    [['--', 'no-such-program-here'], 127, /no-such-program-here/],
    [['--', '/no/such/program'], 127, /ENOENT/],
    [['--', folder], 126, /EACCES/],
    ...(isRoot ? [] : [[['--user', '1:1', ...touch], 125, /ERR_START_REFUSED.*EPERM|EPERM.*ERR_START_REFUSED/] as [string[], number, RegExp]]),
  ];
  for (const [args, expected, said] of rows) {
    const [code, text] = await exit(args);
    assert.is(code, expected, `${args.join(' ')}: ${text}`);
    assert.match(text, said);
    assert.not.ok(text.includes('hunter2'), text);
  }
  assert.is((await exit(touch))[0], 0); // control
});

exec('fromExec() touches no descriptor that exec did not make', () => {
  const path = join(folder, 'a-file-of-ours');
  writeFileSync(path, 'contents');
  const before = process.env['SALLYPORT_SECRETS'];
  for (const text of ['token=3', 'token=99999', 'token=1', 'token', '=3', 'token=3;x']) {
    process.env['SALLYPORT_SECRETS'] = text;
    try {
      Secret.fromExec('token');
      assert.unreachable(text);
    } catch (error) {
      assert.is((error as { code: string }).code, 'ERR_SECRET_REFUSED', text);
    }
  }
  if (before === undefined) delete process.env['SALLYPORT_SECRETS'];
});

exec.run();
