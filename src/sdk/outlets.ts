import { encodeRequest } from '../broker/frame.js';
import { shared } from './shared.js';

export interface AssetKey {
  readonly name: string;
  readonly uri: string;
}

export interface AssetUpdate {
  /** About this event: any JSON. */
  readonly extra?: Readonly<Record<string, unknown>>;
  /** The alias that the asset is an update of. */
  readonly alias?: string;
}

export interface Outlet {
  readonly asset: AssetKey;
  readonly update: AssetUpdate;
}

/** Kept until the task has succeeded: a task that fails has updated nothing. */
export function addOutlet({ name, uri }: AssetKey, { extra = {}, alias }: AssetUpdate = {}): void {
  encodeRequest([0, { name, uri, extra }], 'extra'); // what cannot be sent is told now
  (shared.outlets ??= []).push({ asset: { name, uri }, update: { extra, ...(alias !== undefined && { alias }) } });
}

/** As SucceedTask has them. */
export function outletFields(): { readonly task_outlets: unknown[]; readonly outlet_events: unknown[] } {
  const outlets = shared.outlets ?? [];
  return {
    task_outlets: outlets.map(({ asset, update: { alias } }) => (alias === undefined ? { ...asset, type: 'Asset' } : { name: alias, uri: null, type: 'AssetAlias' })),
    outlet_events: outlets.map(({ asset, update: { extra, alias } }) => ({ dest_asset_key: asset, extra, ...(alias !== undefined && { source_alias_name: alias, dest_asset_extra: {} }) })),
  };
}
