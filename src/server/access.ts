import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Action, Authorizer, Resource, ResourceKind } from '../authorization/index.js';
import { TokenInvalid } from '../errors.js';
import type { TokenClaims, TokenScope } from '../tokens/index.js';
import type { App } from './app.js';
import type { Awaitable } from './awaitable.js';
import { Gate } from './gate.js';
import type { Memo } from './memo.js';
import { invalidToken, Problem } from './problem.js';
import type { Database } from './store/sql.js';
import { findWorker, type Role, type Worker } from './store/workers.js';
import type { Tokens } from './tokens.js';
import { credentialHash } from './worker.js';

/** Who may use a route. */
export type Access =
  | 'public'
  /** Any task with an execution token. */
  | 'task'
  /** The task instance that the path names, and nobody else: Airflow's ti:self. */
  | 'self'
  /** As `self`, and a workload token will do: to start the task instance. */
  | 'self-or-workload'
  /** A worker, with its credential: for the first token of a task instance. */
  | 'worker'
  /** A triggerer, with its own: for triggers, and what comes of them. */
  | 'triggerer';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Set for each route; one without it cannot be added. */
    readonly access?: Access;
    /**
     * What a route of access `task` is about and does to it: its handler calls {@link authorize} before it looks anything up.
     * One of access `self` is about its own task instance, and calls nothing: the guard asks whether that try may speak.
     * `run`, `heartbeat` and `state` have none, for state.ts answers for them which states may come next.
     */
    readonly resource?: { readonly kind: ResourceKind; readonly action: Action };
    /** A route of access `self` that a try may ask after its token's end, if it was not heard of since: {@link Gate.passSelf}. */
    readonly mayBeLate?: true;
  }
  interface FastifyRequest {
    /** Whom it speaks for, once that is known; on a public route nobody. */
    claims: TokenClaims | null;
    worker: Worker | null;
    /** Its token has ended, and it was let in all the same: it may not be given another one, nor pass for a sign of life. */
    late: boolean;
  }
  interface FastifyInstance {
    readonly gate: Gate;
  }
}

/** `own` is the default. `airflow` is what Airflow 3.2 does: any token with a right signature reads and writes anything, and is renewed for ever. */
export type Authorization = 'airflow' | 'own';

export interface AccessOptions {
  readonly database: Database;
  readonly memo: Memo;
  readonly tokens: Tokens;
  readonly authorization: Authorization;
  readonly authorizer: Authorizer;
  /** How long a try may speak that is no longer `running`. */
  readonly overtimeSeconds: number;
  /** Of one task instance. */
  readonly maxXComKeys: number;
  readonly now: () => number;
}

/** Checks the token of each request before its body is read, and what it may do when that is there; sends a fresh one to those who are due. */
export function guard(app: App, options: AccessOptions): void {
  const { database, tokens, authorization, now } = options;
  const gate = new Gate(app, options);
  app.decorate('gate', gate);
  app.decorateRequest('claims', null);
  app.decorateRequest('worker', null);
  app.decorateRequest('late', false);

  app.addHook('onRoute', ({ config, method, url }) => {
    if (config?.access === undefined) throw new Error(`route ${String(method)} ${url} does not say who may use it`);
    if (config.access === 'task' && config.resource === undefined) throw new Error(`route ${String(method)} ${url} does not say what it is about`);
  });

  // Whose token it is, before a body is read for nobody.
  app.addHook('onRequest', (request, _reply, done) => {
    const { access } = request.routeOptions.config;
    if (request.is404 || access === 'public') return done();
    // What most requests have: a token that was seen before. It waits for nothing.
    const token = access === 'task' ? tokenOf(request) : undefined;
    const claims = token === undefined ? undefined : tokens.recall(token);
    if (claims === undefined) return void admit(request).then(() => done(), done);
    request.claims = claims;
    done();
  });

  async function admit(request: FastifyRequest): Promise<void> {
    const { access, mayBeLate } = request.routeOptions.config;
    if (access === 'worker' || access === 'triggerer') {
      const worker = await database.run(findWorker(access, credentialHash(bearerOf(request))));
      if (worker === undefined) throw invalidCredential(access);
      request.worker = worker;
      return;
    }
    const scopes: readonly TokenScope[] = access === 'self-or-workload' ? ['workload', 'execution'] : ['execution'];
    const claims = await authenticate(tokens, request, scopes, mayBeLate);
    request.late = now() >= tokens.endOf(claims);
    if (access !== 'task' && claims.sub !== pathId(request)) {
      throw new Problem(403, { reason: 'subject_mismatch', message: 'Token subject does not match task instance ID' });
    }
    request.claims = claims;
  }

  // What may have changed while a client took its time to send a body is asked when that is there: a token that was revoked
  // meanwhile does nothing any more, and is not renewed.
  app.addHook('preValidation', (request, reply, done) => {
    const { access } = request.routeOptions.config;
    if (request.is404 || access === 'public' || access === 'worker' || access === 'triggerer' || (access === 'task' && !isSoonOver(claimsOf(request), now()))) return done();
    passed(request, reply).then(() => done(), done);
  });

  async function passed(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { access, resource, mayBeLate } = request.routeOptions.config;
    const claims = claimsOf(request);
    if (access !== 'task') {
      await gate.passSelf(request, claims, resource?.action ?? 'transition', idempotencyKeyOf(request) !== undefined).catch(async (refusal: unknown) => {
        throw (mayBeLate === true && (await gate.lastWord(claims))) || refusal;
      });
    }
    if (!request.late && isSoonOver(claims, now()) && (authorization === 'airflow' || (await gate.isRunning(request, claims)))) {
      const fresh = await tokens.replace(claims);
      if (fresh !== undefined) reply.header(refreshedToken, fresh);
    }
  }

  // A handler that forgot to ask has answered nobody yet.
  app.addHook('onSend', (request, reply, payload, done) => {
    if (request.routeOptions.config.access === 'task' && reply.statusCode < 400 && !request.asked) done(new Error(`${request.routeOptions.url ?? ''} answers without asking whether it may`));
    else done(null, payload);
  });
}

/** Airflow's header for a token that replaces the one it was asked with. */
export const refreshedToken = 'refreshed-api-token';

/**
 * What whoever asks to `run` says again where the answer was lost, and nobody else knows: with it a workload token that was used is
 * looked at once more. draft-ietf-httpapi-idempotency-key-header
 */
export function idempotencyKeyOf({ headers, routeOptions }: FastifyRequest): string | undefined {
  const key = headers['idempotency-key'];
  return routeOptions.config.access === 'self-or-workload' && typeof key === 'string' && /^[\x20-\x7e]{16,256}$/.test(key) ? key : undefined;
}

/** Whom a request speaks for, on a route that is not public. */
export function claimsOf(request: FastifyRequest): TokenClaims {
  return known(request, request.claims);
}

/** Which worker asks, on a route of access `worker`, or which triggerer. */
export function workerOf(request: FastifyRequest): Worker {
  return known(request, request.worker);
}

/**
 * Lets a request go on, or answers it: 403 `access_denied`, and 404, 409 or 410 for a task instance that may not speak (any more).
 * Called by a route's handler before anything is looked up, with the names that the request gave. What is done to the resource
 * is the route's `config.resource.action`, so that each route says it once.
 *
 * @throws {Problem} The answer.
 */
export function authorize(request: FastifyRequest, resource: Resource): Awaitable<void> {
  const { resource: declared, access } = request.routeOptions.config;
  if (declared?.kind !== resource.kind || access === 'public') throw new Error(`the route does not say that it is about a ${resource.kind}`);
  return gateOf(request).pass(request, claimsOf(request), declared.action, resource);
}

/** The same as an answer: for a listing, which leaves out what the task may not see. */
export async function isAllowed(request: FastifyRequest, resource: Resource): Promise<boolean> {
  return (await gateOf(request).decide(request, claimsOf(request), actionOf(request), resource)).allowed;
}

/** Airflow's names for these questions; there they answer yes to everybody. */
export const has_variable_access = (request: FastifyRequest, key: string): Promise<boolean> => isAllowed(request, { kind: 'variable', key });
export const has_connection_access = (request: FastifyRequest, conn_id: string): Promise<boolean> => isAllowed(request, { kind: 'connection', conn_id });
export const has_xcom_access = (request: FastifyRequest, xcom: Omit<Resource & { kind: 'xcom' }, 'kind'>): Promise<boolean> => isAllowed(request, { kind: 'xcom', ...xcom });

const gateOf = ({ server }: FastifyRequest): Gate => server.gate;

function known<T>({ routeOptions: { url = '' } }: FastifyRequest, who: T | null): T {
  if (who === null) throw new Error(`${url} asks for somebody whom its access does not let in`);
  return who;
}

function actionOf({ routeOptions: { config }, method }: FastifyRequest): Action {
  if (config.resource !== undefined) return config.resource.action;
  return method === 'GET' || method === 'HEAD' ? 'read' : method === 'DELETE' ? 'delete' : 'write';
}

const tokenOf = ({ headers }: FastifyRequest): string | undefined => /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];

function bearerOf(request: FastifyRequest): string {
  const token = tokenOf(request);
  if (token === undefined) throw new Problem(401, { reason: 'missing_token', message: 'Missing auth token' });
  return token;
}

export const invalidCredential = (role: Role = 'worker'): Problem => new Problem(403, { reason: 'invalid_token', message: `Invalid ${role} credential` });

async function authenticate(tokens: Tokens, request: FastifyRequest, scopes: readonly TokenScope[], mayBeLate?: boolean): Promise<TokenClaims> {
  try {
    return await tokens.verify(bearerOf(request), scopes, mayBeLate);
  } catch (error) {
    if (error instanceof TokenInvalid) throw invalidToken(error.reason);
    throw error;
  }
}

function pathId({ params }: FastifyRequest): string | undefined {
  const { id } = params as { readonly id?: string };
  return id?.toLowerCase();
}

/** An execution token with half of its life or half a minute left. Airflow waits for the last fifth; whoever has none by then has no time for an outage. */
function isSoonOver({ scope, iat, exp }: TokenClaims, now: number): boolean {
  return scope === 'execution' && exp - now / 1000 <= Math.max((exp - iat) / 2, 30);
}
