import { outOfRange } from '../errors.js';
import { TokenIssuer, TokenVerifier } from '../tokens/index.js';
import type { ServerOptions } from './server.js';

/** What signs and what checks a server's tokens: an agent, or a key in this process. @throws {RangeError} `ERR_OUT_OF_RANGE`: neither, or both. */
export function tokensFor({ signingKey: key, signer: agent, issuer, audience, tokenLifetimeSeconds }: ServerOptions, now: () => number): { readonly issuer: TokenIssuer; readonly verifier: TokenVerifier } {
  const lifetime = tokenLifetimeSeconds === undefined ? {} : { lifetimeSeconds: tokenLifetimeSeconds };
  if (agent !== undefined) {
    if (key !== undefined || issuer !== undefined || audience !== undefined) throw outOfRange('options', "without signingKey, issuer and audience: these are the signer's");
    return { issuer: new TokenIssuer({ agent, ...lifetime }), verifier: new TokenVerifier({ agent, now }) };
  }
  if (key === undefined) throw outOfRange('options', 'with a signer or a signingKey');
  const claims = { key, now, ...(issuer !== undefined && { issuer }), ...(audience !== undefined && { audience }) };
  return { issuer: new TokenIssuer({ ...claims, ...lifetime }), verifier: new TokenVerifier(claims) };
}
