import { Type } from '@sinclair/typebox';
import { Asset, AssetEvents } from '../../execution-api/schema.js';
import { Timestamp } from '../../execution-api/schema/common.js';
import { authorize, type AccessOptions } from '../access.js';
import type { App } from '../app.js';
import { absent, Problem } from '../problem.js';
import { getAssetEvents } from '../store/asset-events.js';
import { getAsset, getAssetsByAlias } from '../store/assets.js';

const config = { access: 'task', resource: { kind: 'asset', action: 'read' } } as const;
const Name = Type.String({ maxLength: 1500 }); // Airflow's column
const range = {
  after: Type.Optional(Timestamp),
  before: Type.Optional(Timestamp),
  ascending: Type.Optional(Type.Boolean()),
  limit: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 })),
};

export function assets(app: App, { database }: AccessOptions): void {
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
    const { name, uri, ascending = true, limit, ...times } = request.query;
    if (!name && !uri) throw new Problem(400, { reason: 'Missing parameter', message: 'name and uri cannot both be None' });
    if (name) await authorize(request, { kind: 'asset', name });
    if (uri) await authorize(request, { kind: 'asset', uri });
    const filter = { ...(name && { name }), ...(uri && { uri }), ...(limit && { limit }) };
    return { asset_events: [...(await database.run(getAssetEvents({ ...times, ...filter, ascending })))] };
  });

  app.get('/asset-events/by-asset-alias', { config, schema: { querystring: Type.Object({ name: Name, ...range }), response: { 200: AssetEvents } } }, async (request) => {
    const { name: alias, ascending = true, limit, ...times } = request.query;
    await authorize(request, { kind: 'asset', alias });
    return { asset_events: [...(await database.run(getAssetEvents({ ...times, alias, ascending, ...(limit && { limit }) })))] };
  });
}
