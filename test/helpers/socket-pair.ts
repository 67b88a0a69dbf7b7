import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SocketPair {
  /** The side that is tested; half-open, as the supervisor's own. */
  readonly near: Socket;
  /** The peer's side. */
  readonly far: Socket;
}

/** Two connected stream sockets of AF_UNIX, as a task and its supervisor have them. The path is gone before it returns. */
export async function socketPair(): Promise<SocketPair> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-pair-'));
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  try {
    server.listen(join(folder, 's'));
    await once(server, 'listening');
    const far = connect({ path: join(folder, 's'), allowHalfOpen: true });
    const [near] = (await once(server, 'connection')) as [Socket];
    far.on('error', () => {}); // the near side may be destroyed while the far one writes
    return { near, far };
  } finally {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
