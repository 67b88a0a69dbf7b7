import type { Row } from '../attack.js';

export const files: readonly Row[] = [
  { name: 'sibling-code', title: "sibling's code", kind: 'script', off: 'disrupted', target: 'neighbour', demo: true, how: 'rewrites the file another task starts from' },
];
