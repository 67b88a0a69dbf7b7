/**
 * A value inside base64 of something longer: which characters are its alone depends on how many bytes, modulo 3, stand
 * before it. RFC 4648 sections 4 and 5; the two alphabets are one here.
 */
export type Alignment = 0 | 1 | 2;

/** How many of the value's bits share a character with what stands before it. */
const sharedBits = [0, 4, 2] as const;

/** Each character's six bits, -1 for what is not base64. */
export const sextets = new Int8Array(256).fill(-1);
'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.split('').forEach((letter, index) => (sextets[letter.charCodeAt(0)] = index));
sextets[0x2d] = 62; // -
sextets[0x5f] = 63; // _

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

const characters = [...sextets].reduce<number[][]>((found, sextet, character) => {
  if (sextet >= 0) (found[sextet] ??= []).push(character);
  return found;
}, []);

/** The first `count` whole characters in every spelling: one, or two where the alphabets differ. */
export function spellings(bytes: Uint8Array, offset: number, alignment: Alignment, count: number): Uint8Array[] {
  const spelt = (alphabet: 'first' | 'last'): Uint8Array => Uint8Array.from({ length: count }, (_, index) => {
    const letters = characters[sextetOf(bytes, offset, alignment, index)] as number[];
    return (alphabet === 'first' ? letters[0] : letters.at(-1)) as number;
  });
  const [standard, url] = [spelt('first'), spelt('last')];
  return standard.every((letter, index) => letter === url[index]) ? [standard] : [standard, url];
}
