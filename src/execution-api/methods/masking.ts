import { BrokerDenied } from '../../errors.js';
import type { Masker } from '../../secrets/masker.js';

/** What one task's requests may have hidden takes of the supervisor's locked memory, which is little. */
const mostAsked = 64 << 10;
/** The same for what it was given: more than a task has use for, and less than would hurt the others. */
const mostGiven = 1 << 20;
/** Has hidden what a task must not print, within bounds: a task decides how often it asks. */
export class TaskMasking {
  readonly #masker: Masker | undefined;
  #asked: number;
  #given: number;

  /** @param shares How many tasks' shares: a process that runs for many has more, and not as many as it likes. */
  constructor(masker: Masker | undefined, shares = 1) {
    this.#masker = masker;
    this.#asked = shares * mostAsked;
    this.#given = shares * mostGiven;
  }

  /**
   * What the task is about to be given. Known values cost nothing, and none may be larger than all together.
   * @throws {BrokerDenied} `ERR_BROKER_DENIED`: more than one task may be given; it does not get it.
   */
  given(method: string, value: unknown, name?: string): void {
    const cost = this.#masker?.cost(value, name, mostGiven) ?? 0;
    if (this.#given < 0 || cost > mostGiven) throw new BrokerDenied(method, 'comes after more secrets than one task may be given');
    if (cost > 0 && (this.#masker?.add(value, name) ?? 0) > 0) this.#given -= cost;
  }

  /**
   * What the task itself wants hidden.
   * @throws {BrokerDenied} `ERR_BROKER_DENIED`: more than one task may have hidden.
   */
  asked(method: string, value: unknown): void {
    if (this.#asked >= 0) this.#asked -= costOf(value) + (this.#masker?.cost(value, undefined, mostAsked) ?? 0);
    if (this.#asked < 0) throw new BrokerDenied(method, 'comes after more than one task may have hidden');
  }

  /** What the task has made up, and could print in any case: hidden for as long as there is room. */
  written(value: unknown, name: string): void {
    const cost = this.#masker?.cost(value, name, mostAsked) ?? 0;
    if (cost > 0 && cost <= this.#asked && (this.#masker?.add(value, name) ?? 0) > 0) this.#asked -= cost;
  }

  /** JSON of the task's that others will see. In one pass over all of it: one for each string takes many times as long, and a task decides how many there are. */
  redactJson<T>(value: T): T {
    if (this.#masker === undefined) return value;
    const shown = this.#masker.redactFields(this.#masker.redact(JSON.stringify(value)));
    try {
      return JSON.parse(shown) as T;
    } catch {
      return this.#masker.redactValue(value) as T; // a mark went through an escape
    }
  }

  /** Text of the task's that others will see. */
  redact(text: string): string {
    return this.#masker?.redact(text) ?? text;
  }
}

/** For looking through it, whatever is found: a text of a task's can be long. */
function costOf(value: unknown): number {
  return typeof value === 'string' ? value.length >> 4 : (JSON.stringify(value) ?? '').length;
}
