import { type Static, type TObject, Type } from '@sinclair/typebox';
import { BrokerDenied } from '../../errors.js';
import { Count, iso, Moment, Name, Nullish } from './fields.js';
import { found, row, type RowOptions, type Rows } from './row.js';

/** The last three are Airflow's of 3.4. */
const range = {
  after: Nullish(Moment),
  before: Nullish(Moment),
  limit: Nullish(Count),
  ascending: Nullish(Type.Boolean()),
  partition_key: Nullish(Type.String({ maxLength: 250 })),
  partition_key_regexp_pattern: Nullish(Type.String({ maxLength: 250 })),
  extra: Nullish(Type.Record(Type.String({ minLength: 1, maxLength: 250 }), Type.String({ maxLength: 1500 }))),
};
type Range = Static<TObject<typeof range>>;
const ranged = ({ after, before, limit, ascending, partition_key, partition_key_regexp_pattern, extra }: Range) => ({
  after: iso(after), before: iso(before), limit: limit ?? undefined, ascending: ascending ?? true,
  partition_key: partition_key ?? undefined, partition_key_regexp_pattern: partition_key_regexp_pattern ?? undefined, extra: extra ?? undefined,
}); // prettier-ignore

const GetAssetByName = Type.Object({ name: Name });
const GetAssetByUri = Type.Object({ uri: Name });
const GetAssetsByAlias = Type.Object({ alias_name: Name });
const GetAssetEventByAsset = Type.Object({ name: Nullish(Type.String({ maxLength: 1500 })), uri: Nullish(Type.String({ maxLength: 1500 })), ...range });
const GetAssetEventByAssetAlias = Type.Object({ alias_name: Name, ...range });

export function assets({ api, reach }: RowOptions): Rows {
  const may = (...names: readonly (string | null | undefined)[]): boolean => names.every((name) => name == null || reach.has('assets', name));

  return {
    GetAssetByName: row({
      params: GetAssetByName,
      grant: 'assets',
      permit: ({ name }) => (may(name) ? { name } : undefined),
      about: ({ name }) => [['read', { kind: 'asset', name }]],
      handler: (by, { signal }) => found('ASSET_NOT_FOUND', by, async () => ({ type: 'AssetResult', ...(await api.getAsset(by, { signal })) })),
    }),

    GetAssetByUri: row({
      params: GetAssetByUri,
      grant: 'assets',
      permit: ({ uri }) => (may(uri) ? { uri } : undefined),
      about: ({ uri }) => [['read', { kind: 'asset', uri }]],
      handler: (by, { signal }) => found('ASSET_NOT_FOUND', by, async () => ({ type: 'AssetResult', ...(await api.getAsset(by, { signal })) })),
    }),

    // Of Airflow 3.3.
    GetAssetsByAlias: row({
      params: GetAssetsByAlias,
      grant: 'assets',
      permit: ({ alias_name }) => (may(alias_name) ? { alias_name } : undefined),
      about: ({ alias_name: alias }) => [['read', { kind: 'asset', alias }]],
      handler: async ({ alias_name }, { signal }) => ({ type: 'AssetsByAliasResult', assets: (await api.getAssetsByAlias(alias_name, { signal })).map((asset) => ({ type: 'AssetResult', ...asset })) }),
    }),

    GetAssetEventByAsset: row({
      params: GetAssetEventByAsset,
      grant: 'assets',
      permit: (asked) => {
        // Airflow's client leaves out neither, and sends an empty one for none.
        const [name, uri] = [asked.name || undefined, asked.uri || undefined];
        if (name === undefined && uri === undefined) throw new BrokerDenied('GetAssetEventByAsset', 'names no asset');
        return may(name, uri) ? { name, uri, ...ranged(asked) } : undefined;
      },
      about: ({ name, uri }) => [...(name === undefined ? [] : [['read', { kind: 'asset', name }] as const]), ...(uri === undefined ? [] : [['read', { kind: 'asset', uri }] as const])],
      handler: async (filter, { signal }) => ({ type: 'AssetEventsResult', ...(await api.getAssetEvents(filter, { signal })) }),
    }),

    GetAssetEventByAssetAlias: row({
      params: GetAssetEventByAssetAlias,
      grant: 'assets',
      permit: (asked) => (may(asked.alias_name) ? { alias: asked.alias_name, ...ranged(asked) } : undefined),
      about: ({ alias }) => [['read', { kind: 'asset', alias }]],
      handler: async (filter, { signal }) => ({ type: 'AssetEventsResult', ...(await api.getAssetEvents(filter, { signal })) }),
    }),
  };
}
