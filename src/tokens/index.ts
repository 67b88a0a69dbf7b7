export { KeyAgent, type AgentGrant } from './agent/key-agent.js';
export type { KeyAgentOptions, KeyOption, SecretSource } from './agent/options.js';
export { CachedVerifier, type CacheOptions } from './cache.js';
export type { Expectation, TokenRefusal } from './check.js';
export type { Algorithm, TokenClaims, TokenScope } from './claims.js';
export type { TokenGrant } from './compose.js';
export { TokenIssuer, type AgentIssuerOptions, type KeyIssuerOptions, type TokenIssuerOptions } from './issuer.js';
export { isOurJti, recordOf, type TokenRecord, type TokenStanding } from './registry.js';
export { TokenVerifier, type AgentVerifierOptions, type JwksVerifierOptions, type KeyVerifierOptions, type TokenCheck, type TokenVerifierOptions } from './verifier.js';
