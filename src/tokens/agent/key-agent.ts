import { decodeProtectedHeader, type JSONWebKeySet, type JWK } from 'jose';
import { TokenInvalid } from '../../errors.js';
import type { Expectation } from '../check.js';
import { type Algorithm, defaultLifetimeSeconds, maxTokenChars, type TokenClaims, type TokenScope } from '../claims.js';
import type { TokenGrant } from '../compose.js';
import { byPublicKeys } from '../verifier.js';
import type { AgentConnection } from './connection.js';
import { type CheckedOptions, checkedOptions, checkFields, type KeyAgentOptions } from './options.js';
import { startProcess } from './process.js';
import { IssueRequest, type PublishedKey } from './protocol.js';

/** What is asked of an agent for one token. */
export interface AgentGrant extends TokenGrant {
  /** @default 600, or the agent's `maxLifetimeSeconds` where that is less */
  readonly lifetimeSeconds?: number;
}

/**
 * The holder of the signing keys: a process of its own, hardened before it is told anything, that signs tokens which it
 * puts together itself, under a policy that is fixed when it starts. It never signs bytes that it is given, and never
 * tells a private key or an HS512 key. It ends when this process does, or the worker thread that started it.
 *
 * An agent that nothing is asked of does not keep the event loop alive.
 */
export class KeyAgent implements AsyncDisposable {
  readonly #connection: AgentConnection;
  readonly #byPublicKeys: (token: string, expected: Expectation) => Promise<TokenClaims>;
  readonly #hasSymmetric: boolean;
  /** The claim `iss` of every token. */
  readonly issuer: string | undefined;
  /** The claim `aud` of every token. */
  readonly audience: string;
  readonly scopes: readonly TokenScope[];
  readonly maxLifetimeSeconds: number;
  /** The names of its keys. The first one signs. */
  readonly keys: readonly { readonly kid: string; readonly algorithm: Algorithm }[];
  /** The public halves, as a JWKS endpoint serves them (RFC 7517 section 5). An HS512 key has none and is not in it. */
  readonly jwks: JSONWebKeySet;

  private constructor(connection: AgentConnection, published: readonly PublishedKey[], { issuer, audience, scopes, maxLifetimeSeconds }: CheckedOptions['policy']) {
    this.#connection = connection;
    this.issuer = issuer;
    this.audience = audience;
    this.scopes = Object.freeze([...scopes]);
    this.maxLifetimeSeconds = maxLifetimeSeconds;
    this.keys = Object.freeze(published.map(({ kid, algorithm }) => Object.freeze({ kid, algorithm })));
    this.jwks = { keys: published.flatMap(({ jwk }): JWK[] => (jwk === undefined ? [] : [jwk])) };
    this.#byPublicKeys = byPublicKeys(this.jwks);
    this.#hasSymmetric = published.some(({ algorithm }) => algorithm === 'HS512');
  }

  /**
   * Starts an agent and waits until it is closed to others and has its keys. In every case the descriptors and secrets
   * that it was given keys by are closed and destroyed here: whether the start fails or not, the key is not in this process.
   *
   * @throws {TypeError|RangeError} `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`: an option; nothing was started, given
   *   descriptors and secrets are as they were.
   * @throws {KeyAgentFailed} `ERR_KEY_AGENT`, with the agent's own code as its `reason`: `ERR_SECRET_REFUSED` for a key
   *   that it cannot read or use, `ERR_ENFORCEMENT_PARTIAL` where it cannot be hardened. Nothing is left running.
   */
  static async start(options: KeyAgentOptions): Promise<KeyAgent> {
    const checked = checkedOptions(options);
    const connection = startProcess(checked);
    try {
      return new KeyAgent(connection, await connection.ready(), checked.policy);
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  get pid(): number {
    return this.#connection.pid;
  }

  /** Settles when the agent has ended, for whatever reason. From then on every call rejects; start another one. */
  get ended(): Promise<void> {
    return this.#connection.ended;
  }

  /**
   * @throws {RangeError} `ERR_OUT_OF_RANGE`: a field is not what it must be for anyone.
   * @throws {TokenRefused} `ERR_TOKEN_REFUSED`, with the `field` that the agent's policy does not allow.
   * @throws {KeyAgentFailed} `ERR_KEY_AGENT`: it has ended, or does not answer and was ended.
   */
  async issue({ sub, scope, dag_id, lifetimeSeconds = Math.min(defaultLifetimeSeconds, this.maxLifetimeSeconds) }: AgentGrant): Promise<string> {
    const issue = { sub, scope, ...(dag_id !== undefined && { dag_id }), lifetimeSeconds };
    checkFields('grant', IssueRequest, issue);
    const { token } = await this.#connection.ask<{ token: string }>({ issue });
    return token;
  }

  /**
   * Checks a token that one of the keys has signed: with a public key in this process, or with an HS512 key in the agent's.
   *
   * @throws {TokenInvalid} `ERR_TOKEN_INVALID`, with its `reason`.
   * @throws {KeyAgentFailed} `ERR_KEY_AGENT`
   */
  async verify(token: string, expected: Expectation): Promise<TokenClaims> {
    if (token.length > maxTokenChars) throw new TokenInvalid('malformed');
    if (!this.#hasSymmetric || algorithmOf(token) !== 'HS512') return this.#byPublicKeys(token, expected);
    const { issuer, scopes, ...rest } = expected;
    const { claims } = await this.#connection.ask<{ claims: TokenClaims }>({ verify: { token, ...rest, scopes: [...scopes], ...(issuer !== undefined && { issuer }) } });
    return Object.freeze(claims);
  }

  /** Ends the agent and waits until it is gone. Twice is fine. */
  close(): Promise<void> {
    return this.#connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function algorithmOf(token: string): string | undefined {
  try {
    return decodeProtectedHeader(token).alg;
  } catch {
    return undefined; // jose says what is wrong with it
  }
}
