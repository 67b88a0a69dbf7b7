import type { Asset } from '../../execution-api/schema.js';
import { all, one, type Sql } from './sql.js';

export interface AssetRow {
  readonly name: string;
  readonly uri: string;
  readonly asset_group: string;
  readonly extra: string;
}

const columns = 'name, uri, asset_group, extra';

export function asAsset({ name, uri, asset_group, extra }: AssetRow): Asset {
  return { name, uri, group: asset_group, extra: JSON.parse(extra) as Record<string, unknown> };
}

/** An active one. Of several, the first by its other name. */
export function* getAsset(by: 'name' | 'uri', value: string): Sql<Asset | undefined> {
  const row = yield* one<AssetRow>(`SELECT ${columns} FROM assets WHERE ${by} = :value AND is_active = 1 ORDER BY name, uri LIMIT 1`, { value });
  return row === undefined ? undefined : asAsset(row);
}

/** What an alias came to stand for. */
export function* getAssetsByAlias(alias: string): Sql<readonly Asset[]> {
  return (yield* all<AssetRow>(`SELECT ${columns} FROM asset_aliases JOIN assets USING (name, uri) WHERE alias = :alias ORDER BY name, uri`, { alias })).map(asAsset);
}

/** Whether it stands for anything yet. */
export function* isAlias(alias: string): Sql<boolean> {
  return (yield* one('SELECT 1 AS used FROM asset_aliases WHERE alias = :alias LIMIT 1', { alias })) !== undefined;
}
