// What `npm test`, `npm run demo` and `npm run bench` need in a fresh clone: the
// packages, the compiled addon and the compiled TypeScript. Each step keeps a hash
// of what it was made from and is passed over while that has not changed.
// Uses Node alone, for it runs before anything is installed.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, chmodSync, constants, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const stamps = join(root, 'node_modules', '.cache', 'sallyport');
const host = `${process.platform}-${process.arch} node ${process.versions.node}`;

/** In order; what is named in `results` is there when the step has been done. */
const steps = [
  { name: 'packages', title: 'installing packages from the package registry (npm ci)', from: ['package-lock.json'], results: ['node_modules/typescript'], make: packages },
  {
    name: 'addon',
    title: 'compiling the native addon',
    from: ['binding.gyp', ...filesBelow('native')],
    results: ['sallyport.node', 'sweeper', 'stage', 'attack'].map((name) => `build/Release/${name}`),
    make: addon,
  },
  { name: 'typescript', title: 'compiling TypeScript', from: ['tsconfig.json', ...filesBelow('src')], results: ['lib/index.js'], make: typescript },
];

function stop(message) {
  console.error(`\nset-up: ${message}`);
  process.exit(1);
}

/** Standard output is that of the command that comes after. */
function say(message) {
  console.error(`set-up: ${message}`);
}

function filesBelow(folder) {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}

/** Of names below the root, so that a tree which is copied or moved remains set up. */
function hashOf(paths) {
  const hash = createHash('sha256').update(host);
  for (const path of paths) hash.update(path).update(readFileSync(join(root, path)));
  return hash.digest('hex');
}

function isDone({ name, from, results }) {
  const stamp = join(stamps, name);
  return results.every((path) => existsSync(join(root, path))) && existsSync(stamp) && readFileSync(stamp, 'utf8') === hashOf(from);
}

/** The steps to take. `npm ci` empties node_modules, and with it goes what was known of the others. */
function due() {
  const undone = steps.filter((step) => !isDone(step));
  return undone[0] === steps[0] ? steps : undone;
}

function take({ name, title, from, make }) {
  const stamp = join(stamps, name);
  rmSync(stamp, { force: true }); // half of a result is none
  say(title);
  make();
  mkdirSync(stamps, { recursive: true });
  writeFileSync(stamp, hashOf(from));
}

function run(title, command, args, env = {}, advice = '') {
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8', env: { ...process.env, ...env }, maxBuffer: 1 << 26 });
  if (done.status === 0) return;
  process.stderr.write(`${done.stdout ?? ''}${done.stderr ?? ''}`);
  stop(`${title} failed${done.error ? `: ${done.error.message}` : ''}${advice}`);
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
function npmCache() {
  if (process.env.npm_config_cache !== undefined ? writable(process.env.npm_config_cache) : writable(homedir())) return {};
  const cache = mkdtempSync(join(tmpdir(), 'sallyport-npm-'));
  process.once('exit', () => rmSync(cache, { recursive: true, force: true }));
  return { npm_config_cache: cache };
}

function packages() {
  const npm = process.env.npm_execpath;
  const [command, args] = npm === undefined ? ['npm', []] : [process.execPath, [npm]];
  // npm's own patience is more than a minute of silence. Who needs it sets it in the environment.
  const patience = { fetch_retries: '1', fetch_retry_mintimeout: '1000', fetch_retry_maxtimeout: '5000', fetch_timeout: '30000' };
  const env = Object.fromEntries(Object.entries(patience).map(([name, value]) => [`npm_config_${name}`, process.env[`npm_config_${name}`] ?? value]));
  const advice = '; it needs the package registry, this once: see `npm config get registry`, and `proxy` where there is one';
  // Scripts stay off: everything we depend on ships its binaries inside its package.
  run('npm ci', command, [...args, 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], { ...env, ...npmCache() }, advice);
}

function checkCompiler() {
  const tools = { [process.env.CXX ?? 'g++']: 'g++', make: 'make', [process.env.PYTHON ?? 'python3']: 'python3' };
  const absent = Object.entries(tools).filter(([tool]) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status !== 0);
  if (absent.length === 0) return;
  stop(`the native addon needs ${absent.map(([tool]) => tool).join(', ')} to compile; on Debian and Ubuntu: apt-get install ${absent.map(([, name]) => name).join(' ')}`);
}

function addon() {
  // Node's own headers, when they came with it, save a download.
  const prefix = dirname(dirname(process.execPath));
  const headers = existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : [];
  run('compiling the addon', process.execPath, [join(root, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js'), 'rebuild', '--jobs=max', ...headers]);
}

function typescript() {
  rmSync(join(root, 'lib'), { recursive: true, force: true });
  run('compiling TypeScript', process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', root]);
  chmodSync(join(root, 'lib', 'cli', 'main.js'), 0o755); // a clone that is linked runs it by its name
}

/** Says what is missing before anything takes its time. */
function checkMeans(wanted) {
  const closed = [root, ...['node_modules', 'build', 'lib'].map((name) => join(root, name)).filter(existsSync)].find((folder) => !writable(folder));
  if (closed !== undefined) {
    stop(`uid ${process.getuid()} cannot write ${closed}, and what it needs there is absent or out of date (${wanted.map(({ name }) => name).join(', ')}): ` +
      'run `node .ci/set-up.js` as one who can, with this same Node, or use a clone of your own');
  }
  if (wanted.some(({ make }) => make === addon)) checkCompiler();
}

/**
 * One set-up at a time in a clone; another waits here. An abstract socket, unix(7), has one
 * owner, and the kernel takes it back however that ends: there are no stale ones.
 */
async function waitForTurn() {
  const { dev, ino } = statSync(root);
  const path = `\0sallyport-set-up-${dev}-${ino}`;
  for (let told = false; ; told = true) {
    // Those who wait do not keep the owner from ending.
    const turn = createServer((waiting) => waiting.on('error', () => {}).unref()).unref();
    const taken = await new Promise((resolve, reject) => {
      turn.once('error', (error) => (error.code === 'EADDRINUSE' ? resolve(true) : reject(error)));
      turn.listen(path, () => resolve(false));
    });
    if (!taken) return;
    if (!told) say('waiting for another one in this clone');
    await new Promise((resolve) => connect(path).on('error', () => {}).once('close', resolve).resume());
  }
}

if (process.platform !== 'linux') stop(`Sallyport protects processes on Linux alone; this is ${process.platform}`);

if (due().length > 0) {
  checkMeans(due());
  await waitForTurn();
  const wanted = due(); // the other one may have done it
  if (wanted[0] === steps[0]) say('the first run takes about a minute');
  for (const step of wanted) take(step);
}
