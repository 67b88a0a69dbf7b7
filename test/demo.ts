// The command line, as a person and as a program use it.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fit } from '../lib/cli/table.js';
import { catalogue } from '../lib/proof/catalogue.js';
import { whyNot } from '../lib/proof/needs.js';
import { withReadableCopy } from './helpers/unprivileged.js';

const demo = suite('demo');
const shown = catalogue.filter(({ demo: isShown }) => isShown === true);
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
  assert.equal(attacks.map(({ name }) => name), shown.filter((attack) => whyNot(attack) === undefined).map(({ name }) => name));
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
  for (const { title } of shown) assert.ok(stdout.includes(title), title);
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

/** Starts the demo, calls `end` when `sign` has been printed, and sees that nothing of it stays. */
async function endedAt(sign: string, end: (child: ChildProcess) => void, ...args: string[]): Promise<Done> {
  const scratch = mkdtempSync(join(tmpdir(), 'sallyport-test-'));
  try {
    const [program, ...rest] = sallyport(root, 'demo', ...args);
    const child = spawn(program, rest, { env: { ...process.env, TMPDIR: scratch }, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    let seen = false;
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk;
      if (seen || !stdout.includes(sign)) return;
      seen = true;
      end(child);
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
    const [code] = (await once(child, 'close')) as [number | null];
    assert.ok(seen, stdout + stderr);
    assert.equal(readdirSync(scratch), []);
    return { code, stdout, stderr };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

for (const [signal, exitCode] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]] as const) {
  demo(`${signal} ends it with ${exitCode}, without a tally, and leaves nothing`, async () => {
    for (const sign of ['A well-behaved task', 'blocked']) {
      const { code, stdout, stderr } = await endedAt(sign, (child) => child.kill(signal));
      assert.is(code, exitCode, stderr);
      assert.not.match(stdout, /ordinary {2,}\d|got through|were not blocked/);
      assert.is(stderr, '');
    }
  });
}

demo('when its reader goes, as `head` does, it ends without a word and leaves nothing', async () => {
  for (const sign of ['Sallyport', 'blocked']) {
    const { code, stderr } = await endedAt(sign, (child) => child.stdout?.destroy());
    assert.is(code, 141);
    assert.is(stderr, '');
  }
});

demo('the last column is shortened, and left out where there is no room for it', () => {
  const widths = [22, 9, 9];
  const text = "reads all of the supervisor's memory as a file";
  assert.is(fit(text, widths), text);
  assert.is(fit(text, widths, 120), text);
  assert.is(fit(text, widths, 80).length, 80 - 48);
  assert.is(fit(text, widths, 68).length, 20);
  assert.is(fit(text, widths, 67), '');
  assert.is(fit('short', widths, 60), '');
});

// ---

demo('--help and --version answer on standard output', async () => {
  const help = await run(sallyport(root, '--help'));
  assert.is(help.code, 0);
  assert.match(help.stdout, /usage: sallyport/);
  const own = await run(sallyport(root, 'demo', '--help'));
  assert.is(own.code, 0);
  assert.match(own.stdout, /usage: sallyport demo/);
  for (const flag of ['--version', '-v']) {
    const version = await run(sallyport(root, flag));
    assert.is(version.stdout.trim(), (JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { version: string }).version);
  }
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
