import { type Static, Type } from '@sinclair/typebox';

/** Airflow's two kinds: a `workload` token starts its task instance and nothing else, an `execution` token does the rest. */
export type TokenScope = 'workload' | 'execution';

/** Airflow's `[execution_api] jwt_audience`. */
export const defaultAudience = 'urn:airflow.apache.org:task';

/** Airflow's `[api_auth] jwt_leeway`: how far two clocks may differ. */
export const defaultLeewaySeconds = 10;

/** Airflow's `[execution_api] jwt_expiration_time`, and `[scheduler] task_queued_timeout` for workload tokens. */
export const defaultLifetimeSeconds = 600;

/** Of a server's execution tokens: half of it, at which they are renewed, is longer than an API that is away for ten minutes. */
export const executionLifetimeSeconds = 1800;

/** RFC 7518's names, of those that Airflow takes too and ES256. */
export type Algorithm = 'HS512' | 'EdDSA' | 'ES256' | 'RS256';

/** A task instance's id, which is what a token speaks for. */
export const subjectPattern = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$';

/** Longer than any token of ours by far; what is above is not worth decoding. */
export const maxTokenChars = 8192;

const NumericDate = Type.Number({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/**
 * The claims set as it must be once the signature is known to be right.
 * Claims it does not name are let through and left out: another issuer may add its own.
 */
export const ClaimsSchema = Type.Object({
  jti: Type.String({ minLength: 1, maxLength: 128 }),
  iss: Type.Optional(Type.String({ maxLength: 512 })),
  sub: Type.String({ pattern: subjectPattern }),
  dag_id: Type.Optional(Type.String({ minLength: 1, maxLength: 250 })),
  nbf: Type.Optional(NumericDate),
  iat: NumericDate,
  exp: NumericDate,
  scope: Type.Optional(Type.Unknown()),
});

/** What a token that was accepted says. RFC 7519 section 4.1 names all but `scope` and `dag_id`. */
export interface TokenClaims extends Readonly<Omit<Static<typeof ClaimsSchema>, 'scope'>> {
  readonly aud: string;
  readonly scope: TokenScope;
}
