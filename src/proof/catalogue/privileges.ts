import type { Row } from '../attack.js';

export const privileges: readonly Row[] = [];
