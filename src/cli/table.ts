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
