import { outOfRange, TokenInvalid, TokenRefused } from '../../errors.js';
import { checkToken } from '../check.js';
import type { TokenClaims } from '../claims.js';
import { signToken } from '../compose.js';
import { keyNamed } from '../keys.js';
import type { LoadedKey } from './key.js';
import type { AgentPolicy, IssueRequest, Request } from './protocol.js';

type VerifyRequest = Extract<Request, { verify: unknown }>['verify'];

/** The agent's keys and its policy: what it signs is decided here, whoever asks. */
export class Signer {
  readonly #keys: readonly LoadedKey[];
  readonly #signing: LoadedKey;
  readonly #policy: AgentPolicy;
  readonly #subjects: ReadonlySet<string> | undefined;

  /** @param keys The first one signs; all of them verify. @throws {RangeError} `ERR_OUT_OF_RANGE`: two of the same name. */
  constructor(keys: readonly [LoadedKey, ...LoadedKey[]], policy: AgentPolicy) {
    const twice = keys.find(({ kid }, at) => keys.findIndex((other) => other.kid === kid) !== at);
    if (twice !== undefined) throw outOfRange('kid', `another one for each key; two are named ${twice.kid}`);
    this.#keys = keys;
    this.#signing = keys[0];
    this.#policy = policy;
    this.#subjects = policy.subjects && new Set(policy.subjects.map((subject) => subject.toLowerCase()));
  }

  /** @throws {TokenRefused} `ERR_TOKEN_REFUSED`, naming the field. */
  issue({ sub, scope, dag_id, lifetimeSeconds }: IssueRequest): Promise<string> {
    const { issuer, audience, scopes, maxLifetimeSeconds, dagIds } = this.#policy;
    if (!scopes.includes(scope)) throw new TokenRefused('scope', `must be one of ${scopes.join(', ')}`);
    if (this.#subjects?.has(sub.toLowerCase()) === false) throw new TokenRefused('sub', 'is not among the subjects of this agent');
    if (dagIds !== undefined && (dag_id === undefined || !dagIds.includes(dag_id))) throw new TokenRefused('dag_id', 'is not among the DAGs of this agent');
    if (lifetimeSeconds > maxLifetimeSeconds) throw new TokenRefused('lifetimeSeconds', `must be at most ${maxLifetimeSeconds}`);
    return signToken(this.#signing, { sub, scope, ...(dag_id !== undefined && { dag_id }) }, { issuer, audience, lifetimeSeconds, atMs: Date.now() });
  }

  /** HS512 alone; the others need no secret. @throws {TokenInvalid} `ERR_TOKEN_INVALID` */
  async verify({ token, ...expected }: VerifyRequest): Promise<TokenClaims> {
    const key = keyNamed(this.#keys.filter(({ algorithm }) => algorithm === 'HS512'), token);
    if (key === undefined) throw new TokenInvalid('signature');
    return checkToken(token, () => key.key, ['HS512'], expected);
  }
}
