import { Transform } from 'node:stream';
import { checkOptions, invalidArgument, outOfRange, SecretDestroyed } from '../errors.js';
import { MaskImage } from './masking/image.js';
import { MaskRule, trimmed } from './masking/rule.js';
import { redacted, redactedLine } from './masking/sensitive.js';
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

/** A longer value is looked for in pieces: what a stream may keep back, and looks through again with each chunk, grows with it. */
const mostBytes = 4096;
/** A line of a value of several lines is registered by itself from here on: logs are cut into lines, and indented. */
const leastLine = 16;
const isSecret = (value: object): value is Secret => value instanceof Secret;
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
  readonly #rule: MaskRule;
  readonly #tokens: boolean;
  /** All but the last are full. */
  readonly #images: MaskImage[] = [];
  #destroyed = false;

  /** @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`. */
  constructor(options: MaskerOptions = {}) {
    checkOptions('options', options, ['minLength', 'skip', 'sensitiveNames', 'tokens']);
    const { minLength = 5, skip = ['airflow'], sensitiveNames = [], tokens = true } = options;
    if (typeof minLength !== 'number') throw invalidArgument('options.minLength', 'a number', minLength);
    if (!Number.isSafeInteger(minLength) || minLength < 3) throw outOfRange('options.minLength', 'a whole number, at least 3');
    if (typeof tokens !== 'boolean') throw invalidArgument('options.tokens', 'a boolean', tokens);
    this.#rule = new MaskRule({ minLength, skip: strings('options.skip', skip), sensitiveNames: strings('options.sensitiveNames', sensitiveNames) });
    this.#tokens = tokens;
  }

  /** How many values are looked for. */
  get size(): number {
    return this.#images.reduce((sum, { places }) => sum + places.length, 0);
  }

  /**
   * Registers what must not be shown: a Secret, bytes, a string or, as Airflow's mask_secret(), anything made of them. Under
   * a `name`, and under the names within, only what has a sensitive one. Of a value of several lines each longer line is
   * registered too. Bytes and strings are copied, and stay the caller's to forget: a string cannot be wiped.
   *
   * @returns How many values are new. What is too short, to be skipped, or known is not; what is longer than 4 KiB counts for several.
   * @throws {EnforcementPartial} `ERR_ENFORCEMENT_PARTIAL`: RLIMIT_MEMLOCK is spent; what was registered before still is, and some of these may be.
   * @throws {SecretDestroyed} `ERR_SECRET_DESTROYED`.
   */
  add(value: unknown, name?: string): number {
    if (name !== undefined && typeof name !== 'string') throw invalidArgument('name', 'a string', name);
    if (this.#destroyed) throw new SecretDestroyed();
    const collected: Uint8Array[] = [];
    try {
      for (const found of this.#rule.values(value, name, isSecret)) {
        if (found instanceof Secret) found.use((bytes) => this.#collect(bytes, collected));
        else if (typeof found !== 'string') this.#collect(found, collected);
        else {
          const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(found));
          bytes.write(found);
          this.#collect(bytes, collected);
          bytes.fill(0);
        }
      }
      const before = this.size;
      this.#register(collected);
      return this.size - before;
    } finally {
      for (const bytes of collected) bytes.fill(0);
    }
  }

  /** About what `add()` would take of RLIMIT_MEMLOCK for this, known or not; looked at no further than to `most`. */
  cost(value: unknown, name?: string, most = Infinity): number {
    let cost = 0;
    for (const found of this.#rule.values(value, name, isSecret)) {
      const length = found instanceof Secret ? found.byteLength : found.length;
      cost += bytesForEach * Math.ceil(length / mostBytes) + length;
      if (typeof found === 'string') for (let at = found.indexOf('\n'); at >= 0 && cost <= most; at = found.indexOf('\n', at + leastLine)) cost += bytesForEach;
      if (cost > most) break;
    }
    return cost;
  }

  /** A text with marks in the place of secrets. Each call stands for itself; what comes in pieces goes through a stream. */
  redact(text: string): string {
    if (typeof text !== 'string') throw invalidArgument('text', 'a string', text);
    const canHold = text.length >= this.#rule.minLength && (this.#images.length > 0 || text.includes('eyJ'));
    if (!canHold && !this.#destroyed) return text;
    const bytes = Buffer.from(text);
    const shown = this.mask().end(bytes);
    return shown.equals(bytes) ? text : shown.toString();
  }

  /**
   * A copy of a value, for printing, in which every string and number under a sensitive name is `***`, and every other
   * string, and every key, is redacted. Objects become plain ones, errors with their message, stack and cause; what throws when it is read,
   * or nests deeper than 64, is `<redaction-failed>`. Unlike Airflow's, numbers under a sensitive name are hidden too.
   *
   * @param name What the value itself is called.
   */
  redactValue(value: unknown, name?: string): unknown {
    return redacted(value, name, { text: (text) => this.redact(text), isSensitive: this.#rule.isSensitive });
  }

  /** A line that may be JSON, with `***` for fields with sensitive names. What is registered is {@link Masker.redact}'s to hide, before. */
  redactFields(text: string): string {
    if (typeof text !== 'string') throw invalidArgument('text', 'a string', text);
    return redactedLine(text, this.#rule.isSensitive);
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
    for (const image of this.#images.splice(0)) image.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  #sought(): Sought {
    if (this.#destroyed) throw new SecretDestroyed();
    return { images: this.#images, tokens: this.#tokens };
  }

  /** Copies a value, and its longer lines, to what is to be registered. */
  #collect(value: Uint8Array, collected: Uint8Array[]): void {
    const whole = trimmed(value);
    const lines = whole.includes(10) ? linesOf(whole).filter((line) => line.length >= Math.max(leastLine, this.#rule.minLength) && !isArmour(line)) : [];
    for (const bytes of [...pieces(whole), ...lines.flatMap(pieces)]) if (this.#rule.hides(bytes)) collected.push(ownCopy(bytes));
  }

  #register(values: readonly Uint8Array[]): void {
    for (let at = 0; at < values.length;) {
      const last = this.#images.at(-1);
      const room = last?.left ?? 0;
      const some = values.slice(at, at + (room > 0 ? room : MaskImage.mostValues));
      at += some.length;
      const unknown = this.#images.reduce<readonly Uint8Array[]>((left, image) => image.lacks(left), some);
      if (unknown.length === 0) continue;
      const image = MaskImage.holding(unknown, room > 0 ? last : undefined);
      this.#images[this.#images.length - (room > 0 ? 1 : 0)] = image;
    }
  }
}

/** With the intrinsics, into memory that is not on V8's heap, so that filling it with zeros leaves nothing. */
function ownCopy(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  Uint8Array.prototype.set.call(copy, bytes);
  return copy;
}

/** Of up to 4 KiB each, cut between characters of UTF-8: escapes are of whole ones. */
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
