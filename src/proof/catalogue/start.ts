import type { Row } from '../attack.js';

export const start: readonly Row[] = [];
