import type { MethodTable } from '../broker/index.js';
import type { Masker } from '../secrets/masker.js';
import { type Declaration, type GrantPreset, type Grants, reachOf } from './grants.js';
import { assets } from './methods/assets.js';
import { connections } from './methods/connections.js';
import { dagRuns } from './methods/dag-runs.js';
import { final, type FinalReport } from './methods/final.js';
import { TaskMasking } from './methods/masking.js';
import { own } from './methods/own.js';
import type { MessagesApi, Row, RowOptions } from './methods/row.js';
import { type Identity, Self } from './methods/self.js';
import { stateStores } from './methods/state-stores.js';
import { taskInstances } from './methods/task-instances.js';
import { variables } from './methods/variables.js';
import { xcoms } from './methods/xcoms.js';

export type { Declaration, GrantPreset, Grants, XComGrant } from './grants.js';
export type { FinalReport } from './methods/final.js';
export type { MessagesApi, Row } from './methods/row.js';
export type { Identity } from './methods/self.js';

export interface MethodOptions {
  readonly api: MessagesApi;
  readonly identity: Identity;
  /** @default 'declared' */
  readonly grants?: Grants | GrantPreset;
  /** What the task's workload says that it needs: what `declared` grants. @default nothing */
  readonly declares?: Declaration;
  readonly report: FinalReport;
  /** Is told what the task is given and must not be printed. @default nothing is */
  readonly masker?: Masker;
  /** What of that may be had, where several tables share it. @default one task's share */
  readonly masking?: TaskMasking;
}

/** Rows that also say what they are about, for {@link authorized}. */
export type ExecutionApiMethods = MethodTable & Readonly<Record<string, Row>>;

/** Airflow's messages as rows of one task's method table: who may ask, and which call of the API answers. */
export function executionApiMethods({ api, identity, grants = 'declared', declares = {}, report, masker, masking = new TaskMasking(masker) }: MethodOptions): ExecutionApiMethods {
  const options: RowOptions = { api, self: new Self(identity), reach: reachOf(grants, declares, identity), masking, masker };
  return { ...variables(options), ...connections(options), ...xcoms(options), ...assets(options), ...dagRuns(options), ...taskInstances(options), ...own(options), ...stateStores(options), ...final(options, report) };
}
