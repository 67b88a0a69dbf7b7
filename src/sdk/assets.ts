import { client } from './client.js';
import { addOutlet, type AssetKey, type AssetUpdate } from './outlets.js';
import { valueOf } from './state.js';

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
  /** Of this partition alone. */
  readonly partition_key?: string;
  /** With these texts in its extra. */
  readonly extra?: Readonly<Record<string, string>>;
}

type Fields = Readonly<Record<string, unknown>>;

/** What tasks keep about an asset, for each other and for later runs: any JSON but null, 64 KiB of it for each of 1000 keys at most. */
export interface AssetState {
  /** null where there is none, or no such asset, and no default. @throws {TaskError} `ERR_BROKER_DENIED`: not among the supervisor's `assetStates`; so do the others. */
  get<Value = unknown>(key: string): Promise<Value | null>;
  get<Value = unknown, Default = Value>(key: string, options: { readonly default: Default }): Promise<Value | Default>;
  /** Makes or changes one, which stays until somebody deletes it. */
  set(key: string, value: unknown): Promise<void>;
  /** One that is not there is gone. */
  delete(key: string): Promise<void>;
  /** All keys, whoever has set them. */
  clear(): Promise<void>;
}

export const assets = Object.freeze({
  /** By name or URI. @throws {TaskError} `ASSET_NOT_FOUND`; `ERR_BROKER_DENIED`: not among the supervisor's `assets`. */
  async get(by: { readonly name: string } | { readonly uri: string }): Promise<Asset> {
    const reply = 'name' in by ? await client().request('GetAssetByName', { name: by.name }) : await client().request('GetAssetByUri', { uri: by.uri });
    const { type: _, ...asset } = reply as Fields;
    return asset as unknown as Asset;
  },

  /** What has happened to an asset, by name, URI or both, or to what an alias stood for. @throws {TaskError} `ERR_BROKER_DENIED` */
  async events(of: { readonly name?: string; readonly uri?: string } | { readonly alias: string }, { after, before, limit, ascending = true, partition_key, extra }: AssetEventRange = {}): Promise<AssetEvent[]> {
    const range = { after: after?.toISOString() ?? null, before: before?.toISOString() ?? null, limit: limit ?? null, ascending, ...(partition_key !== undefined && { partition_key }), ...(extra && { extra }) };
    const reply = 'alias' in of
      ? await client().request('GetAssetEventByAssetAlias', { alias_name: of.alias, ...range })
      : await client().request('GetAssetEventByAsset', { name: of.name ?? null, uri: of.uri ?? null, ...range });
    return (reply as Fields)['asset_events'] as AssetEvent[];
  },

  /**
   * The state store of an asset, by name or URI: `const watermark = assets.state({ name: 'orders' })`. Nothing is asked yet. Needs a server of
   * Airflow 3.3, or `sallyport/server`, which asks besides that the asset is an inlet or outlet of the task, or declared by its DAG.
   */
  state(of: { readonly name: string } | { readonly uri: string }): AssetState {
    const [suffix, asset] = 'name' in of ? ['ByName', { name: of.name }] : ['ByUri', { uri: of.uri }];
    const ask = (what: string, fields: Fields): Promise<unknown> => client().request(`${what}AssetStateStore${suffix}`, { ...asset, ...fields });
    return Object.freeze({
      get: (key: string, options: { readonly default: unknown } = { default: null }): Promise<never> => valueOf('ASSET_STORE_NOT_FOUND', options.default as never, () => ask('Get', { key })),
      async set(key: string, value: unknown): Promise<void> {
        await ask('Set', { key, value });
      },
      async delete(key: string): Promise<void> {
        await ask('Delete', { key });
      },
      async clear(): Promise<void> {
        await ask('Clear', {});
      },
    });
  },

  /**
   * Says that this task has updated an asset, perhaps by way of an alias. It is told when the task succeeds, which fails when the
   * asset is not among the supervisor's `outlets`.
   */
  updated(asset: AssetKey, update: AssetUpdate = {}): void {
    addOutlet(asset, update);
  },
});
