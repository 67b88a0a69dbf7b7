import { randomBytes } from 'node:crypto';
import { checkOptions } from '../errors.js';
import { client } from './client.js';
import type { DagRun } from './types.js';

type Fields = Readonly<Record<string, unknown>>;

export interface TriggerOptions {
  /** @default `manual__`, the time, and something random */
  readonly run_id?: string;
  /** What the run finds as `dag_run.conf`: any JSON. */
  readonly conf?: Readonly<Record<string, unknown>>;
  readonly logical_date?: Date;
  /** A run of that id is done again. @default false: `DAGRUN_ALREADY_EXISTS` */
  readonly reset_dag_run?: boolean;
  readonly note?: string;
  readonly partition_key?: string;
}

/**
 * Starts a run of a DAG.
 *
 * @returns Its run_id.
 * @throws {TaskError} `DAGRUN_ALREADY_EXISTS`; `ERR_BROKER_DENIED`: not among the supervisor's `triggers`.
 */
export async function triggerDagRun(dag_id: string, options: TriggerOptions = {}): Promise<string> {
  checkOptions('options', options, ['run_id', 'conf', 'logical_date', 'reset_dag_run', 'note', 'partition_key']);
  const { run_id, logical_date, ...rest } = options;
  const id = run_id ?? `manual__${new Date().toISOString()}_${randomBytes(4).toString('hex')}`;
  await client().request('TriggerDagRun', { dag_id, run_id: id, logical_date: logical_date?.toISOString() ?? null, ...rest });
  return id;
}

/** Runs: this one, and those of DAGs among the supervisor's `dags`. */
export const dagRuns = Object.freeze({
  /** @throws {TaskError} `API_SERVER_ERROR` with `detail.status_code` 404; `ERR_BROKER_DENIED`. */
  async get(dag_id: string, run_id: string): Promise<DagRun> {
    const { type: _, ...run } = (await client().request('GetDagRun', { dag_id, run_id })) as Fields;
    return run as unknown as DagRun;
  },

  /** `queued`, `running`, `success` or `failed`. */
  async state(dag_id: string, run_id: string): Promise<string> {
    return ((await client().request('GetDagRunState', { dag_id, run_id })) as Fields)['state'] as string;
  },
});

/**
 * Has tasks of this run skipped, but for those that run or have ended; one of a mapped task by `[task_id, map_index]`.
 * @throws {TaskError} `ERR_BROKER_DENIED`: not among the supervisor's `skips`.
 */
export async function skipDownstream(tasks: readonly (string | readonly [string, number])[]): Promise<void> {
  await client().request('SkipDownstreamTasks', { tasks });
}
