import type { Row } from '../attack.js';

export const secrets: readonly Row[] = [];
