import type { Row } from '../attack.js';

export const debuggerAttacks: readonly Row[] = [
  { name: 'inspector', title: 'SIGUSR1, inspector', kind: 'script', off: 'leaked', demo: true, how: "opens Node's inspector by signal and evaluates process.env" },
];
