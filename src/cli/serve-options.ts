import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { SecretRefused } from '../errors.js';
import { readableByOthers } from '../secrets/secret-file.js';
import { Secret } from '../secrets/secret.js';
import type { ListenOptions, PostgresOptions, Seed } from '../server/index.js';
import type { KeyOption } from '../tokens/index.js';
import { usageError } from './command-line.js';

/** `HOST:PORT`, `[::1]:PORT`, or `unix:PATH`. */
export function addressOf(text: string, option: string): ListenOptions {
  if (text.startsWith('unix:/')) return { socket: text.slice('unix:'.length) };
  const [, six, host = six, port = ''] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  if (host === undefined || Number(port) > 65_535) throw usageError(`${option} takes HOST:PORT, or unix: and an absolute path`);
  return { host, port: Number(port) };
}

const secretKinds = 'env:VARIABLE, file:PATH, credential:NAME, exec:NAME, fd:N';

function parts(text: string, option: string): readonly [string, string] {
  const [, kind = '', rest = ''] = /^(env|file|credential|exec|fd):(.+)$/s.exec(text) ?? [];
  // Without what may be a secret that someone wrote there.
  if (kind === '' || (kind === 'fd' && !/^\d{1,9}$/.test(rest))) throw usageError(`${option} takes where a secret is, one of ${secretKinds}; never the secret itself`);
  return [kind, rest];
}

/** @throws {SecretRefused} `ERR_SECRET_REFUSED` */
export function secretFrom(text: string, option: string): Secret {
  const [kind, rest] = parts(text, option);
  switch (kind) {
    case 'env':
      return Secret.fromEnv(rest);
    case 'file':
      return Secret.fromFile(rest);
    case 'credential':
      return Secret.fromCredential(rest);
    case 'exec':
      return Secret.fromExec(rest);
    default:
      return Secret.fromDescriptor(Number(rest));
  }
}

/** For a key agent, which reads it itself where it can: then this process never has it. */
export function keyFrom(text: string, option: string): KeyOption {
  const [kind, rest] = parts(text, option);
  if (kind === 'file') return { file: rest };
  if (kind === 'credential') return { credential: rest };
  return kind === 'fd' ? { descriptor: Number(rest) } : { secret: secretFrom(text, option) };
}

/** A file, `:memory:`, or `postgres://USER@HOST:PORT/NAME`, with `?host=/folder` for a Unix socket. */
export function databaseFrom(text: string, password: string | undefined): string | PostgresOptions {
  if (!/^postgres(ql)?:\/\//.test(text)) {
    if (password !== undefined) throw usageError('--database-password is for PostgreSQL');
    return text;
  }
  // libpq's `postgres://USER@/NAME`, which is no URL.
  const [whole, noHost] = [text.replace(/^(\w+:\/\/[^/@]*@)\//, '$1none/'), /^\w+:\/\/[^/@]*@\//.test(text)];
  const url = URL.canParse(whole) ? new URL(whole) : undefined;
  if (url?.password) throw usageError('--database takes no password: arguments are there for every user to read; --database-password SOURCE');
  const database = decodeURIComponent(url?.pathname.slice(1) ?? '');
  const unknown = [...(url?.searchParams.keys() ?? [])].find((name) => name !== 'host' && name !== 'tls');
  if (url === undefined || database === '' || url.username === '' || unknown !== undefined) throw usageError('--database takes a file, :memory:, or postgres://USER@HOST[:PORT]/NAME[?host=FOLDER][&tls=no]');
  const host = url.searchParams.get('host') ?? (noHost ? '' : decodeURIComponent(url.hostname));
  return {
    database,
    user: decodeURIComponent(url.username),
    ...(host !== '' && { host }),
    ...(url.port !== '' && { port: Number(url.port) }),
    ...(url.searchParams.get('tls') === 'no' && { tls: false }),
    ...(password !== undefined && { password: secretFrom(password, '--database-password') }),
  };
}

/**
 * What a server is to begin with. Checked where it is used.
 *
 * @throws {SecretRefused} `ERR_SECRET_REFUSED`: it is not JSON, or has a password in it and is not for its owner alone.
 */
export function seedFrom(path: string): Seed {
  const fd = openSync(path, 'r');
  try {
    const seed = parsed(path, readFileSync(fd, 'utf8'));
    const holds = seed?.connections?.some?.(({ password, extra }) => password != null || extra != null) === true;
    const problem = holds ? readableByOthers(fstatSync(fd)) : undefined;
    if (problem !== undefined) throw new SecretRefused(`seed "${path}"`, `it has a connection's password or extra, and ${problem}`);
    return seed;
  } finally {
    closeSync(fd);
  }
}

function parsed(path: string, text: string): Seed {
  try {
    return JSON.parse(text) as Seed;
  } catch {
    throw new SecretRefused(`seed "${path}"`, 'it is not JSON'); // JSON.parse quotes what it could not read
  }
}
