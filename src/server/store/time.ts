/**
 * A time as the database keeps it: UTC, six digits, so that text sorts as time does. Reads RFC 3339 with an offset,
 * as Pydantic does, and loses nothing down to a microsecond, which a Date would.
 */
export function toStored(timestamp: string): string {
  const fraction = /\.(\d+)/.exec(timestamp)?.[1] ?? '';
  const date = new Date(timestamp.replace(/\.\d+/, '').replace(' ', 'T'));
  return `${date.toISOString().slice(0, 19)}.${fraction.slice(0, 6).padEnd(6, '0')}Z`;
}

/** As Pydantic writes it: without a fraction where there is none. */
export const fromStored = (stored: string): string => stored.replace('.000000Z', 'Z');

/** Now, of a clock that counts milliseconds. */
export const storedNow = (now: number): string => toStored(new Date(now).toISOString());
