import type { Row } from '../attack.js';

export const channel: readonly Row[] = [
  { name: 'garbage-frame', title: 'garbage on the channel', kind: 'script', off: 'disrupted', demo: true, how: 'sends bytes that are no message, to bring the supervisor down' },
  { name: 'internal-message', title: "message of Node's own", kind: 'script', off: 'disrupted', how: 'answers for a handle that was never sent' },
  { name: 'hang-up', title: 'hanging up', kind: 'script', off: 'disrupted', how: 'asks, and closes the channel before the answer' },
  { name: 'endless-message', title: 'endless message', kind: 'script', off: 'disrupted', alone: true, props: ['bloat'], how: 'sends a message that never ends, for the supervisor to keep' },
];
