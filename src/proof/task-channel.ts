import { Socket } from 'node:net';
import { decode, encode } from '@msgpack/msgpack';

/**
 * One request of a task, over whichever channel its supervisor gave it: Node's IPC, or
 * frames on descriptor 0. Written out, and not the SDK, since an attacker would not use that.
 */
export function request(body: Record<string, unknown>): Promise<unknown> {
  return process.send === undefined ? overFrames(body) : overNodeIpc(body);
}

function overNodeIpc(body: Record<string, unknown>): Promise<unknown> {
  return new Promise((resolve) => {
    process.once('message', resolve);
    process.send?.({ id: 1, ...body });
  });
}

let channel: Socket | undefined;

function overFrames(body: Record<string, unknown>): Promise<unknown> {
  channel ??= new Socket({ fd: 0, readable: true, writable: true });
  const stream = channel;
  const message = encode([1, body]);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(message.length);
  stream.write(Buffer.concat([head, message]));
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0);
    stream.on('data', function receive(chunk) {
      bytes = Buffer.concat([bytes, chunk]);
      if (bytes.length < 4 || bytes.length < 4 + bytes.readUInt32BE(0)) return;
      stream.off('data', receive);
      resolve(decode(bytes.subarray(4, 4 + bytes.readUInt32BE(0))));
    });
  });
}

/** Calls `gone` when the supervisor has closed its end. */
export function onSupervisorGone(gone: () => void): void {
  process.on('disconnect', gone);
  channel?.on('close', gone).on('error', gone).resume();
}
