import { mark } from './spans.js';

/** Where a part of a text begins and ends. */
export type Part = readonly [start: number, end: number];

export interface JsonScanOptions {
  /** Whether what stands under a name is to be hidden. */
  readonly isHidden?: (name: string) => boolean;
  /** Told of each member of the outermost object; its name begins at `start`. */
  readonly onMember?: (name: string, start: number, value: Part) => void;
}

export interface JsonScan {
  /** All of the text is one value. */
  readonly isWhole: boolean;
  /** Behind what is JSON, or the beginning of it. */
  readonly end: number;
  /** Strings and numbers under names that hide them, and numbers that a mark was put into. In order. */
  readonly hidden: readonly Part[];
  /** What was being read at `end` is to be hidden too. */
  readonly inHidden: boolean;
  /** How deep arrays and objects nest. */
  readonly depth: number;
}

const code = (character: string): number => character.charCodeAt(0);
const [quote, backslash, comma, colon, minus, star] = [code('"'), code('\\'), code(','), code(':'), code('-'), code('*')];
const [openBrace, closeBrace, openBracket, closeBracket] = [code('{'), code('}'), code('['), code(']')];

/**
 * Reads JSON (RFC 8259) and makes nothing of it: of an object with ten thousand keys V8 makes one in many times the time that
 * reading takes, and a task decides how many there are. One pass, whatever the depth and width.
 */
export function scanJson(text: string, { isHidden, onMember }: JsonScanOptions = {}): JsonScan {
  const reader = new Reader(text);
  const hidden: Part[] = [];
  const open: { readonly closer: number; readonly hides: boolean }[] = [];
  let depth = 0;
  let hides = false;
  let [name, nameAt, valueAt] = ['', 0, 0];
  const broken = (): JsonScan => ({ isWhole: false, end: reader.at, hidden, inHidden: hides, depth });
  const takeName = (): boolean => {
    reader.skipSpace();
    const start = reader.at;
    if (!reader.takeString()) return false;
    const taken = nameIn(text, start, reader.at);
    if (!reader.take(colon)) return false;
    hides ||= isHidden?.(taken) === true;
    reader.skipSpace();
    if (open.length === 1) [name, nameAt, valueAt] = [taken, start, reader.at];
    return true;
  };

  for (;;) {
    reader.skipSpace();
    const start = reader.at;
    const opener = text.charCodeAt(start);
    if (opener !== openBrace && opener !== openBracket) {
      const kind = reader.takeScalar();
      if (kind === undefined) return broken();
      if (hides ? kind !== 'word' : kind === 'marked' && open.length > 0) hidden.push([start, reader.at]);
    } else {
      const closer = opener === openBrace ? closeBrace : closeBracket;
      reader.at++;
      depth = Math.max(depth, open.length + 1);
      if (!reader.take(closer)) {
        open.push({ closer, hides });
        if (closer === closeBrace && !takeName()) return broken();
        continue;
      }
    }
    for (let isNext = false; !isNext;) {
      const around = open.at(-1);
      hides = around?.hides === true;
      if (around === undefined) {
        reader.skipSpace();
        return { ...broken(), isWhole: reader.at === text.length };
      }
      if (open.length === 1 && around.closer === closeBrace) onMember?.(name, nameAt, [valueAt, reader.at]);
      isNext = reader.take(comma);
      if (isNext ? around.closer === closeBrace && !takeName() : !reader.take(around.closer)) return broken();
      if (!isNext) open.pop();
    }
  }
}

/** Takes one thing after the other; what is not there leaves it where it is. */
class Reader {
  at = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  skipSpace(): void {
    for (let next = this.#next(); next === 0x20 || next === 0x0a || next === 0x0d || next === 0x09; next = this.#next()) this.at++;
  }

  take(character: number): boolean {
    this.skipSpace();
    if (this.#next() !== character) return false;
    this.at++;
    return true;
  }

  takeString(): boolean {
    const text = this.#text;
    if (this.#next() !== quote) return false;
    for (let at = this.at + 1; ; at++) {
      const character = text.charCodeAt(at);
      if (character === quote) {
        this.at = at + 1;
        return true;
      }
      if (character === backslash) {
        if (!escape.test(text.slice(at + 1, at + 6))) return false;
        at++; // of \u the rest is letters like others
      } else if (!(character >= 0x20)) return false; // NaN at the end
    }
  }

  /** A number with a mark in it is `marked`: what was hidden in it was no string, and only the mark's quotes are missing. */
  takeScalar(): 'string' | 'number' | 'marked' | 'word' | undefined {
    const first = this.#next();
    if (first === quote) return this.takeString() ? 'string' : undefined;
    if (first === minus || first === star || isDigit(first)) return this.#takeNumber();
    const word = words.find((each) => this.#text.startsWith(each, this.at));
    this.at += word?.length ?? 0;
    return word && 'word';
  }

  #takeNumber(): 'number' | 'marked' | undefined {
    const start = this.at;
    let end = start;
    while (isDigit(this.#text.charCodeAt(end))) end++;
    if (!isInNumber(this.#text.charCodeAt(end)) && (end === start + 1 || this.#text[start] !== '0')) {
      this.at = end; // a whole one, as most are
      return 'number';
    }
    while (isInNumber(this.#text.charCodeAt(end))) end++;
    const taken = this.#text.slice(start, end);
    const isNumber = number.test(taken);
    if (!isNumber && !taken.includes(mark)) return undefined;
    this.at = end;
    return isNumber ? 'number' : 'marked';
  }

  #next(): number {
    return this.#text.charCodeAt(this.at);
  }
}

const words = ['true', 'false', 'null'] as const;
const escape = /^(?:["\\/bfnrt]|u[\da-fA-F]{4})/;
const number = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const isDigit = (character: number): boolean => character >= 0x30 && character <= 0x39;
const isInNumber = (character: number): boolean => isDigit(character) || character === minus || character === star || character === 0x2b || character === 0x2e || (character | 0x20) === 0x65;

function nameIn(text: string, start: number, end: number): string {
  const name = text.slice(start + 1, end - 1);
  return name.includes('\\') ? (JSON.parse(text.slice(start, end)) as string) : name;
}
