import { promises as dns } from 'node:dns';
import { told, type Scene } from '../scene.js';
import { attempt } from './refused.js';

/** Carries data out in the name that it asks a resolver for. */
export async function run(scene: Scene): Promise<void> {
  const resolver = new dns.Resolver({ timeout: 500, tries: 1 });
  await attempt(() => resolver.setServers([`127.0.0.1:${told(scene, 'udpPort')}`]));
  await attempt(() => resolver.resolve4(`${told(scene, 'parcel')}.example`)).catch(() => {});
}
