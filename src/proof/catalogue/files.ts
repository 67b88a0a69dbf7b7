import type { Row } from '../attack.js';
import { names } from '../scene.js';

export const files: readonly Row[] = [
  { name: 'sibling-code', title: "sibling's code", kind: 'script', runs: 'rewrite', args: () => [names.neighbourCode, 'append', 'replace'], off: 'disrupted', demo: true, how: 'rewrites the file another task starts from' },
];
