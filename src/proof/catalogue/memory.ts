import type { Row } from '../attack.js';
import { attaching, program } from '../needs.js';

export const memory: readonly Row[] = [
  { name: 'proc-mem', title: '/proc/<pid>/mem', kind: 'native', off: 'leaked', needs: [attaching], demo: true, how: "reads all of the supervisor's memory as a file" },
  { name: 'ptrace', title: 'ptrace attach', kind: 'native', off: 'leaked', needs: [attaching], demo: true, how: "attaches as a debugger and peeks at the supervisor's stack" },
  { name: 'process-vm-readv', title: 'process_vm_readv', kind: 'native', off: 'leaked', needs: [attaching], demo: true, how: "copies the supervisor's memory with one system call" },
  { name: 'pidfd-getfd', title: 'pidfd_getfd', kind: 'native', off: 'leaked', needs: [attaching], demo: true, how: 'takes the descriptor of a credentials file out of the supervisor' },
  { name: 'gdb', title: 'gdb attach', kind: 'script', off: 'leaked', needs: [program('gdb'), attaching], demo: true, how: 'has the debugger print the environment, as gcore would dump it' },
];
