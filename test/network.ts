import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launch, policies, type NetworkPolicy, type Policy } from '../lib/index.js';
import { mayResolveTo } from '../lib/policy/network.js';
import { runTask } from './helpers/run-task.js';

const network = suite('network');
const open: Policy = { dangerouslyUnconfined: true };

let server: Server;
let other: Server;
const port = (of: Server): number => (of.address() as AddressInfo).port;
/** Of requests to the second server: nothing that a task does here may add one. */
let reachedOther = 0;

network.before(async () => {
  server = createServer((request, response) => response.end(`seen ${request.url ?? ''}`)).listen(0, '127.0.0.1');
  other = createServer((_, response) => response.end(`other ${++reachedOther}`)).listen(0, '127.0.0.1');
  await Promise.all([once(server, 'listening'), once(other, 'listening')]);
});
network.after(() => {
  server.close();
  other.close();
});

async function node(script: string, granted: NetworkPolicy | 'none' | undefined): Promise<string> {
  const policy = granted === undefined ? open : policies.node({ network: granted, limits: { wallTimeMs: 30_000 } });
  const { stdout, stderr } = await runTask([process.execPath, '-e', script], { policy });
  return `${stdout}${stderr}`.trim();
}

const get = (host: string, to: number): string =>
  `require('http').get({ host: '${host}', port: ${to}, path: '/x' }, (r) => r.on('data', (d) => console.log(String(d)))).on('error', (e) => console.log(e.code))`;

network("a Node program reaches a granted host by name, and nothing by another name, address or port", async () => {
  const granted = { connect: [{ host: 'localhost', port: port(server) }] };
  assert.is(await node(get('localhost', port(server)), granted), 'seen /x');
  assert.is(await node(get('127.0.0.1', port(server)), granted), 'seen /x');
  assert.is(await node(get('::ffff:127.0.0.1', port(server)), granted), 'seen /x', 'the same address, mapped');
  const before = reachedOther;
  assert.match(await node(get('localhost', port(other)), undefined), /^other/, 'control');
  for (const host of ['localhost', '127.0.0.1', '::ffff:127.0.0.1']) assert.match(await node(get(host, port(other)), granted), /^(EACCES|ECONNREFUSED)$/, host);
  assert.is(await node(get('127.0.0.2', port(server)), granted), 'EACCES');
  assert.match(await node(get('example.com', port(server)), granted), /^(EAI_AGAIN|ENOTFOUND)$/, 'a name that was not granted fails at once');
  assert.is(reachedOther, before + 1);
});

network('without a network no socket is made', async () => {
  assert.is(await node(get('127.0.0.1', port(server)), 'none'), 'EACCES');
  assert.is(await node(get('127.0.0.1', port(server)), {}), 'EACCES');
  assert.is(await node(get('127.0.0.1', port(server)), undefined), 'seen /x', 'control');
});

network('connections are kept alive, used one after the other and at once', async () => {
  const script = `
    const http = require('http');
    const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
    const get = (path) => new Promise((resolve, reject) => http.get({ agent, host: 'localhost', port: ${port(server)}, path }, (r) => { let all = ''; r.on('data', (d) => (all += d)).on('end', () => resolve(all)); }).on('error', reject));
    (async () => {
      for (let i = 0; i < 5; i++) await get('/' + i);
      console.log((await Promise.all(Array.from({ length: 40 }, (_, i) => get('/' + i)))).join() === Array.from({ length: 40 }, (_, i) => 'seen /' + i).join());
      agent.destroy();
    })();`;
  assert.is(await node(script, { connect: [{ host: 'localhost', port: port(server) }] }), 'true');
});

network('an address family that does not answer does not keep the other one from it', async () => {
  // ::1 is granted as well and nobody listens there: autoSelectFamily of Node 20 tries one after the other.
  const script = `require('net').connect({ host: 'localhost', port: ${port(server)}, autoSelectFamily: true }).on('connect', function () { console.log('connected'); this.destroy(); }).on('error', (e) => console.log(e.code))`;
  assert.is(await node(script, { connect: [{ host: 'localhost', port: port(server) }] }), 'connected');
});

network('IPv6 is granted and refused as IPv4 is', async () => {
  const six = createServer((_, response) => response.end('six')).listen(0, '::1');
  const up = await Promise.race([once(six, 'listening').then(() => true), once(six, 'error').then(() => false)]);
  if (!up) return console.log('skipped: this host has no ::1');
  assert.is(await node(get('::1', port(six)), { connect: [{ host: '::1', port: port(six) }] }), 'six');
  assert.is(await node(get('localhost', port(six)), { connect: [{ host: 'localhost', port: port(six) }] }), 'six', 'whichever family answers');
  assert.is(await node(get('::1', port(six)), undefined), 'six', 'control');
  assert.is(await node(get('::1', port(six)), { connect: [{ host: '127.0.0.1', port: port(six) }] }), 'EACCES');
  assert.is(await node(get('::1', port(six)), { connect: [{ host: '::1', port: port(server) }] }), 'EACCES');
  six.close();
});

network("in a network namespace of the task's own, where the host gives one, the same is reached", async () => {
  const strict = (granted: NetworkPolicy): Policy => policies.node({ level: 'strict', network: granted });
  try {
    const { stdout } = await runTask([process.execPath, '-e', get('localhost', port(server))], { policy: strict({ connect: [{ host: 'localhost', port: port(server) }] }) });
    assert.is(stdout.trim(), 'seen /x');
    const { stdout: refused } = await runTask([process.execPath, '-e', get('127.0.0.1', port(other))], { policy: strict({ connect: [{ host: 'localhost', port: port(server) }] }) });
    assert.is(refused.trim(), 'EACCES');
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_ENFORCEMENT_PARTIAL') throw error;
    console.log(`skipped: ${(error as Error).message}`);
  }
});

network('a port where nobody listens says so', async () => {
  const closed = 1; // which no other program is given meanwhile
  assert.is(await node(get('127.0.0.1', closed), { connect: [{ host: '127.0.0.1', port: closed }] }), 'ECONNREFUSED');
});

const python = ['/usr/bin/python3', '/usr/local/bin/python3'].find(existsSync);
const curl = ['/usr/bin/curl', '/usr/local/bin/curl'].find(existsSync);
function requires(program: string | undefined, name: string): typeof network | typeof network.skip {
  if (program !== undefined) return network;
  console.log(`skipped: ${name} is not installed`);
  return network.skip;
}

requires(python, 'python3')('Python: urllib, blocking sockets, a timeout, threads', async () => {
  const at = `('localhost', ${port(server)})`;
  const script = `
import socket, threading, urllib.request
print(urllib.request.urlopen('http://localhost:${port(server)}/py').read().decode())
s = socket.create_connection(('127.0.0.1', ${port(server)}), timeout=5); print(s.getpeername()[1] == ${port(server)}); s.close()
s = socket.socket(); s.connect(('127.0.0.1', ${port(server)})); s.sendall(b'GET /raw HTTP/1.0\\r\\n\\r\\n'); print(b'seen /raw' in s.recv(1000)); print(s.getblocking())
done = []
def one():
    c = socket.create_connection(${at}); c.close(); done.append(1)
threads = [threading.Thread(target=one) for _ in range(20)]
[t.start() for t in threads]; [t.join() for t in threads]; print(len(done))
try: socket.create_connection(('127.0.0.1', ${port(other)}), timeout=5)
except OSError as e: print(e.errno)
`;
  const { stdout, stderr } = await runTask([python ?? '', '-c', script], { policy: policies.command({ network: { connect: [{ host: 'localhost', port: port(server) }] } }) });
  assert.is(`${stdout}${stderr}`, 'seen /py\nTrue\nTrue\nTrue\n20\n13\n');
});

requires(curl, 'curl')('curl reaches what is granted, and nothing else', async () => {
  const run = async (url: string): Promise<number | string> => {
    const { exit, stdout } = await runTask([curl ?? '', '-sS', '-m', '20', url], { policy: policies.command({ network: { connect: [{ host: 'localhost', port: port(server) }] } }) });
    return exit.kind === 'exited' && exit.exitCode !== 0 ? exit.exitCode : stdout;
  };
  assert.is(await run(`http://localhost:${port(server)}/c`), 'seen /c');
  assert.is(await run(`http://localhost:${port(other)}/c`), 7);
  assert.is(await run(`http://example.com:${port(server)}/c`), 6, 'could not resolve');
});

// --- listening

const serve = (listen: string): string => `
  const s = require('net').createServer((c) => c.end('hello')).listen(${listen}).on('error', (e) => console.log(e.code));
  s.on('listening', () => console.log(JSON.stringify(s.address())));
  process.stdin.on('data', () => process.exit()).on('end', () => process.exit());`;

async function listening(listen: string, granted: NetworkPolicy): Promise<{ said: string; task: Awaited<ReturnType<typeof launch>> }> {
  const task = await launch([process.execPath, '-e', serve(listen)], { policy: policies.node({ network: granted }), stdin: 'pipe' });
  const [said] = (await once(task.stdout as NodeJS.ReadableStream & NodeJS.EventEmitter, 'data')) as [Buffer];
  return { said: String(said).trim(), task };
}

async function fetched(at: number): Promise<string> {
  const socket = connect(at, '127.0.0.1');
  let all = '';
  socket.on('data', (chunk) => (all += String(chunk)));
  return new Promise((resolve) => socket.on('close', () => resolve(all)).on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? '?')));
}

network('a task listens where it is granted, and is reached there until it ends', async () => {
  for (const listen of ['0', "0, '127.0.0.1'", "{ port: 0, host: '0.0.0.0' }"]) {
    const { said, task } = await listening(listen, { listen: [{ port: 0 }] });
    const { address, port: at } = JSON.parse(said) as AddressInfo;
    assert.match(address, /^(::ffff:)?127\.0\.0\.1$/, listen);
    assert.is(await fetched(at), 'hello');
    assert.is(await fetched(at), 'hello');
    task.kill('SIGKILL');
    await task.exited;
    assert.is(await fetched(at), 'ECONNREFUSED', 'a killed task leaves no port behind');
    await task[Symbol.asyncDispose]();
  }
});

network('a task listens nowhere else', async () => {
  const { said, task } = await listening('0', { listen: [{ port: 0 }] });
  const { port: at } = JSON.parse(said) as AddressInfo;
  const { said: second, task: another } = await listening(String(at), { listen: [{ port: at }] });
  assert.is(second, 'EADDRINUSE', 'a second task cannot take the port');
  for (const wish of ["0, '127.0.0.2'", '1', `${at}, '127.0.0.1'`]) assert.is(await node(serve(wish).replace('.on(\'error\'', `.on('listening', () => process.exit()).on('error'`), { listen: [{ port: 0 }] }), 'EACCES', wish);
  assert.is(await node(serve('0'), { connect: [{ host: '127.0.0.1', port: 80 }] }), 'EACCES', 'a plan to connect is none to listen');
  for (const one of [task, another]) await one[Symbol.asyncDispose]();
});

// --- what names may stand for

network('a name does not lead to this host, to the link or to a metadata service; an address that is named is meant', () => {
  const metadata = ['100.100.100.200', '168.63.129.16', '192.0.0.192', 'fd00:ec2::254', '169.254.169.254'];
  const others = ['127.0.0.1', '127.8.8.8', '0.0.0.0', '::', '::1', 'fe80::1', 'febf::1', '224.0.0.1', 'ff02::1', '255.255.255.255', '240.0.0.1'];
  const carried = ['::ffff:169.254.169.254', '::ffff:a9fe:a9fe', '64:ff9b::169.254.169.254', '64:ff9b:1::a9fe:a9fe', '2002:a9fe:a9fe::1', '::ffff:7f00:1', '2002:7f00:1::', '64:ff9b::6464:64c8', '::169.254.169.254'];
  for (const address of [...metadata, ...others, ...carried]) {
    assert.not(mayResolveTo('example.com', address), address);
    assert.ok(mayResolveTo(address, address), address);
  }
  for (const address of ['93.184.216.34', '10.0.0.1', '192.168.1.1', '172.16.0.1', '169.253.255.255', '2606:4700::1', 'fd00::1', '::ffff:93.184.216.34', '2002:5db8:d822::1', '64:ff9b::5db8:d822', '100.100.100.201']) {
    assert.ok(mayResolveTo('example.com', address), address);
  }
  assert.ok(mayResolveTo('localhost', '127.0.0.1') && mayResolveTo('localhost', '::1'));
  assert.not(mayResolveTo('localhost', '10.0.0.1'));
});

network('a host that cannot be resolved, or to what it may not be, stops the launch', async () => {
  for (const host of ['does-not-exist.invalid', ...ownName()]) {
    try {
      await launch(['true'], { policy: policies.command({ network: { connect: [{ host, port: 80 }] } }) });
      assert.unreachable(host);
    } catch (error) {
      assert.equal([(error as { code?: string }).code, (error as { step?: string }).step], ['ERR_TASK_START', 'network'], host);
    }
  }
});

/** Hosts files give a machine's own name the loopback address. */
function ownName(): string[] {
  const name = spawnSync('hostname', { encoding: 'utf8' }).stdout?.trim() ?? '';
  const [, address = ''] = /^(\S+)/.exec(spawnSync('getent', ['ahosts', name], { encoding: 'utf8' }).stdout ?? '') ?? [];
  return name !== '' && name !== 'localhost' && /^127\.|^::1$/.test(address) ? [name] : [];
}

network.run();
