import { proveGuarantees } from './helpers/proof.js';

proveGuarantees('proof-reach', 'code', 'signals', 'interference', 'siblings');
