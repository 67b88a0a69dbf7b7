import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { outOfRange } from '../../errors.js';
import { checkDeclaration, checkGrants, type Declaration, type GrantPreset, type Grants } from '../../execution-api/grants.js';

const Id = Type.String({ minLength: 1, maxLength: 250 });
const Nullish = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));

const TaskInstance = Type.Object({
  id: Type.String({ pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' }),
  dag_id: Id,
  run_id: Id,
  task_id: Id,
  try_number: Type.Integer({ minimum: 0 }),
  map_index: Type.Optional(Type.Integer({ minimum: -1 })),
});

const Shape = Type.Object(
  {
    type: Type.Optional(Type.Literal('RunTrigger')),
    id: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    team_name: Id,
    bundle_info: Type.Object({ name: Id, version: Nullish(Type.String()) }),
    classpath: Type.String({ minLength: 1, maxLength: 2048, pattern: '^[^#\\0]+(#[\\w$]{1,250})?$' }),
    kwargs: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    ti: Nullish(TaskInstance),
    timeout_after: Nullish(Type.String({ maxLength: 64 })),
    grants: Type.Optional(Type.Unknown()),
    declares: Type.Optional(Type.Unknown()),
  },
  { additionalProperties: false },
);

/** One trigger to run: Airflow's RunTrigger, and what a host must know besides. */
export interface RunTrigger extends Omit<Static<typeof Shape>, 'grants' | 'declares'> {
  /** The trigger's own, by which it is cancelled and told of. */
  readonly id: number;
  /** Whose process it shares: a team of the host's options. */
  readonly team_name: string;
  /** Its file below the bundle, and with `#name` which export: `triggers/file.mjs#arrives`. @default the default export */
  readonly classpath: string;
  /** What the task deferred with, as JSON. @default {} */
  readonly kwargs?: Record<string, unknown>;
  /** ISO 8601. It then fails. @default null, never */
  readonly timeout_after?: string | null;
  /** What it may look up. @default 'declared' */
  readonly grants?: Grants | GrantPreset;
  /** What its task declares. @default nothing */
  readonly declares?: Declaration;
}

/** What a message to a child has room for, many times over. */
const mostKwargsBytes = 256 << 10;

/** @throws RangeError `ERR_OUT_OF_RANGE` with the path of the first wrong field; TypeError `ERR_INVALID_ARG_TYPE`. */
export function checkedTrigger(name: string, value: unknown): RunTrigger {
  if (!Value.Check(Shape, value)) {
    const error = Value.Errors(Shape, value).First();
    throw outOfRange(`${name}${(error?.path ?? '').replaceAll('/', '.')}`, `what a RunTrigger has there: ${error?.message.toLowerCase() ?? 'unexpected'}`);
  }
  const { kwargs = {}, grants = 'declared', declares = {}, timeout_after } = value;
  checkGrants(`${name}.grants`, grants);
  checkDeclaration(`${name}.declares`, declares);
  if (typeof timeout_after === 'string' && Number.isNaN(Date.parse(timeout_after))) throw outOfRange(`${name}.timeout_after`, 'a time as ISO 8601');
  const text = JSON.stringify(kwargs);
  if (text.length > mostKwargsBytes) throw outOfRange(`${name}.kwargs`, `at most ${mostKwargsBytes >> 10} KiB of JSON`);
  // A copy: what was checked is what is run.
  return Object.freeze({ ...value, kwargs: JSON.parse(text) as Record<string, unknown>, grants: grants as Grants | GrantPreset, declares: declares as Declaration });
}
