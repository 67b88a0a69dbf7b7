import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { outOfRange } from '../errors.js';
import { Connection } from '../execution-api/schema.js';

const closed = { additionalProperties: false } as const;
const Id = Type.String({ minLength: 1, maxLength: 250 });

const SeedTaskInstance = Type.Object(
  {
    id: Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }),
    dag_id: Id,
    run_id: Id,
    task_id: Id,
    map_index: Type.Optional(Type.Integer({ minimum: -1 })),
    try_number: Type.Optional(Type.Integer({ minimum: 0 })),
    max_tries: Type.Optional(Type.Integer({ minimum: 0 })),
    state: Type.Optional(Type.Union([Type.Literal('scheduled'), Type.Literal('queued'), Type.Literal('restarting')])),
  },
  closed,
);

/** A run of a DAG. One that a task instance names and that is not given comes into being as a manual run. */
const SeedDagRun = Type.Object(
  { dag_id: Id, run_id: Id, logical_date: Type.Optional(Type.String()), conf: Type.Optional(Type.Record(Type.String(), Type.Unknown())) },
  closed,
);

export const Seed = Type.Object(
  {
    variables: Type.Optional(Type.Record(Type.String({ minLength: 1 }), Type.String())),
    connections: Type.Optional(Type.Array(Connection)),
    dagRuns: Type.Optional(Type.Array(SeedDagRun)),
    taskInstances: Type.Optional(Type.Array(SeedTaskInstance)),
  },
  closed,
);
/** What a server starts with: variables by key, connections, and task instances that wait in `queued`. */
export type Seed = Static<typeof Seed>;

/** @throws {RangeError} `ERR_OUT_OF_RANGE`, naming the field and not its value. */
export function checkSeed(value: unknown): asserts value is Seed {
  const error = Value.Errors(Seed, value).First();
  if (error !== undefined) throw outOfRange(`seed${error.path}`, error.message.toLowerCase());
}
