import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { SetAssetStateStore, StateStoreValue } from '../../execution-api/schema.js';
import { authorize, claimsOf, type AccessOptions } from '../access.js';
import type { App } from '../app.js';
import { absent, Problem } from '../problem.js';
import { mostKeyChars, storedValue } from '../stored-value.js';
import { type AssetKey, type AssetRef, clearAssetState, deleteAssetState, getAssetState, getStanding, mostKeys, resolveAsset, setAssetState } from '../store/asset-state-store.js';
import { NoContent } from './params.js';

const Name = Type.String({ minLength: 1, maxLength: 1500 }); // Airflow's column
const Key = Type.String({ minLength: 1, maxLength: mostKeyChars });
const config = (action: 'read' | 'write' | 'delete') => ({ access: 'task', resource: { kind: 'asset_state', action } }) as const;

/** What tasks keep about an asset, for each other and for later runs. Of Airflow 3.3, where any task may do so about any. */
export function assetStateStore(app: App, { database }: AccessOptions): void {
  async function found(request: FastifyRequest, by: AssetRef): Promise<AssetKey> {
    const standing = await database.run(getStanding(claimsOf(request).sub, by));
    await authorize(request, { kind: 'asset_state', ...by, own: standing.own });
    const asset = await database.run(resolveAsset(by, standing));
    if (asset === undefined) throw absent('name' in by ? `Asset with name ${by.name} not found` : `Asset with URI ${by.uri} not found`);
    return asset;
  }

  for (const by of ['name', 'uri'] as const) {
    const [value, clear] = [`/store/asset/by-${by}/value`, `/store/asset/by-${by}/clear`];
    // As if each had both: only the one of the route is there.
    const one = Type.Object({ [by]: Name } as { readonly name: typeof Name });
    const keyed = Type.Composite([one, Type.Object({ key: Key })]);
    const refOf = (query: object): AssetRef => {
      const called = (query as Readonly<Record<string, string>>)[by] as string;
      return by === 'name' ? { name: called } : { uri: called };
    };

    app.get(value, { config: config('read'), schema: { querystring: keyed, response: { 200: StateStoreValue } } }, async (request, reply) => {
      const { key } = request.query;
      const text = await database.run(getAssetState(await found(request, refOf(request.query)), key));
      if (text === undefined) throw absent(`Asset state store key '${key}' not found`);
      return reply.send({ value: JSON.parse(text) as unknown });
    });

    app.put(value, { config: config('write'), schema: { querystring: keyed, body: SetAssetStateStore, response: { 204: NoContent } } }, async (request, reply) => {
      const text = storedValue(request.body.value);
      const asset = await found(request, refOf(request.query));
      if (await database.run(setAssetState(asset, request.query.key, text))) return reply.code(204).send();
      throw new Problem(409, { reason: 'state_store_full', message: `An asset has at most ${mostKeys} keys: delete some` });
    });

    // As Airflow: one that is not there is gone.
    app.delete(value, { config: config('delete'), schema: { querystring: keyed, response: { 204: NoContent } } }, async (request, reply) => {
      await database.run(deleteAssetState(await found(request, refOf(request.query)), request.query.key));
      return reply.code(204).send();
    });

    app.delete(clear, { config: config('delete'), schema: { querystring: one, response: { 204: NoContent } } }, async (request, reply) => {
      await database.run(clearAssetState(await found(request, refOf(request.query))));
      return reply.code(204).send();
    });
  }
}
