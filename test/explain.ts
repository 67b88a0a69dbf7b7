// `sallyport explain`: what a policy comes to, on this host and on others.

import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { masked, withUnit } from '../lib/cli/plan-description.js';
import { wrap, wrappedRow } from '../lib/cli/table.js';
import { guaranteeNames, type Guarantee } from '../lib/index.js';
import { asEachUser, asWeAre, cli, type Done } from './helpers/cli.js';

const explain = suite('explain');
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-explain-')));
explain.after(() => rmSync(folder, { recursive: true, force: true }));

const ask = (args: readonly string[]): Promise<Done> => cli([...asWeAre, 'explain'], args, { cwd: folder });

interface Explained {
  host: { arch: string; landlockAbi: number; seccomp: boolean };
  preset: string;
  command: string[];
  level: string;
  cwd: string;
  files: { path: string; rights: string; preset: boolean }[];
  environment: Record<string, string>;
  limits: Record<string, number>;
  seccomp: { instructions: number; allowed: number; examined: string[]; refused: { why: string; answer: string; calls: string[] }[] };
  guarantees: Guarantee[];
  refused?: { guarantee: string; missing: string };
}

async function asData(args: readonly string[]): Promise<Explained & { code: number | null }> {
  const { code, stdout, stderr } = await ask(['--json', ...args]);
  assert.is(stderr, '');
  return { ...(JSON.parse(stdout) as Explained), code };
}

explain('as data: what was asked for, resolved', async () => {
  writeFileSync(join(folder, 'job.js'), '');
  const args = ['--read', 'a', '--write', 'b', '--execute', 'c', '--limit', 'memoryBytes=1G', '--limit', 'wallTimeMs=2m', '--env', 'A=b', process.execPath, 'job.js'];
  const { code, preset, command, level, cwd, files, environment, limits, guarantees, refused, seccomp } = await asData(args);
  assert.equal([code, preset, command, level, cwd, refused], [0, 'node', [process.execPath, 'job.js'], 'standard', folder, undefined]);
  const own = files.filter((file) => !file.preset).map(({ path, rights }) => [path, rights]);
  for (const [name, rights] of [['a', 'read'], ['job.js', 'read'], ['b', 'write'], ['c', 'execute']] as const) {
    assert.ok(own.some(([path, has]) => path === join(folder, name) && has === rights), name);
  }
  assert.ok(files.some(({ path, preset: ofPreset }) => path === '/dev/null' && ofPreset));
  assert.is(environment['A'], 'b');
  assert.equal([limits['memoryBytes'], limits['wallTimeMs']], [2 ** 30, 120_000]);
  assert.ok(guarantees.every(({ name }) => guaranteeNames.includes(name)));
  assert.ok(seccomp.examined.includes('ioctl') && seccomp.refused.some(({ calls, answer }) => calls.includes('ptrace') && answer === 'EPERM'));
  assert.ok(seccomp.allowed > 100 && seccomp.instructions > 100);
});

explain('as text it fits in 80 columns, as each user, and says the same', async () => {
  await asEachUser(async (words, who) => {
    const { code, stdout, stderr } = await cli([...words, 'explain'], ['--limit', 'memoryBytes=512M', 'true'], { cwd: '/' });
    assert.equal([code, stderr], [0, ''], who);
    for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line);
    for (const part of ['Files', 'Network', 'Environment', 'Limits', 'System calls', 'Guarantees', '512 MiB', 'leftovers']) assert.ok(stdout.includes(part), `${who}: ${part}`);
    assert.not.match(stdout, /\u001b|undefined|NaN|\[object/);
  });
});

explain('another host: by its ABI, or by its own probe', async () => {
  const old = await asData(['--abi', '5']);
  assert.equal([old.code, old.host.landlockAbi, old.refused?.guarantee], [1, 5, 'signals']);
  assert.is(old.guarantees.find(({ name }) => name === 'signals')?.enforcement, 'unavailable');
  const probe = join(folder, 'host.json');
  writeFileSync(probe, JSON.stringify({ host: { ...old.host, landlockAbi: 0, seccomp: false } }));
  const bare = await ask(['--host', probe]);
  assert.is(bare.code, 1);
  assert.match(bare.stdout, /no Landlock, no seccomp[^]*no path is refused[^]*no filter[^]*cannot carry/);
  const waived = await asData(['--abi', '5', ...old.guarantees.filter(({ enforcement }) => enforcement === 'unavailable').flatMap(({ name }) => ['--without', name])]);
  assert.is(waived.code, 0);
});

explain('level strict: as this host carries it, and refused on one that cannot', async () => {
  const { host } = await asData([]);
  const probe = join(folder, 'strict.json');
  writeFileSync(probe, JSON.stringify({ host: { ...host, namespaces: { by: 'none', missing: 'not here' } } }));
  const refused = await asData(['--level', 'strict', '--host', probe]);
  assert.equal([refused.code, refused.refused?.guarantee], [1, 'leftovers']);
  writeFileSync(probe, JSON.stringify({ host: { ...host, namespaces: { by: 'user', missing: '' } } }));
  const carried = await asData(['--level', 'strict', '--host', probe]);
  assert.equal([carried.code, carried.level, carried.refused], [0, 'strict', undefined]);
  assert.ok(carried.guarantees.find(({ name }) => name === 'leftovers')?.mechanisms.some((what) => what.includes('PID namespace')));
});

explain('a value that looks like a secret is not printed, in either form', async () => {
  const args = ['--env', 'API_TOKEN=hunter2', '--env', 'URL=https://me:hunter2@example.org/x', '--env', 'TZ=UTC'];
  for (const form of [args, ['--json', ...args]]) {
    const { stdout, stderr } = await ask(form);
    assert.not.match(stdout + stderr, /hunter2/);
    assert.match(stdout, /API_TOKEN[" :]+\*\*\*/);
    assert.match(stdout, /me:\*\*\*@example\.org/);
  }
  assert.equal(['DB_PASSWORD', 'AWS_SECRET_ACCESS_KEY', 'GITHUB_TOKEN', 'AUTHORIZATION'].map((name) => masked(name, 'x')), ['***', '***', '***', '***']);
  assert.equal(['PATH', 'KEYMAP', 'TZ'].map((name) => masked(name, 'x')), ['x', 'x', 'x']);
});

explain('wrong arguments end with 2, a wrong policy with 1, and neither prints a plan', async () => {
  for (const [args, expected] of [[['--abi', 'x'], 2], [['--nope'], 2], [['--host', '/nope'], 2], [['--limit', 'x'], 2], [['--limit', 'x=1'], 1], [['--level', 'lax'], 1], [['--policy', '/nope'], 1]] as const) {
    const { code, stdout, stderr } = await ask(args);
    assert.equal([code, stdout], [expected, ''], args.join(' '));
    assert.match(stderr, /^sallyport explain: .*\n$/);
  }
});

explain('numbers have units, and lines break between words', () => {
  assert.equal([withUnit('memoryBytes', 2 ** 29), withUnit('fileBytes', 1.5 * 2 ** 30), withUnit('fileBytes', 0), withUnit('wallTimeMs', 30_000), withUnit('wallTimeMs', 250)], ['512 MiB', '1.5 GiB', '0 B', '30 s', '250 ms']);
  assert.equal(wrap('aa bb cc', 5), ['aa bb', 'cc']);
  assert.equal(wrap('\u001b[1maa\u001b[0m bb', 5), ['\u001b[1maa\u001b[0m bb'], 'colours take no room');
  assert.is(wrappedRow(['a', `${'word '.repeat(8)}end`], [4], 30), '  a     word word word word\n        word word word word\n        end');
});

explain.run();
