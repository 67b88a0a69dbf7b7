import { Type } from '@sinclair/typebox';
import { Breadcrumbs, PreviousTaskInstance, TaskStates } from '../../execution-api/schema.js';
import { Nullable, Timestamp } from '../../execution-api/schema/common.js';
import { authorize, type AccessOptions } from '../access.js';
import { sendJson, type App } from '../app.js';
import { absent } from '../problem.js';
import { countTaskInstances, getBreadcrumbs, getPreviousTaskInstance, getTaskStates, hasTaskGroup } from '../store/task-instance-queries.js';
import { Dates, Id, Ids, MapIndex } from './params.js';

const config = { access: 'task', resource: { kind: 'task_instance', action: 'read' } } as const;
const filter = { dag_id: Id, map_index: Type.Optional(MapIndex), task_ids: Ids, task_group_id: Type.Optional(Id), logical_dates: Dates, run_ids: Ids };

/** What a task instance asks of others. */
export function taskInstanceQueries(app: App, { database }: AccessOptions): void {
  async function checkGroup(dag_id: string, group: string | undefined): Promise<void> {
    if (group !== undefined && !(await database.run(hasTaskGroup(dag_id, group)))) throw absent(`Task group ${group} not found in DAG ${dag_id}`);
  }

  app.get('/task-instances/count', { config, schema: { querystring: Type.Object({ ...filter, states: Ids }), response: { 200: Type.Integer() } } }, async (request, reply) => {
    const { dag_id, task_group_id } = request.query;
    await authorize(request, { kind: 'task_instance', dag_id });
    await checkGroup(dag_id, task_group_id);
    return reply.send(await database.run(countTaskInstances(request.query)));
  });

  app.get('/task-instances/states', { config, schema: { querystring: Type.Object(filter), response: { 200: TaskStates } } }, async (request) => {
    const { dag_id, task_group_id } = request.query;
    await authorize(request, { kind: 'task_instance', dag_id });
    await checkGroup(dag_id, task_group_id);
    return { task_states: await database.run(getTaskStates(request.query)) };
  });

  const previous = Type.Object({ logical_date: Type.Optional(Timestamp), map_index: Type.Optional(MapIndex), state: Type.Optional(Type.String()) });
  const ofTask = Type.Object({ dag_id: Id, task_id: Id });
  app.get('/task-instances/previous/:dag_id/:task_id', { config, schema: { params: ofTask, querystring: previous, response: { 200: Nullable(PreviousTaskInstance) } } }, async (request, reply) => {
    const { dag_id, task_id } = request.params;
    await authorize(request, { kind: 'task_instance', dag_id, task_id });
    const { map_index = -1, ...query } = request.query;
    return sendJson(reply, await database.run(getPreviousTaskInstance({ dag_id, task_id, map_index, ...query })));
  });

  app.get('/task-instances/breadcrumbs', { config, schema: { querystring: Type.Object({ dag_id: Id, run_id: Id }), response: { 200: Breadcrumbs } } }, async (request) => {
    const { dag_id, run_id } = request.query;
    await authorize(request, { kind: 'task_instance', dag_id, run_id });
    return { breadcrumbs: await database.run(getBreadcrumbs(dag_id, run_id)) };
  });
}
