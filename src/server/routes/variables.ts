import { type Static, Type } from '@sinclair/typebox';
import { SetVariable, Variable, VariableKeys } from '../../execution-api/schema.js';
import type { Action } from '../../authorization/resource.js';
import { authorize, isAllowed, type AccessOptions } from '../access.js';
import { speaks, type App } from '../app.js';
import { notFound } from '../problem.js';
import { deleteVariable, getVariable, getVariableKeys, setVariable } from '../store/variables.js';
import { Message, NoContent } from './params.js';

/** A key may hold slashes, so it is the rest of the path. 250 is Airflow's column. */
const params = Type.Object({ '*': Type.String({ maxLength: 250 }) });
const keysQuery = Type.Object({
  prefix: Type.Optional(Type.String()),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
  offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 })),
});
const config = (action: Action) => ({ access: 'task', resource: { kind: 'variable', action } }) as const;

export function variables(app: App, { database }: AccessOptions): void {
  const url = '/variables/*';

  app.get(url, { config: config('read'), schema: { params, querystring: keysQuery, response: { 200: Type.Union([Variable, VariableKeys]) } } }, async (request) => {
    const key = keyOf(request.params);
    if (key === 'keys' && speaks(request, '2026-06-30')) {
      const { prefix = '', limit = 1000, offset = 0 } = request.query;
      await authorize(request, { kind: 'variable', prefix });
      const keys: string[] = [];
      for (const each of await database.run(getVariableKeys(prefix))) if (await isAllowed(request, { kind: 'variable', key: each })) keys.push(each);
      return { keys: keys.slice(offset, offset + limit), total_entries: keys.length };
    }
    await authorize(request, { kind: 'variable', key });
    const value = await database.run(getVariable(key));
    if (value === undefined) throw notFound(`Variable with key '${key}'`);
    return { key, value };
  });

  app.put(url, { config: config('write'), schema: { params, body: SetVariable, response: { 201: Message } } }, async (request, reply) => {
    const key = keyOf(request.params);
    await authorize(request, { kind: 'variable', key });
    await database.run(setVariable(key, request.body));
    return reply.code(201).send({ message: 'Variable successfully set' });
  });

  // As Airflow: one that is not there is gone.
  app.delete(url, { config: config('delete'), schema: { params, response: { 204: NoContent } } }, async (request, reply) => {
    const key = keyOf(request.params);
    await authorize(request, { kind: 'variable', key });
    await database.run(deleteVariable(key));
    return reply.code(204).send();
  });
}

function keyOf({ '*': key }: Static<typeof params>): string {
  if (key === '') throw notFound('Variable');
  return key;
}
