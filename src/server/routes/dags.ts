import { Type } from '@sinclair/typebox';
import { Dag, DagState } from '../../execution-api/schema.js';
import { authorize, type AccessOptions } from '../access.js';
import type { App } from '../app.js';
import { absent } from '../problem.js';
import { getDag } from '../store/dags.js';
import { Id } from './params.js';

const params = Type.Object({ dag_id: Id });
const config = { access: 'task', resource: { kind: 'dag', action: 'read' } } as const;

export function dags(app: App, { database }: AccessOptions): void {
  async function find(dag_id: string): Promise<Dag> {
    const dag = await database.run(getDag(dag_id));
    if (dag === undefined) throw absent(`The Dag with dag_id: \`${dag_id}\` was not found`);
    return dag;
  }

  app.get('/dags/:dag_id', { config, schema: { params, response: { 200: Dag } } }, async (request) => {
    const { dag_id } = request.params;
    await authorize(request, { kind: 'dag', dag_id });
    return find(dag_id);
  });

  app.get('/dags/:dag_id/state', { config, schema: { params, response: { 200: DagState } } }, async (request) => {
    const { dag_id } = request.params;
    await authorize(request, { kind: 'dag', dag_id });
    return { is_paused: (await find(dag_id)).is_paused };
  });
}
