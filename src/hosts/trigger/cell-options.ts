import type { Authorizer } from '../../authorization/index.js';
import type { Audit } from '../../broker/index.js';
import type { Policy } from '../../policy/policy.js';
import type { MaskerOptions } from '../../secrets/masker.js';
import type { LogLine } from '../../supervisor/lines.js';
import type { LookupOf } from '../lookups.js';
import type { TriggerStateChanges } from './messages.js';
import type { RunTrigger } from './run-trigger.js';

/** What the cells of a team have in common. */
export interface CellOptions {
  readonly team: string;
  readonly policy: Policy;
  readonly lookup: LookupOf<RunTrigger> | undefined;
  readonly authorizer: Authorizer | undefined;
  readonly audit: Audit | undefined;
  readonly masking: MaskerOptions | false;
  readonly onLog: ((line: LogLine) => void) | undefined;
  readonly pollMs: number;
  readonly blockedMs: number;
  readonly startMs: number;
  /** Told of what became of triggers that are the cell's, before its child is answered. */
  readonly deliver: (changes: TriggerStateChanges) => Promise<void>;
  /** Told when the last of its triggers has gone. */
  readonly onIdle: () => void;
}

/** A trigger and where its file is. */
export interface Entry {
  readonly trigger: RunTrigger;
  readonly file: string;
  readonly name: string;
}

/** Why a cell has ended. */
export interface CellEnd {
  readonly cause: string;
  /** Who is said to be the reason. */
  readonly suspect: number | undefined;
  /** Nothing of anybody's has run: trying again would end the same way. */
  readonly unstarted: boolean;
}
