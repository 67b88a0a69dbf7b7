import { setImmediate as turn } from 'node:timers/promises';
import { Type } from '@sinclair/typebox';
import { Count, Name, Nullish } from './fields.js';
import { accessDenied, foundIfAllowed, ok, row, type RowContext, type RowOptions, type Rows } from './row.js';

/** What a server gives at once. */
const pageLength = 10_000;
/** Pages of a listing that is filtered here: a server that never comes to its end is not asked for ever. */
const mostPages = 20;
/** After so long on one listing the others of this process have their turn. */
const msAtOnce = 5;

const GetVariable = Type.Object({ key: Name });
const GetVariableKeys = Type.Object({ prefix: Nullish(Type.String({ maxLength: 250 })), limit: Nullish(Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 })), offset: Nullish(Count) });
const PutVariable = Type.Object({ key: Name, value: Nullish(Type.String()), description: Nullish(Type.String({ maxLength: 10_000 })) });
const DeleteVariable = Type.Object({ key: Name });

export function variables({ api, reach, masking }: RowOptions): Rows {
  const readable = ({ key }: { readonly key: string }) => (reach.has('variables', key) ? { key } : undefined);

  /** What the task may read of the keys under a prefix. */
  async function listed(prefix: string, { signal, allows }: RowContext): Promise<string[]> {
    const keys: string[] = [];
    let since = performance.now();
    for (let page = 0; page < mostPages; page++) {
      const { keys: some, total_entries } = await api.getVariableKeys(prefix, { limit: pageLength, offset: page * pageLength }, { signal });
      for (const key of some) {
        if (reach.has('variables', key) && (allows === undefined || (await allows('read', { kind: 'variable', key })))) keys.push(key);
        if (performance.now() - since < msAtOnce) continue;
        await turn();
        signal.throwIfAborted();
        since = performance.now();
      }
      if (some.length === 0 || (page + 1) * pageLength >= total_entries) break;
    }
    return keys;
  }

  return {
    GetVariable: row({
      params: GetVariable,
      grant: 'variables',
      permit: readable,
      about: ({ key }) => [['read', { kind: 'variable', key }]],
      denied: accessDenied,
      handler: ({ key }, { signal }) => foundIfAllowed('VARIABLE_NOT_FOUND', { key }, async () => {
        const { value } = await api.getVariable(key, { signal });
        masking.given('GetVariable', value, key);
        return { type: 'VariableResult', key, value };
      }),
    }),

    // Of Airflow 3.3. A task learns of the keys that it may read, and of no others that they are there.
    GetVariableKeys: row({
      params: GetVariableKeys,
      permit: ({ prefix, limit, offset }) => ({ prefix: prefix ?? '', limit: limit ?? 1000, offset: offset ?? 0 }),
      about: ({ prefix }) => [['read', { kind: 'variable', prefix }]],
      handler: async ({ prefix, limit, offset }, context) => {
        if (reach.hasAll('variables') && context.allows === undefined) return { type: 'VariableKeysResult', ...(await api.getVariableKeys(prefix, { limit: Math.min(limit, pageLength), offset }, { signal: context.signal })) };
        const keys = await listed(prefix, context);
        return { type: 'VariableKeysResult', keys: keys.slice(offset, offset + limit), total_entries: keys.length };
      },
    }),

    PutVariable: row({
      params: PutVariable,
      grant: 'writableVariables',
      permit: (params) => (reach.has('writableVariables', params.key) ? params : undefined),
      about: ({ key }) => [['write', { kind: 'variable', key }]],
      handler: async ({ key, value, description }, { signal }) => {
        masking.written(value, key);
        await api.setVariable(key, { val: value ?? null, description: description ?? null }, { signal });
        return null;
      },
    }),

    DeleteVariable: row({
      params: DeleteVariable,
      grant: 'writableVariables',
      permit: ({ key }) => (reach.has('writableVariables', key) ? { key } : undefined),
      about: ({ key }) => [['delete', { kind: 'variable', key }]],
      handler: async ({ key }, { signal }) => {
        await api.deleteVariable(key, { signal });
        return ok;
      },
    }),
  };
}
