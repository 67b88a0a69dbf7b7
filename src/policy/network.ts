import { BlockList, isIP } from 'node:net';
import { PolicyInvalid } from '../errors.js';

/** One address of a policy: a host's name or address, and a TCP port. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** What a task may reach by TCP. Everything else of the network stays closed: UDP, other protocols, Unix sockets. */
export interface NetworkPolicy {
  /**
   * Where it may connect to. A name is resolved by the supervisor at each launch, and the task gets those addresses and
   * no others; they are in its /etc/hosts. @default []
   */
  readonly connect?: readonly Endpoint[];
  /**
   * Where it may listen. `host` is an address or a name of this host's; a program that asks for any address gets this
   * one. Port 0 lets the kernel pick. @default host '127.0.0.1'
   */
  readonly listen?: readonly { readonly host?: string; readonly port: number }[];
}

/** A network policy with nothing left out. */
export interface NetworkPlan {
  readonly connect: readonly Endpoint[];
  readonly listen: readonly Endpoint[];
}

function check(holds: boolean, path: string, problem: string): asserts holds {
  if (!holds) throw new PolicyInvalid(path, problem);
}

/** RFC 1123, and underscores, which names have in practice. A dot at the end would be another name in /etc/hosts. */
const hostName = /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$/;

/** What inet_aton(3) takes for an address: `127.1`, `0x7f000001`, `2130706433`. As a name it could not be told from one. */
const looksNumeric = /^(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*$/i;

function endpoints(value: unknown, field: string, listens: boolean): void {
  check(Array.isArray(value), field, 'must be an array of { host, port }');
  check(value.length <= 64, field, 'must have no more than 64 entries');
  (value as unknown[]).forEach((entry, index) => {
    const path = `${field}[${index}]`;
    check(typeof entry === 'object' && entry !== null && !Array.isArray(entry), path, 'must be { host, port }');
    for (const name of Object.keys(entry)) check(name === 'host' || name === 'port', `${path}.${name}`, 'is not a field; there are host, port');
    const { host, port } = entry as { host?: unknown; port?: unknown };
    if (host !== undefined || !listens) {
      check(typeof host === 'string' && (isIP(host) > 0 ? !host.includes('%') : hostName.test(host) && !looksNumeric.test(host)), `${path}.host`, 'must be a host name, or an IPv4 or IPv6 address without a zone');
    }
    check(Number.isInteger(port) && (port as number) >= (listens ? 0 : 1) && (port as number) <= 65535, `${path}.port`, `must be a whole number from ${listens ? 0 : 1} to 65535`);
  });
}

/** Accepts a network policy and nothing else. @throws {PolicyInvalid} `ERR_POLICY_INVALID` with the path of the first wrong field. */
export function checkNetwork(value: unknown, field: string): void {
  if (value === 'none') return;
  check(typeof value === 'object' && value !== null && !Array.isArray(value), field, "must be 'none' or { connect, listen }");
  for (const [name, entry] of Object.entries(value)) {
    check(name === 'connect' || name === 'listen', `${field}.${name}`, 'is not a field; there are connect, listen');
    if (entry !== undefined) endpoints(entry, `${field}.${name}`, name === 'listen');
  }
}

const freezeEndpoint = ({ host = '127.0.0.1', port }: { readonly host?: string; readonly port: number }): Endpoint => Object.freeze({ host: host.toLowerCase(), port });

/** The same with nothing left out, frozen; undefined where nothing is granted. Pure. */
export function networkPlan(policy: NetworkPolicy | 'none' | undefined): NetworkPlan | undefined {
  if (policy === undefined || policy === 'none') return undefined;
  const plan = Object.freeze({
    connect: Object.freeze((policy.connect ?? []).map(freezeEndpoint)),
    listen: Object.freeze((policy.listen ?? []).map(freezeEndpoint)),
  });
  return plan.connect.length === 0 && plan.listen.length === 0 ? undefined : plan;
}

/** Hosts that are names: those that a task must find in its /etc/hosts. */
export const namesOf = ({ connect }: NetworkPlan): string[] => [...new Set(connect.map(({ host }) => host).filter((host) => isIP(host) === 0))];

/** IPv4 blocks that a name must not lead to, and why. RFC 6890; cloud providers' documentation for the metadata services. */
const closed4: readonly (readonly [net: string, prefix: number])[] = [
  ['0.0.0.0', 8], // unspecified, "this network"
  ['127.0.0.0', 8], // loopback: services of this host that trust it
  ['169.254.0.0', 16], // link-local, and most clouds' metadata
  ['100.100.100.200', 32], // Alibaba's metadata
  ['168.63.129.16', 32], // Azure's
  ['192.0.0.192', 32], // Oracle's
  ['224.0.0.0', 4], // multicast
  ['240.0.0.0', 4], // reserved, 255.255.255.255 with it
];
const closed6: readonly (readonly [net: string, prefix: number])[] = [
  ['::', 128],
  ['::1', 128],
  ['fe80::', 10], // link-local
  ['fec0::', 10], // site-local, deprecated
  ['ff00::', 8], // multicast
  ['fd00:ec2::', 32], // AWS's metadata
];

/** An IPv4 block inside the IPv6 blocks that carry one: mapped, compatible, NAT64 (RFC 6052, RFC 8215) and 6to4. */
function carried(net: string, prefix: number): [string, number][] {
  const [a = 0, b = 0, c = 0, d = 0] = net.split('.').map(Number);
  const hex = [(a << 8) | b, (c << 8) | d].map((part) => part.toString(16)).join(':');
  return [[`::ffff:${hex}`, 96 + prefix], [`::${hex}`, 96 + prefix], [`64:ff9b::${hex}`, 96 + prefix], [`64:ff9b:1::${hex}`, 96 + prefix], [`2002:${hex}::`, 16 + prefix]];
}

let blocks: BlockList | undefined;

function closedBlocks(): BlockList {
  if (blocks !== undefined) return blocks;
  blocks = new BlockList();
  for (const [net, prefix] of closed4) {
    blocks.addSubnet(net, prefix, 'ipv4');
    for (const [net6, prefix6] of carried(net, prefix)) blocks.addSubnet(net6, prefix6, 'ipv6');
  }
  for (const [net, prefix] of closed6) blocks.addSubnet(net, prefix, 'ipv6');
  return blocks;
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

const family = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 4 ? 'ipv4' : 'ipv6');

/**
 * Whether a host of the policy may stand for an address. A policy that names an address means it. A name is somebody
 * else's to point where he likes: not to this host, not to what answers on the link alone, not to a cloud's metadata.
 * `localhost` is this host's, and nothing else. Pure.
 */
export function mayResolveTo(host: string, address: string): boolean {
  if (isIP(host) > 0) return host === address;
  if (host === 'localhost') return loopback.check(address, family(address));
  return !closedBlocks().check(address, family(address));
}
