/** What an author writes: `dag({ ... })` of `sallyport/dag`. Names are Airflow's where it has one. */
export interface DagDeclaration {
  /** Letters, digits, `_`, `.` and `-`; at most 250. */
  readonly dag_id: string;
  /** By id. A task's file is run by a supervisor; nothing of it is loaded when the DAG is parsed. */
  readonly tasks: Readonly<Record<string, TaskDeclaration>>;
  /**
   * When it runs: five fields of cron, `@daily` and its like, `{ every_seconds }`, `{ assets }` when all of them were updated.
   * @default null, when somebody starts it
   */
  readonly schedule?: string | { readonly every_seconds: number } | { readonly assets: readonly AssetDeclaration[] } | null;
  /** ISO 8601 with a time zone, or a Date. @default null */
  readonly start_date?: string | Date | null;
  /** @default null */
  readonly end_date?: string | Date | null;
  /** Whether runs that were missed are made up for. @default false, as Airflow 3 */
  readonly catchup?: boolean;
  /** @default 16, as Airflow */
  readonly max_active_runs?: number;
  /** @default 16, as Airflow */
  readonly max_active_tasks?: number;
  readonly description?: string;
  /** @default null */
  readonly owner?: string;
  /** @default [] */
  readonly tags?: readonly string[];
  /** What a run may be started with, and what it is otherwise: JSON. @default {} */
  readonly params?: Readonly<Record<string, unknown>>;
  /** What each task has that does not say otherwise. Airflow's name. @default {} */
  readonly default_args?: TaskDefaults;
}

export interface TaskDeclaration extends TaskDefaults {
  /** The task file, below the bundle: `tasks/extract.mjs`. */
  readonly file: string;
  /** Ids of the tasks that come before. What these push, it may read. @default [] */
  readonly after?: readonly string[];
  /** What it will ask for, besides what `default_args` declares. @default nothing */
  readonly declares?: DeclaredResources;
  /** Assets it reads. @default [] */
  readonly inlets?: readonly AssetDeclaration[];
  /** Assets it may report as updated. @default [] */
  readonly outlets?: readonly AssetDeclaration[];
  readonly description?: string;
}

export interface TaskDefaults {
  /** @default 0 */
  readonly retries?: number;
  /** @default 300, as Airflow */
  readonly retry_delay_seconds?: number;
  /** @default null, none */
  readonly execution_timeout_seconds?: number | null;
  /** Airflow's words. @default 'all_success' */
  readonly trigger_rule?: TriggerRule;
  /** @default 'default_pool' */
  readonly pool?: string;
  /** @default 1 */
  readonly pool_slots?: number;
  /** @default 1 */
  readonly priority_weight?: number;
  /** @default 'default' */
  readonly queue?: string;
  /** @default nothing */
  readonly declares?: DeclaredResources;
}

/** What a supervisor's `declares` takes: each a list of names, or of patterns in which `*` stands for any characters. */
export const resourceKinds = ['variables', 'writableVariables', 'connections', 'xcoms', 'outlets', 'assets', 'assetStates', 'dags', 'triggers', 'skips', 'defers'] as const;
export type ResourceKind = (typeof resourceKinds)[number];

/** Names, or patterns, of what a task will ask for; `xcoms` are `dag_id/task_id/key`. docs/messages.md says what each is for. */
export type DeclaredResources = { readonly [Kind in ResourceKind]?: readonly string[] };

/** By name, or by both; a name alone is its own URI. */
export type AssetDeclaration = string | { readonly name: string; readonly uri?: string };

export const triggerRules = [
  'all_success', 'all_failed', 'all_done', 'all_done_min_one_success', 'all_done_setup_success', 'one_success', 'one_failed', 'one_done',
  'none_failed', 'none_failed_min_one_success', 'none_skipped', 'all_skipped', 'always',
] as const;
export type TriggerRule = (typeof triggerRules)[number];
