import type { Row } from '../attack.js';
import { attaching, program } from '../needs.js';

export const environ: readonly Row[] = [
  { name: 'proc-environ', title: '/proc/<pid>/environ', kind: 'native', off: 'leaked', demo: true, how: 'reads the environment the supervisor was started with' },
  { name: 'task-environ', title: '/proc/<pid>/task/<tid>/environ', kind: 'native', off: 'leaked', how: 'the same, by the number of each thread' },
  { name: 'environ-area', title: 'the environment in memory', kind: 'native', off: 'leaked', needs: [attaching], how: 'copies the environment from where /proc/<pid>/stat says that it lies' },
  { name: 'proc-cmdline', title: '/proc/<pid>/cmdline', kind: 'native', off: 'leaked', how: 'reads a password in the arguments, which any user of the host can' },
  { name: 'ps', title: 'ps', kind: 'script', off: 'leaked', needs: [program('ps')], how: 'has ps(1) show the command line and the environment' },
];
