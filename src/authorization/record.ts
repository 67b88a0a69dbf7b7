import { channel } from 'node:diagnostics_channel';
import type { Action, ResourceKind } from './resource.js';

/** Who asked for what, and by which rule it was allowed or not. No body, no value, no token. */
export interface DecisionRecord {
  /** ISO 8601, UTC. */
  readonly at: string;
  /** The task instance's id. */
  readonly task_instance_id: string;
  /** The rest of who asked; null for a task instance that the server does not have. */
  readonly dag_id: string | null;
  readonly run_id: string | null;
  readonly task_id: string | null;
  readonly map_index: number | null;
  readonly try_number: number | null;
  /** null too where teams are not looked at. */
  readonly team: string | null;
  readonly action: Action;
  readonly kind: ResourceKind;
  /** As the request gave it: a key, an id, `dag_id/run_id/task_id/map_index/key` for an XCom. */
  readonly name: string;
  readonly allowed: boolean;
  /** Of the table in docs/authorization.md. */
  readonly rule: string;
  /** A stable word, or the policy's own. */
  readonly reason: string;
  /** The worker that asked for the task instance's first token, where it was one that asked. */
  readonly worker?: string;
}

/** Called before the request goes on. If it throws, the request fails: nothing is allowed unrecorded. */
export type DecisionListener = (record: DecisionRecord) => void;

/** Every decision of this process is published here, as a frozen object. */
export const decisionChannel = channel('sallyport:decision');
