/** The text ends within what was to be read. */
export const more = -1;

/** What looked like an escape is none. */
const none = -2;

/** Added to a code point that an escape named: it stands for its bytes in UTF-8, and not for one byte. */
const named = 0x1000000;

/** Ways of writing a byte as something else; each nests, as a JSON document in a field of another one does. */
export type Scheme = 'backslash' | 'percent';

const backslash = 0x5c;
const percentSign = 0x25;
export const plus = 0x2b;

/** What escapes begin with. */
export const signs = [backslash, percentSign, plus] as const;
export const isEscape = new Uint8Array(256);
for (const sign of signs) isEscape[sign] = 1;

const letters = new Map([['n', 10], ['r', 13], ['t', 9], ['b', 8], ['f', 12]].map(([letter, byte]) => [String(letter).charCodeAt(0), byte as number]));

export const alphanumeric = (byte: number): boolean => (byte >= 0x30 && byte <= 0x39) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a);

function hexDigit(character: number): number {
  if (character >= 0x30 && character <= 0x39) return character - 0x30;
  const lower = character | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/**
 * Reads text that is escaped: RFC 8259 section 7, with the further ones of Python's repr() and of shells, and RFC 3986
 * section 2.1. More is accepted than any one encoder writes, since what is read is only compared.
 */
export class Unescaper {
  /** Behind what was read last. */
  at = 0;
  readonly #text: Uint8Array;

  constructor(text: Uint8Array) {
    this.#text = text;
  }

  /** The byte or named code point at `at`, escaped `depth` times over, or {@link more}. */
  read(scheme: Scheme, at: number, depth: number): number {
    if (depth === 0) {
      if (at >= this.#text.length) return more;
      this.at = at + 1;
      return this.#text[at] as number;
    }
    const first = this.read(scheme, at, depth - 1);
    if (first !== (scheme === 'percent' ? percentSign : backslash)) return first;
    const back = this.at;
    const unit = scheme === 'percent' ? this.#hex(scheme, 2, depth - 1) : this.#letter(depth);
    if (unit !== none) return unit;
    this.at = back;
    return first;
  }

  /** What a backslash before what is at `at` makes of it. */
  #letter(depth: number): number {
    const letter = this.read('backslash', this.at, depth - 1);
    if (letter === 0x78) return this.#hex('backslash', 2, depth - 1);
    if (letter === 0x75) return this.#codePoint(depth);
    return letters.get(letter) ?? (alphanumeric(letter) ? none : letter);
  }

  #hex(scheme: Scheme, count: number, depth: number): number {
    let value = 0;
    for (let digit = 0; digit < count; digit++) {
      const character = this.read(scheme, this.at, depth);
      const four = hexDigit(character);
      if (character === more || four < 0) return character === more ? more : none;
      value = value * 16 + four;
    }
    return value;
  }

  #codePoint(depth: number): number {
    const unit = this.#hex('backslash', 4, depth - 1);
    if (unit < 0x80) return unit; // more and none too
    if (unit < 0xd800 || unit > 0xdbff) return named + unit;
    const back = this.at;
    const low = this.#lowSurrogate(depth - 1);
    if (low === more) return more;
    if (low !== none) return named + 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    this.at = back;
    return named + unit;
  }

  /** By itself, and not by read(): one high surrogate after the other must not nest. */
  #lowSurrogate(depth: number): number {
    for (const expected of [backslash, 0x75]) {
      const character = this.read('backslash', this.at, depth);
      if (character !== expected) return character === more ? more : none;
    }
    const unit = this.#hex('backslash', 4, depth);
    return unit === more || (unit >= 0xdc00 && unit <= 0xdfff) ? unit : none;
  }
}

export const isNamed = (unit: number): boolean => unit >= named;
const utf8 = new TextEncoder();
/** The bytes of a code point that was named; of a lone surrogate those of U+FFFD. */
export const namedBytes = (unit: number): Uint8Array => utf8.encode(String.fromCodePoint(unit - named));

/** How deep escapes that begin here can nest: for `\"` and `%2F` once, for `\\\"` and `%252F` more. Empty for other bytes. */
export function schemesAt(text: Uint8Array, at: number): readonly (readonly [Scheme, depth: number])[] {
  if (text[at] === backslash) return text[at + 1] === backslash ? nestedBackslash : onceBackslash;
  if (text[at] === percentSign) return text[at + 1] === 0x32 ? nestedPercent : oncePercent;
  return text[at] === plus ? oncePercent : [];
}

const onceBackslash = [['backslash', 1]] as const;
const nestedBackslash = [['backslash', 1], ['backslash', 2], ['backslash', 3]] as const;
const oncePercent = [['percent', 1]] as const;
const nestedPercent = [['percent', 1], ['percent', 2]] as const;

/** Bytes of text for one of a value, at most: `\\\\u0041`. */
export const longestEscape = 9;
