// What authorization, registry and teams cost: a task's GET of a variable against a bare Fastify route and against the database alone; and
// what a thousand running tasks cost by their heartbeats.

import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import type { Api, ApiOptions, Order, Told } from './helpers/api.js';
import { pairedRatio, shuffled, summarize } from './helpers/statistics.js';

/** Two processes of the same program differ by a fifth, for as long as they live: so many of each. */
const pairs = 6;
const roundsAPair = 10;
const warmUp = 3;
const rounds = pairs * roundsAPair;
const requestsARound = 1000;
const connections = 10;
const heartbeats = { tasks: 1000, everySeconds: 5, seconds: 15 };

interface Measured extends Api {
  readonly child: ChildProcess;
  ask(order: Order): Promise<Told>;
}

async function serve(options: ApiOptions | null): Promise<Measured> {
  const child = fork(fileURLToPath(new URL('helpers/api.ts', import.meta.url)), [JSON.stringify(options)], { execArgv: ['--import', 'tsx'] });
  const [api] = (await once(child, 'message')) as [Api];
  return {
    ...api,
    child,
    async ask(order) {
      child.send(order);
      return ((await once(child, 'message')) as [Told])[0];
    },
  };
}

/** Keeps one request outstanding on each connection, from bytes that are ready: the client is to be cheaper than any server. */
class Client {
  readonly #sockets: Socket[];
  constructor(port: number) {
    this.#sockets = Array.from({ length: connections }, () => connect(port, '127.0.0.1').setNoDelay());
  }

  /** Each bytes once, as fast as they are answered. An answer comes in one piece. */
  async all(requests: readonly Buffer[], status: string): Promise<void> {
    let next = 0;
    await Promise.all(
      this.#sockets.map(async (socket) => {
        for (let request = requests[next++]; request !== undefined; request = requests[next++]) {
          const answered = once(socket, 'data') as Promise<[Buffer]>;
          socket.write(request);
          const [answer] = await answered;
          if (answer.toString('latin1', 9, 12) !== status) throw new Error(answer.toString('latin1'));
        }
      }),
    );
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
const names = ['bare route', 'variable', 'database'] as const;
const samples: Record<'wall' | 'cpu', Record<string, number[]>> = { wall: {}, cpu: {} };

async function measure(bare: Measured, api: Measured): Promise<void> {
  const get = Buffer.from(`GET /execution/variables/region HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${api.tasks[0]?.token}\r\n\r\n`);
  const gets = Array.from({ length: requestsARound }, () => get);
  const clients = { 'bare route': new Client(bare.port), variable: new Client(api.port) };
  for (let round = -warmUp; round < roundsAPair; round++) {
    for (const name of shuffled(names)) {
      const server = name === 'bare route' ? bare : api;
      const [cpu, begun] = [await server.ask('cpu'), performance.now()];
      const reads = name === 'database' ? await api.ask({ reads: requestsARound }) : (await clients[name].all(gets, '200'), (performance.now() - begun) * 1000);
      const spent = (await server.ask('cpu')) - cpu;
      if (round < 0) continue;
      (samples.wall[name] ??= []).push(reads / requestsARound);
      (samples.cpu[name] ??= []).push(spent / requestsARound);
    }
  }
  for (const client of Object.values(clients)) client.close();
}

for (let pair = 1; pair < pairs; pair++) {
  const [bare, api] = await Promise.all([serve(null), serve({ tasks: 1, database: join(folder, `db-${pair}`) })]);
  await measure(bare, api);
  for (const { child } of [bare, api]) child.disconnect();
}
const [bare, api] = await Promise.all([serve(null), serve({ tasks: heartbeats.tasks, database: join(folder, 'db') })]);
await measure(bare, api);

console.log(`server: median [quartiles] of ${rounds} rounds, of ${pairs} pairs of servers, of ${requestsARound} requests on ${connections} connections, microseconds each; requests per second and processor time against the bare route in the same round (95 % interval of the median)`);
console.log(`${cpus()[0]?.model ?? 'unknown'}, Linux ${release()}, Node ${process.version}`);
const shown = (value: number): string => value.toPrecision(3);
const rows = names.map((name) => {
  const [wall, cpu] = [summarize(samples.wall[name] ?? []), summarize(samples.cpu[name] ?? [])];
  const perSecond = pairedRatio(samples.wall['bare route'] ?? [], samples.wall[name] ?? []);
  const processor = pairedRatio(samples.cpu['bare route'] ?? [], samples.cpu[name] ?? []);
  const against = name === 'bare route' ? '' : `   ${shown(perSecond.median)} (${perSecond.interval.map(shown).join('-')}) of its requests per second; ${shown(processor.median)} by processor time`;
  console.log(`  ${name.padEnd(11)} ${wall.median.toFixed(0)} [${wall.quartiles.map((value) => value.toFixed(0)).join('-')}]${against}`);
  return { name, wall, cpu, perSecond, processor };
});

/** A thousand tasks, each in its turn, every few seconds. */
const beats = api.tasks.map(({ id, token }) => {
  const body = JSON.stringify({ hostname: 'bench', pid: 1 });
  return Buffer.from(`PUT /execution/task-instances/${id}/heartbeat HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
});
const client = new Client(api.port);
await client.all(beats, '204');
const tickMs = 50;
const perTick = (heartbeats.tasks / heartbeats.everySeconds) * (tickMs / 1000);
const [cpuBefore, begun] = [await api.ask('cpu'), performance.now()];
let sent = 0;
for (let tick = 1; performance.now() - begun < heartbeats.seconds * 1000; tick++) {
  await client.all(Array.from({ length: perTick }, () => beats[sent++ % beats.length] as Buffer), '204');
  await new Promise((resolve) => setTimeout(resolve, Math.max(begun + tick * tickMs - performance.now(), 0)));
}
const elapsedMs = performance.now() - begun;
const share = ((await api.ask('cpu')) - cpuBefore) / 1000 / elapsedMs;
client.close();
console.log(`  heartbeats of ${heartbeats.tasks} tasks every ${heartbeats.everySeconds} s: ${(share * 100).toFixed(1)} % of a core (${sent} in ${(elapsedMs / 1000).toFixed(1)} s, ${((share * elapsedMs * 1000) / sent).toFixed(0)} us each)`);

if (process.argv[2] !== undefined) writeFileSync(process.argv[2], JSON.stringify({ rounds, requestsARound, rows, heartbeats: { ...heartbeats, sent, elapsedMs, share } }));
for (const { child } of [bare, api]) child.disconnect();
rmSync(folder, { recursive: true });
