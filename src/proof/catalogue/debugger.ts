import type { Row } from '../attack.js';
import { coreIsFile } from '../needs.js';

export const debuggerAttacks: readonly Row[] = [
  { name: 'inspector', title: 'SIGUSR1, inspector', kind: 'script', off: 'leaked', demo: true, how: "opens Node's inspector by signal and evaluates process.env" },
  { name: 'debug-process', title: 'process._debugProcess', kind: 'script', runs: 'inspector', args: () => ['debugProcess'], off: 'leaked', how: "the same by Node's own function" },
  { name: 'inspector-threads', title: 'SIGUSR1 to each thread', kind: 'script', runs: 'inspector', args: () => ['threads'], off: 'leaked', how: 'the same by tgkill, to threads that do not block the signal' },
  { name: 'report', title: 'SIGUSR2, report', kind: 'script', off: 'leaked', how: 'has a diagnostic report written, and reads the environment in it' },
  { name: 'core-dump', title: 'SIGABRT, core', kind: 'native', args: ({ folder }) => [folder], off: 'leaked', needs: [coreIsFile], how: 'allows the supervisor a core, has it abort, and reads the core' },
];
