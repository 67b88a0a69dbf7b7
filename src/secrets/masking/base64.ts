/**
 * A value inside base64 of something longer: which characters are its alone depends on how many bytes, modulo 3, stand
 * before it. RFC 4648 sections 4 and 5; the two alphabets are one here.
 */
export type Alignment = 0 | 1 | 2;

/** How many of the value's bits share a character with what stands before it. */
const sharedBits = [0, 4, 2] as const;

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
/** Each sextet's character, standard and for URLs. */
export const alphabets: readonly Uint8Array[] = [Buffer.from(`${letters}+/`), Buffer.from(`${letters}-_`)];

/** Each character's six bits, -1 for what is not base64. */
export const sextets = new Int8Array(256).fill(-1);
for (const alphabet of alphabets) alphabet.forEach((letter, sextet) => (sextets[letter] = sextet));

/** How many characters a value fills alone. */
export const wholeCharacters = (length: number, alignment: Alignment): number => Math.floor((8 * length - sharedBits[alignment]) / 6);

/** Whether one more character holds the value's last bits. */
export const endsWithin = (length: number, alignment: Alignment): boolean => (8 * length - sharedBits[alignment]) % 6 !== 0;

/** The six bits of the value's `index`-th whole character. */
export function sextetOf(bytes: Uint8Array, offset: number, alignment: Alignment, index: number): number {
  const bit = sharedBits[alignment] + 6 * index;
  const at = offset + (bit >> 3);
  const within = bit & 7;
  const next = within > 2 ? (bytes[at + 1] as number) : 0; // beyond the value only where it is not asked for
  return ((((bytes[at] as number) << 8) | next) >> (10 - within)) & 63;
}

/**
 * Writes the first `count` whole characters of a value to `to`, within the same memory: a copy on V8's heap could not be wiped.
 * @returns Whether the alphabets differ in them.
 */
export function spell(bytes: Uint8Array, offset: number, alignment: Alignment, count: number, alphabet: Uint8Array, to: number): boolean {
  let differs = false;
  for (let index = 0; index < count; index++) {
    const sextet = sextetOf(bytes, offset, alignment, index);
    bytes[to + index] = alphabet[sextet] as number;
    differs ||= sextet >= letters.length;
  }
  return differs;
}
