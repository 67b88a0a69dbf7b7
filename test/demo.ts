// The command line, as a person and as a program use it.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { catalogue } from '../lib/proof/catalogue.js';
import { isRunnable } from '../lib/proof/runner.js';
import { withReadableCopy } from './helpers/unprivileged.js';

const demo = suite('demo');
const root = fileURLToPath(new URL('..', import.meta.url));

interface Done {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(command: readonly [string, ...string[]], environment: NodeJS.ProcessEnv = {}): Promise<Done> {
  const [program, ...args] = command;
  const child = spawn(program, args, { env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

const sallyport = (folder: string, ...args: string[]): [string, ...string[]] => [process.execPath, `${folder}/lib/cli/main.js`, ...args];

interface Row {
  name: string;
  unprotected: string;
  protected: string;
  detail: string;
}

function checkJson({ code, stdout, stderr }: Done): void {
  const { attacks, ...rest } = JSON.parse(stdout) as { attacks: Row[] };
  assert.equal(rest, {});
  assert.equal(attacks.map(({ name }) => name), catalogue.filter(isRunnable).map(({ name }) => name));
  for (const row of attacks) {
    assert.equal(Object.keys(row), ['name', 'unprotected', 'protected', 'detail']);
    assert.ok(['leaked', 'disrupted', 'blocked'].includes(row.unprotected), `${row.name}: ${row.detail}`);
    assert.is(row.protected, 'blocked', `${row.name}: ${row.detail}`);
    assert.not.match(row.detail, /eyJ|ghp_/);
  }
  assert.is(code, 0, stderr);
}

demo('the table has every attack, the task that behaves, and no colours in a file', async () => {
  const { code, stdout, stderr } = await run(sallyport(root, 'demo'));
  assert.is(code, 0, stdout + stderr);
  for (const { title } of catalogue) assert.ok(stdout.includes(title), title);
  assert.match(stdout, /Good morning, reader at warehouse\.example/);
  assert.match(stdout, /Nothing got through/);
  assert.not.match(stdout, /\u001b/);
  assert.not.match(stdout + stderr, /eyJ|ghp_/);
});

const isRoot = process.getuid?.() === 0;
if (isRoot && spawnSync('setpriv', ['--version']).status !== 0) throw new Error('as root these tests need setpriv, of util-linux');

demo(`--json prints one object and nothing else${isRoot ? ', and tells the same story as uid 65534' : ''}`, async () => {
  if (!isRoot) return checkJson(await run(sallyport(root, 'demo', '--json')));
  await withReadableCopy(root, async (folder, unprivileged) => {
    checkJson(await run([...unprivileged, ...sallyport(folder, 'demo', '--json')]));
  });
});

// ---

demo('--help and --version answer on standard output', async () => {
  const help = await run(sallyport(root, '--help'));
  assert.is(help.code, 0);
  assert.match(help.stdout, /usage: sallyport/);
  const own = await run(sallyport(root, 'demo', '--help'));
  assert.is(own.code, 0);
  assert.match(own.stdout, /usage: sallyport demo/);
  const version = await run(sallyport(root, '--version'));
  assert.is(version.stdout.trim(), (JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { version: string }).version);
});

demo('a command, option or argument that does not exist ends with 2 and nothing on standard output', async () => {
  for (const args of [[], ['nonsense'], ['toString'], ['--nonsense'], ['demo', '--nonsense'], ['demo', 'more']]) {
    const { code, stdout, stderr } = await run(sallyport(root, ...args));
    assert.is(code, 2, args.join(' '));
    assert.is(stdout, '');
    assert.match(stderr, /sallyport/);
  }
});

demo.run();
