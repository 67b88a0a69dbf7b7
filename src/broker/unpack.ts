/**
 * One msgpack value from bytes that nobody vouches for. Limits are held while it is read, so that what a frame can cost is
 * bounded by them and by its length alone: nothing is sized by a count that was announced.
 * @see https://github.com/msgpack/msgpack/blob/master/spec.md
 */

import { Buffer, isAscii, isUtf8, transcode } from 'node:buffer';
import { BrokerViolation } from '../errors.js';

export interface ValueLimits {
  /** How deep arrays and maps may nest, at most 512. @default 32 */
  readonly maxDepth: number;
  /** How many values a frame may hold, map keys included, and once more for each 64 bytes of a key: what they take to build holds up every other task. @default 16384 */
  readonly maxValues: number;
  /** How many keys one map may have. @default 4096 */
  readonly maxKeys: number;
}

export interface Unpacked {
  readonly value: unknown;
  /** All values, map keys included. */
  readonly values: number;
}

const timestampType = 0xff; // -1, the only extension there is a use for
const maxTimestampSeconds = 8_640_000_000_000; // of ECMAScript's Date
const maxNanoseconds = 999_999_999;

/**
 * @throws {BrokerViolation} `ERR_BROKER_VIOLATION`: cut short, followed by more bytes, nested too deep, too many values or keys,
 *   an unused format byte, a map key that is not a string or is `__proto__`, text that is not UTF-8, an extension that is not a timestamp.
 */
export function unpack(bytes: Uint8Array, limits: ValueLimits, start = 0, end = bytes.length): Unpacked {
  return new Reader(bytes, limits, start, end).whole();
}

/** V8's own way takes 6 ns a byte, which 4 MiB of accents make 25 ms, and a call of it longer than to look at a short text here. */
const shortBytes = 64;

function isAsciiBetween(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start > shortBytes) return isAscii(bytes.subarray(start, end));
  for (let at = start; at < end; at++) if ((bytes[at] as number) > 0x7f) return false;
  return true;
}

const scratch = new Uint16Array(512);
const scratchBytes = Buffer.from(scratch.buffer);

/** Valid UTF-8 of no more bytes than `scratch` has units. */
function decodeShort(text: Uint8Array): string {
  const trail = (at: number): number => (text[at] as number) & 0x3f;
  let units = 0;
  for (let at = 0; at < text.length; ) {
    const lead = text[at] as number;
    if (lead < 0x80) {
      scratch[units++] = lead;
      at += 1;
    } else if (lead < 0xe0) {
      scratch[units++] = ((lead & 0x1f) << 6) | trail(at + 1);
      at += 2;
    } else if (lead < 0xf0) {
      scratch[units++] = ((lead & 0x0f) << 12) | (trail(at + 1) << 6) | trail(at + 2);
      at += 3;
    } else {
      const point = ((lead & 0x07) << 18) | (trail(at + 1) << 12) | (trail(at + 2) << 6) | trail(at + 3);
      scratch[units++] = 0xd7c0 + (point >> 10); // 0xd800 less the 0x10000 at which pairs begin
      scratch[units++] = 0xdc00 | (point & 0x3ff);
      at += 4;
    }
  }
  return scratchBytes.toString('utf16le', 0, units * 2);
}

class Reader {
  readonly #bytes: Buffer;
  readonly #limits: ValueLimits;
  readonly #end: number;
  #position: number;
  #values = 0;
  #depth = 0;

  constructor(bytes: Uint8Array, limits: ValueLimits, start: number, end: number) {
    this.#bytes = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#limits = limits;
    this.#position = start;
    this.#end = end;
  }

  whole(): Unpacked {
    const value = this.#value();
    if (this.#position !== this.#end) throw new BrokerViolation('bytes after the value of a frame');
    return { value, values: this.#values };
  }

  #value(): unknown {
    this.#count(1);
    const byte = this.#format();
    if (byte <= 0x7f) return byte;
    if (byte <= 0x8f) return this.#map(byte & 0x0f);
    if (byte <= 0x9f) return this.#array(byte & 0x0f);
    if (byte <= 0xbf) return this.#text(byte & 0x1f);
    if (byte >= 0xe0) return byte - 0x100;
    switch (byte) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: case 0xc5: case 0xc6: return this.#binary(this.#length(1 << (byte - 0xc4)));
      case 0xc7: case 0xc8: case 0xc9: return this.#extension(this.#length(1 << (byte - 0xc7)));
      case 0xca: return this.#bytes.readFloatBE(this.#take(4));
      case 0xcb: return this.#bytes.readDoubleBE(this.#take(8));
      case 0xcc: case 0xcd: case 0xce: return this.#length(1 << (byte - 0xcc)); // uint
      case 0xcf: return this.#unsigned64(this.#take(8));
      case 0xd0: return this.#bytes.readInt8(this.#take(1));
      case 0xd1: return this.#bytes.readInt16BE(this.#take(2));
      case 0xd2: return this.#bytes.readInt32BE(this.#take(4));
      case 0xd3: return this.#signed64(this.#take(8));
      case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return this.#extension(1 << (byte - 0xd4));
      case 0xd9: case 0xda: case 0xdb: return this.#text(this.#length(1 << (byte - 0xd9)));
      case 0xdc: case 0xdd: return this.#array(this.#length(2 << (byte - 0xdc)));
      case 0xde: case 0xdf: return this.#map(this.#length(2 << (byte - 0xde)));
      default: throw new BrokerViolation('a byte that msgpack never uses'); // 0xc1
    }
  }

  #key(): string {
    const byte = this.#format();
    const isShort = byte >= 0xa0 && byte <= 0xbf;
    if (!isShort && (byte < 0xd9 || byte > 0xdb)) throw new BrokerViolation('a map key that is not a string');
    const length = isShort ? byte & 0x1f : this.#length(1 << (byte - 0xd9));
    this.#count(1 + (length >> 6)); // V8 hashes a key at 4 ns a byte, and no other text
    const key = this.#text(length);
    if (key === '__proto__') throw new BrokerViolation('the map key __proto__');
    return key;
  }

  #format(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  #count(values: number): void {
    this.#values += values;
    if (this.#values > this.#limits.maxValues) throw new BrokerViolation(`more than ${this.#limits.maxValues} values in a frame`);
  }

  /** Steps over `count` bytes and returns where they begin. */
  #take(count: number): number {
    const start = this.#position;
    if (count > this.#end - start) throw new BrokerViolation('a value that is longer than its frame');
    this.#position = start + count;
    return start;
  }

  #length(width: number): number {
    const at = this.#take(width);
    return width === 1 ? (this.#bytes[at] as number) : width === 2 ? this.#bytes.readUInt16BE(at) : this.#bytes.readUInt32BE(at);
  }

  #array(size: number): unknown[] {
    this.#enter(size);
    const array: unknown[] = [];
    for (let left = size; left > 0; left--) array.push(this.#value());
    this.#depth--;
    return array;
  }

  /** Made without a prototype, V8 keeps it as a table: a hidden class for each key that a task makes up would take twice as long, and stay. An empty table takes more. */
  #map(size: number): Record<string, unknown> {
    if (size > this.#limits.maxKeys) throw new BrokerViolation(`more than ${this.#limits.maxKeys} keys in a map`);
    this.#enter(size * 2);
    const map = (size === 0 ? {} : Object.create(null)) as Record<string, unknown>;
    for (let left = size; left > 0; left--) {
      const key = this.#key();
      map[key] = this.#value();
    }
    this.#depth--;
    return Object.setPrototypeOf(map, Object.prototype) as Record<string, unknown>;
  }

  /** What an array or map announces is not counted before it comes, but refused at once where it is too much. */
  #enter(values: number): void {
    if (values > this.#limits.maxValues - this.#values) this.#count(values);
    if (++this.#depth > this.#limits.maxDepth) throw new BrokerViolation(`values nested more than ${this.#limits.maxDepth} deep`);
  }

  #text(length: number): string {
    const start = this.#take(length);
    const end = start + length;
    if (isAsciiBetween(this.#bytes, start, end)) return this.#bytes.toString('latin1', start, end);
    const text = this.#bytes.subarray(start, end);
    if (!isUtf8(text)) throw new BrokerViolation('text that is not UTF-8');
    return length <= scratch.length ? decodeShort(text) : transcode(text, 'utf8', 'utf16le').toString('utf16le');
  }

  /** A copy: a view would keep the whole chunk it came in. And no Buffer, whatever came in. */
  #binary(length: number): Uint8Array {
    const start = this.#take(length);
    return new Uint8Array(this.#bytes.subarray(start, start + length));
  }

  /** Exact: a bigint where a number would not be. */
  #unsigned64(at: number): number | bigint {
    const high = this.#bytes.readUInt32BE(at);
    return high < 0x20_0000 ? high * 2 ** 32 + this.#bytes.readUInt32BE(at + 4) : this.#bytes.readBigUInt64BE(at);
  }

  #signed64(at: number): number | bigint {
    const number = this.#bytes.readInt32BE(at) * 2 ** 32 + this.#bytes.readUInt32BE(at + 4);
    return Number.isSafeInteger(number) ? number : this.#bytes.readBigInt64BE(at);
  }

  #extension(length: number): Date {
    const type = this.#bytes[this.#take(1)];
    const at = this.#take(length);
    if (type !== timestampType) throw new BrokerViolation('an extension type that is not a timestamp');
    if (length === 4) return new Date(this.#bytes.readUInt32BE(at) * 1000);
    if (length === 8) {
      const high = this.#bytes.readUInt32BE(at);
      return timestamp((high & 3) * 2 ** 32 + this.#bytes.readUInt32BE(at + 4), high >>> 2);
    }
    if (length === 12) return timestamp(Number(this.#bytes.readBigInt64BE(at + 4)), this.#bytes.readUInt32BE(at));
    throw new BrokerViolation('a timestamp of no known length');
  }
}

function timestamp(seconds: number, nanoseconds: number): Date {
  if (Math.abs(seconds) >= maxTimestampSeconds || nanoseconds > maxNanoseconds) throw new BrokerViolation('a timestamp that no Date can hold');
  return new Date(seconds * 1000 + nanoseconds / 1e6);
}
