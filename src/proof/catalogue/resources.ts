import type { Row } from '../attack.js';

export const resources: readonly Row[] = [];
