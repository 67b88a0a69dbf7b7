import type { Static, TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { checkOptions, invalidArgument, TokenInvalid, UpstreamFailed, UpstreamUnreachable } from '../errors.js';
import { refuseFromArguments } from '../secrets/arguments.js';
import { Secret } from '../secrets/secret.js';
import { apiVersion, Connection, type EnterRunning, ErrorBody, FirstToken, type Heartbeat, RunContext, type StateUpdate, Variable, XCom } from './schema.js';
import { type Answer, path, type Request, Transport, type TransportOptions } from './transport.js';

export interface ExecutionApiOptions extends TransportOptions {
  /** Sent as Bearer token. Taken over: it is destroyed when the server sends a fresh one. */
  readonly token?: Secret;
}

export interface RequestOptions {
  readonly signal?: AbortSignal;
}

/** Which XCom. `map_index` is -1 for a task that is not mapped. */
export interface XComRef {
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly key: string;
  /** @default -1 */
  readonly map_index?: number;
}

/** What a Bearer header may hold: RFC 6750 section 2.1. */
const bearer = /^[A-Za-z0-9\-._~+/]{1,8192}=*$/;

/**
 * Airflow's Execution API, with the token of one task instance. Works with Airflow's server
 * and with `sallyport/server`.
 *
 * Network errors and 5xx are tried again; every call here may be repeated without harm. Where a workload token is good once
 * and the answer to `run` was lost, `run` is refused: the scheduler has to hand out another one.
 * The token is read from its Secret for each request and added last; while one is on its way
 * it is also in undici's header string and the socket's buffer. Over plain `http` anyone on
 * the way can read it: use that on loopback, and `https` elsewhere.
 *
 * Every call rejects with
 * - {@link UpstreamFailed} `ERR_UPSTREAM_FAILED`: answered with an error; `status` and `reason` say which;
 * - {@link UpstreamUnreachable} `ERR_UPSTREAM_UNREACHABLE`: no answer, or not one of this API;
 * - RangeError `ERR_OUT_OF_RANGE`: an id or key that no path can carry safely; nothing was sent;
 * - the reason of `signal`.
 *
 * No message repeats a body, an id or a token.
 */
export class ExecutionApi {
  readonly #options: ExecutionApiOptions;
  #transport: Transport;
  #ownsTransport = true;
  #token: Secret | undefined;
  #closed = false;
  #warned = false;

  /**
   * @throws {RangeError} `ERR_OUT_OF_RANGE`: a base URL that is not http or https, or with user, password, query or fragment.
   * @throws {SecretRefused} `ERR_SECRET_REFUSED`: the token is among this process's arguments, where every user reads it.
   */
  /** @param transport Connections of another client's, which closes them. Internal: see {@link withToken}. */
  constructor(options: ExecutionApiOptions, transport?: Transport) {
    checkOptions('options', options, ['baseUrl', 'token', 'requestTimeoutMs', 'attempts', 'retryDelayMs', 'maxRetryDelayMs', 'maxResponseBytes']);
    const { token } = options;
    if (token !== undefined && !(token instanceof Secret)) throw invalidArgument('options.token', 'a Secret', token);
    if (token !== undefined) refuseFromArguments(token);
    this.#options = { ...options }; // checked once: what the caller does to its own later must not fail withToken()
    this.#transport = transport ?? new Transport(options);
    this.#ownsTransport = transport === undefined;
    this.#token = token;
  }

  /** The same API and connections for another task instance. Closing it leaves the connections to this one. */
  withToken(token: Secret): ExecutionApi {
    return new ExecutionApi({ ...this.#options, token }, this.#transport);
  }

  /** Destroys the token and, but for one made by {@link withToken}, ends the connections. Twice is fine. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#token?.destroy();
    if (this.#ownsTransport) await this.#transport.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Marks the task instance running, here. A workload token is exchanged for an execution token on the way. */
  async run(tiId: string, { hostname, unixname, pid, start_date }: Omit<EnterRunning, 'state'>, options?: RequestOptions): Promise<RunContext> {
    const body: EnterRunning = { state: 'running', hostname, unixname, pid, start_date };
    return this.#json(RunContext, { method: 'PATCH', route: 'task-instances/{id}/run', path: path('task-instances', tiId, 'run'), body: JSON.stringify(body) }, options);
  }

  /**
   * Asks a `sallyport/server` for the workload token of a task instance, as a worker that was told only which one it is to run.
   * Not part of Airflow's API: the route is beside it, at `/sallyport/v1`. The token passes through the heap as the answer's text.
   *
   * @param credential The worker's own, as `server.addWorker()` gave it. It stays the caller's.
   * @throws {UpstreamFailed} 403 `access_denied`: not a task instance of this worker's queues or team; 409 or 410: it waits for nobody.
   */
  async firstToken(tiId: string, credential: Secret, { signal }: RequestOptions = {}): Promise<Secret> {
    if (!(credential instanceof Secret)) throw invalidArgument('credential', 'a Secret', credential);
    refuseFromArguments(credential);
    const request = { method: 'POST', route: 'task-instances/{id}/token', path: `sallyport/v1/${path('task-instances', tiId, 'token')}`, beside: true } as const;
    const answer = await this.#transport.send(request, () => ({ authorization: credential.use(bearerHeader) }), signal);
    const { token } = parse(FirstToken, request, answer, 201);
    return Secret.fromBytes(Buffer.from(token, 'latin1'));
  }

  /** @throws {UpstreamFailed} 404, or 409 `running_elsewhere` or `not_running`: the task is no longer ours, end it. */
  async heartbeat(tiId: string, { hostname, pid }: Heartbeat, options?: RequestOptions): Promise<void> {
    await this.#done(204, { method: 'PUT', route: 'task-instances/{id}/heartbeat', path: path('task-instances', tiId, 'heartbeat'), body: JSON.stringify({ hostname, pid }) }, options);
  }

  /** Reports the final, or another, state. 409 `invalid_state` where the task instance is not running. */
  async setState(tiId: string, update: StateUpdate, options?: RequestOptions): Promise<void> {
    const request = { method: 'PATCH', route: 'task-instances/{id}/state', path: path('task-instances', tiId, 'state'), body: JSON.stringify(update) } as const;
    const answer = await this.#send(request, options);
    // The answer to an earlier attempt was lost on its way: the state is what we asked for.
    if (answer.attempt > 1 && answer.status === 409 && errorDetail(answer)?.previous_state === update.state) return;
    assertStatus(204, request, answer);
  }

  async getVariable(key: string, options?: RequestOptions): Promise<Variable> {
    return this.#json(Variable, { method: 'GET', route: 'variables/{key}', path: path('variables', key) }, options);
  }

  async getConnection(conn_id: string, options?: RequestOptions): Promise<Connection> {
    return this.#json(Connection, { method: 'GET', route: 'connections/{id}', path: path('connections', conn_id) }, options);
  }

  /** @returns `value: null` where there is no such XCom, as Airflow's own client. */
  async getXCom(ref: XComRef & { readonly include_prior_dates?: boolean }, options?: RequestOptions): Promise<XCom> {
    const query = new URLSearchParams();
    if (ref.map_index !== undefined && ref.map_index >= 0) query.set('map_index', String(ref.map_index));
    if (ref.include_prior_dates === true) query.set('include_prior_dates', 'true');
    const request = { method: 'GET', route: 'xcoms', path: xcomPath(ref, query) } as const;
    const answer = await this.#send(request, options);
    if (answer.status === 404) return { key: ref.key, value: null };
    return parse(XCom, request, answer);
  }

  /** @param value Anything JSON can hold. */
  async setXCom(ref: XComRef, value: unknown, options?: RequestOptions & { readonly mapped_length?: number }): Promise<void> {
    const query = new URLSearchParams();
    if (ref.map_index !== undefined && ref.map_index >= 0) query.set('map_index', String(ref.map_index));
    if (options?.mapped_length !== undefined) query.set('mapped_length', String(options.mapped_length));
    await this.#done(201, { method: 'POST', route: 'xcoms', path: xcomPath(ref, query), body: JSON.stringify(value ?? null) }, options);
  }

  async #json<T extends TSchema>(schema: T, request: Request, options?: RequestOptions): Promise<Static<T>> {
    return parse(schema, request, await this.#send(request, options));
  }

  async #done(status: number, request: Request, options?: RequestOptions): Promise<void> {
    assertStatus(status, request, await this.#send(request, options));
  }

  async #send(request: Request, options?: RequestOptions): Promise<Answer> {
    const headers = (): Record<string, string> => ({
      'airflow-api-version': apiVersion,
      ...(this.#token !== undefined && { authorization: this.#token.use(bearerHeader) }),
    });
    const answer = await this.#transport.send(request, headers, options?.signal);
    this.#refresh(answer);
    return answer;
  }

  /**
   * Airflow sends a token that replaces the one of the request when that was a workload token or is soon to expire.
   * An answer that comes after close() brings none: nobody would destroy it.
   */
  #refresh({ status, headers }: Answer): void {
    const fresh = headers['refreshed-api-token'];
    if (typeof fresh !== 'string' || status >= 300 || this.#token === undefined || this.#closed || !bearer.test(fresh)) return;
    const old = this.#token;
    const bytes = Buffer.from(fresh, 'latin1');
    try {
      this.#token = Secret.fromBytes(bytes);
    } catch (error) {
      // What was asked for has been done, so that failing the call would be a lie; the old token may serve on for a while.
      bytes.fill(0);
      this.#warn('a fresh token of the Execution API could not be kept; the old one stays in use', error);
      return;
    }
    old.destroy();
  }

  #warn(message: string, error: unknown): void {
    if (!this.#warned) process.emitWarning(message, { type: 'SallyportWarning', detail: (error as Error).message });
    this.#warned = true;
  }
}

function bearerHeader(bytes: Uint8Array): string {
  const token = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  if (!bearer.test(token)) throw new TokenInvalid('malformed');
  return `Bearer ${token}`;
}

function xcomPath({ dag_id, run_id, task_id, key }: XComRef, query: URLSearchParams): string {
  return `${path('xcoms', dag_id, run_id, task_id, key)}${query.size > 0 ? `?${query}` : ''}`;
}

/** A page of some proxy's own comes with a 200 too, so only the API's own status will do. */
function assertStatus(expected: number, request: Request, answer: Answer): void {
  if (answer.status === expected) return;
  if (answer.status >= 300) throw new UpstreamFailed(`${request.method} ${request.route}`, answer.status, errorDetail(answer)?.reason);
  throw unexpected(request, answer);
}

function parse<T extends TSchema>(schema: T, request: Request, answer: Answer, status = 200): Static<T> {
  assertStatus(status, request, answer);
  const body = jsonBody(answer);
  if (!Value.Check(schema, body)) throw unexpected(request, answer);
  return body;
}

function unexpected(request: Request, { status }: Answer): UpstreamUnreachable {
  return new UpstreamUnreachable(`${request.method} ${request.route}`, `status ${status}, but not with what this API answers`);
}

function errorDetail(answer: Answer): Static<typeof ErrorBody>['detail'] | undefined {
  const body = jsonBody(answer);
  return Value.Check(ErrorBody, body) ? body.detail : undefined;
}

/** `undefined` for anything but JSON. What it was is not told: it may hold a secret. */
function jsonBody({ headers, body }: Answer): unknown {
  const type = headers['content-type'];
  if (typeof type !== 'string' || !/^application\/json\s*(;|$)/i.test(type)) return undefined;
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
}
