export type { TokenClaims, TokenScope } from './claims.js';
export { TokenIssuer, type TokenGrant, type TokenIssuerOptions } from './issuer.js';
export { TokenVerifier, type TokenCheck, type TokenRefusal, type TokenVerifierOptions } from './verifier.js';
