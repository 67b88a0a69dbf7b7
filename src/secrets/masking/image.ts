import { randomBytes } from 'node:crypto';
import { EnforcementPartial, SecretDestroyed } from '../../errors.js';
import { native, type SecretHandle } from '../../native.js';
import { type Alignment, spellings, wholeCharacters } from './base64.js';
import { alphanumeric } from './escapes.js';

/** How a value is spelt where it is looked for: as it is, or in base64 at one of three alignments. */
export type Form = 0 | 1 | 2 | 3;
export const alignmentOf = (form: Form): Alignment => (form - 1) as Alignment;

/** Bytes that are hashed together, as one number. */
export const block = 3;
export const threeAt = (bytes: Uint8Array, at: number): number => (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16);

/** A longer window lets the search skip further, up to where other things cost as much. */
const longestWindow = 8;

/** How a chained entry is laid out: the next one plus 1, the value's number and form, and a detail: of an opening its three bytes, of an anchor its place and the byte before. */
const nodeInts = 3;

/**
 * Where a value's first escape can be: at its beginning or, since encoders decide byte by byte, where a byte that is not a
 * letter or digit comes up for the first time.
 */
function anchors(value: Uint8Array): number[] {
  const seen = new Set<number>();
  const places = [0];
  value.forEach((byte, place) => {
    if (place > 0 && !alphanumeric(byte) && !seen.has(byte)) places.push(place);
    seen.add(byte);
  });
  return places;
}

const powerOfTwo = (atLeast: number, least: number, most: number): number => Math.min(Math.max(Math.ceil(Math.log2(atLeast)), least), most);

/** What a search reads: the values, and tables of where their parts are looked for. */
export interface OpenImage {
  readonly bytes: Uint8Array;
  readonly ints: Int32Array;
}

/**
 * Values and the tables to find them, in one piece of secret memory. Immutable: one more value makes another image, and
 * this one is wiped. What stands outside, in ordinary memory, is how many values there are and how long each is.
 */
export class MaskImage {
  readonly #handle: SecretHandle;
  /** Offset and length of each value. */
  readonly places: readonly (readonly [offset: number, length: number])[];
  readonly longest: number;
  /** Bytes of each form that are looked for at once: the search moves by up to this less 2. */
  readonly window: number;
  readonly #skipAt: number;
  // The first 256 integers are heads of the values that begin with a byte.
  readonly #windowHeads: number;
  readonly #openingHeads: number;
  readonly #laterHeads: number;
  readonly #nodes: number;
  readonly #key = randomBytes(4).readUInt32LE() | 1; // so that nobody can write text that collides on purpose
  readonly #skipShift: number;
  readonly #windowShift: number;
  readonly #openingShift: number;

  /** @throws {EnforcementPartial} `ERR_ENFORCEMENT_PARTIAL`: RLIMIT_MEMLOCK is spent; `previous` is as it was. */
  constructor(previous: MaskImage | undefined, added: readonly Uint8Array[]) {
    const lengths = [...(previous?.places ?? []).map(([, length]) => length), ...added.map(({ length }) => length)];
    const size = lengths.reduce((sum, length) => sum + length, 0);
    this.longest = Math.max(...lengths);
    this.window = Math.min(longestWindow, ...lengths.flatMap((length) => [length, ...([0, 1, 2] as const).map((alignment) => wholeCharacters(length, alignment))]));
    const blocks = lengths.length * 5 * (this.window - block + 1);
    const [skipBits, windowBits, openingBits] = [powerOfTwo(blocks * 4, 9, 16), powerOfTwo(lengths.length * 8, 4, 16), powerOfTwo(lengths.length * 16, 4, 14)];
    this.#skipShift = 32 - skipBits;
    this.#windowShift = 32 - windowBits;
    this.#openingShift = 32 - openingBits;
    const anchorCount = (previous?.open((open) => previous.places.reduce((sum, [at, length]) => sum + anchors(open.bytes.subarray(at, at + length)).length, 0)) ?? 0)
      + added.reduce((sum, value) => sum + anchors(value).length, 0);
    // Seven spellings of a window and of an opening for each value.
    this.#windowHeads = 256;
    this.#openingHeads = this.#windowHeads + (1 << windowBits);
    this.#laterHeads = this.#openingHeads + (1 << openingBits);
    this.#nodes = this.#laterHeads + (1 << openingBits);
    this.#skipAt = 4 * (this.#nodes + nodeInts * (14 * lengths.length + anchorCount));
    const valuesAt = this.#skipAt + (1 << skipBits);
    this.#handle = allocate(valuesAt + size);
    let offset = valuesAt;
    this.places = lengths.map((length) => {
      offset += length;
      return [offset - length, length] as const;
    });
    this.open((open) => {
      const kept = previous?.places.length ?? 0;
      previous?.open(({ bytes }) => previous.places.forEach(([at, length], index) => this.#put(open, index, bytes.subarray(at, at + length))));
      added.forEach((value, index) => this.#put(open, kept + index, value));
      this.#fill(open);
    });
  }

  /** Lends the memory to `use`, which must not keep it. */
  open<T>(use: (open: OpenImage) => T): T {
    const buffer = native().openSecret(this.#handle);
    if (buffer === undefined) throw new SecretDestroyed();
    try {
      return use({ bytes: new Uint8Array(buffer), ints: new Int32Array(buffer, 0, this.#skipAt >> 2) });
    } finally {
      native().closeSecret(this.#handle, buffer);
    }
  }

  /** Whether the image holds exactly these bytes. */
  has(value: Uint8Array): boolean {
    return this.open(({ bytes }) => this.places.some(([at, length]) => length === value.length && Buffer.compare(bytes.subarray(at, at + length), value) === 0));
  }

  destroy(): void {
    native().destroySecret(this.#handle);
  }

  /** Where, at `end` or behind it, a window may end; `text.length` or more when nowhere. By far the most of a search's time. */
  nextWindow(bytes: Uint8Array, text: Uint8Array, end: number): number {
    const [key, shift, skipAt, { length }] = [this.#key, this.#skipShift, this.#skipAt, text];
    while (end < length) {
      const skip = bytes[skipAt + (Math.imul(threeAt(text, end - 2), key) >>> shift)] as number;
      if (skip === 0) break;
      end += skip;
    }
    return end;
  }

  windowHash(bytes: Uint8Array, at: number): number {
    let hash = 0;
    for (let i = 0; i < this.window; i++) hash = Math.imul(hash ^ (bytes[at + i] as number), this.#key) ^ (hash >>> 15);
    return Math.imul(hash, this.#key) >>> this.#windowShift;
  }

  /** The values and forms whose window has this hash. `each` stops it by returning true; so do the next two. */
  findWindow(ints: Int32Array, hash: number, each: (value: number, form: Form) => boolean): boolean {
    return this.#find(ints, this.#windowHeads + hash, (what) => each(what >> 2, (what & 3) as Form));
  }

  /** The values and forms that begin with these three bytes. */
  findOpening(ints: Int32Array, three: number, each: (value: number, form: Form) => boolean): boolean {
    return this.#find(ints, this.#openingHead(three), (what, detail) => detail === three && each(what >> 2, (what & 3) as Form));
  }

  /** The values that begin with this byte. */
  findFirst(ints: Int32Array, byte: number, each: (value: number) => boolean): boolean {
    return this.#find(ints, byte, (what) => each(what >> 2));
  }

  /** Where values that begin before it may have this byte as their first escape, and behind the byte `before`. */
  findLater(ints: Int32Array, before: number, byte: number, each: (value: number, place: number) => boolean): boolean {
    return this.#find(ints, this.#laterHead(before, byte), (what, detail) => detail >> 16 === before && each(what >> 2, detail & 0xffff));
  }

  #find(ints: Int32Array, head: number, each: (what: number, detail: number) => boolean): boolean {
    for (let node = ints[head] as number; node !== 0;) {
      const at = this.#nodes + (node - 1) * nodeInts;
      if (each(ints[at + 1] as number, ints[at + 2] as number)) return true;
      node = ints[at] as number;
    }
    return false;
  }

  #laterHead(before: number, byte: number): number {
    return this.#laterHeads + (Math.imul(before | (byte << 8), this.#key) >>> this.#openingShift);
  }

  #openingHead(three: number): number {
    return this.#openingHeads + (Math.imul(three, this.#key) >>> this.#openingShift);
  }

  #put({ bytes }: OpenImage, index: number, value: Uint8Array): void {
    // The intrinsic: Buffer's own would copy a small array to V8's heap.
    Uint8Array.prototype.set.call(bytes, value, (this.places[index] as readonly [number, number])[0]);
  }

  #fill({ bytes, ints }: OpenImage): void {
    const furthest = this.window - block + 1;
    bytes.fill(furthest, this.#skipAt, (this.places[0] as readonly [number, number])[0]);
    let nodes = 0;
    const add = (head: number, value: number, form: Form, detail: number): void => {
      const at = this.#nodes + nodes * nodeInts;
      ints[at] = ints[head] as number;
      ints[at + 1] = (value << 2) | form;
      ints[at + 2] = detail;
      ints[head] = ++nodes;
    };
    const addWindow = (spelt: Uint8Array, value: number, form: Form): void => {
      for (let end = block; end <= this.window; end++) {
        const slot = this.#skipAt + (Math.imul(threeAt(spelt, end - block), this.#key) >>> this.#skipShift);
        bytes[slot] = Math.min(bytes[slot] as number, this.window - end);
      }
      add(this.#windowHeads + this.windowHash(spelt, 0), value, form, 0);
    };
    const addOpening = (spelt: Uint8Array, value: number, form: Form): void => {
      const three = threeAt(spelt, 0);
      add(this.#openingHead(three), value, form, three);
    };
    this.places.forEach(([at, length], value) => {
      const own = bytes.subarray(at, at + length);
      addWindow(own, value, 0);
      addOpening(own, value, 0);
      for (const place of anchors(own)) {
        const [byte, before] = [own[place] as number, own[place - 1] ?? 0];
        add(place === 0 ? byte : this.#laterHead(before, byte), value, 0, place | (before << 16));
      }
      for (const form of [1, 2, 3] as const) {
        for (const spelt of spellings(bytes, at, alignmentOf(form), this.window)) {
          addWindow(spelt, value, form);
          spelt.fill(0);
        }
        for (const spelt of spellings(bytes, at, alignmentOf(form), block)) addOpening(spelt, value, form);
      }
    });
  }
}

function allocate(byteLength: number): SecretHandle {
  try {
    return native().newSecret(byteLength);
  } catch (cause) {
    const { code, syscall } = cause as NodeJS.ErrnoException;
    if ((syscall === 'mmap' || syscall === 'mlock') && (code === 'EAGAIN' || code === 'ENOMEM' || code === 'EPERM')) {
      throw new EnforcementPartial('secrets', `no memory can be locked for what a masker looks for: it takes ${Math.ceil(byteLength / 1024)} KiB, and RLIMIT_MEMLOCK is spent`, { cause });
    }
    throw cause;
  }
}
