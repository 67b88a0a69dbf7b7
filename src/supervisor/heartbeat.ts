import { UpstreamFailed } from '../errors.js';
import type { ExecutionApi } from '../execution-api/client.js';
import { isPassing } from './report.js';
import { pause } from './waiting.js';

export interface HeartbeatOptions {
  readonly api: Pick<ExecutionApi, 'heartbeat'>;
  readonly id: string;
  /** What the server knows the owner by. */
  readonly hostname: string;
  readonly pid: number;
  readonly intervalMs: number;
  /** So many in a row that fail otherwise than by the server's word that the try is not ours. */
  readonly maxFailures: number;
  /** Ends the heartbeats. */
  readonly signal: AbortSignal;
  /** Called after each that was answered or failed. */
  readonly told: (durationMs: number, error?: Error) => void;
}

/** Why a task must end. */
export interface Lost {
  /** The server said that the task is no longer ours to run, or to report on. */
  readonly disowned: boolean;
  readonly error: Error;
}

/**
 * Airflow's answers for a task instance that is gone, or that runs elsewhere, or not at all. They come with the API's own reason: a page of a
 * gateway whose server is away must not end every task.
 */
const disowning: ReadonlySet<number> = new Set([404, 409, 410]);

/** So many that the server has answered and refused, for the token above all: no outage, and waiting does not help. A hundred seconds by default, for servers whose keys change. */
const mostRefused = 20;

/**
 * Tells the server that the task runs, until the signal. Resolves with the reason when the task must end before; never rejects.
 * Each is sent once: the next one is its repetition, and a client's own would only put off learning that the task is another's.
 */
export async function heartbeats({ api, id, hostname, pid, intervalMs, maxFailures, signal, told }: HeartbeatOptions): Promise<Lost | undefined> {
  for (let failures = 0, refused = 0; ;) {
    if (!(await pause(intervalMs, signal))) return undefined;
    const sent = performance.now();
    try {
      await api.heartbeat(id, { hostname, pid }, { signal, attempts: 1 });
      failures = refused = 0;
      told(performance.now() - sent);
    } catch (error) {
      if (signal.aborted) return undefined;
      told(performance.now() - sent, error as Error);
      const disowned = error instanceof UpstreamFailed && disowning.has(error.status) && error.reason !== undefined;
      if (!isPassing(error)) refused++;
      if (disowned || ++failures >= maxFailures || refused >= mostRefused) return { disowned, error: error as Error };
    }
  }
}
