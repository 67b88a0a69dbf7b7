import type { SeccompAction, SeccompFilter } from '../../lib/kernel/seccomp.js';
import type { SyscallName } from '../../lib/kernel/syscalls.js';

const word = (action: SeccompAction): string => (typeof action === 'string' ? action : `errno ${action.errno}`);

/** What a filter answers, read from its rules as a person reads them. */
export function decide(filter: SeccompFilter, name: SyscallName, args: readonly bigint[] = []): string {
  const rule = filter.rules.get(name);
  if (rule === undefined) return word(filter.defaultAction);
  const clause = rule.clauses?.find(({ tests }) =>
    tests.every((test) => {
      const value = BigInt.asUintN(64, args[test.argument] ?? 0n);
      if (test.type === 'pointer') return value === BigInt(test.equals);
      return (BigInt.asUintN(32, value) & BigInt((test.mask ?? 0xffffffff) >>> 0)) === BigInt(test.equals >>> 0);
    }),
  );
  return word(clause?.action ?? rule.action);
}

/** Whether there are arguments with which a call goes through, and whether there are some with which it does not. */
export function reach(filter: SeccompFilter, name: SyscallName): 'always' | 'by argument' | 'never' {
  const rule = filter.rules.get(name);
  const actions = rule === undefined ? [filter.defaultAction] : [...(rule.clauses ?? []).map(({ action }) => action), rule.action];
  return actions.every((action) => action === 'allow') ? 'always' : actions.includes('allow') ? 'by argument' : 'never';
}
