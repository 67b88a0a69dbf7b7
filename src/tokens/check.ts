import { Value } from '@sinclair/typebox/value';
import { errors, type JWTPayload, jwtVerify, type JWTVerifyGetKey } from 'jose';
import { TokenInvalid } from '../errors.js';
import { type Algorithm, ClaimsSchema, maxTokenChars, type TokenClaims, type TokenScope } from './claims.js';
import type { TokenStanding } from './registry.js';

/** `TokenInvalid.reason`: the first thing found wrong, in the order of checking. `signature`: no key of ours made it. */
export type TokenRefusal =
  | 'malformed'
  | 'algorithm'
  | 'signature'
  | 'issuer'
  | 'audience'
  | 'not-yet-valid'
  | 'expired'
  | 'claims'
  | 'scope'
  /** What a registry says of a token that is right otherwise. */
  | Exclude<TokenStanding, 'good'>;

/** What a token must say to be accepted. */
export interface Expectation {
  /** Undefined: not looked at. */
  readonly issuer?: string | undefined;
  readonly audience: string;
  readonly scopes: readonly TokenScope[];
  readonly leewaySeconds: number;
  /** How long after its end it is taken still. @default 0 */
  readonly lateSeconds?: number;
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

/**
 * Signature first, then the claims.
 *
 * @throws {TokenInvalid} `ERR_TOKEN_INVALID`. It carries no cause, for jose's errors carry the claims.
 */
export async function checkToken(token: string, keyOf: JWTVerifyGetKey, algorithms: readonly Algorithm[], expected: Expectation): Promise<TokenClaims> {
  if (token.length > maxTokenChars) throw new TokenInvalid('malformed' satisfies TokenRefusal);
  const { issuer, audience, scopes, leewaySeconds, lateSeconds = 0, atMs } = expected;
  let payload: JWTPayload;
  try {
    ({ payload } = await jwtVerify(token, keyOf, {
      algorithms: [...algorithms],
      audience,
      clockTolerance: leewaySeconds + lateSeconds,
      currentDate: new Date(atMs),
      requiredClaims: ['exp', 'iat'],
      ...(issuer !== undefined && { issuer }),
    }));
  } catch (error) {
    if (error instanceof errors.JOSEError) throw new TokenInvalid(refusal(error));
    throw error;
  }
  if (!Value.Check(ClaimsSchema, payload)) throw new TokenInvalid('claims' satisfies TokenRefusal);
  // jose has one tolerance for both ends of a life, and leaves `iat` alone; Airflow's verifier does not.
  if (Math.max(payload.iat, payload.nbf ?? 0) > Math.floor(atMs / 1000) + leewaySeconds) throw new TokenInvalid('not-yet-valid' satisfies TokenRefusal);
  const { jti, iss, sub, dag_id, nbf, iat, exp, scope: granted = 'execution' } = payload;
  const scope = scopes.find((each) => each === granted);
  if (scope === undefined) throw new TokenInvalid('scope' satisfies TokenRefusal);
  return Object.freeze({
    jti,
    ...(iss !== undefined && { iss }),
    aud: audience,
    sub,
    scope,
    ...(dag_id !== undefined && { dag_id }),
    ...(nbf !== undefined && { nbf }),
    iat,
    exp,
  });
}

function refusal(error: errors.JOSEError): TokenRefusal {
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature';
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) return 'signature';
  if (error instanceof errors.JOSEAlgNotAllowed) return 'algorithm';
  if (!(error instanceof errors.JWTClaimValidationFailed)) return 'malformed';
  if (error.claim === 'aud') return 'audience';
  if (error.claim === 'iss') return 'issuer';
  return error.claim === 'nbf' && error.reason === 'check_failed' ? 'not-yet-valid' : 'claims';
}
