import { randomBytes } from 'node:crypto';
import { SecretDestroyed } from '../../errors.js';
import { native, type SecretHandle } from '../../native.js';
import { type Alignment, alphabets, spell, wholeCharacters } from './base64.js';
import { alphanumeric } from './escapes.js';
import { allocate, leastRoom, type Room, roomFor } from './room.js';

/** How a value is spelt where it is looked for: as it is, or in base64 at one of three alignments. */
export type Form = 0 | 1 | 2 | 3;
export const alignmentOf = (form: Form): Alignment => (form - 1) as Alignment;
const alignments = [0, 1, 2] as const;

/** Bytes that are hashed together, as one number. */
export const block = 3;
export const threeAt = (bytes: Uint8Array, at: number): number => (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16);

/** A longer window lets the search skip further, up to where other things cost as much. */
const longestWindow = 8;

/** How a chained entry is laid out: the next one plus 1, the value's number and form, and a detail: of an opening its three bytes, of an anchor its place and the byte before. */
const nodeInts = 3;
/** Besides its anchors a value has seven spellings of a window, as many of an opening, and itself as a whole. */
const nodesForEach = 15;

/** Of one call of anchors(), which wipes it. */
const seen = new Uint8Array(256);

/**
 * Where a value's first escape can be: at its beginning or, since encoders decide byte by byte, where a byte that is not a
 * letter or digit comes up for the first time.
 */
function anchors(value: Uint8Array): number[] {
  const places = [0];
  for (let place = 0; place < value.length; place++) {
    const byte = value[place] as number;
    if (place > 0 && seen[byte] === 0 && !alphanumeric(byte)) places.push(place);
    seen[byte] = 1;
  }
  seen.fill(0);
  return places;
}

const powerOfTwo = (atLeast: number, least: number, most: number): number => Math.min(Math.max(Math.ceil(Math.log2(atLeast)), least), most);

/** What a search reads: the values, and tables of where their parts are looked for. */
export interface OpenImage {
  readonly bytes: Uint8Array;
  readonly ints: Int32Array;
}

/**
 * Values and the tables to find them, in one piece of secret memory. It has room for more: where that is used up a larger one takes
 * its place. What stands outside, in ordinary memory, is how many values there are and how long each is.
 */
export class MaskImage {
  static readonly mostValues = 2048;
  readonly #handle: SecretHandle;
  readonly #places: (readonly [offset: number, length: number])[] = [];
  #longest = 0;
  /** Bytes of each form that are looked for at once: the search moves by up to this less 2. */
  readonly window: number;
  readonly #room: Room;
  #nodeCount = 0;
  /** Behind the last value. */
  #end: number;
  // The first 256 integers are heads of the values that begin with a byte.
  readonly #windowHeads = 256;
  readonly #wholeHeads: number;
  readonly #openingHeads: number;
  readonly #laterHeads: number;
  readonly #nodes: number;
  readonly #skipAt: number;
  /** Where one window is spelt before it is hashed. */
  readonly #spellAt: number;
  readonly #valuesAt: number;
  readonly #key = randomBytes(4).readUInt32LE() | 1; // so that nobody can write text that collides on purpose
  readonly #skipShift: number;
  readonly #windowShift: number;
  readonly #openingShift: number;

  private constructor(window: number, room: Room) {
    this.window = window;
    this.#room = room;
    const blocks = room.values * 5 * (window - block + 1);
    const [skipBits, windowBits, openingBits] = [powerOfTwo(blocks * 4, 9, 16), powerOfTwo(room.values * 8, 4, 16), powerOfTwo(room.values * 16, 4, 14)];
    this.#skipShift = 32 - skipBits;
    this.#windowShift = 32 - windowBits;
    this.#openingShift = 32 - openingBits;
    this.#wholeHeads = this.#windowHeads + (1 << windowBits);
    this.#openingHeads = this.#wholeHeads + (1 << windowBits);
    this.#laterHeads = this.#openingHeads + (1 << openingBits);
    this.#nodes = this.#laterHeads + (1 << openingBits);
    this.#skipAt = 4 * (this.#nodes + nodeInts * room.nodes);
    this.#spellAt = this.#skipAt + (1 << skipBits);
    this.#valuesAt = this.#spellAt + longestWindow;
    this.#end = this.#valuesAt;
    this.#handle = allocate(this.#valuesAt + room.bytes);
    this.open(({ bytes }) => bytes.fill(window - block + 1, this.#skipAt, this.#spellAt));
  }

  /** Offset and length of each value. */
  get places(): readonly (readonly [offset: number, length: number])[] {
    return this.#places;
  }

  get longest(): number {
    return this.#longest;
  }

  /** How many values it should hold more: to make a larger one holds the event loop up, and then another is begun. */
  get left(): number {
    return MaskImage.mostValues - this.#places.length;
  }

  /**
   * @param former What it holds is held too. It is what is returned if it has room for the values; otherwise it is destroyed.
   * @throws {EnforcementPartial} `ERR_ENFORCEMENT_PARTIAL`: RLIMIT_MEMLOCK is spent; `former` is as it was.
   */
  static holding(values: readonly Uint8Array[], former?: MaskImage): MaskImage {
    const sum = (of: (value: Uint8Array) => number): number => values.reduce((so, value) => so + of(value), 0);
    const window = values.reduce((least, { length }) => Math.min(least, length, ...alignments.map((alignment) => wholeCharacters(length, alignment))), former?.window ?? longestWindow);
    const [used, formerRoom] = former === undefined ? [{ values: 0, bytes: 0, nodes: 0 }, leastRoom] : [former.#used, former.#room];
    const room = roomFor({
      values: used.values + values.length,
      bytes: used.bytes + sum(({ length }) => length),
      nodes: used.nodes + sum((value) => nodesForEach + anchors(value).length),
    }, formerRoom);
    const image = former?.window === window && formerRoom === room ? former : new MaskImage(window, room);
    image.open((open) => {
      if (former !== undefined && image !== former) former.open(({ bytes }) => former.#places.forEach(([at, length]) => image.#add(open, bytes.subarray(at, at + length))));
      for (const value of values) if (!image.#holds(open, value)) image.#add(open, value);
    });
    if (image !== former) former?.destroy();
    return image;
  }

  /** Those of the values that it does not hold. */
  lacks(values: readonly Uint8Array[]): readonly Uint8Array[] {
    return this.open((open) => values.filter((value) => !this.#holds(open, value)));
  }

  get #used(): Room {
    return { values: this.#places.length, bytes: this.#end - this.#valuesAt, nodes: this.#nodeCount };
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

  #holds({ bytes, ints }: OpenImage, value: Uint8Array): boolean {
    return this.#find(ints, this.#wholeHeads + this.#wholeHash(value), (what) => {
      const [at, length] = this.#places[what >> 2] as readonly [number, number];
      return length === value.length && Buffer.compare(bytes.subarray(at, at + length), value) === 0;
    });
  }

  #wholeHash(value: Uint8Array): number {
    let hash = value.length;
    for (const byte of value) hash = Math.imul(hash ^ byte, this.#key) ^ (hash >>> 15);
    return Math.imul(hash, this.#key) >>> this.#windowShift;
  }

  #add({ bytes, ints }: OpenImage, value: Uint8Array): void {
    const at = this.#end;
    const index = this.#places.push([at, value.length]) - 1;
    this.#end += value.length;
    this.#longest = Math.max(this.#longest, value.length);
    // The intrinsic: Buffer's own would copy a small array to V8's heap.
    Uint8Array.prototype.set.call(bytes, value, at);

    const chain = (head: number, form: Form, detail: number): void => {
      const node = this.#nodes + this.#nodeCount * nodeInts;
      ints[node] = ints[head] as number;
      ints[node + 1] = (index << 2) | form;
      ints[node + 2] = detail;
      ints[head] = ++this.#nodeCount;
    };
    const chainWindow = (spelt: number, form: Form): void => {
      for (let end = block; end <= this.window; end++) {
        const slot = this.#skipAt + (Math.imul(threeAt(bytes, spelt + end - block), this.#key) >>> this.#skipShift);
        bytes[slot] = Math.min(bytes[slot] as number, this.window - end);
      }
      chain(this.#windowHeads + this.windowHash(bytes, spelt), form, 0);
    };
    const chainOpening = (three: number, form: Form): void => chain(this.#openingHead(three), form, three);

    chain(this.#wholeHeads + this.#wholeHash(value), 0, 0);
    chainWindow(at, 0);
    chainOpening(threeAt(bytes, at), 0);
    for (const place of anchors(value)) {
      const [byte, before] = [value[place] as number, value[place - 1] ?? 0];
      chain(place === 0 ? byte : this.#laterHead(before, byte), 0, place | (before << 16));
    }
    for (const form of [1, 2, 3] as const) {
      const alignment = alignmentOf(form);
      let opening = -1;
      for (const [alphabet, letters] of alphabets.entries()) {
        const differs = spell(bytes, at, alignment, this.window, letters, this.#spellAt);
        if (alphabet > 0 && !differs) continue;
        chainWindow(this.#spellAt, form);
        const three = threeAt(bytes, this.#spellAt);
        if (three !== opening) chainOpening(three, form);
        opening = three;
      }
    }
    bytes.fill(0, this.#spellAt, this.#valuesAt);
  }
}
