import { Authorizer } from '../authorization/index.js';
import type { Audit } from '../broker/index.js';
import { checkOptions, invalidArgument, outOfRange } from '../errors.js';
import { ExecutionApi } from '../execution-api/client.js';
import { checkDeclaration, checkGrants, type Declaration, type GrantPreset, type Grants } from '../execution-api/grants.js';
import type { Policy } from '../policy/policy.js';
import { Masker, type MaskerOptions } from '../secrets/masker.js';
import { Secret } from '../secrets/secret.js';
import type { LogLine } from './lines.js';
import type { LogOptions } from './logs/index.js';
import type { ReportsOptions } from './reports.js';
import type { Timing } from './run.js';
import type { StatusOptions } from './status.js';
import type { WarmOptions } from './warm.js';

export interface SupervisorOptions {
  /** Used for its connections, and for its token by workloads that come without one. It stays the caller's to close. */
  readonly api: ExecutionApi;
  /** Where the code of each bundle is: name to folder. */
  readonly bundles: Readonly<Record<string, string>>;
  /** What the server knows this host by. @default os.hostname() */
  readonly hostname?: string;
  /** @default 5000 */
  readonly heartbeatIntervalMs?: number;
  /**
   * A task whose heartbeats fail so often in a row is ended, and has failed; 404, 409 and 410 end it at once, and 20 others that the server
   * answered and refused. Each heartbeat is sent once. With the defaults a task outlives an API that is away for twelve minutes, and longer where
   * requests run into their timeout. Airflow's scheduler gives a task up after 300 seconds without one, and may start it again elsewhere:
   * raise its `task_instance_heartbeat_timeout`, or take 50 here. @default 150
   */
  readonly maxFailedHeartbeats?: number;
  /** From SIGTERM to SIGKILL when a task must end. @default 5000 */
  readonly killGraceMs?: number;
  /** How long a task may run on after its final message. @default 20000 */
  readonly overtimeMs?: number;
  /** Where reports are kept that the server could not be told, until it takes them: docs/life-cycle.md. @default they are lost, and the outcome says so */
  readonly reports?: ReportsOptions;
  /** Asked about every variable, connection and XCom that a task was granted: for a server that decides nothing, as Airflow's. @default none */
  readonly authorization?: Authorizer;
  /** Told of every request of every task. */
  readonly audit?: Audit;
  /**
   * What is hidden in a task's lines and in `outcome.reason`: passwords and extras of connections that it was given, values of
   * variables with sensitive names, what it asked for itself, JSON Web Tokens. False: nothing. @default as Airflow's
   */
  readonly masking?: MaskerOptions | false;
  /** Processes that have started before there is a task for them: docs/warm-pool.md. Dispose the supervisor, or they keep this process running. @default none */
  readonly warm?: WarmOptions;
  /** Gets every line that tasks write to descriptors 1, 2 and 3. Also published on `diagnostics_channel` 'sallyport:log'. */
  readonly onLog?: (line: LogLine) => void;
  /** Lets programs of this user, `sallyport top` above all, see what runs. Costs little while nobody looks; no task can. `{}` for the place where `sallyport top` looks. @default not shown */
  readonly status?: StatusOptions;
  /** Keeps what tasks write, one JSON-lines file for each try. @default nothing is kept */
  readonly logs?: LogOptions;
}

export interface RunOptions {
  /** This task instance's token, of either scope. Taken over: destroyed when the run is over and its report is not kept, whatever its outcome, and when it is refused. @default the workload's own */
  readonly token?: Secret;
  /** What the task may have besides its bundle and the task's side of this package. @default `policies.node()` */
  readonly policy?: Policy;
  /**
   * What it may ask for besides what is its own: `declared`, what `declares` lists; `airflow`, all that Airflow's supervisor lets a
   * task do, but not in the name of another task; or by name. @default 'declared'
   */
  readonly grants?: Grants | GrantPreset;
  /** The team of the task's DAG, for the rules of `authorization`. @default null, none */
  readonly team?: string | null;
  /** What the task's workload says that it needs, in names or patterns: for `grants: 'declared'`, and for the rules of `authorization`. @default nothing */
  readonly declares?: Declaration;
  /**
   * How long it may run, from its start message to its final one: then it gets SIGTERM, `killGraceMs` later SIGKILL, and has failed with
   * `ERR_TASK_TIMEOUT`. The policy's own limit of that name kills without notice. @default no limit
   */
  readonly wallTimeMs?: number;
  /** Aborting kills the task. Once it runs its end is still reported, and is the outcome. */
  readonly signal?: AbortSignal;
}

/** @returns The times to keep. @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`. */
export function checkSupervisorOptions(options: SupervisorOptions): Timing {
  checkOptions('options', options, [
    'api', 'bundles', 'hostname', 'heartbeatIntervalMs', 'maxFailedHeartbeats', 'killGraceMs', 'overtimeMs', 'reports', 'authorization', 'audit', 'masking', 'warm', 'onLog', 'logs', 'status',
  ]);
  const { api, bundles, authorization, masking, heartbeatIntervalMs = 5_000, maxFailedHeartbeats = 150, killGraceMs = 5_000, overtimeMs = 20_000 } = options;
  if (!(api instanceof ExecutionApi)) throw invalidArgument('options.api', 'an ExecutionApi', api);
  if (typeof bundles !== 'object' || bundles === null) throw invalidArgument('options.bundles', 'an object', bundles);
  for (const [name, path] of Object.entries(bundles)) if (typeof path !== 'string') throw invalidArgument(`options.bundles.${name.slice(0, 40)}`, 'the path of a folder', path);
  for (const name of ['audit', 'onLog'] as const) if (options[name] !== undefined && typeof options[name] !== 'function') throw invalidArgument(`options.${name}`, name === 'audit' ? 'a function, as the `record` of an AuditFile' : 'a function', options[name]);
  if (options.hostname !== undefined && (typeof options.hostname !== 'string' || options.hostname === '')) throw invalidArgument('options.hostname', 'a name', options.hostname);
  if (authorization !== undefined && !(authorization instanceof Authorizer)) throw invalidArgument('options.authorization', 'an Authorizer', authorization);
  if (masking !== undefined && masking !== false) new Masker(masking).destroy(); // misuse is told now
  if (!Number.isSafeInteger(maxFailedHeartbeats) || maxFailedHeartbeats < 1) throw outOfRange('options.maxFailedHeartbeats', 'a whole number of at least 1');
  return {
    heartbeatIntervalMs: milliseconds('heartbeatIntervalMs', heartbeatIntervalMs),
    maxFailedHeartbeats,
    killGraceMs: milliseconds('killGraceMs', killGraceMs),
    overtimeMs: milliseconds('overtimeMs', overtimeMs),
    drainMs: 20_000,
  };
}

export function checkRunOptions(options: RunOptions): void {
  checkOptions('options', options, ['token', 'policy', 'grants', 'team', 'declares', 'wallTimeMs', 'signal']);
  const { token, policy, grants = 'declared', team, declares, wallTimeMs, signal } = options;
  if (policy !== undefined && (typeof policy !== 'object' || policy === null)) throw invalidArgument('options.policy', 'a policy, as of policies.node()', policy);
  if (token !== undefined && !(token instanceof Secret)) throw invalidArgument('options.token', 'a Secret, as of Secret.fromBytes() or Secret.fromFile()', token);
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw invalidArgument('options.signal', 'an AbortSignal', signal);
  if (wallTimeMs !== undefined) milliseconds('wallTimeMs', wallTimeMs);
  if (team !== undefined && team !== null && (typeof team !== 'string' || team === '')) throw invalidArgument('options.team', 'the name of a team, or null', team);
  checkDeclaration('options.declares', declares ?? {});
  checkGrants('options.grants', grants);
}

function milliseconds(name: string, value: number): number {
  // The most that Node's timers can wait.
  if (!Number.isSafeInteger(value) || value < 1 || value > 2 ** 31 - 1) throw outOfRange(`options.${name}`, 'a whole number of milliseconds');
  return value;
}
