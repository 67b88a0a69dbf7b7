/**
 * What a task sees when a request is refused or fails. `code` is stable: `VARIABLE_NOT_FOUND`, `CONNECTION_NOT_FOUND`,
 * `API_SERVER_ERROR` (`detail.status_code` says which), `PERMISSION_DENIED` (by the server), `ERR_BROKER_DENIED` (by the supervisor), `ERR_BROKER_CLOSED` ...
 */
export class TaskError extends Error {
  static { Object.defineProperty(this.prototype, 'name', { value: 'TaskError', writable: true, configurable: true }); }
  readonly code: string;
  readonly detail: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, detail: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.code = code;
    this.detail = detail;
  }

  /** From the supervisor's ErrorResponse to a request of this type. */
  static from(type: string, response: Readonly<Record<string, unknown>>): TaskError {
    const detail = (response['detail'] ?? {}) as Readonly<Record<string, unknown>>;
    const error = String(response['error']);
    const code = (error === 'GENERIC_ERROR' || error === 'PERMISSION_DENIED') && typeof detail['code'] === 'string' ? detail['code'] : error;
    const message = typeof detail['message'] === 'string' ? detail['message'] : `${type} failed: ${code}${about(detail)}`;
    return new TaskError(code, message, detail);
  }
}

/** Which one it was about, and what the server said: whoever reads a log sees no more of an error than its message. */
function about(detail: Readonly<Record<string, unknown>>): string {
  const { status_code, reason } = detail;
  const named = ['key', 'conn_id', 'name', 'uri'].map((field) => detail[field]).find((name) => typeof name === 'string');
  const said = typeof status_code === 'number' ? ` (${status_code}${typeof reason === 'string' ? ` ${reason}` : ''})` : '';
  return `${named === undefined ? '' : ` ${JSON.stringify(named)}`}${said}`;
}
