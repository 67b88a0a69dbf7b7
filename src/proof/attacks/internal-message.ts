import { setTimeout as wait } from 'node:timers/promises';
import { encode } from '@msgpack/msgpack';
import { writeAll } from './endless-message.js';

/** A message of Node's own protocol between parent and child, which the parent believes; in a frame where the channel has frames. */
export async function run(): Promise<void> {
  const ipc = process.channel as { fd?: number } | undefined;
  for (const [index, cmd] of ['NODE_HANDLE_ACK', 'NODE_HANDLE'].entries()) {
    const message = { cmd, type: 'net.Socket', msg: {} };
    if (ipc?.fd !== undefined) writeAll(ipc.fd, Buffer.from(`${JSON.stringify(message)}\n`));
    else writeAll(0, frame([index + 1, message]));
  }
  await wait(500); // to be there when it takes effect
}

export function frame(value: unknown): Buffer {
  const body = encode(value);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
}
