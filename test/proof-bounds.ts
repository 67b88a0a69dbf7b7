import { proveGuarantees } from './helpers/proof.js';

proveGuarantees('proof-bounds', 'resources', 'leftovers', 'identity', 'channel');
