import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { TaskStartFailed } from '../errors.js';
import { mayResolveTo, namesOf, type Endpoint, type NetworkPlan } from '../policy/network.js';

type Pin = readonly [address: string, port: number];

/** A network plan at one launch: addresses, and the hosts file that has them. */
export interface Pinned {
  readonly connect: readonly Pin[];
  readonly listen: readonly Pin[];
  /** Empty where the plan has no names. */
  readonly hosts: string;
}

async function addressesOf(host: string): Promise<readonly string[]> {
  if (isIP(host) > 0) return [host];
  // Both, whatever this host's file says: a task finds both in its own. RFC 6761 section 6.3.
  if (host === 'localhost') return ['127.0.0.1', '::1'];
  let found: readonly string[];
  try {
    found = (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address);
  } catch (cause) {
    throw new TaskStartFailed('network', `the policy's host "${host}" could not be resolved`, { cause });
  }
  const refused = found.find((address) => !mayResolveTo(host, address));
  if (refused !== undefined) {
    throw new TaskStartFailed('network', `the policy's host "${host}" resolves to ${refused}, which is this host's, the link's or a cloud's metadata service; name that address itself if it is meant`);
  }
  return found;
}

/**
 * Resolves a plan's hosts, once a launch: what the task connects to are these addresses, whatever the names become.
 *
 * @throws {TaskStartFailed} `ERR_TASK_START`, step `network`: a name cannot be resolved, or to an address that a name may
 *   not stand for. Nothing was started.
 * @throws `signal.reason` when aborted meanwhile.
 */
export async function pin(plan: NetworkPlan, signal?: AbortSignal): Promise<Pinned> {
  const hosts = [...new Set([...plan.connect, ...plan.listen].map(({ host }) => host))];
  const aborted = new Promise<never>((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason), { once: true }));
  aborted.catch(() => {});
  const found = new Map(await Promise.race([Promise.all(hosts.map(async (host) => [host, await addressesOf(host)] as const)), aborted]));
  const pins = (endpoints: readonly Endpoint[]): Pin[] => endpoints.flatMap(({ host, port }) => (found.get(host) ?? []).map((address) => [address, port] as const));
  const names = namesOf(plan);
  const lines = ['127.0.0.1 localhost', '::1 localhost', ...names.filter((name) => name !== 'localhost').flatMap((name) => (found.get(name) ?? []).map((address) => `${address} ${name}`))];
  return { connect: pins(plan.connect), listen: pins(plan.listen), hosts: names.length === 0 ? '' : `${lines.join('\n')}\n` };
}
