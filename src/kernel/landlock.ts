import { native } from '../native.js';

/** Filesystem rights by the kernel's names, with the ABI that added each. linux/landlock.h */
const accessFs = {
  execute: [1n << 0n, 1],
  write_file: [1n << 1n, 1],
  read_file: [1n << 2n, 1],
  read_dir: [1n << 3n, 1],
  remove_dir: [1n << 4n, 1],
  remove_file: [1n << 5n, 1],
  make_char: [1n << 6n, 1],
  make_dir: [1n << 7n, 1],
  make_reg: [1n << 8n, 1],
  make_sock: [1n << 9n, 1],
  make_fifo: [1n << 10n, 1],
  make_block: [1n << 11n, 1],
  make_sym: [1n << 12n, 1],
  refer: [1n << 13n, 2],
  truncate: [1n << 14n, 3],
  ioctl_dev: [1n << 15n, 5],
  resolve_unix: [1n << 16n, 9],
} as const satisfies Record<string, readonly [bigint, number]>;

export type AccessFs = keyof typeof accessFs;

/** The same for ports. No rule is ever made for one: what a policy grants of the network is connected and bound by the supervisor. */
const accessNet = {
  bind_tcp: [1n << 0n, 4],
  connect_tcp: [1n << 1n, 4],
  bind_udp: [1n << 2n, 10],
  connect_send_udp: [1n << 3n, 10],
} as const satisfies Record<string, readonly [bigint, number]>;

/** Ends of a domain that no rule opens. ABI 7 and 8 add nothing that a domain denies: flags of landlock_restrict_self(2). */
const scopes = {
  abstract_unix_socket: [1n << 0n, 6],
  signal: [1n << 1n, 6],
} as const satisfies Record<string, readonly [bigint, number]>;

/** What a domain denies unless a rule allows it, as bits. */
export interface HandledAccess {
  readonly fs: number;
  readonly net: number;
  readonly scoped: number;
}

/** Every right that `abi` knows: what is not handled is not denied. Pure. */
export function handledAccess(abi: number): HandledAccess {
  const known = (table: Readonly<Record<string, readonly [bit: bigint, since: number]>>): number =>
    Number(Object.values(table).reduce((bits, [bit, since]) => (since <= abi ? bits | bit : bits), 0n));
  return { fs: known(accessFs), net: known(accessNet), scoped: known(scopes) };
}

/** The bits of the named rights that `abi` knows. Pure. */
export function accessBits(names: readonly AccessFs[], abi: number): number {
  return Number(names.reduce((bits, name) => (accessFs[name][1] <= abi ? bits | accessFs[name][0] : bits), 0n));
}

/** The Landlock ABI of this kernel, 0 where it is absent or switched off. Asked by system call, never by version. */
export function landlockAbi(): number {
  return native().landlockAbi();
}

/** The bitmask of Landlock bugs that this kernel has fixed; 0 before Linux 6.15, which cannot be asked. */
export function landlockErrata(): number {
  return native().landlockErrata();
}

/** A bug of Landlock's that kernels tell they are rid of. security/landlock/errata/ in the kernel's source. */
export interface LandlockErratum {
  /** Counted from 1: bit 0 of the bitmask is the first. */
  readonly number: number;
  /** The first ABI that had it. */
  readonly abi: number;
  readonly what: string;
  /** Whether a task may do more where it is not fixed. The others refuse too much, and nothing that a task of ours does. */
  readonly widens: boolean;
}

export const knownErrata: readonly LandlockErratum[] = [
  { number: 1, abi: 4, what: 'stream sockets that are not TCP are held to TCP rules', widens: false },
  { number: 2, abi: 6, what: 'signals between threads of one process are refused', widens: false },
  // Who moves it is somebody else: a task cannot move a folder out of a bind mount that it is in.
  { number: 3, abi: 1, what: 'renaming and linking in a folder that was moved out of a bind mount can widen what its rules allow', widens: true },
  // Number 4 is about the right that overlayfs's marks of absent files need, which are nothing to a task.
];

/** The bugs that this kernel has, or does not say that it is rid of. Pure. */
export function openErrata({ landlockAbi: abi, landlockErrata: fixed }: { readonly landlockAbi: number; readonly landlockErrata: number }): readonly LandlockErratum[] {
  return knownErrata.filter((erratum) => abi >= erratum.abi && (fixed & (1 << (erratum.number - 1))) === 0);
}
