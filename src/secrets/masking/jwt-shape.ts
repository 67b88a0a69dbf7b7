import type { Span } from './spans.js';

/** Airflow's word for what looks like a token: all of them begin so, `{"` in base64. */
export const tokenMark = 'eyJ***';

/** `{"alg":"dir"}` and what must stand beside it come to more. RFC 7515 section 4.1, RFC 7516 section 4.1 */
const leastHeader = 16;
/** What begins like a token and goes on for longer than this without being decided is taken for one. */
const mostUndecided = 8192;

const dot = 0x2e;
const inPart = new Uint8Array(256);
'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.split('').forEach((letter) => (inPart[letter.charCodeAt(0)] = 1));

function endOfPart(text: Uint8Array, at: number): number {
  while (inPart[text[at] as number] === 1) at++; // ends at the end of the text as well
  return at;
}

/** Behind the last character that a token whose beginning is known could have. */
export function endOfToken(text: Uint8Array, at: number): number {
  while (inPart[text[at] as number] === 1 || text[at] === dot) at++;
  return at;
}

/**
 * Everything with the shape of a JWT, signed or encrypted: a base64url part that begins with `eyJ`, and two dots or more.
 *
 * @param final Nothing comes after `text`.
 * @returns Where to go on when more has come: what stands behind may be the beginning of one.
 */
export function findTokens(text: Buffer, final: boolean, spans: Span[]): number {
  const end = text.length;
  let from = 0;
  for (;;) {
    const start = text.indexOf('eyJ', from, 'latin1');
    if (start < 0) break;
    const header = endOfPart(text, start);
    const payload = text[header] === dot ? endOfPart(text, header + 1) : header;
    if (payload - start > mostUndecided || (text[payload] === dot && payload > header && header - start >= leastHeader)) {
      from = endOfToken(text, payload);
      spans.push({ start, end: from, mark: tokenMark, open: from === end && !final });
    } else if (payload === end && !final) {
      return start;
    } else {
      from = Math.max(header, start + 3); // what begins within the same part shares its end, and its fate
    }
  }
  if (final) return end;
  return text.at(-1) === 0x65 ? end - 1 : text.at(-1) === 0x79 && text.at(-2) === 0x65 ? end - 2 : end;
}
