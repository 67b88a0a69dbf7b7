import { soundsSecret } from './options.js';

/** Why a value cannot be used; what it says holds nothing of the value. */
export class Unusable extends Error {}

const mostRounds = 10; // configparser's MAX_INTERPOLATION_DEPTH
const mostLength = 65_536;

/**
 * `%%` and `%(key)s` in a value of a file, as Python's BasicInterpolation has them.
 *
 * @param lookUp The value of an option of the same section, or of `[DEFAULT]`, as the file has it.
 * @throws {Unusable} another use of `%`; an option that is not there, or that holds a secret.
 */
export function interpolate(text: string, lookUp: (key: string) => string | undefined, depth = 1): string {
  if (depth > mostRounds) throw new Unusable('refers to options that refer to each other');
  return text.replace(/%(%|\(([^)]+)\)s)?/g, (_, what: string | undefined, key: string | undefined) => {
    if (what === undefined) throw new Unusable('has a % that is neither %% nor %(option)s');
    if (key === undefined) return '%';
    const value = lookUp(key.toLowerCase());
    if (value === undefined) throw new Unusable(`refers to %(${key})s, which the section does not set or which holds a secret`);
    return interpolate(value, lookUp, depth + 1);
  });
}

/**
 * `$NAME`, `${NAME}` and a leading `~`, until nothing changes, as Airflow does with every value. A name that is not set stays.
 *
 * @throws {Unusable} a variable whose name says that it holds a secret, or that refers to itself.
 */
export function expand(text: string, read: (name: string) => string | undefined, home: string): string {
  for (let round = 0, value = text; round <= mostRounds && value.length <= mostLength; round++) {
    const next = value
      .replace(/\$(?:(\w+)|\{([^}]*)\})/g, (whole, plain?: string, braced?: string) => {
        const name = plain ?? braced ?? '';
        if (soundsSecret(name)) throw new Unusable(`refers to $${name}, which holds a secret by its name`);
        return read(name) ?? whole;
      })
      .replace(/^~(?=\/|$)/, () => home);
    if (next === value) return value;
    value = next;
  }
  throw new Unusable('refers to variables that refer to each other');
}
