import { stripVTControlCharacters, styleText } from 'node:util';

export type Paint = (style: Style, text: string) => string;
export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** Colours for a terminal that wants them: https://no-color.org */
export function paintFor(stream: { readonly isTTY?: boolean }, environment: NodeJS.ProcessEnv = process.env): Paint {
  const wanted = stream.isTTY === true && !environment['NO_COLOR'] && environment['TERM'] !== 'dumb';
  return wanted ? (style, text) => styleText(style, text) : (_style, text) => text;
}

/** Pads to columns that are seen, not to bytes: colours take no room. */
export function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - stripVTControlCharacters(text).length));
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
  return text.length <= room ? text : `${text.slice(0, room - 1)}…`;
}

/** Breaks a text between words, so that no line is longer than `room`; a longer word stays whole. */
export function wrap(text: string, room: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || seen(last) + 1 + seen(word) > room) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.length === 0 ? [''] : lines;
}

const seen = (text: string): number => stripVTControlCharacters(text).length;

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
