import { type Static, Type } from '@sinclair/typebox';
import { closed, Maybe, Timestamp } from './common.js';

/** PUT store/ti/{id}/{key}, since 2026-06-30: Airflow's TaskStateStorePutBody. The value is any JSON but null. */
export const SetTaskStateStore = Type.Object({ value: Type.Unknown(), expires_at: Maybe(Timestamp) }, closed);
export type SetTaskStateStore = Static<typeof SetTaskStateStore>;

/** PUT store/asset/by-name/value, by-uri/value: Airflow's AssetStateStorePutBody. */
export const SetAssetStateStore = Type.Object({ value: Type.Unknown() }, closed);

/** GET of either. */
export const StateStoreValue = Type.Object({ value: Type.Unknown() });
