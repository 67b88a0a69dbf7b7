import { outOfRange } from '../errors.js';
import { CachedVerifier, recordOf, type TokenCheck, type TokenClaims, type TokenGrant, TokenIssuer, type TokenRecord, type TokenScope, TokenVerifier } from '../tokens/index.js';
import type { ServerOptions } from './server.js';
import type { Database } from './store/sql.js';
import { storedNow } from './store/time.js';
import { purgedAtOnce, purgeTokens, registerToken, replaceToken, type Revocation, revokeTokens } from './store/tokens.js';

/** A token that no registry knows yet: it is handed out when it does. */
export interface SignedToken {
  readonly token: string;
  readonly record: TokenRecord;
}

export interface TokensOptions {
  readonly database: Database;
  readonly issuer: TokenIssuer;
  readonly verifier: TokenCheck;
  /** Whether a token has to be registered. */
  readonly registered: boolean;
  readonly now: () => number;
}

/** How often expired tokens are forgotten, by the tokens that are issued: where none is, the registry does not grow. */
const purgeEveryMs = 60_000;
/** Two clocks, and the leeway that a verifier gives. */
const purgeAfterSeconds = 60;

/** A server's tokens: what is issued is registered first, and what has been accepted once is not verified again. */
export class Tokens {
  readonly #options: TokensOptions;
  readonly #verifier: CachedVerifier;
  #issuedSincePurge = 0;
  #purgedAtMs = 0;

  constructor(options: TokensOptions) {
    this.#options = options;
    this.#verifier = new CachedVerifier(options.verifier, { now: options.now });
  }

  /** Whose token it is, by its signature and its times. The registry is asked by the gate, in the statement that it makes anyway. */
  verify(token: string, scopes: readonly TokenScope[]): Promise<TokenClaims> {
    return this.#verifier.verify(token, { scopes });
  }

  /** For whoever registers it in a transaction of his own. */
  async sign(grant: TokenGrant): Promise<SignedToken> {
    const token = await this.#options.issuer.issue(grant);
    return { token, record: recordOf(token) };
  }

  async issue(grant: TokenGrant): Promise<string> {
    const { token, record } = await this.sign(grant);
    await this.#register((database, now) => database.run(registerToken(record, now)));
    return token;
  }

  /** One for the same, for as long again. @returns Undefined where the old token has ended meanwhile. */
  async replace({ jti, sub, scope, dag_id }: TokenClaims): Promise<string | undefined> {
    const { token, record } = await this.sign({ sub, scope, ...(dag_id !== undefined && { dag_id }) });
    const replaced = await this.#register((database, now) => database.transaction(replaceToken(jti, record, now)));
    return replaced === false ? undefined : token;
  }

  /** @returns How many have ended by it. */
  async revoke(which: Revocation): Promise<number> {
    const { database, now } = this.#options;
    return database.transaction(revokeTokens(which, storedNow(now())));
  }

  async #register<T>(write: (database: Database, now: string) => T | Promise<T>): Promise<T | undefined> {
    const { registered, database, now } = this.#options;
    if (!registered) return undefined;
    const at = now();
    if (++this.#issuedSincePurge * 2 > purgedAtOnce || Math.abs(at - this.#purgedAtMs) >= purgeEveryMs) {
      this.#issuedSincePurge = 0;
      this.#purgedAtMs = at;
      await database.run(purgeTokens(Math.floor(at / 1000) - purgeAfterSeconds));
    }
    return write(database, storedNow(at));
  }
}

/** What signs and what checks a server's tokens: an agent, or a key in this process. @throws {RangeError} `ERR_OUT_OF_RANGE`: neither, or both. */
export function keysFor({ signingKey: key, signer: agent, issuer, audience, tokenLifetimeSeconds }: ServerOptions, now: () => number): { readonly issuer: TokenIssuer; readonly verifier: TokenVerifier } {
  const lifetime = tokenLifetimeSeconds === undefined ? {} : { lifetimeSeconds: tokenLifetimeSeconds };
  if (agent !== undefined) {
    if (key !== undefined || issuer !== undefined || audience !== undefined) throw outOfRange('options', "without signingKey, issuer and audience: these are the signer's");
    return { issuer: new TokenIssuer({ agent, ...lifetime }), verifier: new TokenVerifier({ agent, now }) };
  }
  if (key === undefined) throw outOfRange('options', 'with a signer or a signingKey');
  const claims = { key, now, ...(issuer !== undefined && { issuer }), ...(audience !== undefined && { audience }) };
  return { issuer: new TokenIssuer({ ...claims, ...lifetime }), verifier: new TokenVerifier(claims) };
}
