/**
 * A walk over one msgpack value that builds nothing: it finds what a decoder would refuse, or would pay too much for,
 * before the decoder sees it.
 * @see https://github.com/msgpack/msgpack/blob/master/spec.md
 */

import { Buffer, isUtf8 } from 'node:buffer';
import { BrokerViolation } from '../errors.js';

export interface Examined {
  /** All values, map keys included. */
  readonly values: number;
  /** Whether a 64-bit integer is beyond what a number holds exactly. */
  readonly wideIntegers: boolean;
}

const timestampType = 0xff; // -1, the only extension there is a use for
const maxTimestampSeconds = 8_640_000_000_000n; // of ECMAScript's Date

/**
 * @throws {BrokerViolation} `ERR_BROKER_VIOLATION`: cut short, followed by more bytes, nested too deep, too many values,
 *   an unused format byte, a map key that is not a string or is `__proto__`, text that is not UTF-8, an extension that is not a timestamp.
 */
export function examine(bytes: Uint8Array, limits: { readonly maxDepth: number; readonly maxValues: number }): Examined {
  return new Walk(bytes, limits).run();
}

class Walk {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #limits: { readonly maxDepth: number; readonly maxValues: number };
  #position = 0;
  #values = 0;
  #wideIntegers = false;
  /** How many values each open array or map still lacks; a map's count is even before a key. */
  readonly #missing: number[] = [];
  readonly #isMap: boolean[] = [];

  constructor(bytes: Uint8Array, limits: { readonly maxDepth: number; readonly maxValues: number }) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#limits = limits;
  }

  run(): Examined {
    this.#value(false);
    for (let depth = this.#missing.length; depth > 0; depth = this.#missing.length) {
      const missing = this.#missing[depth - 1] ?? 0;
      if (missing === 0) {
        this.#missing.pop();
        this.#isMap.pop();
      } else {
        this.#missing[depth - 1] = missing - 1;
        this.#value(this.#isMap[depth - 1] === true && missing % 2 === 0);
      }
    }
    if (this.#position !== this.#bytes.length) throw new BrokerViolation('bytes after the value of a frame');
    return { values: this.#values, wideIntegers: this.#wideIntegers };
  }

  #value(isKey: boolean): void {
    if (++this.#values > this.#limits.maxValues) throw new BrokerViolation(`a frame of more than ${this.#limits.maxValues} values`);
    const format = this.#take(1);
    const byte = this.#bytes[format] ?? 0;
    if (byte >= 0xa0 && byte <= 0xbf) return this.#text(byte & 0x1f, isKey);
    if (byte >= 0xd9 && byte <= 0xdb) return this.#text(this.#length(1 << (byte - 0xd9)), isKey);
    if (isKey) throw new BrokerViolation('a map key that is not a string');
    if (byte <= 0x7f || byte >= 0xe0) return; // fixint
    if (byte <= 0x8f) return this.#open(byte & 0x0f, true);
    if (byte <= 0x9f) return this.#open(byte & 0x0f, false);
    switch (byte) {
      case 0xc0: case 0xc2: case 0xc3: return; // nil, false, true
      case 0xc4: case 0xc5: case 0xc6: this.#take(this.#length(1 << (byte - 0xc4))); return; // bin
      case 0xc7: case 0xc8: case 0xc9: return this.#extension(this.#length(1 << (byte - 0xc7)));
      case 0xca: this.#take(4); return; // float
      case 0xcb: this.#take(8); return;
      case 0xcc: case 0xcd: case 0xce: this.#take(1 << (byte - 0xcc)); return; // uint
      case 0xd0: case 0xd1: case 0xd2: this.#take(1 << (byte - 0xd0)); return; // int
      case 0xcf: return this.#wide(this.#view.getBigUint64(this.#take(8)));
      case 0xd3: return this.#wide(this.#view.getBigInt64(this.#take(8)));
      case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return this.#extension(1 << (byte - 0xd4));
      case 0xdc: case 0xdd: return this.#open(this.#length(2 << (byte - 0xdc)), false);
      case 0xde: case 0xdf: return this.#open(this.#length(2 << (byte - 0xde)), true);
      default: throw new BrokerViolation('a byte that msgpack never uses'); // 0xc1
    }
  }

  /** Steps over `count` bytes and returns where they begin. */
  #take(count: number): number {
    const start = this.#position;
    if (count > this.#bytes.length - start) throw new BrokerViolation('a value that is longer than its frame');
    this.#position = start + count;
    return start;
  }

  #length(width: number): number {
    const at = this.#take(width);
    return width === 1 ? this.#view.getUint8(at) : width === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #open(size: number, isMap: boolean): void {
    if (this.#missing.length >= this.#limits.maxDepth) throw new BrokerViolation(`a frame nested more than ${this.#limits.maxDepth} deep`);
    this.#missing.push(isMap ? size * 2 : size);
    this.#isMap.push(isMap);
  }

  #text(length: number, isKey: boolean): void {
    const start = this.#take(length);
    if (!this.#isAscii(start, length) && !isUtf8(this.#bytes.subarray(start, start + length))) throw new BrokerViolation('text that is not UTF-8');
    if (isKey && length === 9 && this.#isProto(start)) throw new BrokerViolation('the map key __proto__');
  }

  #isAscii(start: number, length: number): boolean {
    if (length > 64) return false; // then the native check is the faster one
    for (let at = start; at < start + length; at++) if ((this.#bytes[at] ?? 0) > 0x7f) return false;
    return true;
  }

  #isProto(start: number): boolean {
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + start, 9).toString('latin1') === '__proto__';
  }

  #wide(value: bigint): void {
    if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) this.#wideIntegers = true;
  }

  #extension(length: number): void {
    const type = this.#bytes[this.#take(1)];
    const start = this.#take(length);
    if (type !== timestampType) throw new BrokerViolation('an extension type that is not a timestamp');
    if (length !== 4 && length !== 8 && length !== 12) throw new BrokerViolation('a timestamp of no known length');
    if (length !== 12) return;
    const seconds = this.#view.getBigInt64(start + 4);
    if (seconds >= maxTimestampSeconds || seconds <= -maxTimestampSeconds) throw new BrokerViolation('a timestamp that no Date can hold');
  }
}
