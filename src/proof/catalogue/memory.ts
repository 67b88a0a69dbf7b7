import type { Row } from '../attack.js';
import { attaching, program } from '../needs.js';

export const memory: readonly Row[] = [
  { name: 'proc-mem', title: '/proc/<pid>/mem', kind: 'native', off: 'leaked', needs: [attaching], demo: true, how: "reads all of the supervisor's memory as a file" },
  { name: 'thread-mem', title: '/proc/<pid>/task/<tid>/mem', kind: 'native', off: 'leaked', needs: [attaching], how: 'the same memory, by the number of another thread' },
  { name: 'mem-write', title: '/proc/<pid>/mem, written', kind: 'native', off: 'disrupted', needs: [attaching], how: "writes over the tokens in the supervisor's memory" },
  { name: 'ptrace', title: 'ptrace attach', kind: 'native', off: 'leaked', needs: [attaching], demo: true, how: "attaches as a debugger and peeks at the supervisor's stack" },
  { name: 'ptrace-seize', title: 'ptrace seize', kind: 'native', off: 'leaked', needs: [attaching], how: 'the same without stopping it first' },
  { name: 'ptrace-exitkill', title: 'ptrace, PTRACE_O_EXITKILL', kind: 'native', off: 'disrupted', needs: [attaching], how: 'has the supervisor end when the task ends' },
  { name: 'process-vm-readv', title: 'process_vm_readv', kind: 'native', off: 'leaked', needs: [attaching], demo: true, how: "copies the supervisor's memory with one system call" },
  { name: 'process-vm-writev', title: 'process_vm_writev', kind: 'native', off: 'disrupted', needs: [attaching], how: "writes over the tokens in the supervisor's memory with one system call" },
  { name: 'pidfd-getfd', title: 'pidfd_getfd', kind: 'native', off: 'leaked', needs: [attaching], demo: true, how: 'takes the descriptor of a credentials file out of the supervisor' },
  { name: 'proc-fd', title: '/proc/<pid>/fd', kind: 'native', off: 'leaked', how: 'opens the unlinked credentials file by the link to it' },
  { name: 'gdb', title: 'gdb attach', kind: 'script', off: 'leaked', needs: [program('gdb'), attaching], demo: true, how: 'has the debugger print the environment, as gcore would dump it' },
];
