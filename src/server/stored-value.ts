import { Problem } from './problem.js';

/** Airflow's `[state_store] max_value_storage_bytes`, which its own server asks of people and not of tasks. */
const mostBytes = 65_535;
/** Airflow's column. */
export const mostKeyChars = 512;

/**
 * The JSON text that a state store keeps.
 * @throws {Problem} 422: null, which Airflow refuses too; too large; or with a number that would come back as another one.
 */
export function storedValue(value: unknown): string {
  const wrong = (msg: string): Problem => new Problem(422, [{ loc: ['body', 'value'], msg, type: 'value_error' }]);
  if (value === null) throw wrong('value cannot be null');
  if (!isExact(value)) throw wrong('a number beyond 2^53 would be rounded: send it as text');
  const text = JSON.stringify(value);
  if (Buffer.byteLength(text) > mostBytes) throw wrong(`value takes more than ${mostBytes} bytes as JSON`);
  return text;
}

/** What was read as a number is the number that was sent, however large it is; and 1e400 is none. */
function isExact(value: unknown): boolean {
  if (typeof value === 'number') return Math.abs(value) <= Number.MAX_SAFE_INTEGER;
  return typeof value !== 'object' || value === null || Object.values(value).every(isExact);
}
