import { hash } from 'node:crypto';
import { TokenInvalid } from '../errors.js';
import { defaultLeewaySeconds, maxTokenChars, type TokenClaims, type TokenScope } from './claims.js';
import type { TokenCheck, VerifyOptions } from './verifier.js';

export interface CacheOptions {
  /** The verifier's. @default 10 */
  readonly leewaySeconds?: number;
  /** The oldest makes room. @default 10000 */
  readonly maxTokens?: number;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

const scopesKnown: readonly TokenScope[] = ['execution', 'workload'];

/**
 * Remembers which tokens another verifier has accepted, until they expire: a signature costs about 100 microseconds to check, and
 * a task shows the same token every few seconds. It keeps the claims under the token's SHA-256, and not the token.
 *
 * It remembers signatures and nothing else. Whether a token was used or revoked is asked of the registry each time; whether
 * its key is still trusted is not, so that a change of keys takes a new cache.
 */
export class CachedVerifier implements TokenCheck {
  readonly #verifier: TokenCheck;
  readonly #leewaySeconds: number;
  readonly #maxTokens: number;
  readonly #now: () => number;
  readonly #known = new Map<string, TokenClaims>();

  constructor(verifier: TokenCheck, { leewaySeconds = defaultLeewaySeconds, maxTokens = 10_000, now = Date.now }: CacheOptions = {}) {
    this.#verifier = verifier;
    this.#leewaySeconds = leewaySeconds;
    this.#maxTokens = maxTokens;
    this.#now = now;
  }

  /** As {@link TokenCheck.verify} of the verifier behind it. What is refused is not remembered. */
  async verify(token: string, { scopes = ['execution'], lateSeconds = 0 }: VerifyOptions = {}): Promise<TokenClaims> {
    if (token.length > maxTokenChars) throw new TokenInvalid('malformed');
    const key = hash('sha256', token, 'binary');
    let claims = this.#timely(key, lateSeconds);
    if (claims === undefined) {
      claims = await this.#verifier.verify(token, { scopes: scopesKnown, lateSeconds });
      const [oldest] = this.#known.size >= this.#maxTokens ? this.#known.keys() : [];
      if (oldest !== undefined) this.#known.delete(oldest);
      this.#known.set(key, claims);
    }
    if (!scopes.includes(claims.scope)) throw new TokenInvalid('scope');
    return claims;
  }

  /** The claims of a token that {@link verify} would accept without asking, and without a promise; undefined of any other. */
  recall(token: string, scope: TokenScope): TokenClaims | undefined {
    if (token.length > maxTokenChars) return undefined;
    const claims = this.#timely(hash('sha256', token, 'binary'));
    return claims?.scope === scope ? claims : undefined;
  }

  #timely(key: string, lateSeconds = 0): TokenClaims | undefined {
    const claims = this.#known.get(key);
    if (claims === undefined || this.#isTimely(claims, lateSeconds)) return claims;
    this.#known.delete(key);
    return undefined;
  }

  /** As the verifier counts; a clock that was set back is asked about as well. */
  #isTimely({ exp, iat, nbf = iat }: TokenClaims, lateSeconds: number): boolean {
    const at = Math.floor(this.#now() / 1000);
    return exp > at - this.#leewaySeconds - lateSeconds && Math.max(iat, nbf) <= at + this.#leewaySeconds;
  }
}
