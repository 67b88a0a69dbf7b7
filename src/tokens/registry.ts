import { decodeJwt } from 'jose';
import type { TokenScope } from './claims.js';

/** What is kept of a token that was issued: never the token. */
export interface TokenRecord {
  readonly jti: string;
  readonly sub: string;
  readonly scope: TokenScope;
  /** Seconds since 1970, as in the claim. */
  readonly exp: number;
}

/** What a registry says about a token that one of our keys has signed. `used`: a workload token that started its task instance. */
export type TokenStanding = 'good' | 'unregistered' | 'used' | 'revoked';

/** A `jti` as we make them. Another one was never registered, and is not asked for. */
export const isOurJti = (jti: string): boolean => /^[0-9a-f]{32}$/.test(jti);

/** Of a token that was just signed here or by our agent: it is believed. */
export function recordOf(token: string): TokenRecord {
  const { jti, sub, scope, exp } = decodeJwt<{ scope: TokenScope }>(token) as TokenRecord;
  return { jti, sub, scope, exp };
}
