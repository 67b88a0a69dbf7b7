import type { AssetProfile, OutletEvent } from '../execution-api/schema.js';

/** An asset event that a task's success makes. */
export type OutletChange =
  /** Of a known and active asset, by what the task called it. */
  | { readonly by: 'both' | 'name' | 'uri'; readonly name: string; readonly uri: string; readonly extra: string }
  /** By way of aliases; the asset comes into being where there is none. */
  | { readonly by: 'aliases'; readonly name: string; readonly uri: string; readonly extra: string; readonly aliases: readonly string[]; readonly asset_extra: string };

/** Airflow's register_asset_changes: each outlet once, with what the task said of it; an alias for each asset that it resolved to. */
export function outletChanges(outlets: readonly AssetProfile[], events: readonly OutletEvent[]): readonly OutletChange[] {
  const changes = new Map<string, OutletChange>();
  // By each of an asset's names, what was said last: there may be ten thousand of either.
  const said = new Map<string, string>();
  for (const { dest_asset_key: key, source_alias_name, extra } of events) {
    if (source_alias_name != null || key === undefined) continue;
    const text = JSON.stringify(extra ?? {});
    for (const id of [['Asset', key.name, key.uri], ['AssetNameRef', key.name], ['AssetUriRef', key.uri]]) said.set(JSON.stringify(id), text);
  }
  const add = (id: readonly string[], by: 'both' | 'name' | 'uri', name: string, uri: string): void => {
    const known = JSON.stringify(id);
    changes.set(known, { by, name, uri, extra: said.get(known) ?? '{}' });
  };
  for (const { type, name, uri } of outlets) {
    if (type === 'Asset' && name && uri) add([type, name, uri], 'both', name, uri);
    if (type === 'AssetNameRef' && name) add([type, name], 'name', name, '');
    if (type === 'AssetUriRef' && uri) add([type, uri], 'uri', '', uri);
  }
  const outletAliases = new Set(outlets.filter(({ type }) => type === 'AssetAlias').map(({ name }) => name));
  const aliasesOf = new Map<string, Set<string>>();
  for (const { dest_asset_key: key, source_alias_name: alias, ...event } of events) {
    if (key === undefined || alias == null || !outletAliases.has(alias)) continue;
    const [extra, asset_extra] = [JSON.stringify(event.extra ?? {}), JSON.stringify(event.dest_asset_extra ?? {})];
    const id = JSON.stringify([key.name, key.uri, extra, asset_extra]);
    let aliases = aliasesOf.get(id);
    if (aliases === undefined) {
      aliasesOf.set(id, (aliases = new Set()));
      changes.set(id, { by: 'aliases', name: key.name, uri: key.uri, extra, asset_extra, aliases: [] });
    }
    aliases.add(alias);
  }
  return [...changes].map(([id, change]) => (change.by === 'aliases' ? { ...change, aliases: [...(aliasesOf.get(id) ?? [])] } : change));
}
