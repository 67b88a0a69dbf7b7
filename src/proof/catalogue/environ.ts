import type { Row } from '../attack.js';

export const environ: readonly Row[] = [
  { name: 'proc-environ', title: '/proc/<pid>/environ', kind: 'native', off: 'leaked', demo: true, how: 'reads the environment the supervisor was started with' },
];
