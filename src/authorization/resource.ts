/** What a decision is about. */
export type ResourceKind = 'variable' | 'connection' | 'xcom' | 'dag_run' | 'dag' | 'asset' | 'task_instance';

/** `write` makes or changes, and triggers or clears a run. */
export type Action = 'read' | 'write' | 'delete';

/** One thing of the Execution API, by the names a request gives it: nothing has been looked up yet, and it may not be there. */
export type Resource =
  | { readonly kind: 'variable'; readonly key: string }
  /** All variables whose keys begin so: a listing. */
  | { readonly kind: 'variable'; readonly prefix: string }
  | { readonly kind: 'connection'; readonly conn_id: string }
  /** `map_index` is -1 where a request names none. */
  | { readonly kind: 'xcom'; readonly dag_id: string; readonly run_id: string; readonly task_id: string; readonly map_index: number; readonly key: string }
  | { readonly kind: 'dag_run'; readonly dag_id: string; readonly run_id?: string | undefined }
  | { readonly kind: 'dag'; readonly dag_id: string }
  | { readonly kind: 'asset'; readonly name: string }
  | { readonly kind: 'asset'; readonly uri: string }
  | { readonly kind: 'asset'; readonly alias: string }
  /** Task instances of a DAG, as `count`, `states` and `previous` tell of them. */
  | { readonly kind: 'task_instance'; readonly dag_id: string; readonly run_id?: string | undefined; readonly task_id?: string | undefined };
