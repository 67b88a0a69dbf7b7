import type { Row } from '../attack.js';

export const kernel: readonly Row[] = [];
