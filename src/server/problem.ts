import type { Conflict } from './state.js';

/** An answer other than success, as Airflow words it: `{"detail": …}`. */
export class Problem extends Error {
  readonly status: number;
  readonly detail: unknown;
  constructor(status: number, detail: { readonly reason: string; readonly message: string } | Conflict | readonly unknown[]) {
    super(`answered ${status}`);
    this.status = status;
    this.detail = detail;
  }
}

/** @param reason A {@link TokenRefusal}. */
export const invalidToken = (reason: string): Problem => new Problem(403, { reason: 'invalid_token', message: `Invalid auth token: ${reason}` });
export const notFound = (what: string): Problem => absent(`${what} not found`);
export const absent = (message: string): Problem => new Problem(404, { reason: 'not_found', message });
