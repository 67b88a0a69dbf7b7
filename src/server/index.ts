export { opaPolicy, type DecisionListener, type DecisionRecord, type Identity, type OpaOptions, type PolicyAnswer, type PolicyFunction, type PolicyInput, type Resource } from '../authorization/index.js';
export type { Authorization } from './access.js';
export type { ServerConfiguration } from './main.js';
export type { Seed } from './seed.js';
export { createServer, type ListenOptions, type Server, type ServerOptions } from './server.js';
export type { KeyOptions } from './tokens.js';
export type { PostgresOptions } from './store/index.js';
export type { Revocation } from './store/tokens.js';
export { type ServerProcess, spawnServer } from './process.js';
