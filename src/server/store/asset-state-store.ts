import type { Declares } from '../../authorization/index.js';
import { Patterns } from '../../authorization/pattern.js';
import { getAsset } from './assets.js';
import { one, quiet, run, type Sql } from './sql.js';

/** As a request names it. */
export type AssetRef = { readonly name: string } | { readonly uri: string };
/** As it is kept. */
export interface AssetKey {
  readonly name: string;
  readonly uri: string;
}

const ofTask = 'SELECT ti.task_id, dags.task_assets, dags.declares FROM task_instances AS ti JOIN dags ON dags.dag_id = ti.dag_id WHERE ti.id = :id';

/** What makes an asset a task's own. */
export interface Standing {
  readonly own: boolean;
  /** Those of its inlets and outlets that are called so: several where they have different other names. */
  readonly assets: readonly AssetKey[];
}

/** Looks at the task's own DAG alone, and at no asset. */
export function* getStanding(id: string, by: AssetRef): Sql<Standing> {
  const row = yield* one<{ task_id: string; task_assets: string; declares: string | null }>(ofTask, { id });
  if (row === undefined) return { own: false, assets: [] };
  const ofTasks = new Map(Object.entries(JSON.parse(row.task_assets) as Record<string, readonly AssetKey[]>));
  const assets = (ofTasks.get(row.task_id) ?? []).filter(({ name, uri }) => ('name' in by ? name === by.name : uri === by.uri));
  if (assets.length > 0) return { own: true, assets };
  const { assetStates = [] } = JSON.parse(row.declares ?? '{}') as Declares;
  return { own: new Patterns(assetStates).cover('name' in by ? by.name : by.uri), assets };
}

/** The active asset that is meant: of the task's own where it has one of that name. Undefined where there is none. */
export function* resolveAsset(by: AssetRef, { assets }: Standing): Sql<AssetKey | undefined> {
  for (const { name, uri } of assets) {
    const active = yield* one<AssetKey>('SELECT name, uri FROM assets WHERE name = :name AND uri = :uri AND is_active = 1', { name, uri });
    if (active !== undefined) return active;
  }
  if (assets.length > 0) return undefined;
  return yield* 'name' in by ? getAsset('name', by.name) : getAsset('uri', by.uri);
}

const ofAsset = 'name = :name AND uri = :uri';

/** JSON text. */
export function* getAssetState({ name, uri }: AssetKey, key: string): Sql<string | undefined> {
  return (yield* one<{ value: string }>(`SELECT value FROM asset_state_store WHERE ${ofAsset} AND key = :key`, { name, uri, key }))?.value;
}

/** How many keys one asset has at most. */
export const mostKeys = 1000;

const upsert = `INSERT INTO asset_state_store (name, uri, key, value)
  SELECT name, uri, :key, :value FROM assets WHERE ${ofAsset} AND (SELECT count(*) FROM asset_state_store WHERE ${ofAsset} AND key <> :key) < ${mostKeys}
  ON CONFLICT (name, uri, key) DO UPDATE SET value = excluded.value RETURNING key${quiet}`;

/** @returns False where it has as many other keys as it may. */
export function* setAssetState({ name, uri }: AssetKey, key: string, value: string): Sql<boolean> {
  return (yield* one(upsert, { name, uri, key, value })) !== undefined;
}

export function deleteAssetState({ name, uri }: AssetKey, key: string): Sql<void> {
  return run(`DELETE FROM asset_state_store WHERE ${ofAsset} AND key = :key${quiet}`, { name, uri, key });
}

export function clearAssetState({ name, uri }: AssetKey): Sql<void> {
  return run(`DELETE FROM asset_state_store WHERE ${ofAsset}${quiet}`, { name, uri });
}
