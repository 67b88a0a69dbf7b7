import type { Row } from '../attack.js';

export const leftovers: readonly Row[] = [
  { name: 'left-behind', title: 'left-behind process', kind: 'native', off: 'leaked', lingersMs: 1200, demo: true, how: 'leaves a daemon that reads the supervisor once the task is gone' },
];
