import { type Static, type TObject, Type } from '@sinclair/typebox';
import { Asset, AssetEvents } from '../../execution-api/schema.js';
import { Timestamp } from '../../execution-api/schema/common.js';
import { authorize, type AccessOptions } from '../access.js';
import type { App } from '../app.js';
import { absent, Problem } from '../problem.js';
import { type EventFilter, getAssetEvents, sizeOfAssetEvents } from '../store/asset-events.js';
import { getAsset, getAssetsByAlias } from '../store/assets.js';

const config = { access: 'task', resource: { kind: 'asset', action: 'read' } } as const;
const Name = Type.String({ maxLength: 1500 }); // Airflow's column
const range = {
  after: Type.Optional(Timestamp),
  before: Type.Optional(Timestamp),
  ascending: Type.Optional(Type.Boolean()),
  limit: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 })),
  // Since 2026-10-30. Each `extra` is `name=value`, and all have to hold.
  partition_key: Type.Optional(Type.String({ maxLength: 250 })),
  partition_key_regexp_pattern: Type.Optional(Type.String()),
  extra: Type.Optional(Type.Array(Type.String({ pattern: '^[^=]+=', maxLength: 1800 }), { maxItems: 16 })),
};

/** What an answer may have us read: it is in memory several times until the client has taken it, and tasks decide how much there is. */
const mostBytes = 16 << 20;

/** @throws {Problem} 400: a pattern, which could keep the database busy for as long as a task likes. */
function filtered({ partition_key_regexp_pattern, extra = [], limit, ...rest }: Static<TObject<typeof range>>) {
  if (partition_key_regexp_pattern !== undefined) throw new Problem(400, { reason: 'regexp_not_available', message: 'partition_key_regexp_pattern is not available here: use partition_key' });
  const wanted = extra.map((each) => [each.slice(0, each.indexOf('=')), each.slice(each.indexOf('=') + 1)] as const);
  return { ...rest, extra: wanted, ...(limit && { limit }) };
}

export function assets(app: App, { database }: AccessOptions): void {
  /** @throws {Problem} 413: there is too much of them. */
  async function eventsOf(filter: EventFilter) {
    if ((await database.run(sizeOfAssetEvents(filter))) > mostBytes) throw new Problem(413, { reason: 'too_large', message: `These events take more than ${mostBytes} bytes: ask for fewer, by after, before or limit` });
    return { asset_events: [...(await database.run(getAssetEvents(filter)))] };
  }

  app.get('/assets/by-name', { config, schema: { querystring: Type.Object({ name: Name }), response: { 200: Asset } } }, async (request) => {
    const { name } = request.query;
    await authorize(request, { kind: 'asset', name });
    const asset = await database.run(getAsset('name', name));
    if (asset === undefined) throw absent(`Asset with name ${name} not found`);
    return asset;
  });

  app.get('/assets/by-uri', { config, schema: { querystring: Type.Object({ uri: Name }), response: { 200: Asset } } }, async (request) => {
    const { uri } = request.query;
    await authorize(request, { kind: 'asset', uri });
    const asset = await database.run(getAsset('uri', uri));
    if (asset === undefined) throw absent(`Asset with URI ${uri} not found`);
    return asset;
  });

  app.get('/assets/by-alias', { config, schema: { querystring: Type.Object({ alias_name: Name }), response: { 200: Type.Array(Asset) } } }, async (request) => {
    const { alias_name: alias } = request.query;
    await authorize(request, { kind: 'asset', alias });
    return [...(await database.run(getAssetsByAlias(alias)))];
  });

  const byAsset = Type.Object({ name: Type.Optional(Name), uri: Type.Optional(Name), ...range });
  app.get('/asset-events/by-asset', { config, schema: { querystring: byAsset, response: { 200: AssetEvents } } }, async (request) => {
    // Airflow's client sends both, and an empty one for none.
    const { name, uri, ascending = true, ...range } = request.query;
    if (!name && !uri) throw new Problem(400, { reason: 'Missing parameter', message: 'name and uri cannot both be None' });
    if (name) await authorize(request, { kind: 'asset', name });
    if (uri) await authorize(request, { kind: 'asset', uri });
    return eventsOf({ ...filtered(range), ...(name && { name }), ...(uri && { uri }), ascending });
  });

  app.get('/asset-events/by-asset-alias', { config, schema: { querystring: Type.Object({ name: Name, ...range }), response: { 200: AssetEvents } } }, async (request) => {
    const { name: alias, ascending = true, ...range } = request.query;
    await authorize(request, { kind: 'asset', alias });
    return eventsOf({ ...filtered(range), alias, ascending });
  });
}
