import { readFileSync } from 'node:fs';
import type { ArgumentTest, SeccompFilter, SyscallRule } from '../../lib/kernel/seccomp.js';
import { syscallNumbers, type Architecture, type SyscallName } from '../../lib/kernel/syscalls.js';

interface Profile {
  readonly allowed: readonly SyscallName[];
  readonly x64: readonly SyscallName[];
  readonly byArgument: Readonly<Record<string, { argument: 0; oneOf?: number[]; noneOf?: number[]; noneOfBits?: number }>>;
  readonly byCapability: Readonly<Record<string, readonly SyscallName[]>>;
  readonly errno: Readonly<Record<string, number>>;
}

/** Docker's default profile as data: names, and on what they depend. */
export const docker = JSON.parse(readFileSync(new URL('../fixtures/docker-seccomp.json', import.meta.url), 'utf8')) as Profile;

/** The capabilities of a container's root, unless it is told otherwise. */
export const dockerCapabilities = [
  'CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FSETID', 'CAP_FOWNER', 'CAP_MKNOD', 'CAP_NET_RAW', 'CAP_SETGID', 'CAP_SETUID', 'CAP_SETFCAP', 'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE', 'CAP_SYS_CHROOT', 'CAP_KILL', 'CAP_AUDIT_WRITE',
];

const EPERM = { errno: 1 };

function byArgument({ argument, oneOf, noneOf, noneOfBits }: Profile['byArgument'][string]): SyscallRule {
  const is = (equals: number, mask?: number): ArgumentTest => ({ argument, type: 'int', equals, ...(mask !== undefined && { mask }) });
  if (noneOfBits !== undefined) return { clauses: [{ tests: [is(0, noneOfBits)], action: 'allow' }], action: EPERM };
  if (oneOf !== undefined) return { clauses: oneOf.map((value) => ({ tests: [is(value)], action: 'allow' as const })), action: EPERM };
  return { clauses: (noneOf ?? []).map((value) => ({ tests: [is(value)], action: EPERM })), action: 'allow' };
}

/** The filter of a container with these capabilities. */
export function dockerFilter(arch: Architecture, capabilities: readonly string[] = []): SeccompFilter {
  const rules = new Map<SyscallName, SyscallRule>();
  const set = (names: readonly SyscallName[], rule: SyscallRule): void => names.forEach((name) => rules.set(name, rule));
  set(Object.keys(syscallNumbers) as SyscallName[], { action: EPERM });
  for (const [name, errno] of Object.entries(docker.errno)) set([name as SyscallName], { action: { errno } });
  for (const [name, test] of Object.entries(docker.byArgument)) set([name as SyscallName], byArgument(test));
  for (const capability of capabilities) set(docker.byCapability[capability] ?? [], { action: 'allow' });
  set([...docker.allowed, ...(arch === 'x64' ? docker.x64 : [])], { action: 'allow' });
  return { rules, defaultAction: EPERM };
}
