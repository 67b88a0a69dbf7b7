import { guaranteeNames, type Enforcement, type Guarantee, type GuaranteeName, type Level } from '../guarantees.js';

/** What `harden()` found out about this process, read back from the kernel. */
export interface HardenReport {
  readonly level: Level;
  /** All eighteen, in the order of SECURITY.md. */
  readonly guarantees: readonly Guarantee[];
}

/** A row and, when the level does not accept it, why. */
export interface Finding {
  readonly guarantee: Guarantee;
  readonly refusal?: string;
  readonly cause?: unknown;
}

/** Collects what one look at the process finds; `refuse` is for what no caller should accept unasked. */
export class Row {
  readonly #name: GuaranteeName;
  readonly #mechanisms: string[] = [];
  readonly #missing: string[] = [];
  readonly #refused: string[] = [];
  readonly #notes: string[] = [];

  constructor(name: GuaranteeName) {
    this.#name = name;
  }

  rests(on: string): void {
    this.#mechanisms.push(on);
  }

  /** Something is missing that the level allows to be missing. */
  lacks(what: string): void {
    this.#missing.push(what);
  }

  /** Something that the level does not promise at all. */
  notes(what: string): void {
    this.#notes.push(what);
  }

  refuse(why: string): void {
    this.#refused.push(why);
  }

  finding(): Finding {
    const enforcement: Enforcement = this.#refused.length > 0 ? 'unavailable' : this.#missing.length > 0 ? 'partial' : 'enforced';
    const guarantee = row(this.#name, enforcement, this.#mechanisms, [...this.#refused, ...this.#missing], this.#notes);
    const refusal = this.#refused[0];
    return refusal === undefined ? { guarantee } : { guarantee, refusal };
  }
}

/** Runs one look. A system call that it cannot do without and that fails is a refusal, not a crash: the other looks still run. */
export function look(name: GuaranteeName, at: (row: Row) => void): Finding {
  const row = new Row(name);
  try {
    at(row);
    return row.finding();
  } catch (cause) {
    row.refuse((cause as Error).message);
    return { ...row.finding(), cause };
  }
}

export function report(level: Level, guarantees: readonly Guarantee[]): HardenReport {
  const sorted = [...guarantees].sort((a, b) => guaranteeNames.indexOf(a.name) - guaranteeNames.indexOf(b.name));
  return Object.freeze({ level, guarantees: Object.freeze(sorted) });
}

function row(name: GuaranteeName, enforcement: Enforcement, mechanisms: readonly string[], missing: readonly string[], notes: readonly string[]): Guarantee {
  return Object.freeze({ name, enforcement, mechanisms: Object.freeze([...mechanisms]), missing: Object.freeze([...missing]), notes: Object.freeze([...notes]) });
}
