// Hardens itself and prints what came of it: for `sallyport doctor`, which must not be hardened by looking.

import { guaranteeNames } from '../guarantees.js';
import { harden } from '../harden/harden.js';

process.stdout.write(JSON.stringify(harden({ without: guaranteeNames }).guarantees));
