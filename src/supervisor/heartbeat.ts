import { setTimeout as sleep } from 'node:timers/promises';
import { UpstreamFailed } from '../errors.js';
import type { ExecutionApi } from '../execution-api/client.js';

export interface HeartbeatOptions {
  readonly api: Pick<ExecutionApi, 'heartbeat'>;
  readonly id: string;
  /** What the server knows the owner by. */
  readonly hostname: string;
  readonly pid: number;
  readonly intervalMs: number;
  /** Ends the heartbeats. */
  readonly signal: AbortSignal;
}

/** Why a task must end. */
export interface Lost {
  /** The server said that the task is no longer ours to run, or to report on. */
  readonly disowned: boolean;
  readonly error: Error;
}

/** Airflow's max_failed_heartbeats. */
const maxFailures = 3;

/** Airflow's answers for a task instance that is gone, or that runs elsewhere, or not at all. */
const disowning: ReadonlySet<number> = new Set([404, 409, 410]);

/** Tells the server that the task runs, until the signal. Resolves with the reason when the task must end before; never rejects. */
export async function heartbeats({ api, id, hostname, pid, intervalMs, signal }: HeartbeatOptions): Promise<Lost | undefined> {
  for (let failures = 0; ;) {
    try {
      await sleep(intervalMs, undefined, { signal });
      await api.heartbeat(id, { hostname, pid }, { signal });
      failures = 0;
    } catch (error) {
      if (signal.aborted) return undefined;
      const disowned = error instanceof UpstreamFailed && disowning.has(error.status);
      if (disowned || ++failures === maxFailures) return { disowned, error: error as Error };
    }
  }
}
