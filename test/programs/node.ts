import { listed } from './program.js';

/** Each is a CommonJS program, `node -e`, in an empty folder of its own. */
export const node = listed({
  'files, synchronous': `
    const fs = require('fs'), path = require('path'), os = require('os');
    fs.mkdirSync('a/b', { recursive: true }); fs.writeFileSync('a/b/c', 'x', { mode: 0o600 }); fs.appendFileSync('a/b/c', 'y');
    fs.copyFileSync('a/b/c', 'd'); fs.cpSync('a', 'e', { recursive: true }); fs.renameSync('d', 'f'); fs.symlinkSync('f', 'g'); fs.linkSync('f', 'h');
    fs.chmodSync('f', 0o600); fs.utimesSync('f', 1, 1); fs.chownSync('f', process.getuid(), process.getgid()); fs.truncateSync('f', 1); fs.accessSync('f');
    console.log(fs.readFileSync('g', 'utf8'), fs.readdirSync('.', { recursive: true }).sort().join(), path.basename(fs.realpathSync('g')), fs.statSync('f').size, fs.existsSync('zz'));
    fs.rmSync('a', { recursive: true }); const made = fs.mkdtempSync(path.join(os.tmpdir(), 'x')); fs.rmdirSync(made); fs.opendirSync('.').closeSync();
    const fd = fs.openSync('f', 'r+'); fs.futimesSync(fd, 1, 1); fs.fchmodSync(fd, 0o600); fs.fsyncSync(fd); fs.writeSync(fd, 'z', 0); fs.closeSync(fd);
    console.log(fs.readFileSync('f', 'utf8')); fs.statfsSync('.');
    try { fs.readFileSync('missing') } catch ({ code }) { console.log(code) }`,
  'files, promises': `(async () => {
    const fs = require('fs/promises'); await fs.writeFile('a', '1\\n2');
    for await (const line of (await fs.open('a')).readLines()) console.log(line);
    const file = await fs.open('b', 'w'); await file.chmod(0o600); await file.utimes(1, 1); await file.sync(); await file.close();
    await fs.lutimes('b', 1, 1); await fs.rm('a'); console.log(await fs.readdir('.'));
    for await (const entry of await fs.opendir('.')) console.log(entry.name, entry.isFile()) })()`,
  'watching a file by looking at it': `
    const fs = require('fs'); fs.writeFileSync('x', '1');
    fs.watchFile('x', { interval: 20 }, () => { console.log('seen'); fs.unwatchFile('x') }); setTimeout(() => fs.writeFileSync('x', '123'), 100)`,
  timers: `(async () => {
    await require('timers/promises').setTimeout(10); setImmediate(() => console.log('immediate')); process.nextTick(() => console.log('tick')); queueMicrotask(() => console.log('microtask'));
    let n = 0; setInterval(function () { if (++n === 3) { console.log('interval'); clearInterval(this) } }, 5); console.log(performance.now() > 0) })()`,
  'a worker': `
    const { Worker } = require('worker_threads');
    const worker = new Worker("const { parentPort, workerData } = require('worker_threads'); parentPort.postMessage([workerData * 2, process.memoryUsage().rss > 0, require('os').cpus().length > 0])", { eval: true, workerData: 21 });
    worker.on('message', console.log); worker.on('exit', (code) => console.log('exit', code))`,
  'a pool of workers on shared memory': `
    const { Worker } = require('worker_threads'); const shared = new SharedArrayBuffer(4); let ended = 0;
    for (let i = 0; i < 4; i++) new Worker("const { workerData } = require('worker_threads'); for (let i = 0; i < 1000; i++) Atomics.add(new Int32Array(workerData), 0, 1)", { eval: true, workerData: shared })
      .on('exit', () => ++ended === 4 && console.log(new Int32Array(shared)[0]))`,
  wasm: `
    const add = new Uint8Array([0,97,115,109,1,0,0,0,1,7,1,96,2,127,127,1,127,3,2,1,0,7,7,1,3,97,100,100,0,0,10,9,1,7,0,32,0,32,1,106,11]);
    WebAssembly.instantiate(add).then(({ instance }) => { console.log(instance.exports.add(2, 3)); new WebAssembly.Memory({ initial: 10, maximum: 100, shared: true }) });
    const { WASI } = require('wasi'); new WASI({ version: 'preview1', preopens: { '/': '.' } })`,
  crypto: `
    const c = require('crypto'); console.log(c.createHash('sha256').update('x').digest('hex'), c.randomBytes(8).length, c.randomUUID().length, c.scryptSync('a', 'b', 8).toString('hex'));
    const { privateKey, publicKey } = c.generateKeyPairSync('rsa', { modulusLength: 1024 }); console.log(c.verify('sha256', Buffer.from('x'), publicKey, c.sign('sha256', Buffer.from('x'), privateKey)));
    c.subtle.digest('SHA-256', Buffer.from('x')).then((digest) => console.log(digest.byteLength)); c.generateKeyPair('ed25519', {}, (error) => console.log(error));
    const tls = require('tls'); console.log(tls.rootCertificates.length > 10); tls.createSecureContext()`,
  'zlib and streams': `
    const { pipeline } = require('stream/promises'), fs = require('fs'), z = require('zlib');
    console.log(z.gunzipSync(z.gzipSync('hello')).toString(), z.brotliDecompressSync(z.brotliCompressSync('b')).toString());
    (async () => { await pipeline(async function* () { for (let i = 0; i < 1000; i++) yield 'x'.repeat(100) }, z.createGzip(), fs.createWriteStream('o.gz'));
      await pipeline(fs.createReadStream('o.gz'), z.createGunzip(), fs.createWriteStream('o')); console.log(fs.statSync('o').size) })()`,
  'children: spawn, exec, execFile, spawnSync': `
    const { spawn, exec, execFile, spawnSync, execSync } = require('child_process');
    console.log(execSync('echo s').toString(), spawnSync('sh', ['-c', 'exit 3']).status, spawnSync('nope').error.code, spawnSync('cat', { input: 'in' }).stdout.toString());
    const cat = spawn('cat'); cat.stdout.on('data', (data) => console.log(String(data)));
    cat.on('close', (...how) => { console.log(how); exec('echo a | tr a b', (error, out) => { console.log(error, out); execFile(process.execPath, ['-p', '1+1'], (...all) => console.log(all)) }) }); cat.stdin.end('hi')`,
  'children: fork, messages both ways': `
    const fs = require('fs'); fs.writeFileSync('c.js', "process.on('message', (m) => { process.send({ got: m, up: process.uptime() > 0 }, () => process.disconnect()) })");
    const run = (options, message, then) => { const child = require('child_process').fork('./c.js', options); child.on('message', (m) => console.log(m)); child.on('exit', (...how) => { console.log(how); then?.() }); child.send(message) };
    run({}, { a: 1 }, () => run({ serialization: 'advanced' }, new Map([[1, 2n]])))`,
  'children: killed, timed out, a group of their own': `
    const { spawn } = require('child_process'); const told = {}; const tell = (name) => (...how) => { told[name] = how; if (Object.keys(told).length === 3) console.log(told.a, told.b, told.c) };
    const a = spawn('sleep', ['9']); a.on('exit', tell('a')); a.on('spawn', () => a.kill('SIGTERM')); spawn('sleep', ['9'], { timeout: 30 }).on('exit', tell('b'));
    const c = spawn('sleep', ['9'], { detached: true, stdio: 'ignore' }); c.on('exit', tell('c')); c.on('spawn', () => process.kill(-c.pid))`,
  'children: their standard streams': `
    const fs = require('fs'); const { spawnSync } = require('child_process'); const fd = fs.openSync('o', 'w');
    spawnSync('echo', ['x'], { stdio: ['ignore', fd, 'inherit'] }); spawnSync('sh', ['-c', 'echo inherited'], { stdio: 'inherit' }); spawnSync('sh', ['-c', 'echo four >&4'], { stdio: ['ignore', 'inherit', 'inherit', 'ignore', fd] });
    console.log(fs.readFileSync('o', 'utf8'))`,
  'a pool of child processes': `
    const { fork } = require('child_process'); require('fs').writeFileSync('w.js', "process.on('message', (n) => process.send(n * n))");
    const pool = Array.from({ length: 3 }, () => fork('./w.js')); let sum = 0, left = 9;
    pool.forEach((worker, w) => { worker.on('message', (n) => { sum += n; if (--left === 0) { console.log(sum); pool.forEach((each) => each.kill()) } }); for (let i = 0; i < 3; i++) worker.send(w * 3 + i) })`,
  os: `
    const os = require('os'); console.log(os.cpus().length, os.totalmem() > 0, os.freemem() > 0, os.uptime() > 0, os.loadavg().length, os.hostname(), os.userInfo().username, os.platform(), os.release(), os.version(), os.machine(), os.availableParallelism(), os.endianness(), os.getPriority());
    os.setPriority(5); console.log(os.getPriority(), typeof os.tmpdir(), os.type(), os.EOL === '\\n', os.constants.signals.SIGTERM)`,
  'process': `
    console.log(process.memoryUsage().rss > 0, process.memoryUsage.rss() > 0, process.cpuUsage().user > 0, process.resourceUsage().maxRSS > 0, process.uptime() > 0, process.hrtime().length, process.getuid(), process.getgroups().length >= 0, process.execPath, process.version, process.arch);
    process.title = 'x'; console.log(process.title, process.report.getReport().header.event, process.stdin.isTTY, process.stdout.columns); process.on('exit', (code) => console.log('exit', code)); process.emitWarning('w'); process.chdir('/'); console.log(process.cwd()); process.exitCode = 0`,
  signals: `
    const timer = setInterval(() => {}, 1000); process.on('SIGUSR2', () => { console.log('usr2'); process.kill(process.pid, 'SIGTERM') }); process.once('SIGTERM', () => { console.log('term'); clearInterval(timer) });
    console.log(process.kill(process.pid, 0)); process.kill(process.pid, 'SIGUSR2')`,
  'standard input that is empty': `process.stdin.on('data', () => console.log('data')).on('end', () => console.log('end')); console.log(require('fs').readFileSync(0, 'utf8') === '')`,
  'modules: CommonJS, ES, JSON, node_modules': `
    const fs = require('fs'); fs.mkdirSync('node_modules/m/lib', { recursive: true });
    fs.writeFileSync('node_modules/m/package.json', JSON.stringify({ name: 'm', exports: { '.': { import: './lib/i.mjs', require: './lib/i.js' } } }));
    fs.writeFileSync('node_modules/m/lib/i.js', 'exports.v = require("./d.json").v'); fs.writeFileSync('node_modules/m/lib/i.mjs', 'export const v = "es"'); fs.writeFileSync('node_modules/m/lib/d.json', '{ "v": "json" }');
    fs.writeFileSync('a.mjs', 'import { v } from "m"; import { createRequire } from "module"; console.log(v, createRequire(import.meta.url)("m").v, import.meta.url.slice(-5)); console.log((await import("./b.cjs")).default, (await import("data:text/javascript,export default 5")).default)');
    fs.writeFileSync('b.cjs', 'module.exports = require("path").basename(__filename)');
    const { stdout, stderr, status } = require('child_process').spawnSync(process.execPath, ['a.mjs'], { encoding: 'utf8' }); console.log(stdout, stderr, status, require('./b.cjs'))`,
  'a network that is refused, cleanly': `
    const left = new Set(['net', 'fetch', 'http', 'dgram', 'listen']); const done = (name) => { left.delete(name); if (left.size === 0) console.log('none reached') };
    require('net').connect(9, '127.0.0.1').on('error', () => done('net')); fetch('http://127.0.0.1:9/').catch(() => done('fetch')); require('http').get('http://127.0.0.1:9').on('error', () => done('http'));
    try { const socket = require('dgram').createSocket('udp4').on('error', () => done('dgram')); socket.bind(0, () => { socket.close(); done('dgram') }) } catch { done('dgram') }
    const server = require('http').createServer().on('error', () => done('listen')).listen(0, '127.0.0.1', () => server.close(() => done('listen')))`,
  'dns of this host': `require('dns').lookup('localhost', { family: 4 }, (error, address) => console.log(error, address))`,
  'inspector session, heap snapshot, v8, vm': `
    const session = new (require('inspector').Session)(); session.connect(); session.post('Runtime.evaluate', { expression: '1+1' }, (error, { result }) => console.log(result.value));
    const v8 = require('v8'); console.log(v8.deserialize(v8.serialize({ a: 1 })), v8.getHeapStatistics().heap_size_limit > 0, require('vm').runInNewContext('1 + 1')); v8.writeHeapSnapshot('h'); console.log(require('fs').statSync('h').size > 1000)`,
  intl: `console.log(new Date(0).toLocaleString('de-DE', { timeZone: 'Europe/Berlin' }), new Intl.NumberFormat('en-IN').format(1e6), Intl.DateTimeFormat().resolvedOptions().timeZone, new Date(0).getTimezoneOffset())`,
  "node's test runner": `
    require('fs').writeFileSync('a.test.js', 'require("node:test")("x", () => {})');
    const { status, stdout, stderr } = require('child_process').spawnSync(process.execPath, ['--test'], { encoding: 'utf8' }); console.log(status, /pass 1/.test(stdout), stderr)`,
  'async hooks, events, blobs, urls': `
    const { AsyncLocalStorage } = require('async_hooks'); new AsyncLocalStorage().run(1, () => console.log(1)); const { performance } = require('perf_hooks'); performance.mark('a'); console.log(performance.eventLoopUtilization().idle >= 0);
    new BroadcastChannel('x').close(); const { port1, port2 } = new MessageChannel(); port2.onmessage = ({ data }) => { console.log(data); port1.close() }; port1.postMessage(structuredClone({ a: 1 }));
    new Blob(['x']).text().then(console.log); console.log(new URL('http://x/').host, new TextEncoder().encode('x').length, atob('eA=='), AbortSignal.timeout(1e6).aborted)`,
  readline: `const lines = require('readline').createInterface({ input: require('fs').createReadStream('/etc/passwd') }); let n = 0; lines.on('line', () => n++).on('close', () => console.log(n))`,
  'errors of the program itself': `process.on('uncaughtException', (error) => { console.log(error.message); process.exit() }); Promise.reject(new Error('unhandled'))`,
  'npm: init, pkg, run': { code: `
    const npm = (...args) => { const { status, stdout, stderr } = require('child_process').spawnSync('npm', args, { encoding: 'utf8' }); console.log(args[0], status, status === 0 ? stdout.replaceAll(process.cwd(), '') : stderr) };
    require('fs').mkdirSync('p'); process.chdir('p'); npm('init', '-y'); npm('pkg', 'set', 'scripts.x=echo ran && node -p 6*7'); npm('run', '-s', 'x')`, needs: ['npm'] },
  'npm: install from a folder, pack': { code: `
    const fs = require('fs'); fs.mkdirSync('p/m', { recursive: true }); process.chdir('p'); fs.writeFileSync('m/package.json', JSON.stringify({ name: 'm', version: '1.0.0', bin: 'b.js' })); fs.writeFileSync('m/b.js', '#!/usr/bin/env node\\n'); fs.writeFileSync('package.json', '{ "name": "p", "version": "1.0.0" }');
    const npm = (...args) => require('child_process').spawnSync('npm', args, { encoding: 'utf8' }); const { status, stderr } = npm('install', '--no-audit', '--no-fund', '--offline', './m'); console.log(status, status === 0 || stderr, fs.readdirSync('node_modules').sort()); console.log(npm('pack', '--silent').stdout)`, needs: ['npm'] },
});
