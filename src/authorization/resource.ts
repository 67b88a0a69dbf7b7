/** What a decision is about. */
export type ResourceKind = 'variable' | 'connection' | 'xcom' | 'dag_run' | 'dag' | 'asset' | 'asset_state' | 'task_instance';

/** `write` makes or changes, and triggers or clears a run. `transition` is a try's own `run`, `heartbeat` and `state`. */
export type Action = 'read' | 'write' | 'delete' | 'transition';

/** One thing of the Execution API, by the names a request gives it: nothing has been looked up yet, and it may not be there. */
export type Resource =
  | { readonly kind: 'variable'; readonly key: string }
  /** All variables whose keys begin so: a listing, each line of which is decided for itself. */
  | { readonly kind: 'variable'; readonly prefix: string }
  | { readonly kind: 'connection'; readonly conn_id: string }
  /** `map_index` is -1 where a request names none. */
  | { readonly kind: 'xcom'; readonly dag_id: string; readonly run_id: string; readonly task_id: string; readonly map_index: number; readonly key: string }
  | { readonly kind: 'dag_run'; readonly dag_id: string; readonly run_id?: string | undefined }
  | { readonly kind: 'dag'; readonly dag_id: string }
  | { readonly kind: 'asset'; readonly name: string }
  | { readonly kind: 'asset'; readonly uri: string }
  | { readonly kind: 'asset'; readonly alias: string }
  /** An asset's state store, whatever the key. `own`: it is the asking task's inlet or outlet, or its DAG declares it; in a supervisor, it was granted. */
  | { readonly kind: 'asset_state'; readonly name: string; readonly own: boolean }
  | { readonly kind: 'asset_state'; readonly uri: string; readonly own: boolean }
  /** Task instances of a DAG, as `count`, `states` and `previous` tell of them; or the one that asks. */
  | { readonly kind: 'task_instance'; readonly dag_id: string; readonly run_id?: string | undefined; readonly task_id?: string | undefined };

/** The team whose a resource is. `null`: nobody's, and so everybody's to read. `undefined`: it is not there, or nobody knows. */
export type Owner = string | null | undefined;

/** The DAG that a resource belongs to, and whose team is its owner; undefined for one that has an owner of its own. */
export function dagOf(resource: Resource): string | undefined {
  return 'dag_id' in resource ? resource.dag_id : undefined;
}

/** For a record: kind and name say together what was asked for. */
export function nameOf(resource: Resource): string {
  switch (resource.kind) {
    case 'variable':
      return 'key' in resource ? resource.key : `${resource.prefix}*`;
    case 'connection':
      return resource.conn_id;
    case 'xcom':
      return `${resource.dag_id}/${resource.run_id}/${resource.task_id}/${resource.map_index}/${resource.key}`;
    case 'dag':
      return resource.dag_id;
    case 'asset_state':
      return 'name' in resource ? resource.name : resource.uri;
    case 'asset':
      return 'name' in resource ? resource.name : 'uri' in resource ? resource.uri : resource.alias;
    case 'dag_run':
      return [resource.dag_id, resource.run_id].filter((part) => part !== undefined).join('/');
    case 'task_instance':
      return [resource.dag_id, resource.run_id, resource.task_id].filter((part) => part !== undefined).join('/');
  }
}
