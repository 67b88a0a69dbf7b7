import { readdirSync, readFileSync } from 'node:fs';
import { EnforcementPartial, invalidArgument, outOfRange } from '../errors.js';
import { native } from '../native.js';

/** In the kernel's order: the index is the number that capabilities(7) gives it. */
export const capabilityNames = [
  'CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_DAC_READ_SEARCH', 'CAP_FOWNER', 'CAP_FSETID', 'CAP_KILL', 'CAP_SETGID', 'CAP_SETUID',
  'CAP_SETPCAP', 'CAP_LINUX_IMMUTABLE', 'CAP_NET_BIND_SERVICE', 'CAP_NET_BROADCAST', 'CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_IPC_LOCK',
  'CAP_IPC_OWNER', 'CAP_SYS_MODULE', 'CAP_SYS_RAWIO', 'CAP_SYS_CHROOT', 'CAP_SYS_PTRACE', 'CAP_SYS_PACCT', 'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT', 'CAP_SYS_NICE', 'CAP_SYS_RESOURCE', 'CAP_SYS_TIME', 'CAP_SYS_TTY_CONFIG', 'CAP_MKNOD', 'CAP_LEASE',
  'CAP_AUDIT_WRITE', 'CAP_AUDIT_CONTROL', 'CAP_SETFCAP', 'CAP_MAC_OVERRIDE', 'CAP_MAC_ADMIN', 'CAP_SYSLOG', 'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND', 'CAP_AUDIT_READ', 'CAP_PERFMON', 'CAP_BPF', 'CAP_CHECKPOINT_RESTORE',
] as const;

/** A capability newer than this build goes by its number: `CAP_41`. */
export type CapabilityName = (typeof capabilityNames)[number] | `CAP_${number}`;

/** The five sets of capabilities(7), in the kernel's order of bits. */
export interface CapabilitySets {
  readonly effective: readonly CapabilityName[];
  readonly permitted: readonly CapabilityName[];
  readonly inheritable: readonly CapabilityName[];
  readonly ambient: readonly CapabilityName[];
  readonly bounding: readonly CapabilityName[];
  /** SECBIT_* flags of prctl(2), PR_GET_SECUREBITS. */
  readonly securebits: number;
}

export interface CapabilityReport extends CapabilitySets {
  /** How many threads were reached, and seen to be without what was dropped. */
  readonly threads: number;
  /** What this process may not change, and why. It gives no thread a capability. */
  readonly missing: readonly string[];
}

export interface DropCapabilitiesOptions {
  /** Capabilities to leave where they are; nothing is ever added. @default none */
  readonly keep?: readonly CapabilityName[];
}

type SetName = Exclude<keyof CapabilitySets, 'securebits'>;
type Sets = Record<SetName, bigint>;

// The names that proc(5) gives the sets.
const statusFields = { effective: 'CapEff', permitted: 'CapPrm', inheritable: 'CapInh', ambient: 'CapAmb', bounding: 'CapBnd' } as const;
const setNames = Object.keys(statusFields) as SetName[];
const setpcap = bitOf('CAP_SETPCAP');

/** The capabilities of the calling thread. Linux gives each thread sets of its own. */
export function getCapabilities(): CapabilitySets {
  const found = native().getCapabilities();
  return Object.freeze({ ...named(found), securebits: found.securebits });
}

/**
 * Takes capabilities away from every thread of this process: V8's, libuv's, the inspector's and the
 * workers', out of all five sets. With CAP_SETPCAP the bounding set and the securebits go too, so that no
 * program started later, set-uid or run as uid 0, gets them back; without it, `missing` says so.
 * Irreversible. Harden first: a look for watchers of other users' processes needs CAP_SYS_PTRACE.
 *
 * @returns What the kernel says of every thread now, each set joined over the threads.
 * @throws {EnforcementPartial} `ERR_ENFORCEMENT_PARTIAL`, guarantee `privileges`: a thread could not be reached
 *   or still has a capability; `missing` names it. The other threads may have dropped theirs.
 * @see capabilities(7), capset(2), libpsx(3). Scope: process, and what it starts later.
 */
export function dropCapabilities(options: DropCapabilitiesOptions = {}): CapabilityReport {
  const keep = maskOf('options.keep', options.keep ?? []);
  const mayDropBounding = (native().getCapabilities().permitted & setpcap) !== 0n;
  try {
    native().dropCapabilities(keep);
  } catch (cause) {
    const { tid, message } = cause as Error & { tid: number };
    throw new EnforcementPartial('privileges', `${describe(tid)} did not drop its capabilities: ${message}`, { cause });
  }

  const union: Sets = { effective: 0n, permitted: 0n, inheritable: 0n, ambient: 0n, bounding: 0n };
  const threads = threadSets();
  for (const [tid, sets] of threads) {
    for (const set of setNames) {
      union[set] |= sets[set];
      const left = sets[set] & ~keep;
      if (left !== 0n && (set !== 'bounding' || mayDropBounding)) {
        throw new EnforcementPartial('privileges', `${describe(tid)} still has ${namesOf(left).join(', ')} in its ${set} set`);
      }
    }
  }
  const bounded = namesOf(union.bounding & ~keep);
  const missing = bounded.length === 0 ? [] : [`the bounding set keeps ${bounded.length} capabilities: dropping them needs CAP_SETPCAP`];
  const { securebits } = native().getCapabilities();
  return Object.freeze({ threads: threads.size, ...named(union), securebits, missing: Object.freeze(missing) });
}

/** The sets of every thread, as the kernel tells them: `capget` would answer for the caller alone. */
function threadSets(): Map<number, Sets> {
  const found = new Map<number, Sets>();
  for (const tid of readdirSync('/proc/self/task')) {
    try {
      const status = readFileSync(`/proc/self/task/${tid}/status`, 'latin1');
      const read = (set: SetName): bigint => BigInt(`0x${new RegExp(`^${statusFields[set]}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1] ?? 'f'.repeat(16)}`);
      found.set(Number(tid), Object.fromEntries(setNames.map((set) => [set, read(set)])) as Sets);
    } catch (error) {
      // A thread that ended meanwhile has nothing left to drop.
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
  return found;
}

function describe(tid: number): string {
  let name = '';
  try {
    name = ` (${readFileSync(`/proc/self/task/${tid}/comm`, 'utf8').trim()})`;
  } catch {
    // It ended; its number is all there is to say.
  }
  return `thread ${tid}${name}`;
}

function bitOf(name: CapabilityName, option = 'options.keep'): bigint {
  const known = (capabilityNames as readonly string[]).indexOf(name);
  const index = known >= 0 ? known : Number(/^CAP_(\d+)$/.exec(name)?.[1] ?? NaN);
  if (!(index < 64)) throw outOfRange(option, 'names of capabilities, as capabilities(7) spells them');
  return 1n << BigInt(index);
}

/** A bit each, as the addon takes them. `option` is what a caller knows the names by. */
export function maskOf(option: string, names: readonly CapabilityName[]): bigint {
  if (!Array.isArray(names) || names.some((name) => typeof name !== 'string')) throw invalidArgument(option, 'an array of capability names', names);
  return names.reduce((mask, name) => mask | bitOf(name, option), 0n);
}

function namesOf(mask: bigint): CapabilityName[] {
  const names: CapabilityName[] = [];
  for (let index = 0; index < 64; index++) {
    if ((mask & (1n << BigInt(index))) !== 0n) names.push(capabilityNames[index] ?? `CAP_${index}`);
  }
  return names;
}

function named(sets: Readonly<Sets>): Record<SetName, readonly CapabilityName[]> {
  return Object.fromEntries(setNames.map((set) => [set, Object.freeze(namesOf(sets[set]))])) as unknown as Record<SetName, readonly CapabilityName[]>;
}
