import { channel, type Channel } from 'node:diagnostics_channel';
import type { StateUpdate } from '../execution-api/schema.js';
import type { Board, ShownLimits } from './board.js';
import type { Outcome } from './run.js';
import type { Workload } from './workload.js';

/** Which try of which task instance. */
export type TaskRef = Readonly<Pick<Workload['ti'], 'id' | 'dag_id' | 'run_id' | 'task_id' | 'map_index' | 'try_number'>>;

/** What is published at each step of a try, one channel each, as a frozen object. In this order, but for heartbeats and `terminate`, and `end` or `refuse` comes last. */
export interface TaskSteps {
  /** `sallyport:task:launch`: there is a process, locked, that waits to be told what to run. */
  readonly launch: { readonly task: TaskRef; readonly pid: number; readonly limits: ShownLimits };
  /** `sallyport:task:start`: the server let it run. */
  readonly start: { readonly task: TaskRef; readonly pid: number; readonly durationMs: number };
  /** `sallyport:task:heartbeat`: the server was told that it runs, or could not be: `error`. */
  readonly heartbeat: { readonly task: TaskRef; readonly durationMs: number; readonly error?: Error };
  /** `sallyport:task:final`: the task said what became of it. */
  readonly final: { readonly task: TaskRef; readonly state: StateUpdate['state'] };
  /** `sallyport:task:terminate`: it is sent SIGTERM, for this reason; without one where it has given its final word and does not end. */
  readonly terminate: { readonly task: TaskRef; readonly reason?: Error };
  /** `sallyport:task:end`: it has ended, and so has everything that it started. `durationMs` is since it was launched. */
  readonly end: { readonly task: TaskRef; readonly durationMs: number; readonly outcome: Outcome };
  /** `sallyport:task:refuse`: it did not run. */
  readonly refuse: { readonly task: TaskRef; readonly error: unknown };
}

export type TaskStep = keyof TaskSteps;

/** By `node:diagnostics_channel`. What a subscriber throws becomes an uncaught exception, as Node has it for every channel. */
export const taskChannels = Object.freeze({
  launch: channel('sallyport:task:launch'),
  start: channel('sallyport:task:start'),
  heartbeat: channel('sallyport:task:heartbeat'),
  final: channel('sallyport:task:final'),
  terminate: channel('sallyport:task:terminate'),
  end: channel('sallyport:task:end'),
  refuse: channel('sallyport:task:refuse'),
}) satisfies Record<TaskStep, Channel>;

/** Tells of one try, step by step. */
export class Telling {
  readonly #task: TaskRef;
  readonly #board: Board | undefined;
  #launchedAt = performance.now();

  constructor({ id, dag_id, run_id, task_id, map_index, try_number }: TaskRef, board?: Board) {
    this.#board = board;
    this.#task = Object.freeze({ id, dag_id, run_id, task_id, map_index, try_number });
  }

  /** Runs the try, and tells how it came out. */
  async of(run: () => Promise<Outcome>): Promise<Outcome> {
    try {
      const outcome = await run();
      this.#tell('end', { durationMs: this.#sinceLaunch(), outcome });
      return outcome;
    } catch (error) {
      this.#tell('refuse', { error });
      throw error;
    }
  }

  launched(pid: number, limits: ShownLimits): void {
    this.#launchedAt = performance.now();
    this.#tell('launch', { pid, limits });
  }

  started(pid: number): void {
    this.#tell('start', { pid, durationMs: this.#sinceLaunch() });
  }

  heartbeat(durationMs: number, error?: Error): void {
    this.#tell('heartbeat', { durationMs, ...(error && { error }) });
  }

  final(state: StateUpdate['state']): void {
    this.#tell('final', { state });
  }

  terminated(reason: Error | undefined): void {
    this.#tell('terminate', { ...(reason && { reason }) });
  }

  #sinceLaunch(): number {
    return performance.now() - this.#launchedAt;
  }

  #tell<S extends TaskStep>(step: S, facts: Omit<TaskSteps[S], 'task'>): void {
    if (this.#board === undefined && !taskChannels[step].hasSubscribers) return;
    const told = Object.freeze({ task: this.#task, ...facts }) as unknown as TaskSteps[S];
    this.#board?.tell(step, told);
    taskChannels[step].publish(told);
  }
}
