import { stripVTControlCharacters, styleText } from 'node:util';

export type Paint = (style: Style, text: string) => string;
export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** Colours for a terminal that wants them: https://no-color.org */
export function paintFor(stream: { readonly isTTY?: boolean }, environment: NodeJS.ProcessEnv = process.env): Paint {
  const wanted = stream.isTTY === true && !environment['NO_COLOR'] && environment['TERM'] !== 'dumb';
  return wanted ? (style, text) => styleText(style, text) : (_style, text) => text;
}

/** What takes two columns: East Asian Wide and Fullwidth, and emoji. Unicode Standard Annex 11 */
const wide = /[\u1100-\u115f\u231a\u231b\u23e9-\u23ec\u2614\u2615\u2648-\u2653\u26a1\u26bd\u26be\u2705\u274c\u2753-\u2757\u2795-\u2797\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18aff}\u{1b000}-\u{1b2ff}\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1faff}\u{20000}-\u{3fffd}]/u;
/** What stands upon what is before it, or joins. */
const none = /[\p{Mn}\p{Me}\p{Cf}]/u;
const widthOfOne = (character: string): number => (character < '\u0300' ? 1 : none.test(character) ? 0 : wide.test(character) ? 2 : 1);

/** How many columns of a terminal a text takes; colours take none. */
export function widthOf(text: string): number {
  const plain = stripVTControlCharacters(text);
  if (/^[\x20-\x7e]*$/.test(plain)) return plain.length;
  let width = 0;
  for (const character of plain) width += widthOfOne(character);
  return width;
}

/** A text that takes no more than so many columns: what is too long loses its end, and keeps its colours. */
export function clip(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  let left = columns - 1;
  let isFull = false;
  const kept = text.split(/(\x1b\[[0-9;]*m)/).map((part, index) => {
    if (index % 2 === 1) return part; // a colour
    let shown = '';
    for (const character of part) {
      const width = widthOfOne(character);
      isFull ||= width > left;
      if (isFull) break;
      shown += character;
      left -= width;
    }
    return shown;
  });
  return `${kept.join('')}…`;
}

/** Pads to columns that are seen, not to bytes. */
export function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)));
}

/** Cells in columns of fixed width; the last one takes what is left. */
export function row(cells: readonly string[], widths: readonly number[]): string {
  return `  ${cells.map((cell, index) => pad(cell, widths[index] ?? 0)).join('  ')}`.trimEnd();
}

/** Less of a last column than this says nothing. */
const leastRoom = 20;

/** Shortens the text of a last column, so that a terminal does not break the line; leaves it out where there is no room. */
export function fit(text: string, widths: readonly number[], columns = Infinity): string {
  const room = columns - 2 - widths.reduce((sum, width) => sum + width + 2, 0);
  if (room < leastRoom) return '';
  return clip(text, room);
}

/** Breaks a text between words, so that no line is longer than `room`; a longer word stays whole. */
export function wrap(text: string, room: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || widthOf(last) + 1 + widthOf(word) > room) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.length === 0 ? [''] : lines;
}

/** A row whose last cell goes on below itself. */
export function wrappedRow(cells: readonly string[], widths: readonly number[], columns = 80): string {
  const indent = 2 + widths.slice(0, cells.length - 1).reduce((sum, width) => sum + width + 2, 0);
  const [first = '', ...rest] = wrap(cells.at(-1) ?? '', Math.max(leastRoom, columns - indent));
  return [row([...cells.slice(0, -1), first], widths), ...rest.map((line) => `${' '.repeat(indent)}${line}`)].join('\n');
}

/** The width to write for: a terminal's own, within reason, and 80 in a file. */
export function columnsOf(stream: { readonly columns?: number }): number {
  return Math.min(Math.max(stream.columns ?? 80, 60), 120);
}
