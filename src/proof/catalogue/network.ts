import type { Row } from '../attack.js';

export const network: readonly Row[] = [];
