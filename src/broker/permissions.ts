import type { Static, TObject, TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { BrokerDenied } from '../errors.js';
import { printable } from './message.js';

export interface MethodContext {
  /** The task's name, as the supervisor gave it. */
  readonly task: string;
  /** Aborted when the broker is closed; a task that merely ended lets its last requests finish. */
  readonly signal: AbortSignal;
}

/** One row of a task's method table. */
export interface Method<S extends TSchema = TSchema> {
  /** What the request's fields must look like, its `type` left out. */
  readonly params: S;
  /**
   * Which values are granted: returns the ones to go on with, preferably the policy's own copy, or undefined to deny.
   * May throw a BrokerDenied of its own, whose message the task and the audit get to see.
   * @default every value that fits `params`
   */
  permit?(params: Static<S>): Static<S> | undefined;
  /** What grants values that `permit` denies: goes on with "is not granted for these values: ". @default nothing is said of it */
  readonly grantedBy?: string;
  /** Makes the call. What it returns is the reply's body; what it throws never reaches the task in words. */
  handler(params: Static<S>, context: MethodContext): unknown;
  /** What a denial is answered with, as a body, where the task's side has a word of its own for it. @default an error that says `ERR_BROKER_DENIED` */
  denied?(error: BrokerDenied): unknown;
  /** Granted for one request, whatever becomes of it. @default false */
  readonly once?: boolean;
}

export type MethodTable = Readonly<Record<string, Method>>;

/** Types a row's functions from its schema: `method({ params: Type.Object({ key: Type.String() }), handler: ({ key }) => ... })`. */
export function method<S extends TSchema>(row: Method<S>): Method {
  return row as unknown as Method; // a handler is only ever called with params that its own schema has passed
}

/** The methods of one task: closed until granted. */
export class Permissions {
  readonly #rows = new Map<string, Granted>();

  grant(table: MethodTable): void {
    for (const [name, row] of Object.entries(table)) this.#rows.set(name, { row, named: namedBy(row.params) });
  }

  /** What a denied request is answered with; undefined where its row says nothing of that. */
  denial(name: string | undefined, error: BrokerDenied): unknown {
    return name === undefined ? undefined : this.#rows.get(name)?.row.denied?.(error);
  }

  /**
   * The row that was asked for and the values to call it with.
   *
   * @throws {BrokerDenied} `ERR_BROKER_DENIED`: no such row, values that do not fit or are not granted.
   */
  admit(name: string | undefined, params: unknown): { readonly row: Method; readonly params: unknown } {
    if (name === undefined) throw new BrokerDenied('', 'is not named by the request');
    const found = this.#rows.get(name);
    if (found === undefined) throw new BrokerDenied(printable(name));
    const { row } = found;
    if (!Value.Check(row.params, params)) throw new BrokerDenied(name, misfit(row.params, params));
    // Fields that the schema does not name never reach a handler that might spread them.
    const named = found.named(params);
    const granted = row.permit === undefined ? named : row.permit(named);
    if (granted === undefined) throw new BrokerDenied(name, `is not granted for these values${row.grantedBy === undefined ? '' : `: ${row.grantedBy}`}`);
    if (row.once === true) this.#rows.delete(name);
    return { row, params: granted };
  }
}

interface Granted {
  readonly row: Method;
  /** Those fields of what fits the schema that the schema names. */
  readonly named: (params: unknown) => unknown;
}

const withoutParts: ReadonlySet<unknown> = new Set(['string', 'number', 'integer', 'boolean', 'null']);

/** For most requests, whose fields have no fields of their own, a copy of those takes a tenth of what the library does. */
function namedBy(schema: TSchema): (params: unknown) => unknown {
  const { type, properties, additionalProperties, patternProperties } = schema as Partial<TObject>;
  const isFlat = type === 'object' && typeof additionalProperties !== 'object' && additionalProperties !== true && patternProperties === undefined
    && properties !== undefined && Object.values(properties).every((field) => withoutParts.has(field['type']));
  if (!isFlat) return (params) => Value.Clean(schema, params);
  const names = Object.keys(properties);
  return (params) => {
    const named: Record<string, unknown> = {};
    for (const name of names) if (Object.hasOwn(params as object, name)) named[name] = (params as Record<string, unknown>)[name];
    return named;
  };
}

/** Where the first misfit is. The schema's words only: a value may be a secret. */
function misfit(schema: TSchema, params: unknown): string {
  const error = Value.Errors(schema, params).First();
  return `has a field that does not fit: ${printable(error?.path ?? '') || '/'}: ${error?.message ?? 'unexpected'}`;
}
