import type { Row } from '../attack.js';
import { attaching } from '../needs.js';

export const siblings: readonly Row[] = [
  { name: 'sibling-memory', title: "sibling's memory", kind: 'native', runs: 'proc-mem', off: 'leaked', target: 'neighbour', needs: [attaching], demo: true, how: 'reads what another task of the same supervisor was given' },
];
