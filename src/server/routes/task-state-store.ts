import { Type } from '@sinclair/typebox';
import { SetTaskStateStore, StateStoreValue } from '../../execution-api/schema.js';
import type { AccessOptions } from '../access.js';
import type { App } from '../app.js';
import { absent, notFound, Problem } from '../problem.js';
import { mostKeyChars, storedValue } from '../stored-value.js';
import { getTaskInstance } from '../store/task-instances.js';
import { clearTaskState, deleteTaskState, getTaskState, mostKeys, purgeTaskStates, setTaskState } from '../store/task-state-store.js';
import { storedNow, toStored } from '../store/time.js';
import { NoContent, ofTaskInstance, Uuid } from './params.js';

/** A key may hold slashes, so it is the rest of the path. An empty one is no key, and no `clear`. */
const params = Type.Object({ id: Uuid, '*': Type.String({ minLength: 1, maxLength: mostKeyChars }) });
const config = (action: 'read' | 'write') => ({ access: 'self', resource: { kind: 'task_instance', action } }) as const;
const url = '/store/ti/:id/*';

/** How often what has expired is forgotten, by what is written: where nothing is, nothing grows. */
const purgeEveryMs = 60_000;

/** What a task keeps for its own later tries. Of Airflow 3.3; another task instance's is nobody's business, mapped siblings included. */
export function taskStateStore(app: App, { database, now }: AccessOptions): void {
  let purgedAtMs = -Infinity;

  app.get(url, { config: config('read'), schema: { params, response: { 200: StateStoreValue } } }, async ({ params: { id, '*': key } }, reply) => {
    const value = await database.run(getTaskState(id.toLowerCase(), key, storedNow(now())));
    if (value === undefined) throw absent(`Task state store key '${key}' not found`);
    return reply.send({ value: JSON.parse(value) as unknown });
  });

  app.put(url, { config: config('write'), schema: { params, body: SetTaskStateStore, response: { 204: NoContent } } }, async ({ params: { id, '*': key }, body }, reply) => {
    const at = now();
    const state = { value: storedValue(body.value), expires_at: body.expires_at == null ? null : toStored(body.expires_at) };
    if (Math.abs(at - purgedAtMs) >= purgeEveryMs) {
      purgedAtMs = at;
      await database.run(purgeTaskStates(storedNow(at)));
    }
    if (await database.run(setTaskState(id.toLowerCase(), key, state, storedNow(at)))) return reply.code(204).send();
    if ((await database.run(getTaskInstance(id.toLowerCase()))) === undefined) throw notFound('Task Instance');
    throw new Problem(409, { reason: 'state_store_full', message: `A task keeps at most ${mostKeys} keys: delete some` });
  });

  // As Airflow: one that is not there is gone.
  app.delete(url, { config: config('write'), schema: { params, response: { 204: NoContent } } }, async ({ params: { id, '*': key } }, reply) => {
    await database.run(deleteTaskState(id.toLowerCase(), key));
    return reply.code(204).send();
  });

  app.delete('/store/ti/:id', { config: config('write'), schema: { params: ofTaskInstance, response: { 204: NoContent } } }, async ({ params: { id } }, reply) => {
    await database.run(clearTaskState(id.toLowerCase()));
    return reply.code(204).send();
  });
}
