import { endsWithin, sextetOf, sextets, wholeCharacters } from './base64.js';
import { isEscape, isNamed, longestEscape, more, namedBytes, plus, schemesAt, signs, type Scheme, Unescaper } from './escapes.js';
import { alignmentOf, block, type Form, type MaskImage, type OpenImage, threeAt } from './image.js';
import { mark, type Span } from './spans.js';

/** Not here. */
const no = -2;

/** Bytes compared and read for each byte of text: one of a secret's own beginnings must not cost a multiple of its length. */
const workPerByte = 8;
const leastWork = 1 << 17;
/** To try an escape where a beginning at the end of the text is looked for: what may be open is kept back there, not hidden. */
const escapeWork = 16;

/**
 * Looks for an image's values in one text. In three passes: windows of what is spelt one way only, skipping what cannot be
 * (Wu and Manber's search); escapes, each of which can be a value's first; and, where more text may come, beginnings at
 * its end.
 *
 * An occurrence is the value's bytes as they are; or the first of them as they are and then, from an escape on, all read
 * under one scheme; or the characters of base64 that hold its bits.
 */
export class Search {
  readonly #image: MaskImage;
  readonly #bytes: Uint8Array;
  readonly #ints: Int32Array;
  readonly #text: Buffer;
  readonly #unescaper: Unescaper;
  readonly #spans: Span[];
  #work: number;

  /** @param spans Gets what is found. */
  constructor(image: MaskImage, { bytes, ints }: OpenImage, text: Buffer, spans: Span[]) {
    this.#image = image;
    this.#bytes = bytes;
    this.#ints = ints;
    this.#text = text;
    this.#unescaper = new Unescaper(text);
    this.#spans = spans;
    this.#work = Math.max(leastWork, workPerByte * text.length);
  }

  /** Every whole occurrence. Where it would cost too much to tell, all of the text is one. */
  find(): void {
    this.#windows();
    for (const sign of signs) this.#escapes(sign);
    if (this.#exhausted) this.#spans.push({ start: 0, end: this.#text.length, mark });
  }

  /** Where the first occurrence that may go on behind the end of the text begins; its length when there is none. */
  firstOpen(): number {
    const { length } = this.#text;
    for (let start = this.#firstPossible(); start < length; start++) {
      if (this.#exhausted || this.#opens(start)) return this.#sharedFrom(start);
    }
    return length;
  }

  /** Before it nothing can begin and still be open: base64 is longer by a third and line breaks, an escape by 8 bytes at most. */
  #firstPossible(): number {
    const [text, { longest }] = [this.#text, this.#image];
    const { length } = text;
    const furthest = Math.max(0, length - (longest + 1) * longestEscape);
    let first = Math.max(0, length - Math.ceil(longest * 1.4) - block);
    if (signs.every((sign) => text.indexOf(sign, furthest) < 0)) return first;
    let room = longest;
    for (let at = length - 1; at >= furthest; at--) {
      if (isEscape[text[at] as number] === 1) room += longestEscape - 1;
      if (at < first && length - at <= room) first = at;
    }
    return first;
  }

  #opens(start: number): boolean {
    const [image, text] = [this.#image, this.#text];
    const first = text[start] as number;
    if (isEscape[first] === 1 && this.#opensEscaped(start)) return true;
    const short = start + block > text.length;
    if (short && text.subarray(start).every((character) => (sextets[character] as number) >= 0)) return true; // too little to tell
    // Where the first three bytes are not there as they are the second or third can be an escape.
    if ((short || isEscape[text[start + 1] as number] === 1 || isEscape[text[start + 2] as number] === 1)
      && image.findFirst(this.#ints, first, (value) => this.#opensPlain(value, start))) return true;
    return !short && image.findOpening(this.#ints, threeAt(text, start), (value, form) => (form === 0 ? this.#opensPlain(value, start) : this.#base64(value, form, start, false) === more));
  }

  #windows(): void {
    const [image, text, bytes] = [this.#image, this.#text, this.#bytes];
    for (let end = image.nextWindow(bytes, text, image.window - 1); end < text.length; end = image.nextWindow(bytes, text, end + 1)) {
      const at = end - image.window + 1;
      image.findWindow(this.#ints, image.windowHash(text, at), (value, form) => {
        const found = form === 0 ? this.#plain(value, at) : this.#base64(value, form, at, true);
        if (found >= 0) this.#spans.push({ start: form > 1 ? this.#sharedFrom(at) : at, end: found, mark });
        return this.#exhausted;
      });
      if (this.#exhausted) return;
    }
  }

  /** Each escape that begins with `sign`, as the first of an occurrence. */
  #escapes(sign: number): void {
    const text = this.#text;
    for (let at = text.indexOf(sign); at >= 0 && !this.#exhausted; at = text.indexOf(sign, at + 1)) {
      for (const [scheme, depth] of schemesAt(text, at)) {
        const byte = this.#escapedByte(at, scheme, depth);
        if (byte < 0) continue;
        const check = (value: number, place: number): boolean => {
          const found = this.#backwards(value, place, at) ? this.#escaped(value, place, at, scheme, depth) : no;
          if (found >= 0) this.#spans.push({ start: at - place, end: found, mark });
          return this.#exhausted;
        };
        this.#image.findFirst(this.#ints, byte, (value) => check(value, 0));
        if (at > 0) this.#image.findLater(this.#ints, text[at - 1] as number, byte, check);
      }
    }
  }

  get #exhausted(): boolean {
    return this.#work < 0;
  }

  /** The first byte of what the escape at `at` stands for, {@link more}, or {@link no} when it is none. */
  #escapedByte(at: number, scheme: Scheme, depth: number): number {
    if (this.#text[at] === plus) return 0x20;
    const unit = this.#unescaper.read(scheme, at, depth);
    this.#work -= depth * (this.#unescaper.at - at);
    if (unit === more) return more;
    return this.#unescaper.at === at + 1 ? no : isNamed(unit) ? (namedBytes(unit)[0] as number) : unit;
  }

  #opensEscaped(start: number): boolean {
    return schemesAt(this.#text, start).some(([scheme, depth]) => {
      const byte = this.#escapedByte(start, scheme, depth);
      return byte === more || (byte >= 0 && this.#image.findFirst(this.#ints, byte, (value) => this.#escaped(value, 0, start, scheme, depth) === more));
    });
  }

  #place(value: number): readonly [number, number] {
    return this.#image.places[value] as readonly [number, number];
  }

  /** Where the value ends that begins at `at` as it is. */
  #plain(value: number, at: number): number {
    const [offset, length] = this.#place(value);
    let place = 0;
    while (place < length && this.#text[at + place] === this.#bytes[offset + place]) place++;
    this.#work -= place;
    return place === length ? at + length : no;
  }

  /** Whether a value begins at `start` as it is, and goes on behind the text or becomes an escape that does. */
  #opensPlain(value: number, start: number): boolean {
    const [offset, length] = this.#place(value);
    const text = this.#text;
    for (let place = 0; place < length; place++) {
      const here = start + place;
      if (here >= text.length) return true;
      const byte = text[here] as number;
      const isAnchor = place > 0 && isEscape[byte] === 1;
      this.#work -= isAnchor ? escapeWork : 1;
      if (isAnchor && schemesAt(text, here).some(([scheme, depth]) => this.#escaped(value, place, here, scheme, depth) === more)) return true;
      if (byte !== this.#bytes[offset + place]) return false;
    }
    return false;
  }

  /** Whether the bytes before `at` are the value's first `place`. */
  #backwards(value: number, place: number, at: number): boolean {
    const [offset] = this.#place(value);
    let back = 1;
    while (back <= place && at - back >= 0 && this.#text[at - back] === this.#bytes[offset + place - back]) back++;
    this.#work -= back;
    return back > place;
  }

  /** Where the value ends whose bytes from `place` on are escaped from `at` on. */
  #escaped(value: number, place: number, at: number, scheme: Scheme, depth: number): number {
    const [offset, length] = this.#place(value);
    const from = at;
    while (place < length) {
      const unit = this.#unescaper.read(scheme, at, depth);
      if (unit === more) break;
      at = this.#unescaper.at;
      const next = isNamed(unit) ? this.#named(unit, offset, length, place) : this.#stands(unit, scheme, this.#bytes[offset + place] as number) ? place + 1 : no;
      if (next === no) {
        this.#work -= (at - from) * depth;
        return no;
      }
      place = next;
    }
    this.#work -= (at - from) * depth;
    return place === length ? at : more;
  }

  #stands(unit: number, scheme: Scheme, byte: number): boolean {
    return unit === byte || (byte === 0x20 && unit === plus && scheme === 'percent');
  }

  /** The place behind a code point's bytes, if they are the value's. */
  #named(unit: number, offset: number, length: number, place: number): number {
    for (const byte of namedBytes(unit)) if (place >= length || this.#bytes[offset + place++] !== byte) return no;
    return place;
  }

  /** Where the value ends whose first whole character of base64 is at `at`. Lines may be broken, as base64(1) does. */
  #base64(value: number, form: Form, at: number, final: boolean): number {
    const [offset, length] = this.#place(value);
    const [text, alignment] = [this.#text, alignmentOf(form)];
    const whole = wholeCharacters(length, alignment);
    for (let index = 0; index < whole; index++) {
      while (index > 0 && (text[at] === 0x0a || text[at] === 0x0d)) at++;
      if (at >= text.length || sextets[text[at] as number] !== sextetOf(this.#bytes, offset, alignment, index)) {
        this.#work -= index;
        return at >= text.length ? more : no;
      }
      at++;
    }
    this.#work -= whole;
    if (!endsWithin(length, alignment)) return at;
    // The last bits share a character with what follows.
    if (at >= text.length && !final) return more;
    return (sextets[text[at] as number] as number) >= 0 ? at + 1 : at;
  }

  /** The first bits share a character with what stands before. */
  #sharedFrom(at: number): number {
    return at > 0 && (sextets[this.#text[at - 1] as number] as number) >= 0 ? at - 1 : at;
  }
}
