import { Secret } from '../secret.js';
import { scanJson } from './json-text.js';
import { deepest, type IsSensitive } from './rule.js';
import { mark } from './spans.js';

/** Airflow's word where a value could not be looked through. */
export const failed = '<redaction-failed>';

/**
 * A line that may be JSON, with the mark in the place of strings and numbers under sensitive names, and otherwise as it was written.
 * From where it is no JSON, as one is not that was cut, strings beside such names alone are hidden.
 */
export function redactedLine(text: string, isSensitive: IsSensitive): string {
  // A name can be escaped, and a number have a mark in it that lacks its quotes.
  if (!isSensitive(text) && !text.includes('\\') && !text.includes(mark)) return text;
  const { hidden, end, inHidden } = scanJson(text, { isHidden: isSensitive });
  let shown = '';
  let from = 0;
  for (const [start, behind] of hidden) {
    shown += `${text.slice(from, start)}"${mark}"`;
    from = behind;
  }
  const rest = text.slice(end);
  return shown + text.slice(from, end) + (inHidden ? rest.replace(/^("?).*$/s, `$1${mark}`) : redactedFields(rest, isSensitive));
}

/** Each string is read once, so that no text makes this slow. */
function redactedFields(text: string, isSensitive: IsSensitive): string {
  const fields = /"((?:[^"\\]|\\.)*)(?:"(\s*:\s*)"(?:[^"\\]|\\.)*("?)|"?)/gs;
  return text.replace(fields, (whole, name: string, colon: string | undefined, close: string) => (colon !== undefined && isSensitive(name) ? `"${name}"${colon}"${mark}${close}` : whole));
}

interface Redaction {
  readonly text: (text: string) => string;
  readonly isSensitive: IsSensitive;
}

/**
 * A copy of a value, for printing, without what must not be shown: whatever stands under a sensitive name, and in every
 * other string what `text` hides. Never throws: what cannot be looked through becomes {@link failed}.
 */
export function redacted(value: unknown, name: string | undefined, how: Redaction): unknown {
  const above = new Set<object>();
  const visit = (item: unknown, hidden: boolean): unknown => {
    if (typeof item === 'string') return hidden ? mark : how.text(item);
    if (typeof item === 'number' || typeof item === 'bigint') return hidden ? mark : shown(item);
    if (typeof item !== 'object' || item === null || item instanceof Secret || item instanceof Date) return typeof item === 'symbol' || typeof item === 'function' ? how.text(String(item)) : item;
    if (item instanceof Uint8Array) return hidden ? mark : how.text(Buffer.from(item).toString());
    if (above.has(item)) return '[Circular]';
    if (above.size >= deepest) return failed;
    above.add(item);
    try {
      return container(item, hidden);
    } catch {
      return failed; // a getter that throws
    } finally {
      above.delete(item);
    }
  };
  // A number can be a secret: a PIN under a name of its own choosing that was registered as text.
  const shown = (item: number | bigint): unknown => {
    const text = String(item);
    return how.text(text) === text ? item : mark;
  };
  const field = ([key, item]: [unknown, unknown], hidden: boolean): [string, unknown] => {
    const own = String(key);
    return [how.text(own), visit(item, hidden || how.isSensitive(own))];
  };
  const container = (item: object, hidden: boolean): unknown => {
    if (Array.isArray(item)) return item.map((inner) => visit(inner, hidden));
    if (item instanceof Set) return new Set([...item].map((inner) => visit(inner, hidden)));
    if (item instanceof Map) return new Map([...item].map((entry) => field(entry, hidden)));
    const { toJSON } = item as { toJSON?: unknown };
    if (typeof toJSON === 'function') return visit(toJSON.call(item), hidden);
    const own = Object.entries(item);
    const { name: kind, message, stack, cause } = item as Error;
    const entries = item instanceof Error ? [['name', kind], ['message', message], ['stack', stack], ...(cause === undefined ? [] : [['cause', cause]]), ...own] : own;
    // Not by assignment: a key may be __proto__.
    return Object.fromEntries(entries.map((entry) => field(entry as [unknown, unknown], hidden)));
  };
  return visit(value, name !== undefined && how.isSensitive(name));
}
