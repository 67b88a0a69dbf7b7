import { proveGuarantees } from './helpers/proof.js';

proveGuarantees('proof-launch', 'privileges', 'files', 'network', 'inheritance', 'kernel');
