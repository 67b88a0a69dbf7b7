import { get, Queries } from './queries.js';
import { type SetTaskStateStore, StateStoreValue } from './schema.js';
import type { RequestOptions } from './session.js';
import { path, type Request } from './transport.js';

/** The version of Airflow's API that has them. */
const version = '2026-06-30';

const ofTask = (method: Request['method'], tiId: string, key: string): Request => ({ ...get('store/ti/{id}/{key}', `store/ti/${path(tiId, key)}`), method, version });

/** Of Airflow 3.3: what a task keeps for its own later tries. Each value is JSON, and never null. */
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
}
