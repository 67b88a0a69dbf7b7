import type { Authorizer } from '../authorization/index.js';
import type { MethodTable } from '../broker/index.js';
import { authorized } from '../execution-api/authorized.js';
import type { ExecutionApi } from '../execution-api/client.js';
import { executionApiMethods, type Declaration, type GrantPreset, type Grants, type Identity, type MessagesApi } from '../execution-api/methods.js';
import type { TaskMasking } from '../execution-api/methods/masking.js';
import type { Masker } from '../secrets/masker.js';

/** Where a host finds what its children ask for: an `ExecutionApi`, or anything that answers so. Its token stays in the host. */
export type Lookup = Pick<ExecutionApi, 'getVariable' | 'getConnection' | 'getXCom'>;

/** What each trigger has a `Lookup` of its own from, or all have the same. */
export type LookupOf<T> = Lookup | ((asks: T) => Lookup);

export interface LookupOptions {
  readonly lookup: Lookup | undefined;
  readonly grants: Grants | GrantPreset;
  readonly declares: Declaration;
  /** Whose requests these are; undefined for what is no task instance's, which has no XComs. */
  readonly identity: Identity | undefined;
  readonly team: string | null;
  readonly authorizer: Authorizer | undefined;
  readonly masker: Masker | undefined;
  readonly masking?: TaskMasking | undefined;
}

const nobody: Identity = { id: '', dag_id: '', run_id: '', task_id: '', map_index: -1, try_number: 0 };

/** The rows by which a host's children look something up. They change nothing: these children report on no task. */
export function lookups({ lookup, grants, declares, identity, team, authorizer, masker, masking }: LookupOptions): MethodTable {
  if (lookup === undefined) return {};
  const report = { claim: reportsOnNone, send: reportsOnNone };
  const api = lookup as unknown as MessagesApi; // rows that call anything else of it are left out below
  const all = executionApiMethods({ api, identity: identity ?? nobody, grants, declares, report, ...(masker && { masker }), ...(masking && { masking }) });
  const names = identity === undefined ? ['GetVariable', 'GetConnection', 'MaskSecret'] : ['GetVariable', 'GetConnection', 'GetXCom', 'MaskSecret'];
  const rows = Object.fromEntries(Object.entries(all).filter(([name]) => names.includes(name)));
  if (authorizer === undefined) return rows as MethodTable;
  return authorized(rows, authorizer, { ...(identity ?? nobody), standing: 'live', team, declares });
}

function reportsOnNone(): never {
  throw new Error('a host reports on no task');
}
