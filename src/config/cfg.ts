import { isUtf8 } from 'node:buffer';

/** One option of an airflow.cfg, its value still the file's bytes: a secret among them must not become a string. */
export interface Entry {
  readonly section: string;
  readonly key: string;
  readonly line: number;
  /** The lines of the value, without the spaces around each. */
  readonly value: readonly Uint8Array[];
}

export interface Parsed {
  readonly entries: readonly Entry[];
  readonly problems: readonly { readonly line: number; readonly problem: string }[];
}

const [tab, lineFeed, carriageReturn, space, hash, colon, semicolon, equals, opening, closing] = [0x09, 0x0a, 0x0d, 0x20, 0x23, 0x3a, 0x3b, 0x3d, 0x5b, 0x5d];

/** What Python's str.strip() takes off; JavaScript's trim() takes another set. */
const spaces = '[\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+';
const [before, after] = [new RegExp(`^${spaces}`), new RegExp(`${spaces}$`)];
const strip = (text: string): string => text.replace(before, '').replace(after, '');
const decode = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');

/**
 * Reads an airflow.cfg as Python's configparser does, which is what Airflow reads it with: keys in lower case up to the first
 * `=` or `:`, values that go on in lines indented deeper than their option, comments on lines of their own, nothing twice.
 * Other INI readers see other options in the same bytes, and take strings. What Python refuses is a problem; so are control
 * characters, and lines that begin with a space other than ASCII's.
 *
 * @see https://docs.python.org/3/library/configparser.html#supported-ini-file-structure
 */
export function parseCfg(bytes: Uint8Array): Parsed {
  const problems: { line: number; problem: string }[] = [];
  if (!isUtf8(bytes)) return { entries: [], problems: [{ line: 1, problem: 'is not UTF-8' }] };
  const entries: (Entry & { value: Uint8Array[] })[] = [];
  const seen = new Set<string>();
  let section: string | undefined;
  let entry: (typeof entries)[number] | undefined;
  let indent = 0;
  lines(bytes).forEach((raw, index) => {
    const line = index + 1;
    const wrong = (problem: string): void => void problems.push({ line, problem });
    const text = trimmed(raw);
    if (text.length === 0) {
      entry?.value.push(text); // goes on, or is dropped at the value's end
      return;
    }
    if (text[0] === hash || text[0] === semicolon) return;
    if (raw.some((byte) => (byte < space && byte !== tab) || byte === 0x7f)) return wrong('has a control character in it');
    if (strip(decode(text.subarray(0, 4)).slice(0, 1)) === '') return wrong("begins with a space that is not ASCII's");
    const depth = text.byteOffset - raw.byteOffset;
    if (entry !== undefined && depth > indent) {
      entry.value.push(text);
      return;
    }
    indent = depth;
    if (text[0] === opening && text.lastIndexOf(closing) > 1) {
      section = decode(text.subarray(1, text.lastIndexOf(closing)));
      entry = undefined;
      if (seen.has(section) && section !== 'DEFAULT') wrong(`begins section [${section}] a second time`);
      seen.add(section);
      return;
    }
    const end = text.findIndex((byte) => byte === equals || byte === colon);
    const key = end < 0 ? '' : strip(decode(text.subarray(0, end))).toLowerCase();
    entry = undefined;
    if (section === undefined) return wrong('stands before any [section]');
    if (key === '') return wrong('is neither [section] nor option = value');
    if (seen.has(`${section}\n${key}`)) wrong(`sets ${section}.${key} a second time`);
    seen.add(`${section}\n${key}`);
    entry = { section, key, line, value: [trimmed(text.subarray(end + 1))] };
    entries.push(entry);
  });
  for (const { value } of entries) while (value.at(-1)?.length === 0) value.pop();
  return { entries, problems };
}

/** The value of an option that holds no secret, as configparser has it before interpolation. */
export function textOf({ value }: Entry): string {
  return value.map((line) => strip(decode(line))).join('\n').replace(after, '');
}

/**
 * The value of one that does, in bytes of its own for the caller to wipe. `%%` is `%`, as everywhere in such a file; undefined
 * for any other use of `%`, which would put the value of another option there.
 */
export function bytesOf({ value }: Entry): Uint8Array | undefined {
  const percent = 0x25;
  // Not on V8's heap, which leaves copies of what it moves.
  const made = new Uint8Array(new ArrayBuffer(value.reduce((sum, line) => sum + line.length + 1, 0)));
  let length = 0;
  for (const [index, line] of value.entries()) {
    if (index > 0) made[length++] = lineFeed;
    for (let at = 0; at < line.length; at++) {
      const byte = line[at] as number;
      if (byte === percent && line[++at] !== percent) {
        made.fill(0);
        return undefined;
      }
      made[length++] = byte;
    }
  }
  return made.subarray(0, length);
}

/** Ends as text files in Python have them: LF, CR or both. */
function lines(bytes: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  let start = 0;
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] !== lineFeed && bytes[at] !== carriageReturn) continue;
    found.push(bytes.subarray(start, at));
    if (bytes[at] === carriageReturn && bytes[at + 1] === lineFeed) at++;
    start = at + 1;
  }
  found.push(bytes.subarray(start));
  return found;
}

function trimmed(bytes: Uint8Array): Uint8Array {
  let [start, end] = [0, bytes.length];
  const isSpace = (byte: number | undefined): boolean => byte === space || byte === tab;
  while (start < end && isSpace(bytes[start])) start++;
  while (start < end && isSpace(bytes[end - 1])) end--;
  return bytes.subarray(start, end);
}
