/**
 * What a supervisor and its key agent say to each other: JSON, one value a line, over descriptor 3 of the agent.
 *
 *     > {"keys": [{"source": {"file": "…"}}], "policy": {…}}    < {"ready": [{"kid", "algorithm", "jwk"}]}
 *     > {"id": 1, "issue": {"sub", "scope", …}}                 < {"id": 1, "token": "…"}
 *     > {"id": 2, "verify": {"token", …}}                       < {"id": 2, "claims": {…}}
 *
 * What cannot be done is answered `{"id", "error": {…}}`. No message holds bytes to sign, and none a private key.
 */
import { type Static, type TObject, type TProperties, Type } from '@sinclair/typebox';
import type { JWK } from 'jose';
import { KeyAgentFailed, SallyportError, TokenInvalid, TokenRefused } from '../../errors.js';
import { type Algorithm, maxTokenChars, subjectPattern, type TokenClaims } from '../claims.js';

/** Longer than a policy with all the names it may have. What is longer is thrown away unread. */
export const maxLineBytes = 65_536;

/** The agent's descriptors: its channel, and then a pipe or file for each key that is handed over. */
export const channelDescriptor = 3;

function closed<T extends TProperties>(properties: T): TObject<T> {
  return Type.Object(properties, { additionalProperties: false });
}

const Scope = Type.Union([Type.Literal('execution'), Type.Literal('workload')]);
const Text = Type.String({ minLength: 1, maxLength: 512 });
const DagId = Type.String({ minLength: 1, maxLength: 250 });
const Subject = Type.String({ pattern: subjectPattern });
const Lifetime = Type.Integer({ minimum: 1, maximum: 365 * 86_400 });

export const AgentPolicy = closed({
  /** The claim `iss` of every token. @default no such claim */
  issuer: Type.Optional(Text),
  /** The claim `aud` of every token. */
  audience: Text,
  scopes: Type.Array(Scope, { minItems: 1, maxItems: 2 }),
  maxLifetimeSeconds: Lifetime,
  /** Task instances that tokens may speak for. Absent: any. */
  subjects: Type.Optional(Type.Array(Subject, { minItems: 1, maxItems: 1000 })),
  /** What `dag_id` may be, which every grant then has. Absent: any, or none. */
  dagIds: Type.Optional(Type.Array(DagId, { minItems: 1, maxItems: 200 })),
});
export type AgentPolicy = Readonly<Static<typeof AgentPolicy>>;

export const algorithms: readonly Algorithm[] = ['HS512', 'EdDSA', 'ES256', 'RS256'];

const KeyName = {
  algorithm: Type.Optional(Type.Union(algorithms.map((algorithm) => Type.Literal(algorithm)))),
  /** It is in the header of every token: printable, and no secret. */
  kid: Type.Optional(Type.String({ pattern: '^[\\x21-\\x7e]{1,128}$' })),
};
const Source = Type.Union([closed({ file: Type.String({ minLength: 1 }) }), closed({ credential: Type.String({ minLength: 1 }) }), closed({ descriptor: Type.Integer({ minimum: channelDescriptor + 1, maximum: 64 }) })]);
const AgentKey = closed({ source: Source, ...KeyName });
export type AgentKey = Static<typeof AgentKey>;

export const Configuration = closed({ keys: Type.Array(AgentKey, { minItems: 1, maxItems: 16 }), policy: AgentPolicy });
export type Configuration = Static<typeof Configuration>;

export const IssueRequest = closed({ sub: Subject, scope: Scope, dag_id: Type.Optional(DagId), lifetimeSeconds: Lifetime });
export type IssueRequest = Readonly<Static<typeof IssueRequest>>;

const VerifyRequest = closed({
  token: Type.String({ maxLength: maxTokenChars }),
  issuer: Type.Optional(Text),
  audience: Text,
  scopes: Type.Array(Scope, { maxItems: 2 }),
  leewaySeconds: Type.Number({ minimum: 0 }),
  lateSeconds: Type.Optional(Type.Number({ minimum: 0 })),
  atMs: Type.Number({ minimum: 0, maximum: 8.64e15 }),
});

const Id = Type.Integer({ minimum: 1 });
export const Request = Type.Union([closed({ id: Id, issue: IssueRequest }), closed({ id: Id, verify: VerifyRequest })]);
export type Request = Static<typeof Request>;

/** A key by what may be known of it: `jwk` is the public half, where there is one. */
export interface PublishedKey {
  readonly kid: string;
  readonly algorithm: Algorithm;
  readonly jwk?: JWK;
}

/** An error as it is told over the channel. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly field?: string;
  readonly problem?: string;
  readonly reason?: string;
}

export type Answer =
  | { readonly ready: readonly PublishedKey[] }
  | { readonly id: number; readonly token: string }
  | { readonly id: number; readonly claims: TokenClaims }
  /** Without `id` where none could be made out. */
  | { readonly id?: number; readonly error: Refusal };

/** Ours say what was wrong and hold no secret; of any other only the code is told. */
export function refusalFor(error: unknown): Refusal {
  const { code = 'ERR_INTERNAL' } = error as NodeJS.ErrnoException;
  if (error instanceof TokenRefused) return { code, message: error.message, field: error.field, problem: error.problem };
  if (error instanceof TokenInvalid) return { code, message: error.message, reason: error.reason };
  return { code, message: error instanceof SallyportError || code === 'ERR_OUT_OF_RANGE' ? (error as Error).message : `it met ${code}` };
}

/** The same error on the other side. */
export function errorFrom({ code, message, field, problem, reason }: Refusal): SallyportError {
  if (code === 'ERR_TOKEN_REFUSED' && field !== undefined && problem !== undefined) return new TokenRefused(field, problem);
  if (code === 'ERR_TOKEN_INVALID' && reason !== undefined) return new TokenInvalid(reason);
  return new KeyAgentFailed(code, message);
}
