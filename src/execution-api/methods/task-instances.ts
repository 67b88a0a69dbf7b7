import { type Static, Type } from '@sinclair/typebox';
import { iso, isos, MapIndex, Moment, Moments, Name, Names, Nullish } from './fields.js';
import { row, type RowOptions, type Rows } from './row.js';

const filter = { dag_id: Name, map_index: MapIndex, task_ids: Names, task_group_id: Nullish(Name), logical_dates: Moments, run_ids: Names };
const States = Type.Object(filter);
const Counted = Type.Object({ ...filter, states: Names });

const GetPreviousTI = Type.Object({ dag_id: Name, task_id: Name, logical_date: Nullish(Moment), map_index: MapIndex, state: Nullish(Type.String({ maxLength: 64 })) });
const GetTaskBreadcrumbs = Type.Object({ dag_id: Name, run_id: Name });

/** What a task asks of task instances: those of its own run, and of others where it was granted their DAG. */
export function taskInstances({ api, reach, self }: RowOptions): Rows {
  function visible({ dag_id, map_index, task_ids, task_group_id, logical_dates, run_ids }: Static<typeof States>) {
    const isOwnRun = run_ids?.length === 1 && self.ownsRun(dag_id, run_ids[0] as string);
    if (!isOwnRun && !reach.has('dags', dag_id)) return undefined;
    return {
      dag_id, map_index: map_index ?? undefined, task_ids: task_ids ?? undefined, task_group_id: task_group_id ?? undefined, logical_dates: isos(logical_dates), run_ids: run_ids ?? undefined,
    }; // prettier-ignore
  }

  return {
    GetTICount: row({
      params: Counted,
      grant: 'dags',
      permit: ({ states, ...asked }) => {
        const seen = visible(asked);
        return seen && { ...seen, states: states ?? undefined };
      },
      about: ({ dag_id }) => [['read', { kind: 'task_instance', dag_id }]],
      handler: async (wanted, { signal }) => ({ type: 'TICount', count: await api.countTaskInstances(wanted, { signal }) }),
    }),

    GetTaskStates: row({
      params: States,
      grant: 'dags',
      permit: visible,
      about: ({ dag_id }) => [['read', { kind: 'task_instance', dag_id }]],
      handler: async (wanted, { signal }) => ({ type: 'TaskStatesResult', ...(await api.getTaskStates(wanted, { signal })) }),
    }),

    GetPreviousTI: row({
      params: GetPreviousTI,
      grant: 'dags',
      permit: ({ dag_id, task_id, logical_date, map_index, state }) =>
        reach.has('dags', dag_id) ? { dag_id, task_id, logical_date: iso(logical_date), map_index: map_index ?? -1, state: state ?? undefined } : undefined,
      about: ({ dag_id, task_id }) => [['read', { kind: 'task_instance', dag_id, task_id }]],
      handler: async (wanted, { signal }) => ({ type: 'PreviousTIResult', task_instance: await api.getPreviousTaskInstance(wanted, { signal }) }),
    }),

    GetTaskBreadcrumbs: row({
      params: GetTaskBreadcrumbs,
      grant: 'dags',
      permit: (run) => (self.ownsRun(run.dag_id, run.run_id) || reach.has('dags', run.dag_id) ? run : undefined),
      about: (run) => [['read', { kind: 'task_instance', ...run }]],
      handler: async ({ dag_id, run_id }, { signal }) => ({ type: 'TaskBreadcrumbsResult', ...(await api.getBreadcrumbs(dag_id, run_id, { signal })) }),
    }),
  };
}
