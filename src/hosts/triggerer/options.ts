import type { Audit } from '../../broker/index.js';
import { checkOptions, invalidArgument, outOfRange } from '../../errors.js';
import { ExecutionApi } from '../../execution-api/client.js';
import { checkGrants, type GrantPreset, type Grants } from '../../execution-api/grants.js';
import type { HandedTrigger } from '../../execution-api/schema.js';
import type { Policy } from '../../policy/policy.js';
import type { MaskerOptions } from '../../secrets/masker.js';
import { Secret } from '../../secrets/secret.js';
import type { LogLine } from '../../supervisor/lines.js';

export interface TriggererOptions {
  /** Of a `sallyport/server`. It stays the caller's. */
  readonly api: ExecutionApi;
  /** The triggerer's own, as `server.addTriggerer()` gave it: it says which queues and which team. It stays the caller's. */
  readonly credential: Secret;
  /**
   * Where the code of triggers is: name to folder. What the server hands out of other bundles is for other triggerers. The triggers of
   * one bundle, which is one team's, share a process; no two bundles do.
   */
  readonly bundles: Readonly<Record<string, string>>;
  /** How many triggers it has at most; Airflow's `[triggerer] capacity`. @default 1000 */
  readonly capacity?: number;
  /** What its processes may have besides their bundle: `network`, above all. @default `policies.node()` */
  readonly policy?: Policy;
  /** What triggers may look up, of what the server lets them; `declared` is what their DAG declares. @default 'declared' */
  readonly grants?: Grants | GrantPreset;
  /** Told of every request of a trigger; `task` is `bundle/id`. */
  readonly audit?: Audit;
  /** As a Supervisor's. @default as Airflow's */
  readonly masking?: MaskerOptions | false;
  /** Gets every line that triggers write; `task` is the bundle. */
  readonly onLog?: (line: LogLine) => void;
  /** Told what happens. It must not throw. */
  readonly onEvent?: (event: TriggererEvent) => void;
  /** How often the server is asked, in milliseconds; it misses a triggerer after 30 seconds. @default 1000 */
  readonly pollMs?: number;
}

/** Whom an event is about. */
export interface TriggererSubject extends Pick<HandedTrigger, 'id' | 'ti' | 'classpath'> {
  readonly bundle: string;
  /** Since it was begun here. */
  readonly ms: number;
  /** How many triggers wait now. */
  readonly waiting: number;
}

/** What a triggerer does, as it does it. */
export type TriggererEvent =
  | (TriggererSubject & { readonly kind: 'begun' })
  /** Its event was taken, and its task goes on. */
  | (TriggererSubject & { readonly kind: 'fired' })
  /** The server was told so, and its task goes on to fail. */
  | (TriggererSubject & { readonly kind: 'failed'; readonly reasons: readonly string[] })
  /** Nobody waits for it here any more. */
  | (TriggererSubject & { readonly kind: 'cancelled' })
  /** The server could not be asked, or not be told: it is again. */
  | { readonly kind: 'trouble'; readonly error: Error };

const names = ['api', 'credential', 'bundles', 'capacity', 'policy', 'grants', 'audit', 'masking', 'onLog', 'onEvent', 'pollMs'] as const;

/** Of {@link TriggererOptions}; what its host is given the host checks. @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`. */
export function checkTriggererOptions(options: TriggererOptions): void {
  checkOptions('options', options, names);
  const { api, credential, bundles, capacity = 1, grants = 'declared', onEvent, pollMs = 1 } = options;
  if (!(api instanceof ExecutionApi)) throw invalidArgument('options.api', 'an ExecutionApi', api);
  if (!(credential instanceof Secret)) throw invalidArgument('options.credential', 'a Secret, as of Secret.fromBytes() or Secret.fromFile()', credential);
  if (typeof bundles !== 'object' || bundles === null) throw invalidArgument('options.bundles', 'an object', bundles);
  if (Object.keys(bundles).length === 0) throw outOfRange('options.bundles', 'with one bundle at least');
  for (const [name, folder] of Object.entries(bundles)) if (typeof folder !== 'string') throw invalidArgument(`options.bundles.${name}`, 'the path of a folder', folder);
  if (!Number.isSafeInteger(capacity) || capacity < 1 || capacity > 10_000) throw outOfRange('options.capacity', 'a whole number from 1 to 10000');
  if (onEvent !== undefined && typeof onEvent !== 'function') throw invalidArgument('options.onEvent', 'a function', onEvent);
  if (!Number.isSafeInteger(pollMs) || pollMs < 1 || pollMs > 10_000) throw outOfRange('options.pollMs', 'a whole number of milliseconds from 1 to 10000');
  checkGrants('options.grants', grants);
}
