// Bugs of others that attackers of a supervisor have used, and what is left of them here.

import type { GuaranteeName } from '../guarantees.js';
import { check, kernelVersion, type Check, type Examined } from './doctor-row.js';

interface Hole {
  readonly name: string;
  readonly what: string;
  /** First mainline release with the fix, as `kernelVersion` counts; undefined: not known, or no bug but a gap. */
  readonly fixed: number | undefined;
  readonly guarantees: readonly GuaranteeName[];
  /** Why no task gets through where it is open. */
  readonly closed: string;
  /** Whom it leaves: other programs of this user, which are under no rule of ours. */
  readonly others?: boolean;
}

const holes: readonly Hole[] = [
  { name: 'CVE-2026-46333', what: 'descriptors of a process that ends are taken although it is not dumpable', fixed: 7001, guarantees: ['memory'], closed: 'tasks cannot call pidfd_getfd or ptrace', others: true },
  { name: 'CVE-2026-72183', what: "SIGIO to a process group passes Landlock's signal scope", fixed: undefined, guarantees: ['signals'], closed: 'each task has a session of its own and cannot name an owner for SIGIO' },
  { name: 'TCP Fast Open', what: "sendto with MSG_FASTOPEN passes Landlock's TCP rules", fixed: 7002, guarantees: ['network'], closed: 'the filter refuses that flag' },
  { name: 'Multipath TCP', what: "its sockets pass Landlock's TCP rules", fixed: undefined, guarantees: ['network'], closed: 'the filter refuses that protocol' },
  { name: 'CVE-2022-30594', what: 'PTRACE_O_SUSPEND_SECCOMP lifts a filter', fixed: 5018, guarantees: ['kernel'], closed: 'tasks cannot call ptrace' },
  { name: 'CVE-2019-13272', what: 'PTRACE_TRACEME gives the rights of a privileged parent', fixed: 5002, guarantees: ['privileges'], closed: 'tasks cannot call ptrace' },
  { name: 'CVE-2017-5226', what: 'TIOCSTI types into the terminal of the caller', fixed: undefined, guarantees: ['inheritance'], closed: 'tasks have no terminal, and the filter refuses it' },
];

/** A version tells only where it is newer than the fix: distributions mend older ones under the old number. */
export function knownHoles({ release, texts, nodeVersion }: Examined): Check[] {
  const version = kernelVersion(release);
  const rows = holes.map(({ name, what, fixed, guarantees, closed, others }) => {
    if (fixed !== undefined && version >= fixed) return check(name, 'ok', `fixed in ${text(fixed)}`, guarantees, what);
    const value = fixed === undefined ? 'closed by Sallyport' : `fixed in ${text(fixed)}; cannot be told here: distributions mend older kernels`;
    return others === true
      ? check(name, 'warn', value, guarantees, `${what}; ${closed}, but other programs of this user may`, "your distribution's notes on this kernel")
      : check(name, 'ok', value, guarantees, `${what}; ${closed}`);
  });
  const handler = texts['/proc/sys/kernel/core_pattern'] ?? '';
  if (/^\|.*systemd-coredump/.test(handler)) rows.push(check('CVE-2025-4598', 'ok', 'closed by Sallyport', ['secrets'], 'systemd-coredump can be raced for the core of another process; harden() leaves none'));
  const [major = 0, minor = 0, patch = 0] = nodeVersion.split('.').map(Number);
  const old = (major === 20 && minor * 100 + patch < 1101) || (major === 21 && minor * 100 + patch < 602);
  rows.push(check('CVE-2024-21892', old ? 'warn' : 'ok', old ? `not in Node ${nodeVersion}` : `fixed in this Node`, ['code', 'privileges'], 'a Node with capabilities takes NODE_OPTIONS from who starts it', old ? 'a newer Node of the same series' : ''));
  return rows;
}

const text = (version: number): string => `Linux ${Math.floor(version / 1000)}.${version % 1000}`;
