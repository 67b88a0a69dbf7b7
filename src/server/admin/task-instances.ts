import { randomUUID } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import type { App } from '../app.js';
import { notFound, Problem } from '../problem.js';
import { ofTaskInstance as params } from '../routes/params.js';
import { Id, SeedTaskInstance } from '../seed.js';
import { move, type TaskInstance, type TaskInstanceState } from '../state.js';
import { seedAll } from '../store/seed.js';
import type { Sql } from '../store/sql.js';
import { changeTaskInstance, getTaskInstance, listTaskInstances } from '../store/task-instances.js';
import { shown, storedNow } from '../store/time.js';
import { endLeg } from '../store/tokens.js';
import type { AdminOptions } from './index.js';
import { asProblem } from './problem.js';

const closed = { additionalProperties: false } as const;
const states = ['scheduled', 'queued', 'success', 'failed', 'skipped', 'upstream_failed', 'removed'] as const satisfies readonly TaskInstanceState[];
const query = Type.Object({ dag_id: Type.Optional(Id), run_id: Type.Optional(Id), task_id: Type.Optional(Id), state: Type.Optional(Type.String()), limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })), offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 })) });
const NewTaskInstance = Type.Composite([Type.Omit(SeedTaskInstance, ['id']), Type.Partial(Type.Pick(SeedTaskInstance, ['id']))], closed);
const Update = Type.Object({ state: Type.Union(states.map((state) => Type.Literal(state))) }, closed);

/** Tries of tasks: made, moved on by a scheduler, ended by an operator, and started with a token. */
export function taskInstances(app: App, { database, tokens, now }: AdminOptions): void {
  async function found(id: string): Promise<TaskInstance> {
    const ti = await database.run(getTaskInstance(id.toLowerCase()));
    if (ti === undefined) throw notFound('Task Instance');
    return ti;
  }

  // What was put off and goes on starts with a token of its own: those of the leg before would start it too.
  function* goesOn({ id, state }: TaskInstance): Sql<void> {
    if (state === 'deferred' || state === 'awaiting_input' || state === 'up_for_reschedule') yield* endLeg(id, storedNow(now()));
  }

  app.get('/task-instances', { schema: { querystring: query } }, async (request) => {
    const { limit = 100, offset = 0, ...filter } = request.query;
    return { task_instances: (await database.run(listTaskInstances(filter, limit, offset))).map(asShown) };
  });

  app.get('/task-instances/:id', { schema: { params } }, async (request) => asShown(await found(request.params.id)));

  app.post('/task-instances', { schema: { body: NewTaskInstance } }, async (request, reply) => {
    const ti = { id: randomUUID(), ...request.body } as Static<typeof SeedTaskInstance>;
    const at = now();
    const made = await asProblem(async () =>
      database.transaction(
        (function* (): Sql<boolean> {
          if ((yield* getTaskInstance(ti.id)) !== undefined) return false;
          yield* seedAll({ taskInstances: [ti] }, at);
          return true;
        })(),
      ),
    );
    if (!made) throw new Problem(409, { reason: 'already_exists', message: 'There is one already' });
    return reply.code(201).send(asShown(await found(ti.id)));
  });

  app.patch('/task-instances/:id', { schema: { params, body: Update } }, async (request) => {
    const { state } = request.body as { readonly state: (typeof states)[number] };
    const result = await database.transaction(changeTaskInstance(request.params.id.toLowerCase(), (ti) => move(ti, state, storedNow(now())), goesOn));
    if (result === undefined) throw notFound('Task Instance');
    if ('conflict' in result.change) throw new Problem(409, result.change.conflict);
    return asShown(await found(request.params.id));
  });

  app.post('/task-instances/:id/token', { schema: { params } }, async (request, reply) => {
    const { id, dag_id, state, replaced } = await found(request.params.id);
    if (replaced === 1 || (state !== 'queued' && state !== 'restarting')) throw new Problem(409, { reason: 'invalid_state', message: 'Only what waits to be started gets a token', previous_state: state });
    if (tokens.soleIssuer) throw new Problem(403, { reason: 'sole_issuer', message: 'Tokens are handed out to workers alone' });
    return reply.code(201).send({ token: await tokens.issueWorkload({ id, dag_id }) });
  });
}

/** Without what a deferred task goes on with, which is its own. */
function asShown({ trigger: _trigger, next_kwargs: _kwargs, replaced, ...ti }: TaskInstance): object {
  const times = { start_date: shown(ti.start_date), end_date: shown(ti.end_date), last_heartbeat_at: shown(ti.last_heartbeat_at), reschedule_date: shown(ti.reschedule_date) };
  return { ...ti, ...times, is_latest: replaced === 0 };
}
