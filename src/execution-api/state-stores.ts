import { get, Queries } from './queries.js';
import { type SetTaskStateStore, StateStoreValue } from './schema.js';
import type { RequestOptions } from './session.js';
import { path, query, type Request } from './transport.js';

/** The version of Airflow's API that has them. */
const version = '2026-06-30';

/** Which asset's, by its name or its URI: an active one. */
export type AssetRef = { readonly name: string } | { readonly uri: string };

const ofAsset = (method: Request['method'], by: AssetRef, key?: string): Request => {
  const route = `store/asset/${'name' in by ? 'by-name' : 'by-uri'}/${key === undefined ? 'clear' : 'value'}`;
  return { ...get(route, `${route}${query({ ...by, key })}`), method, version };
};

const ofTask = (method: Request['method'], tiId: string, key: string): Request => ({ ...get('store/ti/{id}/{key}', `store/ti/${path(tiId, key)}`), method, version });

/** Of Airflow 3.3: what a task keeps for its own later tries, and what tasks keep about an asset. Each value is JSON, and never null. */
export abstract class StateStores extends Queries {
  /** @throws {UpstreamFailed} 404: it has none of this key, or that has expired. */
  async getTaskStateStore(tiId: string, key: string, options?: RequestOptions): Promise<unknown> {
    return (await this.json(StateStoreValue, ofTask('GET', tiId, key), options)).value;
  }

  /** @param put `expires_at` is RFC 3339; without one it stays. */
  async setTaskStateStore(tiId: string, key: string, { value, expires_at = null }: SetTaskStateStore, options?: RequestOptions): Promise<void> {
    await this.done(204, { ...ofTask('PUT', tiId, key), body: JSON.stringify({ value, expires_at }) }, options);
  }

  /** One that is not there is gone. */
  async deleteTaskStateStore(tiId: string, key: string, options?: RequestOptions): Promise<void> {
    await this.done(204, ofTask('DELETE', tiId, key), options);
  }

  /** All keys of this task instance; of a mapped one, none of the others'. */
  async clearTaskStateStore(tiId: string, options?: RequestOptions): Promise<void> {
    await this.done(204, { method: 'DELETE', route: 'store/ti/{id}', path: `store/ti/${path(tiId)}`, version }, options);
  }

  /** @throws {UpstreamFailed} 404: there is no such asset, or nothing of this key. */
  async getAssetStateStore(by: AssetRef, key: string, options?: RequestOptions): Promise<unknown> {
    return (await this.json(StateStoreValue, ofAsset('GET', by, key), options)).value;
  }

  /** @throws {UpstreamFailed} 404: there is no such asset; so do the next two. */
  async setAssetStateStore(by: AssetRef, key: string, value: unknown, options?: RequestOptions): Promise<void> {
    await this.done(204, { ...ofAsset('PUT', by, key), body: JSON.stringify({ value }) }, options);
  }

  /** A key that is not there is gone. */
  async deleteAssetStateStore(by: AssetRef, key: string, options?: RequestOptions): Promise<void> {
    await this.done(204, ofAsset('DELETE', by, key), options);
  }

  async clearAssetStateStore(by: AssetRef, options?: RequestOptions): Promise<void> {
    await this.done(204, ofAsset('DELETE', by), options);
  }
}
