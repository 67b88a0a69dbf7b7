import { fields, list, text } from './check.js';

/** An asset by both of its keys. */
export interface Asset {
  readonly name: string;
  readonly uri: string;
}

export function assets(path: string, value: unknown): Asset[] {
  return list(path, value ?? [], 1000, (where, each) => {
    if (typeof each === 'string') return { name: text(where, each, 1500), uri: each };
    const { name, uri = name } = fields(where, each, ['name', 'uri']);
    return { name: text(`${where}.name`, name, 1500), uri: text(`${where}.uri`, uri, 1500) };
  });
}
