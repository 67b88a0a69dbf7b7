import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { SetVariable, Variable, VariableKeys } from '../../execution-api/schema.js';
import type { Action } from '../../authorization/resource.js';
import { authorize, isAllowed, type AccessOptions } from '../access.js';
import { speaks, type App } from '../app.js';
import { chain } from '../awaitable.js';
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

export function variables(app: App, { database, memo }: AccessOptions): void {
  const url = '/variables/*';

  app.get(url, { config: config('read'), schema: { params, querystring: keysQuery, response: { 200: Type.Union([Variable, VariableKeys]) } } }, (request) => {
    const key = keyOf(request.params);
    if (key === 'keys' && speaks(request, '2026-06-30')) return list(request, request.query);
    const read = () => memo.read(`value of ${key}`, () => getVariable(key), isShort);
    return chain(chain(authorize(request, { kind: 'variable', key }), read), (value) => {
      if (value === undefined) throw notFound(`Variable with key '${key}'`);
      return { key, value };
    });
  });

  async function list(request: FastifyRequest, { prefix = '', limit = 1000, offset = 0 }: Static<typeof keysQuery>): Promise<VariableKeys> {
    await authorize(request, { kind: 'variable', prefix });
    const keys: string[] = [];
    for (const each of await database.run(getVariableKeys(prefix))) if (await isAllowed(request, { kind: 'variable', key: each })) keys.push(each);
    return { keys: keys.slice(offset, offset + limit), total_entries: keys.length };
  }

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

/** What is remembered stays small, however many there are. */
const isShort = (value: string | null | undefined): boolean => (value?.length ?? 0) <= 1024;

function keyOf({ '*': key }: Static<typeof params>): string {
  if (key === '') throw notFound('Variable');
  return key;
}
