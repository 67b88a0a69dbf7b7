import { type Static, Type } from '@sinclair/typebox';
import { errorResponse } from '../../broker/index.js';
import { UpstreamFailed } from '../../errors.js';
import { DagRunState } from '../schema.js';
import { JsonObject } from '../schema/common.js';
import { assertJson, iso, isos, Moment, Moments, Name, Names, Nullish } from './fields.js';
import { ok, row, type RowOptions, type Rows } from './row.js';

const Run = Type.Object({ dag_id: Name, run_id: Name });

const GetPreviousDagRun = Type.Object({ dag_id: Name, logical_date: Moment, state: Nullish(DagRunState) });
const GetDRCount = Type.Object({ dag_id: Name, logical_dates: Moments, run_ids: Names, states: Names });
const GetDag = Type.Object({ dag_id: Name });
const TriggerDagRun = Type.Object({
  dag_id: Name,
  run_id: Name,
  logical_date: Nullish(Moment),
  conf: Nullish(JsonObject),
  reset_dag_run: Nullish(Type.Boolean()),
  partition_key: Nullish(Type.String({ maxLength: 250 })),
  note: Nullish(Type.String({ maxLength: 1000 })),
});

/** A task looks at its own run; at others where it was granted their DAG. */
export function dagRuns({ api, reach, self }: RowOptions): Rows {
  const visible = (run: Static<typeof Run>) => (self.ownsRun(run.dag_id, run.run_id) || reach.has('dags', run.dag_id) ? run : undefined);

  return {
    GetDagRun: row({
      params: Run,
      grant: 'dags',
      permit: visible,
      about: (run) => [['read', { kind: 'dag_run', ...run }]],
      handler: async ({ dag_id, run_id }, { signal }) => ({ type: 'DagRunResult', ...(await api.getDagRun(dag_id, run_id, { signal })) }),
    }),

    GetDagRunState: row({
      params: Run,
      grant: 'dags',
      permit: visible,
      about: (run) => [['read', { kind: 'dag_run', ...run }]],
      handler: async ({ dag_id, run_id }, { signal }) => ({ type: 'DagRunStateResult', ...(await api.getDagRunState(dag_id, run_id, { signal })) }),
    }),

    GetPreviousDagRun: row({
      params: GetPreviousDagRun,
      grant: 'dags',
      permit: ({ dag_id, logical_date, state }) => (reach.has('dags', dag_id) ? { dag_id, logical_date: iso(logical_date), state: state ?? undefined } : undefined),
      about: ({ dag_id }) => [['read', { kind: 'dag_run', dag_id }]],
      handler: async (before, { signal }) => ({ type: 'PreviousDagRunResult', dag_run: await api.getPreviousDagRun(before, { signal }) }),
    }),

    GetDRCount: row({
      params: GetDRCount,
      grant: 'dags',
      permit: ({ dag_id, logical_dates, run_ids, states }) => {
        const isOwnRun = run_ids?.length === 1 && self.ownsRun(dag_id, run_ids[0] as string);
        return isOwnRun || reach.has('dags', dag_id) ? { dag_id, logical_dates: isos(logical_dates), run_ids: run_ids ?? undefined, states: states ?? undefined } : undefined;
      },
      about: ({ dag_id }) => [['read', { kind: 'dag_run', dag_id }]],
      handler: async (filter, { signal }) => ({ type: 'DRCount', count: await api.countDagRuns(filter, { signal }) }),
    }),

    GetDag: row({
      params: GetDag,
      grant: 'dags',
      permit: ({ dag_id }) => (dag_id === self.identity.dag_id || reach.has('dags', dag_id) ? { dag_id } : undefined),
      about: ({ dag_id }) => [['read', { kind: 'dag', dag_id }]],
      handler: async ({ dag_id }, { signal }) => ({ type: 'DagResult', ...(await api.getDag(dag_id, { signal })) }),
    }),

    TriggerDagRun: row({
      params: TriggerDagRun,
      grant: 'triggers',
      permit: ({ dag_id, run_id, reset_dag_run, logical_date, conf, partition_key, note }) => {
        if (!reach.has('triggers', dag_id)) return undefined;
        assertJson('TriggerDagRun', 'conf', conf);
        // What is not given stays out: Airflow's server knows some of it only in later versions.
        const run = { ...(logical_date != null && { logical_date: iso(logical_date) }), ...(conf != null && { conf }), ...(partition_key != null && { partition_key }), ...(note != null && { note }) };
        return { dag_id, run_id, reset: reset_dag_run === true, run };
      },
      about: ({ dag_id, run_id }) => [['write', { kind: 'dag_run', dag_id, run_id }]],
      handler: async ({ dag_id, run_id, reset, run }, { signal }) => {
        try {
          await api.triggerDagRun(dag_id, run_id, run, { signal });
        } catch (refusal) {
          if (!(refusal instanceof UpstreamFailed) || refusal.status !== 409) throw refusal;
          if (!reset) return errorResponse('DAGRUN_ALREADY_EXISTS');
          await api.clearDagRun(dag_id, run_id, { signal });
        }
        return ok;
      },
    }),
  };
}
