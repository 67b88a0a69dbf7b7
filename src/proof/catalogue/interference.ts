import type { Row } from '../attack.js';

export const interference: readonly Row[] = [
  { name: 'prlimit', title: 'prlimit', kind: 'native', off: 'disrupted', demo: true, how: 'leaves the supervisor without a single new descriptor' },
];
