import type { SerializedDag } from '../../definition/dag.js';

/** The same in every copy of this package: a bundle's own and the one that parses it may differ. */
const mark: unique symbol = Symbol.for('sallyport.dag') as never;

/** A DAG that can be found among a file's exports, with the declaration it was made of. */
export function marked(made: SerializedDag, declaration: unknown): SerializedDag {
  return Object.freeze(Object.defineProperty(made, mark, { value: declaration }));
}

/** The declarations among what a file exports: by itself or in arrays, each once, in order. */
export function declarations(exported: unknown): unknown[] {
  const found = new Set<unknown>();
  const look = (value: unknown, depth: number): void => {
    if (typeof value !== 'object' || value === null) return;
    if (Array.isArray(value)) {
      if (depth > 0) for (const each of value as unknown[]) look(each, depth - 1);
    } else if (mark in value) {
      found.add((value as { [mark]: unknown })[mark]);
    }
  };
  // A CommonJS file's exports are there by name, and all of them once more as default.
  const all = Object.entries((exported ?? {}) as object).flatMap(([name, value]) => (name === 'default' && isPlain(value) ? [value, ...Object.values(value)] : [value]));
  for (const value of all) look(value, 8);
  return [...found];
}

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(mark in value);
}
