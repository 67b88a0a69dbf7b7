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
  const said = (matches: (key: { name: string; uri: string }) => boolean): string => {
    const event = events.findLast(({ dest_asset_key: key, source_alias_name }) => source_alias_name == null && key !== undefined && matches(key));
    return JSON.stringify(event?.extra ?? {});
  };
  for (const { type, name, uri } of outlets) {
    if (type === 'Asset' && name && uri) changes.set(JSON.stringify([type, name, uri]), { by: 'both', name, uri, extra: said((key) => key.name === name && key.uri === uri) });
    if (type === 'AssetNameRef' && name) changes.set(JSON.stringify([type, name]), { by: 'name', name, uri: '', extra: said((key) => key.name === name) });
    if (type === 'AssetUriRef' && uri) changes.set(JSON.stringify([type, uri]), { by: 'uri', name: '', uri, extra: said((key) => key.uri === uri) });
  }
  const aliases = new Set(outlets.filter(({ type }) => type === 'AssetAlias').map(({ name }) => name));
  for (const { dest_asset_key: key, source_alias_name: alias, ...event } of events) {
    if (key === undefined || alias == null || !aliases.has(alias)) continue;
    const [extra, asset_extra] = [JSON.stringify(event.extra ?? {}), JSON.stringify(event.dest_asset_extra ?? {})];
    const id = JSON.stringify([key.name, key.uri, extra, asset_extra]);
    const known = changes.get(id);
    const others = known?.by === 'aliases' ? known.aliases.filter((each) => each !== alias) : [];
    changes.set(id, { by: 'aliases', name: key.name, uri: key.uri, extra, asset_extra, aliases: [...others, alias] });
  }
  return [...changes.values()];
}
