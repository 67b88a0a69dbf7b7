import { client } from './client.js';
import { addOutlet, type AssetKey, type AssetUpdate } from './outlets.js';

export interface Asset extends AssetKey {
  readonly group: string;
  readonly extra: Readonly<Record<string, unknown>> | null;
}

/** One thing that happened to an asset, in Airflow's words. */
export interface AssetEvent {
  readonly id: number;
  readonly timestamp: string;
  readonly asset: Asset;
  readonly extra: Readonly<Record<string, unknown>> | null;
  readonly source_dag_id?: string | null;
  readonly source_task_id?: string | null;
  readonly source_run_id?: string | null;
  readonly source_map_index?: number | null;
  readonly [field: string]: unknown;
}

export interface AssetEventRange {
  readonly after?: Date;
  readonly before?: Date;
  readonly limit?: number;
  /** @default true */
  readonly ascending?: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

export const assets = Object.freeze({
  /** By name or URI. @throws {TaskError} `ASSET_NOT_FOUND`; `ERR_BROKER_DENIED`: not among the supervisor's `assets`. */
  async get(by: { readonly name: string } | { readonly uri: string }): Promise<Asset> {
    const reply = 'name' in by ? await client().request('GetAssetByName', { name: by.name }) : await client().request('GetAssetByUri', { uri: by.uri });
    const { type: _, ...asset } = reply as Fields;
    return asset as unknown as Asset;
  },

  /** What has happened to an asset, by name, URI or both, or to what an alias stood for. @throws {TaskError} `ERR_BROKER_DENIED` */
  async events(of: { readonly name?: string; readonly uri?: string } | { readonly alias: string }, { after, before, limit, ascending = true }: AssetEventRange = {}): Promise<AssetEvent[]> {
    const range = { after: after?.toISOString() ?? null, before: before?.toISOString() ?? null, limit: limit ?? null, ascending };
    const reply = 'alias' in of
      ? await client().request('GetAssetEventByAssetAlias', { alias_name: of.alias, ...range })
      : await client().request('GetAssetEventByAsset', { name: of.name ?? null, uri: of.uri ?? null, ...range });
    return (reply as Fields)['asset_events'] as AssetEvent[];
  },

  /**
   * Says that this task has updated an asset, perhaps by way of an alias. It is told when the task succeeds, which fails when the
   * asset is not among the supervisor's `outlets`.
   */
  updated(asset: AssetKey, update: AssetUpdate = {}): void {
    addOutlet(asset, update);
  },
});
