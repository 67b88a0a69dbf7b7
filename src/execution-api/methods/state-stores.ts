import { Type } from '@sinclair/typebox';
import { BrokerDenied } from '../../errors.js';
import type { AssetRef } from '../state-stores.js';
import { assertJson, iso, Moment, Name, Nullish } from './fields.js';
import { found, ok, type Question, row, type RowOptions, type Rows } from './row.js';

const TiId = Nullish(Type.String());
/** 512 is Airflow's column. */
const Key = Type.String({ minLength: 1, maxLength: 512 });

const OfTask = Type.Object({ ti_id: TiId, key: Key });
const SetTaskStateStore = Type.Object({ ti_id: TiId, key: Key, value: Type.Unknown(), expires_at: Nullish(Moment) });
const ClearTaskStateStore = Type.Object({ ti_id: TiId });

/** @throws {BrokerDenied} `ERR_BROKER_DENIED`: null, which neither server takes, or no JSON. */
function assertState(method: string, value: unknown): void {
  if (value == null) throw new BrokerDenied(method, 'has no value; to have none, delete the key');
  assertJson(method, 'value', value);
}

/** What outlives a try: a task's own, and that of assets. Of Airflow 3.3. */
export function stateStores(options: RowOptions): Rows {
  return { ...taskStateStore(options), ...assetStateStore(options, 'ByName', 'name'), ...assetStateStore(options, 'ByUri', 'uri') };
}

function taskStateStore({ api, self }: RowOptions): Rows {
  const reads = (): readonly Question[] => [['read', self.resource]];
  const writes = (): readonly Question[] => [['write', self.resource]];

  return {
    GetTaskStateStore: row({
      params: OfTask,
      permit: ({ ti_id, key }) => ({ ti_id: self.id('GetTaskStateStore', ti_id), key }),
      about: reads,
      handler: ({ ti_id, key }, { signal }) => found('TASK_STORE_NOT_FOUND', { key }, async () => ({ type: 'TaskStateStoreResult', value: await api.getTaskStateStore(ti_id, key, { signal }) })),
    }),

    SetTaskStateStore: row({
      params: SetTaskStateStore,
      permit: ({ ti_id, key, value, expires_at }) => {
        assertState('SetTaskStateStore', value);
        return { ti_id: self.id('SetTaskStateStore', ti_id), key, state: { value, expires_at: iso(expires_at) ?? null } };
      },
      about: writes,
      handler: async ({ ti_id, key, state }, { signal }) => {
        await api.setTaskStateStore(ti_id, key, state, { signal });
        return ok;
      },
    }),

    DeleteTaskStateStore: row({
      params: OfTask,
      permit: ({ ti_id, key }) => ({ ti_id: self.id('DeleteTaskStateStore', ti_id), key }),
      about: writes,
      handler: async ({ ti_id, key }, { signal }) => {
        await api.deleteTaskStateStore(ti_id, key, { signal });
        return ok;
      },
    }),

    ClearTaskStateStore: row({
      params: ClearTaskStateStore,
      permit: ({ ti_id }) => ({ ti_id: self.id('ClearTaskStateStore', ti_id) }),
      about: writes,
      handler: async ({ ti_id }, { signal }) => {
        await api.clearTaskStateStore(ti_id, { signal });
        return ok;
      },
    }),
  };
}

/** The same four for an asset, by what the message calls it. */
function assetStateStore({ api, reach }: RowOptions, suffix: 'ByName' | 'ByUri', by: 'name' | 'uri'): Rows {
  type Named = { readonly name?: string; readonly uri?: string };
  const named = by === 'name' ? { name: Name } : { uri: Name };
  /** Undefined where it was not granted. */
  const granted = (asked: Named): AssetRef | undefined => {
    const [name = '', uri = ''] = [asked.name, asked.uri];
    if (!reach.has('assetStates', by === 'name' ? name : uri)) return undefined;
    return by === 'name' ? { name } : { uri };
  };
  const about = (action: 'read' | 'write' | 'delete') => <P extends { readonly asset: AssetRef }>({ asset }: P): readonly Question[] => [[action, { kind: 'asset_state', ...asset, own: true }]];
  const keyed = ({ key, ...asked }: Named & { readonly key: string }) => {
    const asset = granted(asked);
    return asset && { asset, key };
  };

  return {
    [`GetAssetStateStore${suffix}`]: row({
      params: Type.Object({ ...named, key: Key }),
      grant: 'assetStates',
      permit: keyed,
      about: about('read'),
      handler: ({ asset, key }, { signal }) => found('ASSET_STORE_NOT_FOUND', { key }, async () => ({ type: 'AssetStateStoreResult', value: await api.getAssetStateStore(asset, key, { signal }) })),
    }),

    [`SetAssetStateStore${suffix}`]: row({
      params: Type.Object({ ...named, key: Key, value: Type.Unknown() }),
      grant: 'assetStates',
      permit: ({ value, ...asked }) => {
        assertState(`SetAssetStateStore${suffix}`, value);
        const which = keyed(asked);
        return which && { ...which, value };
      },
      about: about('write'),
      handler: async ({ asset, key, value }, { signal }) => {
        await api.setAssetStateStore(asset, key, value, { signal });
        return ok;
      },
    }),

    [`DeleteAssetStateStore${suffix}`]: row({
      params: Type.Object({ ...named, key: Key }),
      grant: 'assetStates',
      permit: keyed,
      about: about('delete'),
      handler: async ({ asset, key }, { signal }) => {
        await api.deleteAssetStateStore(asset, key, { signal });
        return ok;
      },
    }),

    [`ClearAssetStateStore${suffix}`]: row({
      params: Type.Object(named),
      grant: 'assetStates',
      permit: (asked) => {
        const asset = granted(asked);
        return asset && { asset };
      },
      about: about('delete'),
      handler: async ({ asset }, { signal }) => {
        await api.clearAssetStateStore(asset, { signal });
        return ok;
      },
    }),
  };
}
