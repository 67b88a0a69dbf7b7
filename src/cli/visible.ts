/* What a task wrote, fit for a terminal. */

/** Colours are harmless, and here not wanted. */
const colours = /\x1b\[[0-9;:]*m/g;
/** C0 but for the tab, DEL, C1; what turns the direction of a line around, and what ends one in some terminals. */
const harmful = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** One line of text in which nothing moves the cursor, renames the window, or types. */
export function visible(text: string): string {
  return text.replace(colours, '').replace(harmful, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** The first line of a text that says anything: of an error with its stack, what it is. */
export const firstLine = (text: string): string => visible(/\S[^\r\n]*/.exec(text)?.[0] ?? '');

/** `visible`, for one cell of a table, or a line that is drawn again: a tab would put what follows elsewhere. */
export const inline = (text: string): string => visible(text).replaceAll('\t', ' ');
