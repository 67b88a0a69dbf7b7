import { randomUUID } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import { outOfRange } from '../errors.js';
import { Secret } from '../secrets/secret.js';
import { assertStatus, errorDetail, parse, unexpected } from './answer.js';
import { get } from './queries.js';
import {
  Connection, type EnterRunning, FirstToken, Health, type Heartbeat, type HitlAnswer, HitlRequest, HitlResponse, InactiveAssets, PreviousSuccessfulRun, RescheduleStart, RunContext, type SetVariable,
  type SkipDownstream, type StateUpdate, Variable, VariableKeys, WaitingWork, XCom,
} from './schema.js'; // prettier-ignore
import type { ExecutionApiOptions, RequestOptions } from './session.js';
import { Triggerers } from './triggerers.js';
import { path, query, type Request, type Transport } from './transport.js';

export type { AssetEventFilter, DagRunFilter, TaskInstanceFilter } from './queries.js';
export type { ExecutionApiOptions, RequestOptions } from './session.js';

/** A {@link StateUpdate} as it is sent. */
export interface WrittenUpdate {
  readonly state: StateUpdate['state'];
  readonly json: Uint8Array;
  /** Of the API, where it needs another one than what is spoken otherwise: {@link apiVersionOf}. */
  readonly apiVersion?: string | undefined;
}

/** All map indexes of an XCom. */
export interface XComName {
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly key: string;
}

/** Which XCom. `map_index` is -1 for a task that is not mapped. */
export interface XComRef extends XComName {
  /** @default -1 */
  readonly map_index?: number;
}

const ofTaskInstance = (method: Request['method'], id: string, what: string, body?: unknown): Request => ({
  method,
  route: `task-instances/{id}/${what}`,
  path: path('task-instances', id, what),
  ...(body !== undefined && { body: body instanceof Uint8Array ? body : JSON.stringify(body) }),
});

/** Of an update that a server of an earlier version would refuse. */
export const apiVersionOf = (update: StateUpdate): string | undefined => (update.state === 'awaiting_input' || 'retry_delay_seconds' in update ? '2026-06-30' : undefined);

/** What a supervisor does itself, for a task to live and to end. */
const vital = (request: Request): Request => ({ ...request, vital: true });

/**
 * Airflow's Execution API, with the token of one task instance. Works with Airflow's server
 * and with `sallyport/server`.
 *
 * Network errors and 5xx are tried again; every call here may be repeated without harm. Where a workload token is good once,
 * `sallyport/server` knows the attempts of one `run` by a key that is made up for it, and refuses another `run`. `triggerDagRun`
 * may be told that the run is there already, when the answer to its first attempt was lost.
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
export class ExecutionApi extends Triggerers {
  /**
   * @param transport Connections of another client's, which closes them. Internal: see {@link withToken}.
   * @throws {RangeError} `ERR_OUT_OF_RANGE`: a base URL that is not http or https, or with user, password, query or fragment.
   * @throws {SecretRefused} `ERR_SECRET_REFUSED`: the token is among this process's arguments, where every user reads it.
   */
  constructor(options: ExecutionApiOptions, transport?: Transport) {
    super(options, transport);
  }

  /** The same API and connections for another task instance. Closing it leaves the connections to this one. */
  withToken(token: Secret): ExecutionApi {
    return new ExecutionApi(...this.with(token));
  }

  /**
   * Resolves where an Execution API answers. Neither token nor credential is sent: it is for finding out whether one is there, before
   * something that is worth protecting goes there. Airflow's GET `/health`, which says nothing of its database.
   */
  async health(options?: RequestOptions): Promise<void> {
    const request = { ...get('health', 'health'), vital: true };
    parse(Health, request, await this.sendOpenly(request, options));
  }

  // --- The task instance's own life

  /** Marks the task instance running, here. A workload token is exchanged for an execution token on the way. */
  async run(tiId: string, { hostname, unixname, pid, start_date }: Omit<EnterRunning, 'state'>, options?: RequestOptions): Promise<RunContext> {
    const body: EnterRunning = { state: 'running', hostname, unixname, pid, start_date };
    return this.json(RunContext, { ...vital(ofTaskInstance('PATCH', tiId, 'run', body)), idempotencyKey: randomUUID() }, options);
  }

  /**
   * Asks a `sallyport/server` for the workload token of a task instance, as a worker that was told only which one it is to run.
   * Not part of Airflow's API: the route is beside it, at `/sallyport/v1`. The token passes through the heap as the answer's text.
   *
   * @param credential The worker's own, as `server.addWorker()` gave it. It stays the caller's.
   * @throws {UpstreamFailed} 403 `access_denied`: not a task instance of this worker's queues or team; 409 or 410: it waits for nobody.
   */
  async firstToken(tiId: string, credential: Secret, options?: RequestOptions): Promise<Secret> {
    const request = { method: 'POST', route: 'task-instances/{id}/token', path: `sallyport/v1/${path('task-instances', tiId, 'token')}`, beside: true, vital: true } as const;
    const { token } = parse(FirstToken, request, await this.sendAs(credential, request, options), 201);
    return Secret.fromBytes(Buffer.from(token, 'latin1'));
  }

  /**
   * Asks a `sallyport/server` what waits for a worker: workloads without tokens, the oldest runs first. Beside Airflow's API, as {@link firstToken}.
   * What another worker has asked a token for in the last 30 seconds is not among them.
   *
   * @param credential The worker's own. It stays the caller's.
   * @param options.limit At most 100; fewer come where they are long. @default 10
   * @param options.offset How many of the first to leave out. @default 0
   */
  async waitingWork(credential: Secret, { limit = 10, offset = 0, ...options }: RequestOptions & { readonly limit?: number; readonly offset?: number } = {}): Promise<WaitingWork['workloads']> {
    const request = { method: 'GET', route: 'workloads', path: `sallyport/v1/workloads${query({ limit, ...(offset > 0 && { offset }) })}`, beside: true } as const;
    return parse(WaitingWork, request, await this.sendAs(credential, request, options)).workloads;
  }

  /** @throws {UpstreamFailed} 404, or 409 `running_elsewhere` or `not_running`: the task is no longer ours, end it. */
  async heartbeat(tiId: string, { hostname, pid }: Heartbeat, options?: RequestOptions): Promise<void> {
    await this.done(204, vital(ofTaskInstance('PUT', tiId, 'heartbeat', { hostname, pid })), options);
  }

  /**
   * Reports the final, or another, state. 409 `invalid_state` where the task instance is not running.
   *
   * @param update Its JSON, where somebody has that already: what a task says may be long.
   * @param options.repeated It was sent before, and its answer may have been lost: where the state is what is asked for, or was when the task went on, all is well. @default false
   */
  async setState(tiId: string, update: StateUpdate | WrittenUpdate, options?: RequestOptions & { readonly repeated?: boolean }): Promise<void> {
    const [body, version] = 'json' in update ? [update.json, update.apiVersion] : [update, apiVersionOf(update)];
    const request = { ...vital(ofTaskInstance('PATCH', tiId, 'state', body)), ...(version !== undefined && { version }) };
    const answer = await this.send(request, options);
    if ((answer.attempt > 1 || options?.repeated === true) && (answer.status === 409 || answer.status === 410) && errorDetail(answer)?.previous_state === update.state) return;
    assertStatus(204, request, answer);
  }

  /** Has tasks of the same run skipped, those that run or have ended left out. */
  async skipDownstream(tiId: string, tasks: SkipDownstream['tasks'], options?: RequestOptions): Promise<void> {
    await this.done(204, ofTaskInstance('PATCH', tiId, 'skip-downstream', { tasks }), options);
  }

  async setRenderedFields(tiId: string, fields: Readonly<Record<string, unknown>>, options?: RequestOptions): Promise<void> {
    await this.done(201, ofTaskInstance('PUT', tiId, 'rtif', fields), options);
  }

  async setRenderedMapIndex(tiId: string, name: string, options?: RequestOptions): Promise<void> {
    await this.done(204, ofTaskInstance('PATCH', tiId, 'rendered-map-index', name), options);
  }

  /** @returns All null where there is none. */
  async getPreviousSuccessfulRun(tiId: string, options?: RequestOptions): Promise<PreviousSuccessfulRun> {
    return this.json(PreviousSuccessfulRun, ofTaskInstance('GET', tiId, 'previous-successful-dagrun'), options);
  }

  /** Which of the task's inlets and outlets are not active. */
  async getInactiveAssets(tiId: string, options?: RequestOptions): Promise<InactiveAssets> {
    return this.json(InactiveAssets, ofTaskInstance('GET', tiId, 'validate-inlets-and-outlets'), options);
  }

  /** When the first round of a task that was put off began; null where it never was. */
  async getRescheduleStart(tiId: string, try_number: number, options?: RequestOptions): Promise<string | null> {
    return this.json(RescheduleStart, get('task-reschedules/{id}/start_date', `${path('task-reschedules', tiId, 'start_date')}${query({ try_number })}`), options);
  }

  // --- People

  /** Asks people. A question that was asked before stays as it is, and its answer goes. */
  async askHuman(question: HitlRequest, options?: RequestOptions): Promise<HitlRequest> {
    const request = { method: 'POST', route: 'hitlDetails/{id}', path: path('hitlDetails', question.ti_id), body: JSON.stringify(question) } as const;
    return parse(HitlRequest, request, await this.send(request, options), 201);
  }

  async getHumanAnswer(tiId: string, options?: RequestOptions): Promise<HitlResponse> {
    return this.json(HitlResponse, get('hitlDetails/{id}', path('hitlDetails', tiId)), options);
  }

  /** Answers in the place of people, as with the defaults after a time. 409 `already_exists` where somebody has answered. */
  async answerHuman(answer: HitlAnswer, options?: RequestOptions): Promise<HitlResponse> {
    return this.json(HitlResponse, { method: 'PATCH', route: 'hitlDetails/{id}', path: path('hitlDetails', answer.ti_id), body: JSON.stringify(answer) }, options);
  }

  // --- Variables and connections

  async getVariable(key: string, options?: RequestOptions): Promise<Variable> {
    return this.json(Variable, get('variables/{key}', path('variables', key)), options);
  }

  async setVariable(key: string, { val, description }: SetVariable, options?: RequestOptions): Promise<void> {
    await this.done(201, { method: 'PUT', route: 'variables/{key}', path: path('variables', key), body: JSON.stringify({ val, description: description ?? null }) }, options);
  }

  /** One that is not there is gone. */
  async deleteVariable(key: string, options?: RequestOptions): Promise<void> {
    await this.done(204, { method: 'DELETE', route: 'variables/{key}', path: path('variables', key) }, options);
  }

  /** Of Airflow 3.3. @param page At most 10000 at once. @default the first 1000 */
  async getVariableKeys(prefix = '', page: { readonly limit?: number; readonly offset?: number } = {}, options?: RequestOptions): Promise<VariableKeys> {
    const { limit = 1000, offset = 0 } = page;
    const request = { ...get('variables/keys', `variables/keys${query({ ...(prefix !== '' && { prefix }), limit, offset })}`), version: '2026-06-30' };
    return this.json(VariableKeys, request, options);
  }

  async getConnection(conn_id: string, options?: RequestOptions): Promise<Connection> {
    return this.json(Connection, get('connections/{id}', path('connections', conn_id)), options);
  }

  // --- XComs

  /** @returns `value: null` where there is no such XCom, as Airflow's own client. */
  async getXCom(ref: XComRef & { readonly include_prior_dates?: boolean }, options?: RequestOptions): Promise<XCom> {
    const { include_prior_dates = false } = ref;
    const request = get('xcoms', `${xcomPath(ref)}${query({ ...mapped(ref), ...(include_prior_dates && { include_prior_dates }) })}`);
    const answer = await this.send(request, options);
    if (answer.status === 404) return { key: ref.key, value: null };
    return parse(XCom, request, answer);
  }

  /** @param value Anything JSON can hold. */
  async setXCom(ref: XComRef, value: unknown, options?: RequestOptions & { readonly mapped_length?: number }): Promise<void> {
    const where = `${xcomPath(ref)}${query({ ...mapped(ref), mapped_length: options?.mapped_length })}`;
    await this.done(201, { method: 'POST', route: 'xcoms', path: where, body: JSON.stringify(value ?? null) }, options);
  }

  /** One that is not there is gone. */
  async deleteXCom(ref: XComRef, options?: RequestOptions): Promise<void> {
    await this.done(200, { method: 'DELETE', route: 'xcoms', path: `${xcomPath(ref)}${query(mapped(ref))}` }, options);
  }

  /** How many map indexes have pushed one. */
  async countXComs(name: XComName, options?: RequestOptions): Promise<number> {
    const request = { method: 'HEAD', route: 'xcoms', path: xcomPath(name) } as const;
    const answer = await this.send(request, options);
    assertStatus(200, request, answer);
    const [, count] = /^map_indexes (\d{1,10})$/.exec(String(answer.headers['content-range'])) ?? [];
    if (count === undefined) throw unexpected(request, answer);
    return Number(count);
  }

  /** By place, from the end where it is negative. @throws {UpstreamFailed} 404: there is none. */
  async getXComItem(name: XComName, offset: number, options?: RequestOptions): Promise<unknown> {
    if (!Number.isSafeInteger(offset)) throw outOfRange('offset', 'a whole number');
    return this.json(Type.Unknown(), get('xcoms/item', `${xcomPath(name)}/item/${offset}`), options);
  }

  /** As a Python slice. */
  async getXComSlice(name: XComName, slice: { readonly start?: number | null; readonly stop?: number | null; readonly step?: number | null; readonly include_prior_dates?: boolean } = {}, options?: RequestOptions): Promise<unknown[]> {
    const { start, stop, step, include_prior_dates = false } = slice;
    const where = `${xcomPath(name)}/slice${query({ start, stop, step, ...(include_prior_dates && { include_prior_dates }) })}`;
    return this.json(Type.Array(Type.Unknown()), get('xcoms/slice', where), options);
  }
}

function xcomPath({ dag_id, run_id, task_id, key }: XComName): string {
  return path('xcoms', dag_id, run_id, task_id, key);
}

const mapped = ({ map_index = -1 }: XComRef) => (map_index >= 0 ? { map_index } : {});
