import { randomBytes } from 'node:crypto';
import { Transform } from 'node:stream';
import { checkOptions, invalidArgument, outOfRange, SecretDestroyed } from '../errors.js';
import { MaskImage } from './masking/image.js';
import { type IsSensitive, redacted, redactedFields, sensitiveNames, valuesToMask } from './masking/sensitive.js';
import { StreamMask, type Sought } from './masking/stream-mask.js';
import { Secret } from './secret.js';

export interface MaskerOptions {
  /**
   * Values of fewer characters are not registered, since they come up in ordinary words; at least 3. Airflow's
   * `[logging] min_length_masked_secret`. @default 5
   */
  readonly minLength?: number;
  /** Values that are never registered, in any case. Airflow's SECRETS_TO_SKIP_MASKING. @default ['airflow'] */
  readonly skip?: readonly string[];
  /** Parts of names of fields whose values are hidden, besides Airflow's own. Airflow's `[core] sensitive_var_conn_names`. @default [] */
  readonly sensitiveNames?: readonly string[];
  /** Whether what has the shape of a JWT is hidden, registered or not. @default true */
  readonly tokens?: boolean;
}

/** As long as a Secret can be; a longer value is looked for in pieces. */
const mostBytes = 65_536;
/** A line of a value of several lines is registered by itself from here on: logs are cut into lines, and indented. */
const leastLine = 16;
/** For each value's tables, besides its bytes. */
const bytesForEach = 512;

/**
 * Keeps secrets out of what is printed. A registered value is replaced by `***` as it is, in base64 of whatever it is a part
 * of (both alphabets, broken into lines too), percent-encoded, and escaped as in JSON, each also twice over; what has the
 * shape of a JWT becomes `eyJ***`; values under Airflow's sensitive names become `***`.
 *
 * This is for words that slip out. Who wants to get a secret past it will: reversed, compressed or one letter a line.
 *
 * Values are kept in secret memory, with the tables to find them: about 1 KiB of RLIMIT_MEMLOCK for each. They stay until
 * {@link Masker.destroy}; that a registered Secret is destroyed changes nothing.
 */
export class Masker implements Disposable {
  readonly #minLength: number;
  readonly #skip: ReadonlySet<string>;
  readonly #isSensitive: IsSensitive;
  readonly #tokens: boolean;
  #image: MaskImage | undefined;
  #destroyed = false;

  /** @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`. */
  constructor(options: MaskerOptions = {}) {
    checkOptions('options', options, ['minLength', 'skip', 'sensitiveNames', 'tokens']);
    const { minLength = 5, skip = ['airflow'], sensitiveNames: names = [], tokens = true } = options;
    if (typeof minLength !== 'number') throw invalidArgument('options.minLength', 'a number', minLength);
    if (!Number.isSafeInteger(minLength) || minLength < 3) throw outOfRange('options.minLength', 'a whole number, at least 3');
    if (typeof tokens !== 'boolean') throw invalidArgument('options.tokens', 'a boolean', tokens);
    this.#minLength = minLength;
    this.#skip = new Set(strings('options.skip', skip).map((word) => word.toLowerCase()));
    this.#isSensitive = sensitiveNames(strings('options.sensitiveNames', names));
    this.#tokens = tokens;
  }

  /** How many values are looked for. */
  get size(): number {
    return this.#image?.places.length ?? 0;
  }

  /**
   * Registers what must not be shown: a Secret, bytes, a string or, as Airflow's mask_secret(), anything made of them. Under
   * a `name`, and under the names within, only what has a sensitive one. Of a value of several lines each longer line is
   * registered too. Bytes and strings are copied, and stay the caller's to forget: a string cannot be wiped.
   *
   * @returns How many values are new. What is too short, to be skipped, or known is not; what is longer than 64 KiB counts for several.
   * @throws {EnforcementPartial} `ERR_ENFORCEMENT_PARTIAL`: RLIMIT_MEMLOCK is spent; what was registered before still is.
   * @throws {SecretDestroyed} `ERR_SECRET_DESTROYED`.
   */
  add(value: unknown, name?: string): number {
    if (name !== undefined && typeof name !== 'string') throw invalidArgument('name', 'a string', name);
    if (this.#destroyed) throw new SecretDestroyed();
    const added = new Values();
    try {
      for (const found of valuesToMask(value, name, this.#isSensitive)) {
        if (found instanceof Secret) found.use((bytes) => this.#collect(bytes, added));
        else if (typeof found !== 'string') this.#collect(found, added);
        else {
          const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(found));
          bytes.write(found);
          this.#collect(bytes, added);
          bytes.fill(0);
        }
      }
      if (added.all.length === 0) return 0;
      const former = this.#image;
      this.#image = new MaskImage(former, added.all);
      former?.destroy();
      return added.all.length;
    } finally {
      for (const bytes of added.all) bytes.fill(0);
    }
  }

  /** About what `add()` would take of RLIMIT_MEMLOCK for this, known or not; looked at no further than to `most`. */
  cost(value: unknown, name?: string, most = Infinity): number {
    let cost = 0;
    for (const found of valuesToMask(value, name, this.#isSensitive)) {
      const length = found instanceof Secret ? found.byteLength : found.length;
      cost += bytesForEach + length;
      if (typeof found === 'string') for (let at = found.indexOf('\n'); at >= 0 && cost <= most; at = found.indexOf('\n', at + leastLine)) cost += bytesForEach;
      if (cost > most) break;
    }
    return cost;
  }

  /** A text with marks in the place of secrets. Each call stands for itself; what comes in pieces goes through a stream. */
  redact(text: string): string {
    if (typeof text !== 'string') throw invalidArgument('text', 'a string', text);
    if (this.#image === undefined && !this.#destroyed && !text.includes('eyJ')) return text;
    const bytes = Buffer.from(text);
    const shown = this.mask().end(bytes);
    return shown.equals(bytes) ? text : shown.toString();
  }

  /**
   * A copy of a value, for printing, in which every string, key and number under a sensitive name is `***`, and every other
   * string is redacted. Objects become plain ones, errors with their message, stack and cause; what throws when it is read,
   * or nests deeper than 64, is `<redaction-failed>`. Unlike Airflow's, numbers under a sensitive name are hidden too.
   *
   * @param name What the value itself is called.
   */
  redactValue(value: unknown, name?: string): unknown {
    return redacted(value, name, { text: (text) => this.redact(text), isSensitive: this.#isSensitive });
  }

  /** A line that may be JSON, with `***` for fields with sensitive names. What is registered is {@link Masker.redact}'s to hide, before. */
  redactFields(text: string): string {
    if (typeof text !== 'string') throw invalidArgument('text', 'a string', text);
    if (!this.#isSensitive(text)) return text;
    let record: unknown;
    try {
      record = JSON.parse(text);
    } catch {
      return redactedFields(text, this.#isSensitive);
    }
    const shown = JSON.stringify(this.redactValue(record));
    return shown === JSON.stringify(record) ? text : shown; // as it was written, where there is nothing to hide
  }

  /**
   * A stream that lets bytes through with marks in the place of secrets, however they are cut into chunks. It keeps back
   * what may be the beginning of one until more comes, or the end. Once the masker is destroyed it fails, and lets nothing more through.
   */
  stream(): Transform {
    const mask = this.mask();
    const attempt = (work: () => Buffer, done: (error: Error | null, shown?: Buffer) => void): void => {
      let shown: Buffer;
      try {
        shown = work();
      } catch (error) {
        done(error as Error);
        return;
      }
      done(null, shown);
    };
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => attempt(() => mask.push(chunk), done),
      flush: (done) => attempt(() => mask.end(), done),
    });
  }

  /** The same without a stream. */
  mask(): StreamMask {
    return new StreamMask(() => this.#sought());
  }

  /** Wipes the values. From then on nothing is let through: every use throws. Twice is fine. */
  destroy(): void {
    this.#destroyed = true;
    this.#image?.destroy();
    this.#image = undefined;
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  #sought(): Sought {
    if (this.#destroyed) throw new SecretDestroyed();
    return { image: this.#image, tokens: this.#tokens };
  }

  /** Copies a value, and its longer lines, to what is to be added, unless they are there already. */
  #collect(value: Uint8Array, added: Values): void {
    const whole = trimmed(value);
    const lines = whole.includes(10) ? linesOf(whole).filter((line) => line.length >= Math.max(leastLine, this.#minLength) && !isArmour(line)) : [];
    for (const bytes of [...pieces(whole), ...lines.flatMap(pieces)]) {
      if (this.#tooShort(bytes) || this.#skips(bytes) || this.#image?.has(bytes) === true || added.has(bytes)) continue;
      added.add(ownCopy(bytes));
    }
  }

  /** Counts characters, not bytes. */
  #tooShort(bytes: Uint8Array): boolean {
    let characters = 0;
    for (const byte of bytes) if ((byte & 0xc0) !== 0x80 && ++characters >= this.#minLength) return false;
    return true;
  }

  #skips(bytes: Uint8Array): boolean {
    return [...this.#skip].some((word) => word.length === bytes.length && [...bytes].every((byte, at) => String.fromCharCode(byte).toLowerCase() === word[at]));
  }
}

/** Byte strings, each once: whoever makes them up chooses how many there are, and not where they are looked for. */
class Values {
  readonly all: Uint8Array[] = [];
  readonly #seed = randomBytes(4).readUInt32LE();
  readonly #places = new Map<number, Uint8Array[]>();

  has(bytes: Uint8Array): boolean {
    return this.#places.get(this.#place(bytes))?.some((other) => Buffer.compare(other, bytes) === 0) === true;
  }

  add(bytes: Uint8Array): void {
    const place = this.#place(bytes);
    const others = this.#places.get(place);
    if (others === undefined) this.#places.set(place, [bytes]);
    else others.push(bytes);
    this.all.push(bytes);
  }

  /** FNV-1a, of 32 bits. */
  #place(bytes: Uint8Array): number {
    let hash = this.#seed;
    for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x0100_0193);
    return hash;
  }
}

/** With the intrinsics, into memory that is not on V8's heap, so that filling it with zeros leaves nothing. */
function ownCopy(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  Uint8Array.prototype.set.call(copy, bytes);
  return copy;
}

/** Of up to 64 KiB each, cut between characters of UTF-8: escapes are of whole ones. */
function pieces(value: Uint8Array): Uint8Array[] {
  const cut: Uint8Array[] = [];
  for (let start = 0, end = 0; start < value.length; start = end) {
    end = Math.min(start + mostBytes, value.length);
    for (let back = 0; back < 3 && end < value.length && ((value[end] as number) & 0xc0) === 0x80; back++) end--;
    cut.push(value.subarray(start, end));
  }
  const last = cut.at(-1);
  // A last piece that is too short to be looked for takes more of what stands before it.
  if (cut.length > 1 && last !== undefined && last.length < leastLine) cut[cut.length - 1] = value.subarray(value.length - leastLine);
  return cut;
}

const blank = (byte: number | undefined): boolean => byte === 10 || byte === 13;

function trimmed(value: Uint8Array): Uint8Array {
  let end = value.length;
  while (end > 0 && blank(value[end - 1])) end--;
  return value.subarray(0, end);
}

function linesOf(value: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let start = 0, end = 0; end >= 0; start = end + 1) {
    end = value.indexOf(10, start);
    lines.push(trimmed(value.subarray(start, end < 0 ? value.length : end)));
  }
  return lines;
}

/** `-----BEGIN PRIVATE KEY-----`, which everybody knows. RFC 7468 */
const isArmour = (line: Uint8Array): boolean => line.subarray(0, 5).every((byte) => byte === 0x2d);

function strings(name: string, value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw invalidArgument(name, 'an array of strings', value);
  for (const [index, item] of value.entries()) if (typeof item !== 'string') throw invalidArgument(`${name}[${index}]`, 'a string', item);
  return value as readonly string[];
}
