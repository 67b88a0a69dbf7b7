// The set-up of a clone, on copies of this one.

import { spawn, spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const setUp = suite('set-up');
const root = fileURLToPath(new URL('..', import.meta.url));
const isRoot = process.getuid?.() === 0;
/** To whom a folder that is not writable is not writable: root needs to become another for that. */
const stranger = isRoot ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all', 'env', 'HOME=/tmp'] : [];
const folders: string[] = [];

setUp.after(() => {
  for (const folder of folders) {
    spawnSync('chmod', ['-R', 'u+w', folder]);
    rmSync(folder, { recursive: true, force: true });
  }
});

/** A set-up clone elsewhere; its packages are links to those of this one. */
function clone(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-set-up-'));
  folders.push(folder);
  for (const part of ['.ci', '.npmrc', 'package.json', 'package-lock.json', 'binding.gyp', 'tsconfig.json', 'src', 'native', 'lib', 'build']) {
    cpSync(join(root, part), join(folder, part), { recursive: true, filter: (path) => !path.endsWith('obj.target') });
  }
  mkdirSync(join(folder, 'node_modules'));
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name !== '.cache') symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
  const stamps = join('node_modules', '.cache', 'sallyport');
  cpSync(join(root, stamps), join(folder, stamps), { recursive: true });
  return folder;
}

/** The same, for one who cannot write it. */
function closedClone(): string {
  const folder = clone();
  const marker = join(folder, 'node_modules', 'typescript');
  rmSync(marker); // a link to where the stranger perhaps cannot look
  mkdirSync(marker);
  chmodSync(folder, 0o755);
  spawnSync('chmod', ['-R', 'a+rX,a-w', folder]);
  return folder;
}

function run(folder: string, environment: NodeJS.ProcessEnv = {}, as: readonly string[] = []): SpawnSyncReturns<string> {
  const [program = '', ...args] = [...as, process.execPath, join(folder, '.ci', 'set-up.js')];
  return spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, ...environment } });
}

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

setUp('a clone that is set up has nothing done to it, wherever it was copied to, and need not be writable', () => {
  const { status, stdout, stderr } = run(closedClone(), {}, stranger);
  assert.equal([status, stdout, stderr], [0, '', '']);
});

setUp('one that is not, and cannot be written, says so and what to do', () => {
  const folder = clone();
  appendFileSync(join(folder, 'src', 'index.ts'), '\n');
  chmodSync(folder, 0o755);
  spawnSync('chmod', ['-R', 'a+rX,a-w', folder]);
  const { status, stderr } = run(folder, {}, stranger);
  assert.is(status, 1);
  assert.ok(stderr.includes(folder), stderr);
  assert.match(stderr, /node \.ci\/set-up\.js/);
  assert.ok(existsSync(join(folder, 'lib', 'index.js')));
});

setUp('a missing compiler is told of before the packages are installed, and where a program of the addon is absent', () => {
  const withoutPackages = clone();
  rmSync(join(withoutPackages, 'node_modules'), { recursive: true });
  const absent = [withoutPackages];
  for (const name of ['sallyport.node', 'sweeper', 'attack']) {
    const folder = clone();
    rmSync(join(folder, 'build', 'Release', name));
    absent.push(folder);
  }
  for (const folder of absent) {
    const { status, stderr } = run(folder, { CXX: 'no-such-compiler' });
    assert.is(status, 1);
    assert.match(stderr, /no-such-compiler/);
    assert.not.match(stderr, /installing|compiling the/);
  }
  assert.is(run(clone(), { CXX: 'no-such-compiler' }).status, 0);
});

setUp('with no registry to be had it says that it needs one', async () => {
  const folder = clone();
  rmSync(join(folder, 'node_modules'), { recursive: true });
  const { status, stderr } = run(folder, {
    npm_config_registry: `http://127.0.0.1:${await closedPort()}/`,
    npm_config_noproxy: '127.0.0.1',
    npm_config_cache: join(folder, 'cache'),
    npm_config_fetch_retry_mintimeout: '10',
  });
  assert.is(status, 1);
  assert.match(stderr, /the first run takes about a minute/);
  assert.match(stderr, /needs the package registry/);
});

// ---

async function runMany(folder: string, count: number): Promise<{ code: number | null; stderr: string }[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const child = spawn(process.execPath, [join(folder, '.ci', 'set-up.js')], { stdio: ['ignore', 'inherit', 'pipe'] });
      let stderr = '';
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
      const [code] = (await once(child, 'close')) as [number | null];
      return { code, stderr };
    }),
  );
}

setUp('of three at once in one clone, one does the work', async () => {
  const folder = clone();
  rmSync(join(folder, 'lib'), { recursive: true });
  const done = await runMany(folder, 3);
  assert.equal(done.map(({ code }) => code), [0, 0, 0], JSON.stringify(done));
  assert.is(done.filter(({ stderr }) => stderr.includes('compiling TypeScript')).length, 1, JSON.stringify(done));
  assert.ok(existsSync(join(folder, 'lib', 'index.js')));
});

setUp('one that was killed at its work keeps nobody waiting, and its half of a result is not taken for one', async () => {
  const folder = clone();
  rmSync(join(folder, 'lib', 'index.js'));
  const child = spawn(process.execPath, [join(folder, '.ci', 'set-up.js')], { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  await once(child.stderr, 'data'); // it has begun
  process.kill(-(child.pid as number), 'SIGKILL');
  await once(child, 'close');
  mkdirSync(join(folder, 'lib'), { recursive: true });
  cpSync(join(root, 'lib', 'index.js'), join(folder, 'lib', 'index.js')); // as far as the compiler may have come
  const { status, stderr } = run(folder);
  assert.is(status, 0, stderr);
  assert.match(stderr, /compiling TypeScript/);
});

setUp.run();
