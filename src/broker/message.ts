import { BrokerViolation } from '../errors.js';
import { encodeFrame, type FrameLimits } from './frame.js';

/** A request as it came: well-formed, nothing in it believed yet. */
export interface Request {
  readonly id: number;
  /** `body.type`; undefined when the body names none. */
  readonly method: string | undefined;
  /** The body without its `type`. */
  readonly params: Readonly<Record<string, unknown>>;
}

/** Airflow's ErrorType, whole: its Python child refuses any other word. `PERMISSION_DENIED` is one since 3.2.2, those of stores since 3.3. */
export type ErrorType =
  | 'API_SERVER_ERROR'
  | 'ASSET_NOT_FOUND'
  | 'ASSET_STORE_NOT_FOUND'
  | 'CONNECTION_NOT_FOUND'
  | 'DAGRUN_ALREADY_EXISTS'
  | 'GENERIC_ERROR'
  | 'PERMISSION_DENIED'
  | 'TASK_STORE_NOT_FOUND'
  | 'VARIABLE_NOT_FOUND'
  | 'XCOM_NOT_FOUND';

export interface ErrorResponse {
  readonly type: 'ErrorResponse';
  readonly error: ErrorType;
  readonly detail: Readonly<Record<string, unknown>> | null;
}

export function errorResponse(error: ErrorType, detail: ErrorResponse['detail'] = null): ErrorResponse {
  return { type: 'ErrorResponse', error, detail };
}

/**
 * `[id, body, carrier]`, of which Airflow's encoders leave out what is nil at the end.
 *
 * @throws {BrokerViolation} `ERR_BROKER_VIOLATION`: not that. A body that names no method is well-formed, and denied later.
 */
export function parseRequest(message: unknown): Request {
  if (!Array.isArray(message) || message.length < 1 || message.length > 3) throw new BrokerViolation('a message that is not [id, body]');
  const [id, body = null, carrier = null] = message as unknown[];
  if (typeof id !== 'number' || !Number.isSafeInteger(id) || id < 0) throw new BrokerViolation('a request id that is not a whole number');
  if (body !== null && !isMap(body)) throw new BrokerViolation('a request body that is not a map');
  if (carrier !== null && !isMap(carrier)) throw new BrokerViolation('a tracing context that is not a map');
  const params = body ?? {};
  const { type } = params;
  delete params['type']; // it is ours, and a copy of a wide one takes longer than all else here
  return { id, method: typeof type === 'string' ? type : undefined, params };
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** A name a task gave, fit for a record: short, no control characters, no half of a surrogate pair. */
export function printable(name: string): string {
  return /^[\x20-\x7e]{0,64}$/.test(name) ? name : name.slice(0, 64).replace(/[^\x20-\x7e]/g, '?');
}

/** `[id, body, null]`: what a method returned, or a message sent unprompted. */
export function encodeReply(id: number, body: unknown, limits: FrameLimits): Uint8Array {
  return encodeFrame([id, body ?? null, null], limits);
}

/** `[id, null, error]` */
export function encodeErrorReply(id: number, error: ErrorResponse, limits: FrameLimits): Uint8Array {
  return encodeFrame([id, null, error], limits);
}
