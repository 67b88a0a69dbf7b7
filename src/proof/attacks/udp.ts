import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { told, type Scene } from '../scene.js';
import { attempt } from './refused.js';

/** A question in one datagram, and its answer. */
export async function run(scene: Scene): Promise<void> {
  await attempt(async () => {
    const socket = createSocket('udp4');
    try {
      const answer = once(socket, 'message', { signal: AbortSignal.timeout(2000) }) as Promise<[Buffer]>;
      socket.send('?', Number(told(scene, 'udpPort')), '127.0.0.1');
      console.log(String((await answer)[0]));
    } finally {
      socket.close();
    }
  });
}
