import { execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { Secret } from '../../lib/secrets/secret.js';
import type { PostgresOptions } from '../../lib/server/index.js';

const debian = '/usr/lib/postgresql';
const programs = existsSync(debian) ? readdirSync(debian).map((version) => join(debian, version, 'bin')).find((bin) => existsSync(join(bin, 'initdb'))) : undefined;

/** Why there is none, or undefined. */
export const withoutPostgres = programs === undefined ? 'no PostgreSQL server (the package postgresql)' : undefined;

const password = 'of the database, only here';
const nobody = 65534; // the server does not run as root

/** A real server with a folder of its own, reached over a Unix socket and with a password. */
export class Postgres implements AsyncDisposable {
  /** @param options.fsync Whether it waits for its disk, as one that keeps something does. */
  static async start({ fsync = false } = {}): Promise<Postgres> {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-pg-'));
    const as = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {};
    if ('uid' in as) chownSync(folder, nobody, nobody);
    const passwordFile = join(folder, 'password');
    writeFileSync(passwordFile, password, { mode: 0o644 });
    const data = join(folder, 'data');
    const env = { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8', HOME: folder };
    execFileSync(join(programs ?? '', 'initdb'), ['-D', data, '-U', 'sallyport', '-A', 'scram-sha-256', '--pwfile', passwordFile, '-E', 'UTF8', '--no-sync'], { ...as, env, stdio: 'pipe', cwd: folder });
    const settings = ['listen_addresses=', `unix_socket_directories=${folder}`, `fsync=${fsync ? 'on' : 'off'}`, 'max_connections=60'].flatMap((setting) => ['-c', setting]);
    const child = spawn(join(programs ?? '', 'postgres'), ['-D', data, ...settings], { ...as, env, stdio: ['ignore', 'ignore', 'pipe'], cwd: folder });
    process.once('exit', () => child.kill('SIGKILL')); // a test that dies leaves no server behind
    let told = '';
    const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
    await new Promise<void>((resolve, reject) => {
      child.stderr.on('data', (chunk: Buffer) => {
        told += chunk;
        if (told.includes('ready to accept connections')) resolve();
      });
      void gone.then(() => reject(new Error(`postgres ended: ${told}`)));
    });
    const stop = async (): Promise<void> => {
      child.kill('SIGQUIT');
      await gone;
      rmSync(folder, { recursive: true });
    };
    return new Postgres(folder, child.pid as number, stop);
  }

  readonly host: string;
  readonly pid: number;
  readonly #stop: () => Promise<void>;
  #count = 0;

  private constructor(host: string, pid: number, stop: () => Promise<void>) {
    this.host = host;
    this.pid = pid;
    this.#stop = stop;
  }

  /** An empty database. */
  async database(): Promise<PostgresOptions> {
    const database = `test${this.#count++}`;
    await this.query('postgres', `CREATE DATABASE ${database}`);
    return { host: this.host, database, user: 'sallyport', password: Secret.fromBytes(Buffer.from(password)), maxConnections: 4 };
  }

  async query(database: string, text: string): Promise<readonly Record<string, unknown>[]> {
    const client = new pg.Client({ host: this.host, database, user: 'sallyport', password });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text)).rows;
    } finally {
      await client.end();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stop();
  }
}
