import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { WorkloadInvalid } from '../errors.js';

const Id = Type.String({ minLength: 1, maxLength: 250 });

/** Airflow's ExecuteTask, as a scheduler writes it. Fields that newer ones add are kept in `ti` and otherwise dropped. */
const ExecuteTask = Type.Object({
  type: Type.Literal('ExecuteTask'),
  ti: Type.Object({
    id: Type.String({ pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' }),
    task_id: Id,
    dag_id: Id,
    run_id: Id,
    try_number: Type.Integer({ minimum: 0 }),
    map_index: Type.Optional(Type.Integer({ minimum: -1 })),
  }),
  dag_rel_path: Type.String({ minLength: 1, maxLength: 4096 }),
  bundle_info: Type.Object({ name: Id, version: Type.Optional(Type.Union([Type.String(), Type.Null()])) }),
  log_path: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  token: Type.Optional(Type.String({ minLength: 1 })),
});

type ExecuteTask = Static<typeof ExecuteTask>;

/** One task instance to run. */
export interface Workload extends ExecuteTask {
  readonly ti: ExecuteTask['ti'] & { readonly map_index: number };
}

/** @throws {WorkloadInvalid} `ERR_WORKLOAD_INVALID` with the path of the first wrong field. No value is repeated: one is a token. */
export function parseWorkload(value: unknown): Workload {
  if (!Value.Check(ExecuteTask, value)) {
    const error = Value.Errors(ExecuteTask, value).First();
    const path = (error?.path ?? '').slice(1).replaceAll('/', '.');
    throw new WorkloadInvalid(path, `is not what Airflow's ExecuteTask has there: ${error?.message.toLowerCase() ?? 'unexpected'}`);
  }
  return { ...value, ti: { ...value.ti, map_index: value.ti.map_index ?? -1 } };
}
