import type { Row } from '../attack.js';

export const identity: readonly Row[] = [
  { name: 'forged-identity', title: 'forged identity', kind: 'script', off: 'disrupted', target: 'neighbour', demo: true, how: "writes a result under another task's name" },
  { name: 'confused-identity', title: 'identity of another type', kind: 'script', off: 'disrupted', target: 'neighbour', how: "writes another task's name in a form that is no name" },
  { name: 'other-variable', title: "another task's variable", kind: 'script', off: 'leaked', target: 'neighbour', how: 'asks for what another task was granted' },
  { name: 'path-in-key', title: 'path in a key', kind: 'script', off: 'leaked', target: 'neighbour', how: "asks for a name that leads the supervisor's URL elsewhere" },
];
