import type { Row } from '../attack.js';

export const identity: readonly Row[] = [
  { name: 'forged-identity', title: 'forged identity', kind: 'script', off: 'disrupted', target: 'neighbour', demo: true, how: "writes a result under another task's name" },
];
