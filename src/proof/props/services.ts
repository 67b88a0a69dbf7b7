import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Prop, Sighting } from '../props.js';
import { credential } from './vault.js';

const loopback = '127.0.0.1';

/** Services of this host that tell a secret to whoever reaches them, and a client that tells one to whoever answers. */
export async function services(): Promise<Prop> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-services-'));
  const [answer, word] = [credential(), credential()];
  const parcel = randomBytes(16).toString('hex');
  const tell = (client: Socket): void => void client.on('error', () => {}).resume().end(`${answer}\n`);
  const servers = [createServer(tell), createServer(tell), createServer(tell)] as const;
  const [tcp, path, abstract] = servers;
  const names = { unixSocket: join(folder, 'socket'), abstractSocket: `sallyport-${parcel}` };
  await listening(tcp, { host: loopback, port: 0 });
  await listening(path, { path: names.unixSocket });
  await listening(abstract, { path: `\0${names.abstractSocket}` });

  let delivered: Sighting | undefined;
  const udp = createSocket('udp4', (message, { port, address }) => {
    if (message.includes(parcel)) delivered = { verdict: 'leaked', evidence: "a datagram of the task's reached its receiver" };
    else udp.send(`${answer}\n`, port, address);
  });
  udp.bind(0, loopback);
  await once(udp, 'listening');

  // Nobody listens there, until somebody takes the place.
  const vacant = await vacantPort();
  const client = setInterval(() => {
    connect(vacant, loopback, function (this: Socket) { this.end(`${word}\n`); }).on('error', () => {});
    connect(port(tcp), loopback).on('error', () => {}).resume();
  }, 100);

  return {
    told: { ...names, tcpPort: String(port(tcp)), udpPort: String(udp.address().port), vacantPort: String(vacant), parcel },
    loot: { 'what a service tells': answer, 'what a client tells a service': word },
    seen: () => delivered,
    async end() {
      clearInterval(client);
      udp.close();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function listening(server: Server, where: { host?: string; port?: number; path?: string }): Promise<void> {
  server.listen(where);
  await once(server, 'listening');
}

const port = (server: Server): number => (server.address() as AddressInfo).port;

async function vacantPort(): Promise<number> {
  const server = createServer();
  await listening(server, { host: loopback, port: 0 });
  const vacant = port(server);
  await new Promise((resolve) => server.close(resolve));
  return vacant;
}
