import type { Row } from '../attack.js';

export const signals: readonly Row[] = [
  { name: 'sigkill', title: 'SIGKILL', kind: 'script', off: 'disrupted', demo: true, how: 'kills the supervisor' },
  { name: 'sigstop', title: 'SIGSTOP', kind: 'script', off: 'disrupted', demo: true, how: 'stops the supervisor where it stands' },
];
