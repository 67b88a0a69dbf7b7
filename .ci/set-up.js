// What `npm test`, `npm run demo` and `npm run bench` need in a fresh clone: the
// packages, the compiled addon and the compiled TypeScript. Each step keeps a hash
// of what it was made from and is passed over while that has not changed.
// Uses Node alone, for it runs before anything is installed.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const stamps = join(root, 'node_modules', '.cache', 'sallyport');
const host = `${process.platform}-${process.arch} node ${process.versions.node}`;

function stop(message) {
  console.error(`\nset-up: ${message}`);
  process.exit(1);
}

function filesBelow(folder) {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

function hashOf(...paths) {
  const hash = createHash('sha256').update(host);
  for (const path of paths) hash.update(path).update(readFileSync(path));
  return hash.digest('hex');
}

/** Runs `make` unless `name` was last made from the same hash and `result` is still there. */
function step(name, title, hash, result, make) {
  const stamp = join(stamps, name);
  if (existsSync(result) && existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  console.error(`set-up: ${title}`); // standard output is the command's own
  make();
  mkdirSync(stamps, { recursive: true });
  writeFileSync(stamp, hash);
}

function run(title, command, args, env = {}) {
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8', env: { ...process.env, ...env }, maxBuffer: 1 << 26 });
  if (done.status === 0) return;
  process.stderr.write(`${done.stdout ?? ''}${done.stderr ?? ''}`);
  stop(`${title} failed${done.error ? `: ${done.error.message}` : ''}`);
}

function writable(folder) {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Without a home of its own, as under setpriv or in a container, npm has nowhere to keep its cache. */
function withNpmCache(use) {
  if (process.env.npm_config_cache !== undefined ? writable(process.env.npm_config_cache) : writable(homedir())) return use({});
  const cache = mkdtempSync(join(tmpdir(), 'sallyport-npm-'));
  try {
    return use({ npm_config_cache: cache });
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
}

function packages() {
  const npm = process.env.npm_execpath;
  const [command, args] = npm === undefined ? ['npm', []] : [process.execPath, [npm]];
  // Scripts stay off: everything we depend on ships its binaries inside its package.
  withNpmCache((env) => run('npm ci', command, [...args, 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], env));
}

function compiler() {
  const tools = { [process.env.CXX ?? 'g++']: 'g++', make: 'make', [process.env.PYTHON ?? 'python3']: 'python3' };
  const absent = Object.entries(tools).filter(([tool]) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status !== 0);
  if (absent.length === 0) return;
  stop(`the native addon needs ${absent.map(([tool]) => tool).join(', ')} to compile; on Debian and Ubuntu: apt-get install ${absent.map(([, name]) => name).join(' ')}`);
}

function addon() {
  compiler();
  // Node's own headers, when they came with it, save a download.
  const prefix = dirname(dirname(process.execPath));
  const headers = existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : [];
  run('compiling the addon', process.execPath, [join(root, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js'), 'rebuild', '--jobs=max', ...headers]);
}

function typescript() {
  rmSync(join(root, 'lib'), { recursive: true, force: true });
  run('compiling TypeScript', process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', root]);
}

if (process.platform !== 'linux') stop(`Sallyport protects processes on Linux alone; this is ${process.platform}`);
if (!writable(root)) stop(`${root} is not writable for uid ${process.getuid()}; use a clone of your own`);

step('packages', 'installing packages (npm ci)', hashOf(join(root, 'package-lock.json')), join(root, 'node_modules', 'typescript'), packages);
step('addon', 'compiling the native addon', hashOf(join(root, 'binding.gyp'), ...filesBelow('native')), join(root, 'build', 'Release', 'sallyport.node'), addon);
step('typescript', 'compiling TypeScript', hashOf(join(root, 'tsconfig.json'), ...filesBelow('src')), join(root, 'lib', 'index.js'), typescript);
