import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why there is none, or undefined. */
export const withoutRedis = spawnSync('redis-server', ['--version']).status === 0 ? undefined : 'no Redis (the package redis-server)';

/** A real server in memory, by a Unix socket in a folder of its own. */
export class Redis implements AsyncDisposable {
  static async start(): Promise<Redis> {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-redis-'));
    const socket = join(folder, 'redis.sock');
    const child = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--unixsocketperm', '700', '--save', '', '--appendonly', 'no', '--dir', folder], { stdio: ['ignore', 'pipe', 'ignore'], env: { PATH: process.env['PATH'] ?? '' } });
    process.once('exit', () => child.kill('SIGKILL')); // a test that dies leaves no server behind
    const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
    let told = '';
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        told += chunk;
        if (told.includes('ready to accept connections')) resolve();
      });
      void gone.then(() => reject(new Error(`redis-server ended: ${told}`)));
    });
    return new Redis(socket, async () => {
      child.kill('SIGKILL');
      await gone;
      rmSync(folder, { recursive: true });
    });
  }

  readonly socket: string;
  readonly #stop: () => Promise<void>;

  private constructor(socket: string, stop: () => Promise<void>) {
    this.socket = socket;
    this.#stop = stop;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stop();
  }
}
