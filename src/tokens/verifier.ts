import type { webcrypto } from 'node:crypto';
import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import { checkOptions, TokenInvalid } from '../errors.js';
import type { Secret } from '../secrets/secret.js';
import type { KeyAgent } from './agent/key-agent.js';
import { checkToken, type Expectation } from './check.js';
import { type Algorithm, defaultAudience, defaultLeewaySeconds, type TokenClaims, type TokenScope } from './claims.js';
import { checkKeys, importHmacKey, keyNamed, type NamedSecret, unnamed } from './keys.js';

interface Expected {
  /** What the claim `iss` must be. @default not looked at; with an agent, the agent's own */
  readonly issuer?: string;
  /** @default 'urn:airflow.apache.org:task'; with an agent, the agent's own */
  readonly audience?: string;
  /** How far the issuer's clock may be off. @default 10 */
  readonly leewaySeconds?: number;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

/** By the HS512 key itself, at least 64 bytes. It stays the caller's: the verifier reads it at the first token. */
export interface KeyVerifierOptions extends Expected {
  readonly key: Secret;
  /** Asked for where there are other keys. @default 'not-used', as Airflow */
  readonly kid?: string;
  /** What tokens may have been, or will be, signed with, each under its name. @default none */
  readonly otherKeys?: readonly NamedSecret[];
}

/** By public keys, as {@link KeyAgent.jwks} gives them; each has its `alg`. */
export interface JwksVerifierOptions extends Expected {
  readonly jwks: JSONWebKeySet;
}

/** By a key agent: HS512 in its process, the others here with its public keys. */
export interface AgentVerifierOptions extends Expected {
  readonly agent: KeyAgent;
}

export type TokenVerifierOptions = KeyVerifierOptions | JwksVerifierOptions | AgentVerifierOptions;

/** What a server needs of a verifier; a cache or a registry of tokens goes in front of one. */
export interface TokenCheck {
  verify(token: string, options?: VerifyOptions): Promise<TokenClaims>;
}

export interface VerifyOptions {
  /** A token of another scope is refused. @default ['execution'] */
  readonly scopes?: readonly TokenScope[];
  /** How long after its end, and the leeway, a token is taken still: for what may come late. @default 0 */
  readonly lateSeconds?: number;
}

/**
 * Accepts what {@link TokenIssuer}, or an Airflow with the same keys, has signed.
 * With `key`, the imported key is a copy on OpenSSL's heap for as long as the verifier lives.
 */
export class TokenVerifier implements TokenCheck {
  readonly #check: (token: string, expected: Expectation) => Promise<TokenClaims>;
  readonly #expected: Omit<Expectation, 'atMs' | 'scopes'>;
  readonly #now: () => number;

  /** @throws {RangeError} `ERR_OUT_OF_RANGE`: the key is shorter than RFC 7518 section 3.2 asks for, or an option is not one of these. */
  constructor(options: TokenVerifierOptions) {
    checkOptions('options', options, ['key', 'kid', 'otherKeys', 'jwks', 'agent', 'issuer', 'audience', 'leewaySeconds', 'now']);
    const agent = 'agent' in options ? options.agent : undefined;
    const { issuer = agent?.issuer, audience = agent?.audience ?? defaultAudience, leewaySeconds = defaultLeewaySeconds, now = Date.now } = options;
    this.#expected = { issuer, audience, leewaySeconds };
    this.#now = now;
    this.#check = 'agent' in options ? (token, expected) => options.agent.verify(token, expected) : 'jwks' in options ? byPublicKeys(options.jwks) : byKeys([{ key: options.key, kid: options.kid ?? unnamed }, ...(options.otherKeys ?? [])]);
  }

  /**
   * @throws {TokenInvalid} `ERR_TOKEN_INVALID`, with a {@link TokenRefusal} as its `reason`.
   * @throws {KeyAgentFailed} `ERR_KEY_AGENT`: the agent has ended.
   */
  async verify(token: string, { scopes = ['execution'], lateSeconds = 0 }: VerifyOptions = {}): Promise<TokenClaims> {
    return this.#check(token, { ...this.#expected, scopes, lateSeconds, atMs: this.#now() });
  }
}

function byKeys(keys: readonly NamedSecret[]): (token: string, expected: Expectation) => Promise<TokenClaims> {
  checkKeys(keys);
  const imported = new Map<NamedSecret, Promise<webcrypto.CryptoKey>>();
  return (token, expected) => {
    const keyOf: JWTVerifyGetKey = () => {
      const named = keyNamed(keys, token);
      if (named === undefined) throw new TokenInvalid('signature');
      let key = imported.get(named);
      if (key === undefined) imported.set(named, (key = named.key.use((bytes) => importHmacKey(bytes, ['verify']))));
      return key;
    };
    return checkToken(token, keyOf, ['HS512'], expected);
  };
}

/** What a set of public keys may have signed: never HS512, for which a public key is no secret. */
const asymmetric: readonly Algorithm[] = ['EdDSA', 'ES256', 'RS256'];

export function byPublicKeys(jwks: JSONWebKeySet): (token: string, expected: Expectation) => Promise<TokenClaims> {
  const keyOf = createLocalJWKSet(jwks);
  const algorithms = asymmetric.filter((algorithm) => jwks.keys.some(({ alg }) => alg === algorithm));
  return (token, expected) => checkToken(token, keyOf, algorithms, expected);
}
