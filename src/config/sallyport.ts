import { guaranteeNames, type GuaranteeName, type Level } from '../guarantees.js';
import { Unusable } from './expand.js';

/** What the section `[sallyport]` says, and variables `AIRFLOW__SALLYPORT__...`. */
export interface SallyportSettings {
  /** Of `harden()` and of tasks' policies. @default 'standard' */
  readonly level: Level;
  /** Guarantees that this host may do without. @default none */
  readonly without: readonly GuaranteeName[];
  /** Whether dag-processor and triggerer get what they need from the API, and so must not have the database. @default true */
  readonly throughApi: boolean;
}

/** Options of the section, with their defaults as a file has them. */
export const sallyportOptions: Readonly<Record<string, { readonly fallback: string; readonly what: string }>> = {
  level: { fallback: 'standard', what: 'standard or strict' },
  without: { fallback: '', what: 'guarantees that this host may do without, with commas between' },
  through_api: { fallback: 'True', what: 'dag-processor and triggerer go through the API, and must not have the database' },
};

/** As Airflow reads a boolean; undefined for anything else. */
export function booleanOf(text: string): boolean | undefined {
  const word = text.split('#')[0]?.trim().toLowerCase() ?? '';
  if (['t', 'true', '1'].includes(word)) return true;
  return ['f', 'false', '0'].includes(word) ? false : undefined;
}

/** @throws {Unusable} not a value of that option. */
const readers = {
  level: (text: string): Level => {
    if (text !== 'standard' && text !== 'strict') throw new Unusable('is neither standard nor strict');
    return text;
  },
  without: (text: string): readonly GuaranteeName[] => {
    const names = text.split(',').map((name) => name.trim()).filter((name) => name !== '');
    if (!names.every((name) => guaranteeNames.includes(name as GuaranteeName))) throw new Unusable(`names something else than ${guaranteeNames.join(', ')}`);
    return names as GuaranteeName[];
  },
  through_api: (text: string): boolean => {
    const value = booleanOf(text);
    if (value === undefined) throw new Unusable('is neither True nor False');
    return value;
  },
};

/** Asks for each option's value; `wrong` is told of each that is none, and the default stands. */
export function settings(read: (key: string) => string | undefined, wrong: (key: string, problem: string) => void): SallyportSettings {
  const value = <K extends keyof typeof readers>(key: K): ReturnType<(typeof readers)[K]> => {
    const reader = readers[key] as (text: string) => ReturnType<(typeof readers)[K]>;
    const fallback = sallyportOptions[key]?.fallback ?? '';
    try {
      return reader(read(key) ?? fallback);
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      wrong(key, error.message);
      return reader(fallback);
    }
  };
  return Object.freeze({ level: value('level'), without: Object.freeze(value('without')), throughApi: value('through_api') });
}
