import { type Static, Type } from '@sinclair/typebox';
import { closed, JsonObject, Maybe } from './common.js';

/** Airflow's AssetProfile: an `Asset` has both, an `AssetNameRef` or `AssetAlias` its name, an `AssetUriRef` its URI. */
export const AssetProfile = Type.Object({ name: Maybe(Type.String()), uri: Maybe(Type.String()), type: Type.String() }, closed);
export type AssetProfile = Static<typeof AssetProfile>;

/** What a task says of an asset that it changed, perhaps by way of an alias. */
export const OutletEvent = Type.Object({
  dest_asset_key: Type.Optional(Type.Object({ name: Type.String(), uri: Type.String() })),
  extra: Maybe(JsonObject),
  source_alias_name: Maybe(Type.String()),
  dest_asset_extra: Maybe(JsonObject),
});
export type OutletEvent = Static<typeof OutletEvent>;

/** GET assets/by-name, by-uri: Airflow's AssetResponse. */
export const Asset = Type.Object({ name: Type.String(), uri: Type.String(), group: Type.String(), extra: Maybe(JsonObject) });
export type Asset = Static<typeof Asset>;

/** A run that an asset event helped to start. */
const CreatedRun = Type.Object({
  run_id: Type.String(),
  dag_id: Type.String(),
  logical_date: Maybe(Type.String()),
  start_date: Maybe(Type.String()),
  end_date: Maybe(Type.String()),
  state: Type.String(),
  data_interval_start: Maybe(Type.String()),
  data_interval_end: Maybe(Type.String()),
  partition_key: Maybe(Type.String()),
});

const source = {
  source_task_id: Maybe(Type.String()),
  source_dag_id: Maybe(Type.String()),
  source_run_id: Maybe(Type.String()),
  source_map_index: Maybe(Type.Integer()),
};

export const AssetEvent = Type.Object({
  id: Type.Integer(),
  timestamp: Type.String(),
  extra: Maybe(JsonObject),
  asset: Asset,
  created_dagruns: Type.Array(CreatedRun),
  ...source,
  partition_key: Maybe(Type.String()),
});
export type AssetEvent = Static<typeof AssetEvent>;

/** GET asset-events/by-asset, by-asset-alias. */
export const AssetEvents = Type.Object({ asset_events: Type.Array(AssetEvent) });
export type AssetEvents = Static<typeof AssetEvents>;

/** An event that a run was started for: Airflow's AssetEventDagRunReference. */
export const ConsumedAssetEvent = Type.Object({
  asset: Type.Object({ name: Type.String(), uri: Type.String(), extra: JsonObject }),
  extra: JsonObject,
  ...source,
  source_aliases: Type.Array(Type.Object({ name: Type.String() })),
  timestamp: Type.String(),
});
export type ConsumedAssetEvent = Static<typeof ConsumedAssetEvent>;

/** GET task-instances/{id}/validate-inlets-and-outlets. */
export const InactiveAssets = Type.Object({ inactive_assets: Type.Optional(Type.Array(AssetProfile)) });
export type InactiveAssets = Static<typeof InactiveAssets>;
