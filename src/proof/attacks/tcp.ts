import { connect } from 'node:net';
import type { NetConnectOpts } from 'node:net';
import { text } from 'node:stream/consumers';
import { told, type Scene } from '../scene.js';
import { attempt } from './refused.js';

/** Whatever a service says to those who connect. */
export async function hear(where: NetConnectOpts): Promise<void> {
  await attempt(async () => console.log(await text(connect(where))));
}

/** TCP, also by addresses that mean this host in other words. */
export async function run(scene: Scene): Promise<void> {
  const port = Number(told(scene, 'tcpPort'));
  for (const host of ['127.0.0.1', '0.0.0.0', '::ffff:127.0.0.1']) await hear({ host, port });
}
