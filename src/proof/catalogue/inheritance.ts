import type { Row } from '../attack.js';

export const inheritance: readonly Row[] = [
  { name: 'inherited-environment', title: 'inherited environment', kind: 'script', off: 'leaked', demo: true, how: 'prints its own environment variables' },
  { name: 'inherited-descriptor', title: 'inherited descriptor', kind: 'script', off: 'leaked', demo: true, how: 'reads every file its parent left open for it' },
];
