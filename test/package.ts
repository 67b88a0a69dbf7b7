// The packed package, as a stranger gets it: installed into an empty project with install
// scripts off, its addon and attack programs inside.

import { execFileSync, spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const packed = suite('package');
const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'sallyport-package-'));
const project = join(folder, 'project');
const [command, ...npmArguments]: string[] = process.env['npm_execpath'] === undefined ? ['npm'] : [process.execPath, process.env['npm_execpath']];
const env = { ...process.env, npm_config_cache: join(folder, 'cache'), npm_config_audit: 'false', npm_config_fund: 'false', npm_config_update_notifier: 'false', npm_config_fetch_retries: '5' };

function npm(cwd: string, ...args: string[]): string {
  return execFileSync(command ?? 'npm', [...npmArguments, ...args], { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function node(...args: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, args, { cwd: project, encoding: 'utf8', env: { ...env, SIGNING_KEY: 'hunter2' } });
}

packed.before(() => {
  // From a copy, so that what the packing compiles is no part of the tree under test.
  const source = join(folder, 'source');
  for (const name of ['.ci', 'src', 'native', 'docs', 'examples', 'package.json', 'package-lock.json', 'binding.gyp', 'tsconfig.json', '.npmrc', 'README.md', 'SECURITY.md', 'CHANGELOG.md', 'LICENSE', 'lib', 'build', 'node_modules']) {
    cpSync(join(root, name), join(source, name), { recursive: true, verbatimSymlinks: true });
  }
  npm(source, 'pack', '--pack-destination', folder);
  rmSync(source, { recursive: true, force: true });
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "private": true }');
  const archive = readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '';
  npm(project, 'install', '--ignore-scripts', join(folder, archive));
});
packed.after(() => rmSync(folder, { recursive: true, force: true }));

const inside = (...path: string[]): string => join(project, 'node_modules', 'sallyport', ...path);

packed('holds the compiled addon and nothing that only a developer needs', () => {
  const prebuilt = readdirSync(inside('prebuilds', `${process.platform}-${process.arch}`)).sort();
  assert.equal(prebuilt.map((name) => name.replace(/glibc|musl/, 'libc')), ['attack', 'sallyport.libc.node', 'stage', 'sweeper']);
  for (const name of ['src', 'test', 'bench', '.ci', 'build', 'node_modules']) assert.not.ok(existsSync(inside(name)), name);
});

packed('its entry points load, and harden() holds', () => {
  const { stdout, stderr, status } = node('--input-type=module', '-e', `
    import { harden } from 'sallyport';
    import * as task from 'sallyport/task';
    import * as testing from 'sallyport/task/testing';
    import * as tokens from 'sallyport/tokens';
    import * as server from 'sallyport/server';
    import * as hosts from 'sallyport/hosts';
    import { dag } from 'sallyport/dag';
    import { sleep } from 'sallyport/trigger';
    console.log(harden().guarantees.length, ...[task.request, testing.fakeSupervisor, tokens.TokenIssuer, server.createServer, hosts.ParseHost, dag, sleep].map((each) => typeof each));`);
  assert.is(stdout, `18${' function'.repeat(7)}\n`, stderr);
  assert.is(status, 0);
  assert.is(node('--import', 'sallyport/register', '-e', 'console.log(process.getuid())').status, 0);
});

packed("the README's first example runs, and its task is refused the supervisor's environment", () => {
  cpSync(join(root, 'examples', 'signer'), project, { recursive: true });
  const { stdout, stderr, status } = node('supervisor.mjs');
  assert.is(status, 0, stderr);
  assert.match(stdout, /^signed: [0-9a-f]{64}$/m);
  assert.match(stdout, /environment: EACCES/);
  assert.match(stdout, /\{ kind: 'exited', exitCode: 0 \}/);
});

packed('npx sallyport demo blocks every attack there too', () => {
  const demo = node(inside('lib', 'cli', 'main.js'), 'demo', '--json');
  assert.is(demo.status, 0, demo.stderr);
  const { attacks } = JSON.parse(demo.stdout) as { attacks: { name: string; unprotected: string; protected: string }[] };
  assert.ok(attacks.length >= 12);
  for (const attack of attacks) assert.equal([attack.name, attack.protected], [attack.name, 'blocked']);
  // Yama, where there is one, keeps debuggers from an ordinary supervisor as well.
  if (!existsSync('/proc/sys/kernel/yama')) assert.equal(attacks.filter((attack) => attack.unprotected === 'blocked').map(({ name }) => name), []);
});

packed.run();
