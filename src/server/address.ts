import { connect, type AddressInfo } from 'node:net';
import { lstatSync, unlinkSync } from 'node:fs';
import type { App } from './app.js';

export interface ListenOptions {
  /** @default '127.0.0.1' */
  readonly host?: string;
  /** @default 0, a free one */
  readonly port?: number;
  /** The path of a Unix socket instead: mode 0600, so that this user and root can connect and nobody else. */
  readonly socket?: string;
}

/**
 * @returns The base URL, `http://127.0.0.1:41234`, or `unix:/path`.
 * @throws System error `EADDRINUSE`: somebody answers there.
 */
export async function listenOn(app: App, { host = '127.0.0.1', port = 0, socket }: ListenOptions): Promise<string> {
  if (socket === undefined) {
    await app.listen({ host, port });
    const { address, family, port: bound } = app.server.address() as AddressInfo;
    return `http://${family === 'IPv6' ? `[${address}]` : address}:${bound}`;
  }
  if (await isLeftBehind(socket)) unlinkSync(socket);
  // Not chmod afterwards: whoever has connected by then stays connected.
  const before = process.umask(0o177);
  try {
    await app.listen({ path: socket });
  } finally {
    process.umask(before);
  }
  return `unix:${socket}`;
}

/** A socket that nobody listens at: its server was killed. */
function isLeftBehind(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return resolve(false);
    const client = connect(path);
    client.once('connect', () => resolve(client.destroy() && false));
    client.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}

/** Reached from this host alone. */
export const isLocal = ({ host = '127.0.0.1', socket }: ListenOptions): boolean => socket !== undefined || /^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host);
