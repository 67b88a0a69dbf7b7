import { type Static, Type } from '@sinclair/typebox';
import { XCom } from '../../execution-api/schema.js';
import type { Action } from '../../authorization/resource.js';
import { authorize, type AccessOptions } from '../access.js';
import { badText, textOf, tooDeep, type App } from '../app.js';
import { isTooDeep } from '../depth.js';
import { absent, notFound, Problem } from '../problem.js';
import { picked, sliceOf } from '../slice.js';
import { countXComs, deleteXCom, getPriorXCom, getXCom, getXComs, setXCom, sizeOfXComs, type XComKey, type XComsKey } from '../store/xcoms.js';
import { Message, NoContent } from './params.js';

const Id = Type.String({ minLength: 1, maxLength: 250 });
const most = 2 ** 31 - 1;
const Index = Type.Optional(Type.Integer({ minimum: -most, maximum: most }));
/** A key may hold slashes, so it is the rest of the path. 512 is Airflow's column. */
const params = Type.Object({ dag_id: Id, run_id: Id, task_id: Id, '*': Type.String({ minLength: 1, maxLength: 512 }) });
const mapIndex = Type.Optional(Type.Integer({ minimum: -1, maximum: most }));
const oneQuery = Type.Object({ map_index: mapIndex });
const readQuery = Type.Object({ map_index: mapIndex, include_prior_dates: Type.Optional(Type.Boolean()), offset: Index, start: Index, stop: Index, step: Index });
const writeQuery = Type.Object({ map_index: mapIndex, mapped_length: Type.Optional(Type.Integer({ minimum: 0, maximum: most })) });

/** Airflow's `[core] max_map_length`. */
const maxMapLength = 1024;
/** What a slice may have us read; one XCom may be longer. It is in memory several times until the client has taken it, and a mapped task decides how much there is. */
const mostSliceBytes = 16 << 20;
const config = (action: Action) => ({ access: 'task', resource: { kind: 'xcom', action } }) as const;
const url = '/xcoms/:dag_id/:run_id/:task_id/*';
const variants = { '/item/{offset}': Type.Unknown(), '/slice': Type.Array(Type.Unknown()) };

/** Values are kept and sent as the JSON text they came as. In a scope of its own, for that has its own body parser. */
export function xcoms(app: App, { database, maxXComKeys }: AccessOptions): void {
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, bytes, done) => {
    if (bytes.length === 0 && request.routeOptions.schema?.body === undefined) return done(null);
    const text = textOf(bytes as Buffer);
    if (text === undefined) return done(badText('body'));
    if (isTooDeep(text)) return done(tooDeep());
    try {
      JSON.parse(text);
      done(null, text);
    } catch {
      done(new Problem(422, [{ loc: ['body'], msg: 'JSON decode error', type: 'json_invalid' }]));
    }
  });

  async function one(key: XComsKey, query: Static<typeof readQuery>): Promise<string> {
    const { map_index = -1, offset, include_prior_dates = false } = query;
    const json = offset !== undefined
      ? await at(key, offset, include_prior_dates)
      : await database.run(include_prior_dates ? getPriorXCom({ ...key, map_index }) : getXCom({ ...key, map_index }));
    if (json === undefined) throw missing(key, offset === undefined ? `map_index=${map_index}` : `offset=${offset}`);
    return json;
  }

  /** By place, from the end where it is negative. */
  async function at(key: XComsKey, offset: number, include_prior_dates = false): Promise<string | undefined> {
    const place = offset < 0 ? offset + (await database.run(countXComs(key, include_prior_dates))) : offset;
    return place < 0 ? undefined : (await database.run(getXComs(key, place, 1, include_prior_dates)))[0];
  }

  async function slice(key: XComsKey, { start, stop, step, include_prior_dates }: Static<typeof readQuery>): Promise<readonly string[]> {
    const wanted = sliceOf(await database.run(countXComs(key, include_prior_dates)), start, stop, step);
    if (wanted.take > 1 && (await database.run(sizeOfXComs(key, wanted.first, wanted.take, include_prior_dates))) > mostSliceBytes) {
      throw new Problem(413, { reason: 'too_large', message: `These XComs take more than ${mostSliceBytes} bytes: ask for fewer at once` });
    }
    return picked(await database.run(getXComs(key, wanted.first, wanted.take, include_prior_dates)), wanted);
  }

  // Before GET, whose HEAD Fastify would add.
  app.head(url, { config: config('read'), schema: { params, querystring: oneQuery, response: { 200: NoContent } } }, async (request, reply) => {
    const key = keyOf(request.params);
    await authorize(request, { kind: 'xcom', ...key, map_index: -1 });
    if (request.query.map_index !== undefined) throw new Problem(400, { reason: 'invalid_request', message: 'Cannot specify map_index in a HEAD request' });
    return reply.header('content-range', `map_indexes ${await database.run(countXComs(key))}`).send();
  });

  app.get(url, { config: { ...config('read'), variants }, schema: { params, querystring: readQuery, response: { 200: Type.Unsafe<string>(XCom) } } }, async (request, reply) => {
    const { kind, ...key } = whatOf(request.params, request.url);
    await authorize(request, { kind: 'xcom', ...key, map_index: request.query.map_index ?? -1 });
    reply.type('application/json');
    if (kind === 'slice') return reply.send(`[${(await slice(key, request.query)).join(',')}]`);
    if (kind === 'value') return reply.send(`{"key":${JSON.stringify(key.key)},"value":${await one(key, request.query)}}`);
    const json = await at(key, kind.item);
    if (json === undefined) throw missing(key, `offset=${kind.item}`);
    return reply.send(json);
  });

  app.post(url, { config: config('write'), schema: { params, querystring: writeQuery, body: Type.String({ contentMediaType: 'application/json' }), response: { 201: Type.Unsafe<string>(Message) } } }, async (request, reply) => {
    const { map_index = -1, mapped_length } = request.query;
    const key: XComKey = { ...keyOf(request.params), map_index };
    await authorize(request, { kind: 'xcom', ...key });
    if (mapped_length !== undefined && mapped_length > maxMapLength) {
      throw new Problem(400, { reason: 'unmappable_return_value_length', message: "pushed value is too large to map as a downstream's dependency" });
    }
    const refusal = await database.run(setXCom(key, request.body, mapped_length ?? null, maxXComKeys));
    if (refusal === 'no run') throw notFound(`DAG run on DAG '${key.dag_id}' with ID '${key.run_id}'`);
    if (refusal === 'full') throw new Problem(409, { reason: 'xcoms_full', message: `A task instance has at most ${maxXComKeys} XCom keys: delete some, or push one list` });
    return reply.code(201).type('application/json').send('{"message":"XCom successfully set"}');
  });

  // As Airflow: one that is not there is absent.
  app.delete(url, { config: config('delete'), schema: { params, querystring: oneQuery, response: { 200: Message } } }, async (request) => {
    const key: XComKey = { ...keyOf(request.params), map_index: request.query.map_index ?? -1 };
    await authorize(request, { kind: 'xcom', ...key });
    await database.run(deleteXCom(key));
    return { message: `XCom with key: ${key.key} successfully deleted.` };
  });
}

function keyOf({ dag_id, run_id, task_id, '*': key }: Static<typeof params>): XComsKey {
  return { dag_id, run_id, task_id, key };
}

/** Airflow's `…/item/{offset}` and `…/slice` behind a key. A key that ends like them has its slash percent-encoded. */
function whatOf(all: Static<typeof params>, rawUrl: string): XComsKey & { readonly kind: 'value' | 'slice' | { readonly item: number } } {
  const key = keyOf(all);
  const [, rawKey, what, offset] = /^\/execution\/xcoms\/[^/]+\/[^/]+\/[^/]+\/([^?]+)\/(?:(slice)|item\/(-?\d{1,9}))(?:\?|$)/.exec(rawUrl) ?? [];
  if (rawKey === undefined) return { ...key, kind: 'value' };
  return { ...key, key: decodeURIComponent(rawKey), kind: what === undefined ? { item: Number(offset) } : 'slice' };
}

function missing({ dag_id, run_id, task_id, key }: XComsKey, which: string): Problem {
  return absent(`XCom with key='${key}' ${which} not found for task '${task_id}' in DAG run '${run_id}' of '${dag_id}'`);
}
