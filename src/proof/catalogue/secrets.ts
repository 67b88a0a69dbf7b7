import type { Row } from '../attack.js';
import { attaching, coreIsFile } from '../needs.js';

/** As root these have every capability: what a secret's memory is for. As anyone else they show the supervisor's other protections. */
const common = { from: 'outside', loot: 'a key the supervisor has not used yet', off: 'leaked' } as const;

export const secrets: readonly Row[] = [
  { name: 'secret-mem', title: 'secret in /proc/<pid>/mem', kind: 'native', runs: 'proc-mem', ...common, needs: [attaching], demo: true, how: 'reads all memory, not as a task but with the rights of whoever runs this' },
  { name: 'secret-vm-readv', title: 'secret by process_vm_readv', kind: 'native', runs: 'process-vm-readv', ...common, needs: [attaching], how: 'the same with one system call' },
  { name: 'secret-ptrace', title: 'secret by ptrace', kind: 'native', runs: 'ptrace-mappings', ...common, needs: [attaching], how: 'peeks at the stack and at every small mapping' },
  { name: 'secret-core', title: 'secret in a core', kind: 'native', runs: 'core-dump', args: ({ folder }) => [folder], ...common, needs: [coreIsFile], how: 'has the kernel write a core of it' },
];
