import type { Duplex } from 'node:stream';
import type { Authorizer } from '../authorization/index.js';
import { serve, type Audit, type Broker, type MethodTable } from '../broker/index.js';
import { BrokerClosed, TaskTimeout, UpstreamFailed } from '../errors.js';
import { authorized } from '../execution-api/authorized.js';
import type { ExecutionApi } from '../execution-api/client.js';
import { executionApiMethods, type Declaration, type GrantPreset, type Grants } from '../execution-api/methods.js';
import type { RunContext, StateUpdate } from '../execution-api/schema.js';
import type { Masker } from '../secrets/masker.js';
import type { Task, TaskExit } from '../task/task.js';
import { Ending } from './ending.js';
import type { Telling } from './events.js';
import { heartbeats, type Lost } from './heartbeat.js';
import type { LogFile, LogSummary } from './logs/file.js';
import { isPassing, Report } from './report.js';
import type { Kept } from './reports.js';
import { pause, within } from './waiting.js';
import type { Workload } from './workload.js';

/** What became of a task instance. */
export interface Outcome {
  /** The state that was reported; `server_terminated` when the server took the task away, and no report was due. */
  readonly state: StateUpdate['state'] | 'server_terminated';
  readonly exit: TaskExit;
  /** The server has the state. When it does not, `error` says why, unless the task was taken away. */
  readonly reported: boolean;
  /** It does not have it yet, and is told again until it does: `SupervisorOptions.reports`. */
  readonly kept?: true;
  /** Why the task was ended, or why the report failed. */
  readonly error?: Error;
  /** Why it failed, in the task's own words: not to be trusted, at most 2000 characters. */
  readonly reason?: string;
  /** Where what it wrote is kept, and how much of it. Absent unless the supervisor keeps logs. */
  readonly log?: LogSummary;
}

/** A task that the server has accepted as running, up to its final state. */
export interface RunningTask {
  readonly workload: Workload;
  readonly context: RunContext;
  readonly api: ExecutionApi;
  /** That client is this try's alone. */
  readonly ownsApi: boolean;
  readonly task: Task;
  readonly channel: Duplex;
  readonly hostname: string;
  readonly startDate: string;
  readonly grants: Grants | GrantPreset;
  /** What the workload says that the task needs. */
  readonly declares: Declaration | undefined;
  /** The deployment's rules, and what they look at that no workload says. */
  readonly rules: { readonly authorizer: Authorizer; readonly team: string | null } | undefined;
  readonly audit: Audit | undefined;
  readonly masker: Masker | undefined;
  /** Methods about its process, of which the server knows nothing. */
  readonly own: MethodTable;
  /** Is told of heartbeats, of the final message and of SIGTERM. */
  readonly telling: Pick<Telling, 'heartbeat' | 'final' | 'terminated'>;
  /** The try's own, for what the supervisor does to it. */
  readonly log: Pick<LogFile, 'note'> | undefined;
  readonly timing: Timing & { readonly wallTimeMs: number | undefined };
  /** Where its report is kept. */
  readonly kept: Kept | undefined;
  /** Asks the task to end: what becomes of it is reported. */
  readonly stop: AbortSignal;
}

export interface Timing {
  readonly heartbeatIntervalMs: number;
  readonly maxFailedHeartbeats: number;
  /** From SIGTERM to SIGKILL. */
  readonly killGraceMs: number;
  /** From a task's final message to SIGTERM: Airflow's task_success_overtime. */
  readonly overtimeMs: number;
  /** From the end of a task to that of its last requests. */
  readonly drainMs: number;
}

/** Nobody sees it: an abort without a reason makes one each time. */
const over = new Error('the task is over');

/** Serves a running task, waits for its end and reports it. Never rejects: what goes wrong is part of the outcome. */
export async function supervise(running: RunningTask): Promise<Outcome> {
  const { workload: { ti }, api, ownsApi, task, context, hostname, timing, stop, kept, telling, log } = running;
  const ending = new Ending(task, timing.killGraceMs, (reason) => {
    log?.note('warning', 'the task is asked to end: SIGTERM', reason && { reason: reason.message });
    telling.terminated(reason);
  });
  const done = new AbortController(); // nothing is watched after the task's own last word
  const report = new Report(api, ti.id, { hostname, pid: task.pid }, (state) => {
    done.abort(over);
    telling.final(state);
    void ending.beginAfter(timing.overtimeMs);
  }, kept);
  let isAway = false;
  const told = (ms: number, error?: Error): void => {
    isAway = error !== undefined && isPassing(error);
    telling.heartbeat(ms, error);
  };
  // What a task asks for waits out an outage as long as the task does; a request that fails alone, while heartbeats are answered, does not.
  if (ownsApi) api.isAway = () => isAway && !done.signal.aborted;
  let lost: Lost | undefined;
  const beating = heartbeats({ api, id: ti.id, hostname, pid: task.pid, intervalMs: timing.heartbeatIntervalMs, maxFailures: timing.maxFailedHeartbeats, signal: done.signal, told }).then((reason) => {
    if (reason === undefined || report.claimed) return;
    lost = reason;
    report.close('comes after the server took the task away, or did not answer for long');
    ending.begin(reason.error);
  });
  const limit = timing.wallTimeMs;
  if (limit !== undefined) {
    void pause(limit, done.signal).then((isOver) => {
      if (!isOver) return;
      report.close('comes after the time it had');
      ending.begin(new TaskTimeout('wallTimeMs', limit));
    });
  }
  const stopped = (): void => ending.begin(stop.reason as Error);
  stop.addEventListener('abort', stopped, { once: true });
  if (stop.aborted) stopped();

  let violation: Error | undefined;
  const broker = start(running, report, (broken) => {
    violation = broken; // also when the task has ended before its last bytes were read
    task.end(broken);
  });
  const exit = await task.exited;
  done.abort(over);
  stop.removeEventListener('abort', stopped);
  // Of a task that was killed nobody waits for the answers.
  if (broker !== undefined && (exit.kind === 'ended' || !(await within(broker.closed, timing.drainMs)))) broker.close();
  await Promise.all([broker?.closed, beating]);
  broker?.close();

  if (lost?.disowned === true) {
    await kept?.release();
    return Object.freeze({ state: 'server_terminated', exit, reported: false, error: lost.error });
  }
  const cause = ending.cause ?? violation ?? (exit.kind === 'ended' ? exit.violation : undefined);
  const orderly = exit.kind === 'exited' && exit.exitCode === 0 && cause === undefined;
  const state = report.conclude(orderly, context.should_retry === true);
  const said = report.reason === undefined ? {} : { reason: report.reason };
  try {
    await report.deliver(kept === undefined ? {} : { attempts: 1 });
    await kept?.release();
    return Object.freeze({ state, exit, reported: true, ...said, ...(cause !== undefined && { error: cause }) });
  } catch (error) {
    const isKept = kept !== undefined && (isFinal(error) ? (await kept.release(), false) : await kept.later());
    return Object.freeze({ state, exit, reported: false, ...(isKept && { kept: true as const }), ...said, error: error as Error });
  }
}

/** The server has answered, and not about the token: to ask again is of no use. */
function isFinal(error: unknown): boolean {
  return !isPassing(error) && !(error instanceof UpstreamFailed && (error.status === 401 || error.status === 403));
}

/** Opens the channel and sends the start message. A task that cannot be started so is ended. */
function start({ workload, context, api, channel, startDate, grants, declares, rules, audit, masker, own }: RunningTask, report: Report, end: (error: Error) => void): Broker | undefined {
  const { ti, dag_rel_path, bundle_info } = workload;
  let broker: Broker | undefined;
  try {
    const { id, dag_id, run_id, task_id, map_index, try_number } = ti;
    const identity = { id, dag_id, run_id, task_id, map_index, try_number };
    const granted = executionApiMethods({ api, identity, grants, report, ...(declares && { declares }), ...(masker && { masker }) });
    broker = serve(channel, {
      task: id,
      // The server let this try run, and takes it away by its answer to a heartbeat.
      methods: { ...(rules === undefined ? granted : authorized(granted, rules.authorizer, { ...identity, standing: 'live', team: rules.team, declares: declares ?? null })), ...own },
      ...(audit !== undefined && { audit }),
      onViolation: end,
    });
    // A task asks for what it was granted; what the server sent along unasked stays here.
    const ti_context = { ...context, variables: [], connections: [] };
    broker.send(0, { type: 'StartupDetails', ti, dag_rel_path, bundle_info, start_date: startDate, ti_context, sentry_integration: '' });
  } catch (error) {
    if (!(error instanceof BrokerClosed)) end(error as Error); // too large a context
  }
  return broker;
}
