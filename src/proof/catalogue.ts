import type { GuaranteeName } from '../guarantees.js';

/** One exploit. What it does is in the file of the same name, in native/proof or src/proof/attacks. */
export interface Attack {
  readonly name: string;
  /** As the table shows it. */
  readonly title: string;
  /** What it does, in one line. */
  readonly how: string;
  /** The guarantee it tries to break. */
  readonly guarantee: GuaranteeName;
  /** `native`: of the program `attack`; `script`: of src/proof/attacks. */
  readonly kind: 'native' | 'script';
  /** Whose process it is pointed at. */
  readonly target: 'supervisor' | 'neighbour';
  /** The attack of `kind` that is run, where it is not called `name`. */
  readonly runs?: string;
  /** What it does after its task has ended, and how long that takes. */
  readonly lingersMs?: number;
  /** A program it needs, for hosts that may not have it. */
  readonly needs?: string;
}

/** In the order of the table. Every one of them works against an ordinary supervisor: test/proof.ts insists. */
export const catalogue: readonly Attack[] = [
  { name: 'proc-mem', title: '/proc/<pid>/mem', guarantee: 'memory', kind: 'native', target: 'supervisor', how: "reads all of the supervisor's memory as a file" },
  { name: 'proc-environ', title: '/proc/<pid>/environ', guarantee: 'environ', kind: 'native', target: 'supervisor', how: 'reads the environment the supervisor was started with' },
  { name: 'ptrace', title: 'ptrace attach', guarantee: 'memory', kind: 'native', target: 'supervisor', how: "attaches as a debugger and peeks at the supervisor's stack" },
  { name: 'process-vm-readv', title: 'process_vm_readv', guarantee: 'memory', kind: 'native', target: 'supervisor', how: "copies the supervisor's memory with one system call" },
  { name: 'pidfd-getfd', title: 'pidfd_getfd', guarantee: 'memory', kind: 'native', target: 'supervisor', how: 'takes the descriptor of a credentials file out of the supervisor' },
  { name: 'gdb', title: 'gdb attach', guarantee: 'memory', kind: 'script', target: 'supervisor', needs: 'gdb', how: 'has the debugger print the environment, as gcore would dump it' },
  { name: 'inspector', title: 'SIGUSR1, inspector', guarantee: 'debugger', kind: 'script', target: 'supervisor', how: "opens Node's inspector by signal and evaluates process.env" },
  { name: 'sibling-memory', title: "sibling's memory", guarantee: 'siblings', kind: 'native', runs: 'proc-mem', target: 'neighbour', how: 'reads what another task of the same supervisor was given' },
  { name: 'inherited-environment', title: 'inherited environment', guarantee: 'inheritance', kind: 'script', target: 'supervisor', how: 'prints its own environment variables' },
  { name: 'inherited-descriptor', title: 'inherited descriptor', guarantee: 'inheritance', kind: 'script', target: 'supervisor', how: 'reads every file its parent left open for it' },
  { name: 'left-behind', title: 'left-behind process', guarantee: 'leftovers', kind: 'native', target: 'supervisor', lingersMs: 1200, how: 'leaves a daemon that reads the supervisor once the task is gone' },
  { name: 'sigkill', title: 'SIGKILL', guarantee: 'signals', kind: 'script', target: 'supervisor', how: 'kills the supervisor' },
  { name: 'sigstop', title: 'SIGSTOP', guarantee: 'signals', kind: 'script', target: 'supervisor', how: 'stops the supervisor where it stands' },
  { name: 'prlimit', title: 'prlimit', guarantee: 'interference', kind: 'native', target: 'supervisor', how: 'leaves the supervisor without a single new descriptor' },
  { name: 'supervisor-code', title: "supervisor's code", guarantee: 'code', kind: 'script', target: 'supervisor', how: 'rewrites the file the supervisor starts from' },
  { name: 'sibling-code', title: "sibling's code", guarantee: 'files', kind: 'script', target: 'neighbour', how: 'rewrites the file another task starts from' },
  { name: 'forged-identity', title: 'forged identity', guarantee: 'identity', kind: 'script', target: 'neighbour', how: "writes a result under another task's name" },
  { name: 'garbage-frame', title: 'garbage on the channel', guarantee: 'channel', kind: 'script', target: 'supervisor', how: 'sends bytes that are no message, to bring the supervisor down' },
];
