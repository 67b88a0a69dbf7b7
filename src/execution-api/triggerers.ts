import type { Static } from '@sinclair/typebox';
import type { Secret } from '../secrets/secret.js';
import { assertStatus, parse } from './answer.js';
import { Connection, type TriggererState, TriggererSync, Variable, XCom } from './schema.js';
import type { RequestOptions } from './session.js';
import { StateStores } from './state-stores.js';
import { path, query, type Request } from './transport.js';
import type { XComRef } from './client.js';

/** Which process of a triggerer's: a UUID that it made up. */
export interface TriggererRef {
  readonly id: string;
  /** As `server.addTriggerer()` gave it. It stays the caller's. */
  readonly credential: Secret;
}

/** What a trigger reads, in the name of the task instance that waits for it. */
export interface TriggerReads {
  getVariable(key: string, options?: RequestOptions): Promise<Variable>;
  getConnection(conn_id: string, options?: RequestOptions): Promise<Connection>;
  getXCom(ref: XComRef & { readonly include_prior_dates?: boolean }, options?: RequestOptions): Promise<XCom>;
}

/** A triggerer's side of a `sallyport/server`, which is not part of Airflow's API: its routes are beside it, at `/sallyport/v1`. */
export abstract class Triggerers extends StateStores {
  /** It lives, has so much room, and runs these. @returns What is new, and what nobody waits for any more. */
  async syncTriggerer(triggerer: TriggererRef, { bundles, capacity, running }: TriggererState, options?: RequestOptions): Promise<TriggererSync> {
    const request = { ...at('PUT', triggerer), body: JSON.stringify({ bundles, capacity, running }) };
    return parse(TriggererSync, request, await this.sendAs(triggerer.credential, request, options));
  }

  /** It stops: its triggers are for others at once, and not only when it is missed. */
  async endTriggerer(triggerer: TriggererRef, options?: RequestOptions): Promise<void> {
    await this.#done(triggerer, at('DELETE', triggerer), options);
  }

  /**
   * The task that waits for this trigger goes on with it. Asked again where an answer was lost, it is 404.
   *
   * @throws {UpstreamFailed} 404: nobody waits for this trigger of this triggerer.
   */
  async fireTrigger(triggerer: TriggererRef, id: number, payload: unknown, options?: RequestOptions): Promise<void> {
    await this.#done(triggerer, { ...at('POST', triggerer, id, 'event'), body: JSON.stringify({ payload: payload ?? null }) }, options);
  }

  /** The task that waits for this trigger fails, and why. @throws As {@link fireTrigger}. */
  async failTrigger(triggerer: TriggererRef, id: number, reasons: readonly string[], options?: RequestOptions): Promise<void> {
    await this.#done(triggerer, { ...at('POST', triggerer, id, 'failure'), body: JSON.stringify({ reasons }) }, options);
  }

  /** For a trigger that this triggerer has, while a task waits for it; any call rejects with 404 else. */
  triggerReads(triggerer: TriggererRef, id: number): TriggerReads {
    const read = async <T extends typeof Variable | typeof Connection | typeof XCom>(schema: T, request: Request, options?: RequestOptions): Promise<Static<T>> =>
      parse(schema, request, await this.sendAs(triggerer.credential, request, options));
    const what = (noun: string, where: string): Request => ({ ...at('GET', triggerer, id, noun), path: `${at('GET', triggerer, id, noun).path}/${where}` });
    return {
      getVariable: (key, options) => read(Variable, what('variables', path(key)), options),
      getConnection: (conn_id, options) => read(Connection, what('connections', path(conn_id)), options),
      getXCom: async ({ dag_id, run_id, task_id, key, map_index = -1, include_prior_dates = false }, options) => {
        const which = query({ ...(map_index >= 0 && { map_index }), ...(include_prior_dates && { include_prior_dates }) });
        const request = what('xcoms', path(dag_id, run_id, task_id, key) + which);
        const answer = await this.sendAs(triggerer.credential, request, options);
        return answer.status === 404 ? { key, value: null } : parse(XCom, request, answer);
      },
    };
  }

  async #done({ credential }: TriggererRef, request: Request, options?: RequestOptions): Promise<void> {
    assertStatus(204, request, await this.sendAs(credential, request, options));
  }
}

/** Vital, so that what triggers ask for holds up nothing that is told. */
function at(method: Request['method'], { id }: TriggererRef, trigger?: number, what?: string): Request {
  const below = trigger === undefined ? '' : `/triggers/${trigger}/${what}`;
  return { method, route: `triggerers/{id}${trigger === undefined ? '' : `/triggers/{id}/${what}`}`, path: `sallyport/v1/${path('triggerers', id)}${below}`, beside: true, vital: method !== 'GET' };
}
