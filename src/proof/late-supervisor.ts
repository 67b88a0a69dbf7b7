// An ordinary supervisor that hardens itself, as early as JavaScript can, and leaves its tasks
// as they are: what the guarantee `start` is about. The left column where a supervisor starts.

import { harden } from '../index.js';

harden({ without: ['start'] });
void import('./ordinary-supervisor.js');
