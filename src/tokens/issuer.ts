import { checkOptions, outOfRange, TokenRefused } from '../errors.js';
import type { Secret } from '../secrets/secret.js';
import type { KeyAgent } from './agent/key-agent.js';
import { defaultAudience, defaultLifetimeSeconds } from './claims.js';
import { type SigningKey, signToken, type TokenGrant } from './compose.js';
import { checkKeys, importHmacKey, unnamed } from './keys.js';

/** Signing by a key agent: no key in this process. The agent's policy has issuer and audience, and its clock the time. */
export interface AgentIssuerOptions {
  readonly agent: KeyAgent;
  /** At most the agent's `maxLifetimeSeconds`. @default 600, or the agent's where that is less */
  readonly lifetimeSeconds?: number;
}

/** Signing in this process, with HS512: less safe than an agent, for whoever reads this process's memory has the key. */
export interface KeyIssuerOptions {
  /** The signing key, at least 64 bytes. It stays the caller's: the issuer reads it at the first token. */
  readonly key: Secret;
  /** The key's name, in the header of every token. @default 'not-used', as Airflow */
  readonly kid?: string;
  /** The claim `iss`. @default no such claim, as Airflow without `jwt_issuer` */
  readonly issuer?: string;
  /** @default 'urn:airflow.apache.org:task' */
  readonly audience?: string;
  /** @default 600, for both scopes */
  readonly lifetimeSeconds?: number;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

export type TokenIssuerOptions = AgentIssuerOptions | KeyIssuerOptions;

/**
 * Signs task tokens as Airflow 3 does: one audience, `sub` is the task instance.
 *
 * With `key`, the imported key is a copy on OpenSSL's heap for as long as the issuer lives, and {@link Secret.destroy}
 * does not reach it. Tokens are JavaScript strings, for a server puts them into HTTP headers; a supervisor turns what
 * it receives into a `Secret`.
 */
export class TokenIssuer {
  readonly #issue: (grant: TokenGrant) => Promise<string>;

  /**
   * @throws {RangeError} `ERR_OUT_OF_RANGE`: the key is shorter than RFC 7518 section 3.2 asks for, or an option is not
   *   one of these, or belongs to the agent.
   * @throws {TokenRefused} `ERR_TOKEN_REFUSED`: `lifetimeSeconds` is more than the agent grants.
   */
  constructor(options: TokenIssuerOptions) {
    this.#issue = 'agent' in options ? throughAgent(options) : inProcess(options);
  }

  /**
   * @throws {SecretDestroyed} `ERR_SECRET_DESTROYED`: the key was destroyed before the first token.
   * @throws {TokenRefused} `ERR_TOKEN_REFUSED`: the agent's policy does not allow it.
   * @throws {KeyAgentFailed} `ERR_KEY_AGENT`: the agent has ended.
   */
  async issue(grant: TokenGrant): Promise<string> {
    return this.#issue(grant);
  }
}

function throughAgent(options: AgentIssuerOptions): (grant: TokenGrant) => Promise<string> {
  checkOptions('options', options, ['agent', 'lifetimeSeconds']);
  const { agent, lifetimeSeconds = Math.min(defaultLifetimeSeconds, agent.maxLifetimeSeconds) } = options;
  if (lifetimeSeconds > agent.maxLifetimeSeconds) throw new TokenRefused('lifetimeSeconds', `is more than the agent's ${agent.maxLifetimeSeconds}`);
  return ({ sub, scope, dag_id }) => agent.issue({ sub, scope, lifetimeSeconds, ...(dag_id !== undefined && { dag_id }) });
}

function inProcess(options: KeyIssuerOptions): (grant: TokenGrant) => Promise<string> {
  checkOptions('options', options, ['key', 'kid', 'issuer', 'audience', 'lifetimeSeconds', 'now']);
  const { key: secret, kid = unnamed, issuer, audience = defaultAudience, lifetimeSeconds = defaultLifetimeSeconds, now = Date.now } = options;
  checkKeys([{ key: secret, kid }]);
  if (!Number.isSafeInteger(lifetimeSeconds) || lifetimeSeconds < 1) throw outOfRange('options.lifetimeSeconds', 'a whole number of seconds, at least 1');
  let key: Promise<SigningKey> | undefined;
  return async (grant) => {
    key ??= secret.use((bytes) => importHmacKey(bytes, ['sign'])).then((imported) => ({ kid, algorithm: 'HS512', key: imported }));
    return signToken(await key, grant, { issuer, audience, lifetimeSeconds, atMs: now() });
  };
}
