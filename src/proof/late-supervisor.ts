// An ordinary supervisor that hardens itself, as early as JavaScript can, and leaves its tasks
// as they are: what the guarantee `start` is about. The left column where a supervisor starts.

import { harden } from '../index.js';

// `debugger` too: the left column is started with a port for the inspector, which harden() refuses.
harden({ without: ['start', 'debugger'] });
void import('./ordinary-supervisor.js');
