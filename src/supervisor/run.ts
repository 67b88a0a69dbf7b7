import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Authorizer } from '../authorization/index.js';
import { serve, type Audit, type Broker } from '../broker/index.js';
import { BrokerClosed } from '../errors.js';
import { authorized } from '../execution-api/authorized.js';
import type { ExecutionApi } from '../execution-api/client.js';
import { executionApiMethods, type Declaration, type GrantPreset, type Grants } from '../execution-api/methods.js';
import type { RunContext, StateUpdate } from '../execution-api/schema.js';
import type { Masker } from '../secrets/masker.js';
import type { Task, TaskExit } from '../task/task.js';
import { heartbeats, type Lost } from './heartbeat.js';
import type { LogSummary } from './logs/file.js';
import { Report } from './report.js';
import type { Workload } from './workload.js';

/** What became of a task instance. */
export interface Outcome {
  /** The state that was reported; `server_terminated` when the server took the task away, and no report was due. */
  readonly state: StateUpdate['state'] | 'server_terminated';
  readonly exit: TaskExit;
  /** The server has the state. When it does not, `error` says why, unless the task was taken away. */
  readonly reported: boolean;
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
  readonly timing: Timing;
}

export interface Timing {
  readonly heartbeatIntervalMs: number;
  /** From SIGTERM to SIGKILL. */
  readonly killGraceMs: number;
  /** From a task's final message to SIGTERM: Airflow's task_success_overtime. */
  readonly overtimeMs: number;
  /** From the end of a task to that of its last requests. */
  readonly drainMs: number;
}

/** Serves a running task, waits for its end and reports it. Never rejects: what goes wrong is part of the outcome. */
export async function supervise(running: RunningTask): Promise<Outcome> {
  const { workload: { ti }, api, task, context, hostname, timing } = running;
  const done = new AbortController(); // no heartbeats after the task's own last word
  const report = new Report(api, ti.id, () => {
    done.abort();
    void terminateAfter(task, timing.overtimeMs, timing.killGraceMs);
  });
  let lost: Lost | undefined;
  const beating = heartbeats({ api, id: ti.id, hostname, pid: task.pid, intervalMs: timing.heartbeatIntervalMs, signal: done.signal }).then((reason) => {
    if (reason === undefined || report.claimed) return;
    lost = reason;
    return terminateAfter(task, 0, timing.killGraceMs);
  });

  let violation: Error | undefined;
  const broker = start(running, report, (broken) => {
    violation = broken; // also when the task has ended before its last bytes were read
    task.end(broken);
  });
  const exit = await task.exited;
  done.abort();
  if (broker !== undefined && !(await within(broker.closed, timing.drainMs))) broker.close();
  await Promise.all([broker?.closed, beating]);
  broker?.close();

  if (lost?.disowned === true) return Object.freeze({ state: 'server_terminated', exit, reported: false, error: lost.error });
  const cause = lost?.error ?? violation ?? (exit.kind === 'ended' ? exit.violation : undefined);
  const orderly = exit.kind === 'exited' && exit.exitCode === 0 && cause === undefined;
  const state = report.conclude(orderly, context.should_retry === true);
  const said = report.reason === undefined ? {} : { reason: report.reason };
  try {
    await report.send();
    return Object.freeze({ state, exit, reported: true, ...said, ...(cause !== undefined && { error: cause }) });
  } catch (error) {
    return Object.freeze({ state, exit, reported: false, ...said, error: error as Error });
  }
}

/** Opens the channel and sends the start message. A task that cannot be started so is ended. */
function start({ workload, context, api, channel, startDate, grants, declares, rules, audit, masker }: RunningTask, report: Report, end: (error: Error) => void): Broker | undefined {
  const { ti, dag_rel_path, bundle_info } = workload;
  let broker: Broker | undefined;
  try {
    const { id, dag_id, run_id, task_id, map_index, try_number } = ti;
    const identity = { id, dag_id, run_id, task_id, map_index, try_number };
    const granted = executionApiMethods({ api, identity, grants, report, ...(declares && { declares }), ...(masker && { masker }) });
    broker = serve(channel, {
      task: id,
      // The server let this try run, and takes it away by its answer to a heartbeat.
      methods: rules === undefined ? granted : authorized(granted, rules.authorizer, { ...identity, standing: 'live', team: rules.team, declares: declares ?? null }),
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

/** SIGTERM, and SIGKILL where that was not enough. Resolves when the task has ended. */
async function terminateAfter(task: Task, delayMs: number, graceMs: number): Promise<void> {
  if (delayMs > 0 && (await within(task.exited, delayMs))) return;
  task.kill('SIGTERM');
  if (await within(task.exited, graceMs)) return;
  task.kill('SIGKILL');
  await task.exited;
}

/** Whether something that never rejects settles in time. Leaves no timer behind. */
async function within(settling: Promise<unknown>, ms: number): Promise<boolean> {
  const waiting = new AbortController();
  const late = sleep(ms, false, { signal: waiting.signal }).catch(() => false);
  try {
    return await Promise.race([settling.then(() => true), late]);
  } finally {
    waiting.abort();
  }
}
