import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import type { Resource } from '../../authorization/index.js';
import { Connection, Variable, XCom } from '../../execution-api/schema.js';
import type { AccessOptions } from '../access.js';
import type { App } from '../app.js';
import { absent, notFound, Problem } from '../problem.js';
import { getConnection } from '../store/connections.js';
import { findOwner } from '../store/identities.js';
import { findHeld, type Held } from '../store/triggers.js';
import { getVariable } from '../store/variables.js';
import { getPriorXCom, getXCom } from '../store/xcoms.js';
import { Id, MapIndex } from './params.js';
import { identityOf, ofTrigger, triggererOf, triggererUrl, triggerOf } from './triggerers.js';

const config = { access: 'triggerer' } as const;
const url = `${triggererUrl}/triggers/:trigger`;
const named = (maxLength: number) => Type.Object({ '*': Type.String({ minLength: 1, maxLength }) });

/**
 * What a trigger asks for, in the name of the task instance that waits for it and by the same rules, for as long as that waits and the
 * trigger is the triggerer's who asks. It reads, and nothing else.
 */
export function triggerLookups(app: App, { database, authorization, authorizer }: AccessOptions): void {
  /** @throws {Problem} 404 for a trigger that is none of this triggerer's, 403 for what its task may not read. */
  async function passes(request: FastifyRequest, what: (held: Held) => Resource): Promise<void> {
    const held = await database.run(findHeld(triggererOf(request), triggerOf(request)));
    if (held === undefined) throw notFound('Trigger');
    if (authorization === 'airflow') return;
    const resource = what(held);
    // Its task instance is no longer `running`; that it waits for this very trigger is its right to speak.
    const identity = { ...identityOf(held), standing: 'live', declares: held.declares } as const;
    const owner = authorizer.needsOwner(identity, resource) ? await database.run(findOwner(resource)) : undefined;
    const { allowed } = await authorizer.decide(identity, 'read', resource, owner);
    if (!allowed) throw new Problem(403, { reason: 'access_denied', message: `Trigger does not have access to this ${resource.kind}` });
  }

  const ofVariable = Type.Composite([ofTrigger, named(250)]);
  app.get(`${url}/variables/*`, { config, schema: { params: ofVariable, response: { 200: Variable } } }, async (request) => {
    const key = request.params['*'];
    await passes(request, () => ({ kind: 'variable', key }));
    const value = await database.run(getVariable(key));
    if (value === undefined) throw notFound(`Variable with key '${key}'`);
    return { key, value };
  });

  const ofConnection = Type.Composite([ofTrigger, Type.Object({ conn_id: Type.String() })]);
  app.get(`${url}/connections/:conn_id`, { config, schema: { params: ofConnection, response: { 200: Connection } } }, async (request) => {
    const { conn_id } = request.params;
    await passes(request, () => ({ kind: 'connection', conn_id }));
    const connection = await database.run(getConnection(conn_id));
    if (connection === undefined) throw notFound(`Connection with ID ${conn_id}`);
    return connection;
  });

  const ofXCom = Type.Composite([ofTrigger, Type.Object({ dag_id: Id, run_id: Id, task_id: Id }), named(512)]);
  const querystring = Type.Object({ map_index: Type.Optional(MapIndex), include_prior_dates: Type.Optional(Type.Boolean()) });
  app.get(`${url}/xcoms/:dag_id/:run_id/:task_id/*`, { config, schema: { params: ofXCom, querystring, response: { 200: Type.Unsafe<string>(XCom) } } }, async (request, reply) => {
    const { dag_id, run_id, task_id, '*': key } = request.params;
    const { map_index = -1, include_prior_dates = false } = request.query;
    const xcom = { dag_id, run_id, task_id, map_index, key };
    await passes(request, () => ({ kind: 'xcom', ...xcom }));
    const json = await database.run(include_prior_dates ? getPriorXCom(xcom) : getXCom(xcom));
    if (json === undefined) throw absent(`XCom with key='${key}' map_index=${map_index} not found for task '${task_id}' in DAG run '${run_id}' of '${dag_id}'`);
    return reply.type('application/json').send(`{"key":${JSON.stringify(key)},"value":${json}}`);
  });
}
