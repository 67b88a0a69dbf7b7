import { proveGuarantees } from './helpers/proof.js';

proveGuarantees('proof-supervisor', 'memory', 'environ', 'debugger', 'start', 'secrets');
