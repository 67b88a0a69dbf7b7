import { outOfRange } from '../../errors.js';

/**
 * A time as the database keeps it: UTC, six digits, so that text sorts as time does. Reads RFC 3339 with an offset,
 * as Pydantic does, and loses nothing down to a microsecond, which a Date would.
 *
 * @throws {RangeError} `ERR_OUT_OF_RANGE`: none of the years 1 to 9999, as in Python, or of no calendar. Answered 422 where a client sent it.
 */
export function toStored(timestamp: string): string {
  const fraction = /\.(\d+)/.exec(timestamp)?.[1] ?? '';
  const date = new Date(timestamp.replace(/\.\d+/, '').replace(' ', 'T').toUpperCase());
  if (!(date.getTime() >= firstYear && date.getTime() < afterLastYear && isDay(timestamp))) throw Object.assign(outOfRange('time', 'a time of the years 1 to 9999'), { statusCode: 422 });
  return `${date.toISOString().slice(0, 19)}.${fraction.slice(0, 6).padEnd(6, '0')}Z`;
}

const firstYear = Date.parse('0001-01-01T00:00:00Z');
const afterLastYear = Date.parse('9999-12-31T23:59:59Z') + 1000;

/** A Date makes the 3rd of March of the 31st of February. */
function isDay(timestamp: string): boolean {
  const day = Number(timestamp.slice(8, 10));
  return day <= 28 || day <= new Date(Date.UTC(Number(timestamp.slice(0, 4)), Number(timestamp.slice(5, 7)), 0)).getUTCDate();
}

/** As Pydantic writes it: without a fraction where there is none. */
export const fromStored = (stored: string): string => stored.replace('.000000Z', 'Z');

/** Now, of a clock that counts milliseconds. */
export const storedNow = (now: number): string => toStored(new Date(now).toISOString());

/** Seconds from one to the other, down to a microsecond. */
export function secondsBetween(from: string | null, to: string | null): number | null {
  return from === null || to === null ? null : (microseconds(to) - microseconds(from)) / 1e6;
}

// Beyond 2^53 in the year 2255; the difference loses a microsecond then.
const microseconds = (stored: string): number => Date.parse(`${stored.slice(0, 19)}Z`) * 1000 + Number(stored.slice(20, 26));

/** As {@link fromStored}, of what may be missing. */
export const shown = (stored: string | null | undefined): string | null => (stored == null ? null : fromStored(stored));
