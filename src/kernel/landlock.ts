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
} as const satisfies Record<string, readonly [bigint, number]>;

export type AccessFs = keyof typeof accessFs;

const BIND_TCP = 1n << 0n;
const CONNECT_TCP = 1n << 1n;
const SCOPE_ABSTRACT_UNIX_SOCKET = 1n << 0n;
const SCOPE_SIGNAL = 1n << 1n;

/** What a domain denies unless a rule allows it, as bits. */
export interface HandledAccess {
  readonly fs: number;
  readonly net: number;
  readonly scoped: number;
}

/** Every right that `abi` knows: what is not handled is not denied. Pure. */
export function handledAccess(abi: number): HandledAccess {
  const fs = Object.values(accessFs).reduce((bits, [bit, since]) => (since <= abi ? bits | bit : bits), 0n);
  return {
    fs: Number(fs),
    net: abi >= 4 ? Number(BIND_TCP | CONNECT_TCP) : 0,
    scoped: abi >= 6 ? Number(SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL) : 0,
  };
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
