import type { Row } from '../attack.js';

export const code: readonly Row[] = [
  { name: 'supervisor-code', title: "supervisor's code", kind: 'script', off: 'disrupted', demo: true, how: 'rewrites the file the supervisor starts from' },
];
