import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { type HandedTrigger, TriggererState, TriggererSync, TriggerEvent, TriggerFailure } from '../../execution-api/schema.js';
import { type AccessOptions, invalidCredential, workerOf } from '../access.js';
import type { App } from '../app.js';
import { notFound, Problem } from '../problem.js';
import type { Resumption } from '../state.js';
import type { Sql } from '../store/sql.js';
import { shown, storedNow } from '../store/time.js';
import { assign, beatTriggerer, endTriggerer, findHeld, type Held, purge, type Triggerer } from '../store/triggers.js';
import { holdWorker } from '../store/workers.js';
import { endWait } from '../waits.js';
import { NoContent, Uuid } from './params.js';

/** Airflow's `[triggerer] triggerer_health_check_threshold`: after so long without a word, others may take a triggerer's triggers. */
const deadAfterMs = 30_000;
/** At a time: what a task defers with and its DAG declares must not make an answer that no triggerer takes. */
const most = { triggers: 200, bytes: 4 << 20 };

const ofTriggerer = Type.Object({ triggerer: Uuid });
export const ofTrigger = Type.Object({ triggerer: Uuid, trigger: Type.String({ pattern: '^\\d{1,15}$' }) });
const config = { access: 'triggerer' } as const;
export const triggererUrl = '/sallyport/v1/triggerers/:triggerer';

/** Deferrals are handed out to triggerers, and what their triggers say comes back: Airflow's triggerer, for which the database is not there. */
export function triggerers(app: App, { database, authorizer, now }: AccessOptions): void {
  const record = (name: string, held: Held | undefined, allowed: boolean, reason: string): void => {
    const resource = { kind: 'task_instance', dag_id: held?.dag_id ?? '', run_id: held?.run_id, task_id: held?.task_id } as const;
    authorizer.recordFor(name, held === undefined ? { id: '' } : identityOf(held), 'transition', resource, { allowed, rule: 'triggerer', reason });
  };

  function* sync(triggerer: Triggerer, { bundles, capacity }: TriggererState): Sql<readonly number[] | 'revoked' | 'elsewhere'> {
    if (!(yield* holdWorker(triggerer.name))) return 'revoked';
    if (!(yield* beatTriggerer(triggerer, storedNow(now())))) return 'elsewhere';
    const dead = storedNow(now() - deadAfterMs);
    yield* purge(triggerer, dead);
    return yield* assign(triggerer, bundles, capacity, dead);
  }

  app.put(triggererUrl, { config, schema: { params: ofTriggerer, body: TriggererState, response: { 200: TriggererSync } } }, async (request) => {
    const triggerer = triggererOf(request);
    const { running } = request.body;
    const own = await database.transaction(sync(triggerer, request.body));
    if (own === 'revoked') throw invalidCredential('triggerer');
    if (own === 'elsewhere') throw new Problem(403, { reason: 'access_denied', message: 'This triggerer is of another credential' });
    const [has, runs] = [new Set(own), new Set(running)];
    const to_create: HandedTrigger[] = [];
    let bytes = 0;
    for (const id of own) {
      if (runs.has(id)) continue;
      if (to_create.length === most.triggers || bytes > most.bytes) break;
      const held = await database.run(findHeld(triggerer, id));
      if (held === undefined) continue; // it waited no more
      record(triggerer.name, held, true, triggerer.queues.length > 0 ? 'queue' : 'team');
      const trigger = handed(held);
      bytes += Buffer.byteLength(JSON.stringify(trigger));
      to_create.push(trigger);
    }
    return { to_create, to_cancel: running.filter((id) => !has.has(id)) };
  });

  // It stops, and others go on at once.
  app.delete(triggererUrl, { config, schema: { params: ofTriggerer, response: { 204: NoContent } } }, async (request, reply) => {
    await database.run(endTriggerer(triggererOf(request)));
    return reply.code(204).send();
  });

  async function end(request: FastifyRequest, how: Resumption): Promise<void> {
    const triggerer = triggererOf(request);
    const held = await database.run(findHeld(triggerer, triggerOf(request)));
    record(triggerer.name, held, held !== undefined, held === undefined ? 'not_held' : 'held');
    // The same for what is not there and what is another's: nobody learns what others wait for.
    if (held === undefined || !(await endWait(database, held, how, now(), triggerer.id))) throw notFound('Trigger');
  }

  app.post(`${triggererUrl}/triggers/:trigger/event`, { config, schema: { params: ofTrigger, body: TriggerEvent, response: { 204: NoContent } } }, async (request, reply) => {
    await end(request, { event: request.body.payload });
    return reply.code(204).send();
  });

  app.post(`${triggererUrl}/triggers/:trigger/failure`, { config, schema: { params: ofTrigger, body: TriggerFailure, response: { 204: NoContent } } }, async (request, reply) => {
    await end(request, { failure: request.body.reasons });
    return reply.code(204).send();
  });
}

/** Whose credential it is, and which of its processes. */
export function triggererOf(request: FastifyRequest): Triggerer {
  return { ...workerOf(request), id: (request.params as Static<typeof ofTriggerer>).triggerer.toLowerCase() };
}

export const triggerOf = (request: FastifyRequest): number => Number((request.params as Static<typeof ofTrigger>).trigger);

export const identityOf = ({ task_instance_id: id, dag_id, run_id, task_id, map_index, try_number, team }: Held) => ({ id, dag_id, run_id, task_id, map_index, try_number, team });

function handed(held: Held): HandedTrigger {
  const { id, team, bundle, bundle_version, declares, timeout_at } = held;
  const { team: _team, ...ti } = identityOf(held);
  const { classpath, trigger_kwargs } = JSON.parse(held.trigger) as { readonly classpath: string; readonly trigger_kwargs?: HandedTrigger['kwargs'] };
  return { type: 'RunTrigger', id, ti, classpath, kwargs: trigger_kwargs ?? {}, timeout_after: shown(timeout_at), bundle_info: { name: bundle, version: bundle_version }, team_name: team, declares };
}
