import type { Row } from '../attack.js';

export const resources: readonly Row[] = [
  { name: 'fork-flood', title: 'fork bomb', kind: 'native', off: 'disrupted', alone: true, props: ['crowd'], args: () => ['600'], demo: true, how: 'fills the process table, as far as it is let' },
  { name: 'memory-hog', title: 'memory', kind: 'native', off: 'disrupted', alone: true, props: ['memory'], args: () => [String(160 << 20), '4'], how: 'takes memory in several processes' },
  { name: 'descriptor-hoard', title: 'open files', kind: 'native', off: 'disrupted', alone: true, props: ['descriptors'], args: () => ['500', '8'], how: 'opens files in several processes' },
  { name: 'pending-signals', title: 'pending signals', kind: 'native', off: 'disrupted', alone: true, props: ['pendingSignals'], args: () => ['60000'], how: 'sends itself signals that the kernel keeps, out of a number that all processes share' },
  { name: 'disk-filler', title: 'disk', kind: 'script', off: 'disrupted', alone: true, props: ['disk'], how: 'writes one file after the other' },
  { name: 'unlinked-files', title: 'disk, files without names', kind: 'script', off: 'disrupted', alone: true, props: ['disk'], how: 'writes files and takes their names away, so that no folder shows them' },
];
