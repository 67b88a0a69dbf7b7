/** The task instance this process runs, in Airflow's words. */
export interface TaskInstance {
  readonly id: string;
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly try_number: number;
  /** -1 unless the task is mapped. */
  readonly map_index: number;
}

export interface DagRun {
  readonly dag_id: string;
  readonly run_id: string;
  readonly run_type?: string;
  readonly logical_date?: string | null;
  readonly data_interval_start?: string | null;
  readonly data_interval_end?: string | null;
  readonly run_after?: string;
  /** What the run was triggered with. */
  readonly conf?: Readonly<Record<string, unknown>> | null;
  readonly [field: string]: unknown;
}

/** What a task file's default export is called with. */
export interface TaskContext {
  readonly ti: TaskInstance;
  readonly dag_run: DagRun;
  /** When this try began, ISO 8601. */
  readonly start_date: string;
  readonly max_tries: number;
  /** How often this try was put off by `reschedule()`. */
  readonly task_reschedule_count: number;
  /** Aborted when the supervisor asks the task to end (SIGTERM). Who looks at it ends by itself: see `onKill()`. */
  readonly signal: AbortSignal;
}

/**
 * A task file's default export. What it returns becomes the XCom `return_value`, unless that is undefined. An export by
 * which a deferred task goes on has a second argument: its `kwargs`, and the `event` of the trigger.
 */
export type TaskFunction = (context: TaskContext, kwargs?: Readonly<Record<string, unknown>>) => unknown;

export interface Connection {
  readonly conn_id: string;
  readonly conn_type: string;
  readonly host: string | null;
  readonly schema: string | null;
  readonly login: string | null;
  readonly password: string | null;
  readonly port: number | null;
  /** JSON, as Airflow stores it. */
  readonly extra: string | null;
}

/** Which XCom: what is left out is this task's own, and `return_value` for the key. */
export interface XComRef {
  readonly key?: string;
  readonly dag_id?: string;
  readonly run_id?: string;
  readonly task_id?: string;
  readonly map_index?: number;
  /** Also look in earlier runs. @default false */
  readonly include_prior_dates?: boolean;
}

/** Airflow's StartupDetails, as far as a task here needs it. */
export interface StartDetails {
  readonly ti: TaskInstance;
  readonly dag_rel_path: string;
  readonly start_date: string;
  readonly ti_context: {
    readonly dag_run: DagRun;
    readonly max_tries?: number;
    readonly should_retry?: boolean;
    readonly task_reschedule_count?: number;
    /** What an earlier try of this task has pushed. */
    readonly xcom_keys_to_clear?: readonly string[];
    /** After a deferral: how the task goes on. */
    readonly next_method?: string | null;
    readonly next_kwargs?: Readonly<Record<string, unknown>> | null;
  };
}
