import type { Static, TSchema } from '@sinclair/typebox';
import type { Action, Resource } from '../../authorization/index.js';
import { errorResponse, type ErrorResponse, type ErrorType, type Method, type MethodContext } from '../../broker/index.js';
import { type BrokerDenied, UpstreamFailed } from '../../errors.js';
import type { Masker } from '../../secrets/masker.js';
import type { ExecutionApi } from '../client.js';
import type { Grants, Reach } from '../grants.js';
import type { TaskMasking } from './masking.js';
import type { Self } from './self.js';

/** The calls that messages stand for. The task instance's own life is the supervisor's. */
export type MessagesApi = Omit<ExecutionApi, 'close' | 'firstToken' | 'heartbeat' | 'run' | 'setState' | 'withToken' | typeof Symbol.asyncDispose>;

/** Whom a table is for, and what stands behind its rows. */
export interface RowOptions {
  readonly api: MessagesApi;
  readonly self: Self;
  readonly reach: Reach;
  readonly masking: TaskMasking;
  readonly masker: Masker | undefined;
}

/** What a message does to what: the words of a deployment's rules. */
export type Question = readonly [Action, Resource];

export interface RowContext extends MethodContext {
  /** Asks the rules about one line of a listing. @default everything is allowed */
  readonly allows?: (action: Action, resource: Resource) => Promise<boolean>;
}

/** A message of Airflow's. */
export interface Row extends Omit<Method, 'handler'> {
  handler(params: never, context: RowContext): unknown;
  /** What the deployment's rules are asked, by the values that `permit` gave; empty for what is nobody else's business. */
  about(params: never): readonly Question[];
}

export type Rows = Readonly<Record<string, Row>>;

/**
 * A denial of a variable or connection, whoever denies it: Airflow's child must not go and look for it elsewhere, as in its environment.
 * One that does not know the word yet takes it for an error as any other.
 */
export const accessDenied = ({ code, method, message }: BrokerDenied): ErrorResponse => errorResponse('PERMISSION_DENIED', { code, method, message });

interface Definition<S extends TSchema, P> {
  readonly params: S;
  /** The field of `declares` and `grants` that names what `permit` looks for: a denial names it. */
  readonly grant?: keyof Grants;
  /** The values to go on with, identity filled in; undefined to deny. */
  permit(params: Static<S>): P | undefined;
  about(params: P): readonly Question[];
  handler(params: P, context: RowContext): unknown;
  denied?(error: BrokerDenied): unknown;
}

/** Types a row's functions from its schema, and its handler from what it permits. */
export function row<S extends TSchema, P>({ grant, ...definition }: Definition<S, P>): Row {
  const grantedBy = grant && { grantedBy: `"${grant}" of "declares" or "grants" says which are (docs/messages.md)` };
  return { ...definition, ...grantedBy } as unknown as Row; // a handler is only ever called with what its own permit() gave
}

/** About nothing but the task instance's own life. */
export const nobodyElses = (): readonly Question[] => [];

/** A 404 is an answer, and Airflow's children look for it in the body. */
export async function found(error: ErrorType, detail: Readonly<Record<string, unknown>>, call: () => Promise<unknown>): Promise<unknown> {
  try {
    return await call();
  } catch (refusal) {
    if (refusal instanceof UpstreamFailed && refusal.status === 404) return errorResponse(error, detail);
    throw refusal;
  }
}

/** The same, and a server's 401 and 403 are a denial. */
export async function foundIfAllowed(error: ErrorType, detail: Readonly<Record<string, unknown>>, call: () => Promise<unknown>): Promise<unknown> {
  try {
    return await found(error, detail, call);
  } catch (refusal) {
    if (refusal instanceof UpstreamFailed && (refusal.status === 401 || refusal.status === 403)) return errorResponse('PERMISSION_DENIED', { ...detail, status_code: refusal.status, reason: refusal.reason ?? null });
    throw refusal;
  }
}

export const ok = Object.freeze({ type: 'OKResponse', ok: true });
