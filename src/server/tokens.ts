import type { JSONWebKeySet } from 'jose';
import { outOfRange, TokenRefused } from '../errors.js';
import type { Secret } from '../secrets/secret.js';
import { CachedVerifier, type KeyAgent, type NamedSecret, recordOf, type TokenCheck, type TokenClaims, type TokenGrant, TokenIssuer, type TokenRecord, type TokenScope, TokenVerifier } from '../tokens/index.js';
import { defaultLeewaySeconds, executionLifetimeSeconds } from '../tokens/claims.js';
import type { Database, Sql } from './store/sql.js';
import { storedNow } from './store/time.js';
import { holdWorker } from './store/workers.js';
import { purgedAtOnce, purgeTokens, registerToken, replaceToken, type Revocation, revokeTokens } from './store/tokens.js';

/** A token that no registry knows yet: it is handed out when it does. */
export interface SignedToken {
  readonly token: string;
  readonly record: TokenRecord;
}

/** What signs tokens, what checks them, and what the public may know of it. */
export interface Keys {
  /** Of each scope its own, for they live for different times. */
  readonly issuers: Readonly<Record<TokenScope, TokenIssuer>>;
  readonly verifier: TokenCheck;
  readonly jwks: JSONWebKeySet;
}

export interface TokensOptions {
  readonly database: Database;
  readonly keys: Keys;
  /** Whether a token has to be registered. */
  readonly registered: boolean;
  /** Whether workers alone are given first tokens. */
  readonly soleIssuer?: boolean;
  /** The verifier's. @default 10 */
  readonly leewaySeconds?: number;
  /** How long after its end a token may say what became of its try. @default 0 */
  readonly lateSeconds?: number;
  readonly now: () => number;
}

/** How often expired tokens are forgotten, by the tokens that are issued: where none is, the registry does not grow. */
const purgeEveryMs = 60_000;
/** Two clocks; the leeway that a verifier gives, and the time for what may come late, come on top. */
const purgeAfterSeconds = 50;

/** A server's tokens: what is issued is registered first, and what has been accepted once is not verified again. */
export class Tokens {
  readonly #options: TokensOptions;
  #keys: Keys;
  #verifier: CachedVerifier;
  #issuedSincePurge = 0;
  #purgedAtMs = 0;

  constructor(options: TokensOptions) {
    this.#options = options;
    this.#keys = options.keys;
    this.#verifier = this.#cached(options.keys);
  }

  /** From the next request on. What the old keys had signed is verified anew: a key that is gone is gone. */
  useKeys(keys: Keys): void {
    this.#keys = keys;
    this.#verifier = this.#cached(keys);
  }

  #cached({ verifier }: Keys): CachedVerifier {
    const { now, leewaySeconds } = this.#options;
    return new CachedVerifier(verifier, { now, ...(leewaySeconds !== undefined && { leewaySeconds }) });
  }

  get jwks(): JSONWebKeySet {
    return this.#keys.jwks;
  }

  /**
   * Whose token it is, by its signature and its times. The registry is asked by the gate, in the statement that it makes anyway.
   *
   * @param mayBeLate It is for a request that may come after the token's end.
   */
  verify(token: string, scopes: readonly TokenScope[], mayBeLate = false): Promise<TokenClaims> {
    const { lateSeconds = 0 } = this.#options;
    return this.#verifier.verify(token, { scopes, ...(mayBeLate && { lateSeconds }) });
  }

  /** From when on it is good for nothing but what may come late; milliseconds since 1970. */
  endOf({ exp }: TokenClaims): number {
    return (exp + (this.#options.leewaySeconds ?? defaultLeewaySeconds)) * 1000;
  }

  /** The same of an execution token that was accepted before; undefined of any other. */
  recall(token: string): TokenClaims | undefined {
    return this.#verifier.recall(token, 'execution');
  }

  /** For whoever registers it in a transaction of his own. */
  async sign(grant: TokenGrant): Promise<SignedToken> {
    const token = await this.#keys.issuers[grant.scope].issue(grant);
    return { token, record: recordOf(token) };
  }

  async issue(grant: TokenGrant): Promise<string> {
    const { token, record } = await this.sign(grant);
    await this.#register((database, now) => database.run(registerToken(record, now)));
    return token;
  }

  get soleIssuer(): boolean {
    return this.#options.soleIssuer === true;
  }

  /** For whoever hands it to a worker. @throws {TokenRefused} `ERR_TOKEN_REFUSED`: workers ask for it themselves. */
  async issueWorkload({ id, dag_id }: { readonly id: string; readonly dag_id: string }): Promise<string> {
    if (this.soleIssuer) throw new TokenRefused('scope', 'workload is for workers that ask for it themselves: the server is the sole issuer');
    return this.issue({ sub: id, scope: 'workload', dag_id });
  }

  /** For a worker. @returns Undefined where it was revoked meanwhile. */
  async issueTo(worker: string, grant: TokenGrant): Promise<SignedToken | undefined> {
    const signed = await this.sign(grant);
    const issued = await this.#register((database, now) => database.transaction(registerFor(worker, signed.record, now)));
    return issued === false ? undefined : signed;
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
    const { registered, database, leewaySeconds = defaultLeewaySeconds, lateSeconds = 0, now } = this.#options;
    if (!registered) return undefined;
    const at = now();
    if (++this.#issuedSincePurge * 2 > purgedAtOnce || Math.abs(at - this.#purgedAtMs) >= purgeEveryMs) {
      this.#issuedSincePurge = 0;
      this.#purgedAtMs = at;
      await database.run(purgeTokens(Math.floor(at / 1000) - purgeAfterSeconds - leewaySeconds - lateSeconds));
    }
    return write(database, storedNow(at));
  }
}

function* registerFor(worker: string, record: TokenRecord, now: string): Sql<boolean> {
  if (!(yield* holdWorker(worker))) return false;
  yield* registerToken(record, now, worker);
  return true;
}

/** Where a server's keys are: in an agent, or in this process. */
export interface KeyOptions {
  readonly signingKey?: Secret;
  readonly kid?: string;
  readonly otherKeys?: readonly NamedSecret[];
  readonly signer?: KeyAgent;
}

/** What stays as it is when keys change. */
interface ClaimOptions {
  readonly issuer?: string;
  readonly audience?: string;
  readonly tokenLifetimeSeconds?: number;
  readonly workloadLifetimeSeconds?: number;
  readonly leewaySeconds?: number;
}

/** @throws {RangeError} `ERR_OUT_OF_RANGE`: neither an agent nor a key, or both; or what belongs to the other. */
export function keysFor({ signingKey: key, kid, otherKeys, signer: agent }: KeyOptions, { issuer, audience, tokenLifetimeSeconds, workloadLifetimeSeconds = tokenLifetimeSeconds, leewaySeconds }: ClaimOptions, now: () => number): Keys {
  const executionSeconds = tokenLifetimeSeconds ?? Math.min(executionLifetimeSeconds, agent?.maxLifetimeSeconds ?? Infinity);
  const lifetime = (seconds: number | undefined) => (seconds === undefined ? {} : { lifetimeSeconds: seconds });
  const leeway = leewaySeconds === undefined ? {} : { leewaySeconds };
  if (agent !== undefined) {
    if ([key, kid, otherKeys, issuer, audience].some((option) => option !== undefined)) throw outOfRange('options', "without signingKey, kid, otherKeys, issuer and audience: these are the signer's");
    const issuers = { execution: new TokenIssuer({ agent, lifetimeSeconds: executionSeconds }), workload: new TokenIssuer({ agent, ...lifetime(workloadLifetimeSeconds) }) };
    return { issuers, verifier: new TokenVerifier({ agent, now, ...leeway }), jwks: agent.jwks };
  }
  if (key === undefined) throw outOfRange('options', 'with a signer or a signingKey');
  const claims = { key, now, ...(kid !== undefined && { kid }), ...(issuer !== undefined && { issuer }), ...(audience !== undefined && { audience }) };
  const issuers = { execution: new TokenIssuer({ ...claims, lifetimeSeconds: executionSeconds }), workload: new TokenIssuer({ ...claims, ...lifetime(workloadLifetimeSeconds) }) };
  return { issuers, verifier: new TokenVerifier({ ...claims, ...leeway, ...(otherKeys !== undefined && { otherKeys }) }), jwks: { keys: [] } };
}
