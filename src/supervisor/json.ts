import { Lane } from '../broker/turns.js';

/** What JSON.stringify takes less than a millisecond for, also where each character becomes six. */
const pieceChars = 1 << 15;

/**
 * The bytes of JSON.stringify, of what is JSON, without holding the event loop for them: a task's final message may hold 4 MiB, which are
 * 24 where every character is escaped. What is small is there at once.
 *
 * @param most Of a piece, in characters; smaller in tests alone.
 */
export async function toJson(value: unknown, most = pieceChars): Promise<Buffer> {
  const parts = pieces(value, most);
  const first = gather(parts, most);
  if (!first.more) return first.bytes;
  const lane = new Lane();
  const all = [first.bytes];
  for (let more = true; more;) {
    const next = await lane.run(() => gather(parts, most));
    all.push(next.bytes);
    more = next.more;
  }
  return Buffer.concat(all);
}

function gather(parts: Iterator<string>, most: number): { readonly bytes: Buffer; readonly more: boolean } {
  let text = '';
  while (text.length < most) {
    const { done, value } = parts.next();
    if (done === true) return { bytes: Buffer.from(text), more: false };
    text += value;
  }
  return { bytes: Buffer.from(text), more: true };
}

function* pieces(value: unknown, most: number): Generator<string, void, undefined> {
  if (typeof value === 'string' && value.length > most) {
    yield '"';
    for (let at = 0, end; at < value.length; at = end) {
      end = at + most;
      if (isHighSurrogate(value.charCodeAt(end - 1))) end++; // alone each half would be escaped
      yield JSON.stringify(value.slice(at, end)).slice(1, -1);
    }
    yield '"';
  } else if (typeof value !== 'object' || value === null) {
    yield JSON.stringify(value) ?? 'null';
  } else if (Array.isArray(value)) {
    yield '[';
    for (const [index, item] of value.entries()) {
      if (index > 0) yield ',';
      yield* pieces(item, most);
    }
    yield ']';
  } else {
    let open = '{';
    for (const [name, item] of Object.entries(value)) {
      if (item === undefined) continue;
      yield open;
      yield* pieces(name, most);
      yield ':';
      yield* pieces(item, most);
      open = ',';
    }
    yield open === '{' ? '{}' : '}';
  }
}

const isHighSurrogate = (code: number): boolean => code >= 0xd800 && code <= 0xdbff;
