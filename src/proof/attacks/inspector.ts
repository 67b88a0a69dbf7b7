import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { constants } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { nativeProgram } from '../../native.js';
import type { Scene } from '../scene.js';
import { attempt, refused } from './refused.js';

const attempts = 12;

/** How the signal is sent. */
const ways: Readonly<Record<string, (pid: number) => unknown>> = {
  kill: (pid) => process.kill(pid, 'SIGUSR1'),
  // Node's own debugger does it by this.
  debugProcess: (pid) => (process as unknown as { _debugProcess(pid: number): void })._debugProcess(pid),
  // To each of its threads: one that blocks it leaves it to another.
  threads: (pid) => console.log(execFileSync(nativeProgram('attack'), ['tgkill', String(pid), String(constants.signals.SIGUSR1)], { encoding: 'latin1' })),
};

/** SIGUSR1 opens Node's inspector in any Node process that did not see to it; its clients run what they like there. */
export async function run(scene: Scene, [way = 'kill']: readonly string[]): Promise<void> {
  await attempt(() => ways[way]?.(scene.supervisorPid));
  for (let tries = 0; tries < attempts; tries++) {
    await wait(50);
    for (const port of listeningPorts(scene.supervisorPid)) {
      try {
        console.log(await evaluate(await debuggerUrl(port), 'JSON.stringify(process.env)'));
        return;
      } catch (error) {
        if (tries === attempts - 1) refused(error);
      }
    }
  }
}

/** The TCP ports a process listens on, by the inodes of its sockets; Node's own default when they cannot be read. */
function listeningPorts(pid: number): number[] {
  try {
    const folder = `/proc/${pid}/fd`;
    const sockets = new Set(readdirSync(folder).map((fd) => /^socket:\[(\d+)\]$/.exec(link(`${folder}/${fd}`))?.[1]));
    return readFileSync('/proc/net/tcp', 'latin1')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((row) => row[3] === '0A' && sockets.has(row[9]))
      .map((row) => Number.parseInt(row[1]?.split(':')[1] ?? '', 16));
  } catch {
    return [9229];
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // closed since it was listed
  }
}

function debuggerUrl(port: number): Promise<URL> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/json/list', timeout: 1000 }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.on('end', () => {
        try {
          const [target] = JSON.parse(body) as [{ webSocketDebuggerUrl: string }];
          resolve(new URL(target.webSocketDebuggerUrl));
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    }).on('error', reject);
  });
}

/** One Runtime.evaluate over a WebSocket of our own: Node 20 has none. RFC 6455 */
function evaluate(url: URL, expression: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(url.port), '127.0.0.1');
    let bytes = Buffer.alloc(0);
    let open = false;
    socket.setTimeout(2000, () => socket.destroy(new Error('the inspector did not answer')));
    socket.on('error', reject);
    socket.on('connect', () => {
      const key = randomBytes(16).toString('base64');
      socket.write(`GET ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`);
    });
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (!open) {
        const end = bytes.indexOf('\r\n\r\n');
        if (end < 0) return;
        open = true;
        bytes = bytes.subarray(end + 4);
        send(socket, JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression, returnByValue: true } }));
      }
      const message = receive(bytes);
      if (message === undefined) return;
      socket.destroy();
      resolve(message);
    });
  });
}

/** A masked text frame, as a client must send. RFC 6455 section 5.2 */
function send(socket: Socket, text: string): void {
  const payload = Buffer.from(text);
  const mask = randomBytes(4);
  const head = Buffer.alloc(4);
  head.writeUInt8(0x81, 0);
  head.writeUInt8(0x80 | 126, 1);
  head.writeUInt16BE(payload.length, 2);
  for (let i = 0; i < payload.length; i++) payload.writeUInt8(payload.readUInt8(i) ^ mask.readUInt8(i % 4), i);
  socket.write(Buffer.concat([head, mask, payload]));
}

/** The payload of the first frame in `bytes`, once it is complete. */
function receive(bytes: Buffer): string | undefined {
  if (bytes.length < 10) return undefined;
  const short = bytes.readUInt8(1) & 0x7f;
  const start = short === 127 ? 10 : short === 126 ? 4 : 2;
  const length = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
  return bytes.length < start + length ? undefined : bytes.toString('utf8', start, start + length);
}
