import type { webcrypto } from 'node:crypto';
import { Value } from '@sinclair/typebox/value';
import { errors, jwtVerify, type JWTPayload } from 'jose';
import { TokenInvalid } from '../errors.js';
import type { Secret } from '../secrets/secret.js';
import { ClaimsSchema, defaultAudience, defaultLeewaySeconds, maxTokenChars, type TokenClaims, type TokenScope } from './claims.js';
import { algorithm, checkKey, importKey } from './keys.js';

export interface TokenVerifierOptions {
  /** The key the tokens were signed with, at least 64 bytes. It stays the caller's: the verifier reads it at the first token. */
  readonly key: Secret;
  /** What the claim `iss` must be. @default not looked at */
  readonly issuer?: string;
  /** @default 'urn:airflow.apache.org:task' */
  readonly audience?: string;
  /** How far the issuer's clock may be off. @default 10 */
  readonly leewaySeconds?: number;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

/** `TokenInvalid.reason`: the first thing found wrong, in the order of checking. */
export type TokenRefusal =
  | 'malformed'
  | 'algorithm'
  | 'signature'
  | 'issuer'
  | 'audience'
  | 'not-yet-valid'
  | 'expired'
  | 'claims'
  | 'scope';

/** What a server needs of a verifier; a cache or a registry of tokens goes in front of one. */
export interface TokenCheck {
  verify(token: string, options?: { readonly scopes?: readonly TokenScope[] }): Promise<TokenClaims>;
}

/**
 * Accepts what {@link TokenIssuer}, or an Airflow with the same `jwt_secret`, has signed.
 * The imported key is a copy on OpenSSL's heap for as long as the verifier lives.
 */
export class TokenVerifier implements TokenCheck {
  readonly #options: TokenVerifierOptions;
  #key: Promise<webcrypto.CryptoKey> | undefined;

  /** @throws {RangeError} `ERR_OUT_OF_RANGE`: the key is shorter than RFC 7518 section 3.2 asks for. */
  constructor(options: TokenVerifierOptions) {
    checkKey(options.key);
    this.#options = options;
  }

  /**
   * @param options.scopes A token of another scope is refused. @default ['execution']
   * @throws {TokenInvalid} `ERR_TOKEN_INVALID`, with a {@link TokenRefusal} as its `reason`.
   *   It carries no cause, for jose's errors carry the claims.
   */
  async verify(token: string, { scopes = ['execution'] }: { readonly scopes?: readonly TokenScope[] } = {}): Promise<TokenClaims> {
    if (token.length > maxTokenChars) throw new TokenInvalid('malformed' satisfies TokenRefusal);
    const { issuer, audience = defaultAudience, leewaySeconds = defaultLeewaySeconds, now = Date.now } = this.#options;
    this.#key ??= importKey(this.#options.key, 'verify');
    const key = await this.#key;
    const date = new Date(now());
    let payload: JWTPayload;
    try {
      ({ payload } = await jwtVerify(token, key, {
        algorithms: [algorithm],
        audience,
        clockTolerance: leewaySeconds,
        currentDate: date,
        requiredClaims: ['exp', 'iat'],
        ...(issuer !== undefined && { issuer }),
      }));
    } catch (error) {
      if (error instanceof errors.JOSEError) throw new TokenInvalid(refusal(error));
      throw error;
    }
    if (!Value.Check(ClaimsSchema, payload)) throw new TokenInvalid('claims' satisfies TokenRefusal);
    // jose leaves `iat` alone; Airflow's verifier does not.
    if (payload.iat > Math.floor(date.getTime() / 1000) + leewaySeconds) throw new TokenInvalid('not-yet-valid' satisfies TokenRefusal);
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
}

function refusal(error: errors.JOSEError): TokenRefusal {
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature';
  if (error instanceof errors.JOSEAlgNotAllowed) return 'algorithm';
  if (!(error instanceof errors.JWTClaimValidationFailed)) return 'malformed';
  if (error.claim === 'aud') return 'audience';
  if (error.claim === 'iss') return 'issuer';
  return error.claim === 'nbf' && error.reason === 'check_failed' ? 'not-yet-valid' : 'claims';
}
