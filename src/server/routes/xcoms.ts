import { type Static, Type } from '@sinclair/typebox';
import { authorize, type AccessOptions } from '../access.js';
import type { App } from '../app.js';
import { notFound, Problem } from '../problem.js';
import { getPriorXCom, getXCom, setXCom, type XComKey } from '../store/xcoms.js';

const Id = Type.String({ minLength: 1, maxLength: 250 });
/** A key may hold slashes, so it is the rest of the path. 512 is Airflow's column. */
const params = Type.Object({ dag_id: Id, run_id: Id, task_id: Id, '*': Type.String({ minLength: 1, maxLength: 512 }) });
const mapIndex = Type.Optional(Type.Integer({ minimum: -1, maximum: 2 ** 31 - 1 }));
const readQuery = Type.Object({ map_index: mapIndex, include_prior_dates: Type.Optional(Type.Boolean()) });
const writeQuery = Type.Object({ map_index: mapIndex, mapped_length: Type.Optional(Type.Integer({ minimum: 0 })) });

function keyOf({ dag_id, run_id, task_id, '*': key }: Static<typeof params>, map_index = -1): XComKey {
  return { dag_id, run_id, task_id, map_index, key };
}

/** Values are kept and sent as the JSON text they came as. In a scope of its own, for that has its own body parser. */
export function xcoms(app: App, context: AccessOptions): void {
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, text, done) => {
    try {
      JSON.parse(text as string);
      done(null, text);
    } catch {
      done(new Problem(422, [{ loc: ['body'], msg: 'JSON decode error', type: 'json_invalid' }]));
    }
  });
  const url = '/xcoms/:dag_id/:run_id/:task_id/*';

  app.get(url, { config: { access: 'task', resource: { kind: 'xcom', action: 'read' } }, schema: { params, querystring: readQuery } }, async (request, reply) => {
    const key = keyOf(request.params, request.query.map_index);
    await authorize(request, { kind: 'xcom', ...key });
    const json = await context.database.run(request.query.include_prior_dates === true ? getPriorXCom(key) : getXCom(key));
    if (json === undefined) throw notFound('XCom');
    return reply.type('application/json; charset=utf-8').send(`{"key":${JSON.stringify(key.key)},"value":${json}}`);
  });

  app.post(url, { config: { access: 'task', resource: { kind: 'xcom', action: 'write' } }, schema: { params, querystring: writeQuery, body: Type.String() } }, async (request, reply) => {
    const key = keyOf(request.params, request.query.map_index);
    await authorize(request, { kind: 'xcom', ...key });
    await context.database.run(setXCom(key, request.body));
    return reply.code(201).send({ message: 'XCom successfully set' });
  });
}
