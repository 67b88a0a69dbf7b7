import { type Static, Type } from '@sinclair/typebox';
import { Asset, AssetEvents, Breadcrumbs, Dag, DagRun, DagRunStateAnswer, PreviousTaskInstance, TaskStates, type TriggerDagRun } from './schema.js';
import { Nullable } from './schema/common.js';
import { type RequestOptions, Session } from './session.js';
import { path, query, type Request } from './transport.js';

/** Which runs are counted; what is left out is no filter. */
export interface DagRunFilter {
  readonly dag_id: string;
  readonly logical_dates?: readonly string[] | undefined;
  readonly run_ids?: readonly string[] | undefined;
  readonly states?: readonly string[] | undefined;
}

/** Which task instances are counted or looked at. */
export interface TaskInstanceFilter extends DagRunFilter {
  /** Of mapped tasks; below 0 is no filter. */
  readonly map_index?: number | undefined;
  readonly task_ids?: readonly string[] | undefined;
  readonly task_group_id?: string | undefined;
}

/** Events of an asset, by name, URI or both, or of whatever an alias stood for. */
export interface AssetEventFilter {
  readonly name?: string | undefined;
  readonly uri?: string | undefined;
  readonly alias?: string | undefined;
  readonly after?: string | undefined;
  readonly before?: string | undefined;
  /** @default true */
  readonly ascending?: boolean | undefined;
  readonly limit?: number | undefined;
  /** Of Airflow 3.4; so are the next two. */
  readonly partition_key?: string | undefined;
  /** Tried by the server's database, where the deployment lets it. `sallyport/server` refuses it. */
  readonly partition_key_regexp_pattern?: string | undefined;
  /** Texts that an event's extra has under these names. */
  readonly extra?: Readonly<Record<string, string>> | undefined;
}

export const get = (route: string, where: string): Request => ({ method: 'GET', route, path: where });

/** What is asked about assets, DAGs, their runs and task instances; and the two calls that start runs. */
export abstract class Queries extends Session {
  async getAsset(by: { readonly name: string } | { readonly uri: string }, options?: RequestOptions): Promise<Asset> {
    return this.json(Asset, 'name' in by ? get('assets/by-name', `assets/by-name${query({ name: by.name })}`) : get('assets/by-uri', `assets/by-uri${query({ uri: by.uri })}`), options);
  }

  /** Of Airflow 3.3. What an alias has stood for. */
  async getAssetsByAlias(alias_name: string, options?: RequestOptions): Promise<Asset[]> {
    return this.json(Type.Array(Asset), { ...get('assets/by-alias', `assets/by-alias${query({ alias_name })}`), version: '2026-06-30' }, options);
  }

  async getAssetEvents({ name, uri, alias, ascending = true, extra = {}, ...filter }: AssetEventFilter, options?: RequestOptions): Promise<AssetEvents> {
    const route = alias === undefined ? 'asset-events/by-asset' : 'asset-events/by-asset-alias';
    const { partition_key, partition_key_regexp_pattern } = filter;
    const wanted = Object.entries(extra);
    const request = get(route, `${route}${query({ ...(alias === undefined ? { name, uri } : { name: alias }), ascending, ...filter, extra: wanted.map(([key, value]) => `${key}=${value}`) })}`);
    if (partition_key === undefined && partition_key_regexp_pattern === undefined && wanted.length === 0) return this.json(AssetEvents, request, options);
    const { asset_events } = await this.json(AssetEvents, { ...request, version: '2026-10-30' }, options);
    // A server that does not know a filter leaves it out: what it gives beside it is not what was asked for.
    return { asset_events: asset_events.filter((event) => (partition_key === undefined || event.partition_key === partition_key) && wanted.every(([key, value]) => event.extra?.[key] === value)) };
  }

  async getDag(dag_id: string, options?: RequestOptions): Promise<Dag> {
    return this.json(Dag, get('dags/{id}', path('dags', dag_id)), options);
  }

  async getDagRun(dag_id: string, run_id: string, options?: RequestOptions): Promise<DagRun> {
    return this.json(DagRun, get('dag-runs/{id}', path('dag-runs', dag_id, run_id)), options);
  }

  async getDagRunState(dag_id: string, run_id: string, options?: RequestOptions): Promise<Static<typeof DagRunStateAnswer>> {
    return this.json(DagRunStateAnswer, get('dag-runs/{id}/state', path('dag-runs', dag_id, run_id, 'state')), options);
  }

  /** @returns null where there is none before that date. */
  async getPreviousDagRun({ dag_id, logical_date, state }: { readonly dag_id: string; readonly logical_date: string; readonly state?: string | undefined }, options?: RequestOptions): Promise<DagRun | null> {
    return this.json(Nullable(DagRun), get('dag-runs/previous', `dag-runs/previous${query({ dag_id, logical_date, state })}`), options);
  }

  async countDagRuns({ dag_id, logical_dates, run_ids, states }: DagRunFilter, options?: RequestOptions): Promise<number> {
    return this.json(Type.Integer(), get('dag-runs/count', `dag-runs/count${query({ dag_id, logical_dates, run_ids, states })}`), options);
  }

  /** @throws {UpstreamFailed} 409 `already_exists`; 400 `import_errors`; 404. */
  async triggerDagRun(dag_id: string, run_id: string, run: TriggerDagRun, options?: RequestOptions): Promise<void> {
    await this.done(204, { method: 'POST', route: 'dag-runs/{id}', path: path('dag-runs', dag_id, run_id), body: JSON.stringify(run) }, options);
  }

  /** Has a run done again. */
  async clearDagRun(dag_id: string, run_id: string, options?: RequestOptions): Promise<void> {
    await this.done(204, { method: 'POST', route: 'dag-runs/{id}/clear', path: path('dag-runs', dag_id, run_id, 'clear') }, options);
  }

  async countTaskInstances(filter: TaskInstanceFilter, options?: RequestOptions): Promise<number> {
    return this.json(Type.Integer(), get('task-instances/count', `task-instances/count${taskQuery(filter)}`), options);
  }

  async getTaskStates(filter: Omit<TaskInstanceFilter, 'states'>, options?: RequestOptions): Promise<TaskStates> {
    return this.json(TaskStates, get('task-instances/states', `task-instances/states${taskQuery(filter)}`), options);
  }

  /** @returns null where there is none. */
  async getPreviousTaskInstance(of: { readonly dag_id: string; readonly task_id: string; readonly map_index?: number | undefined; readonly logical_date?: string | undefined; readonly state?: string | undefined }, options?: RequestOptions): Promise<PreviousTaskInstance | null> {
    const { dag_id, task_id, map_index = -1, logical_date, state } = of;
    const where = `${path('task-instances', 'previous', dag_id, task_id)}${query({ map_index, logical_date, state })}`;
    return this.json(Nullable(PreviousTaskInstance), get('task-instances/previous', where), options);
  }

  /** What is over in a run. */
  async getBreadcrumbs(dag_id: string, run_id: string, options?: RequestOptions): Promise<Breadcrumbs> {
    return this.json(Breadcrumbs, get('task-instances/breadcrumbs', `task-instances/breadcrumbs${query({ dag_id, run_id })}`), options);
  }
}

function taskQuery({ dag_id, map_index = -1, task_ids, task_group_id, logical_dates, run_ids, states }: TaskInstanceFilter): string {
  return query({ dag_id, ...(map_index >= 0 && { map_index }), task_ids, task_group_id, logical_dates, run_ids, states });
}
