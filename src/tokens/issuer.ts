import { randomUUID, type webcrypto } from 'node:crypto';
import { SignJWT } from 'jose';
import type { Secret } from '../secrets/secret.js';
import { defaultAudience, defaultLifetimeSeconds, type TokenScope } from './claims.js';
import { algorithm, checkKey, importKey } from './keys.js';

export interface TokenIssuerOptions {
  /** The signing key, at least 64 bytes. It stays the caller's: the issuer reads it at the first token. */
  readonly key: Secret;
  /** The claim `iss`. @default no such claim, as Airflow without `jwt_issuer` */
  readonly issuer?: string;
  /** @default 'urn:airflow.apache.org:task' */
  readonly audience?: string;
  /** @default 600, for both scopes */
  readonly lifetimeSeconds?: number;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

/** Whom a token speaks for, and for what. */
export interface TokenGrant {
  /** The task instance's id, a UUID. */
  readonly sub: string;
  readonly scope: TokenScope;
  readonly dag_id?: string;
}

/**
 * Signs task tokens as Airflow 3 does: HS512, one audience, `sub` is the task instance.
 *
 * The imported key is a copy on OpenSSL's heap for as long as the issuer lives, and
 * {@link Secret.destroy} does not reach it. Tokens are JavaScript strings, for a server
 * puts them into HTTP headers; a supervisor turns what it receives into a `Secret`.
 */
export class TokenIssuer {
  readonly #options: TokenIssuerOptions;
  #key: Promise<webcrypto.CryptoKey> | undefined;

  /** @throws {RangeError} `ERR_OUT_OF_RANGE`: the key is shorter than RFC 7518 section 3.2 asks for. */
  constructor(options: TokenIssuerOptions) {
    checkKey(options.key);
    this.#options = options;
  }

  /** @throws {SecretDestroyed} `ERR_SECRET_DESTROYED`: the key was destroyed before the first token. */
  async issue({ sub, scope, dag_id }: TokenGrant): Promise<string> {
    const { issuer, audience = defaultAudience, lifetimeSeconds = defaultLifetimeSeconds, now = Date.now } = this.#options;
    const issuedAt = Math.floor(now() / 1000);
    const token = new SignJWT({ scope, ...(dag_id !== undefined && { dag_id }) })
      // Airflow's spelling for a symmetric key without a name.
      .setProtectedHeader({ alg: algorithm, kid: 'not-used', typ: 'JWT' })
      .setJti(randomUUID().replaceAll('-', ''))
      .setAudience(audience)
      .setSubject(sub)
      .setNotBefore(issuedAt)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + lifetimeSeconds);
    if (issuer !== undefined) token.setIssuer(issuer);
    this.#key ??= importKey(this.#options.key, 'sign');
    return token.sign(await this.#key);
  }
}
