import type { Row } from '../attack.js';

export const channel: readonly Row[] = [
  { name: 'garbage-frame', title: 'garbage on the channel', kind: 'script', off: 'disrupted', demo: true, how: 'sends bytes that are no message, to bring the supervisor down' },
];
