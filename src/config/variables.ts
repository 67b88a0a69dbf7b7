import { SecretRefused } from '../errors.js';
import { native } from '../native.js';
import { Secret } from '../secrets/secret.js';

/** Where variables come from: this process, or an object that the caller made. */
export interface Variables {
  names(): readonly string[];
  /** Of a variable that holds no secret: it becomes a string. */
  read(name: string): string | undefined;
  /**
   * The value of one that does. Undefined: it is not set, or empty.
   *
   * @throws {SecretRefused} `ERR_SECRET_REFUSED`: longer than a secret may be.
   */
  take(name: string): Secret | undefined;
}

/** This process's own: what is taken leaves the environment, as {@link Secret.fromEnv} has it. */
export const ownVariables: Variables = {
  names: () => native().environmentNames(),
  read: (name) => process.env[name],
  take(name) {
    try {
      return Secret.fromEnv(name);
    } catch (error) {
      // An empty one was unset by that. `in` asks whether there is one, and reads nothing.
      if (error instanceof SecretRefused && !(name in process.env)) return undefined;
      throw error;
    }
  },
};

/** Those of an object. Its values are strings already, and nothing wipes a string. */
export function givenVariables(environment: Readonly<Record<string, string | undefined>>): Variables {
  const read = (name: string): string | undefined => (Object.hasOwn(environment, name) ? environment[name] : undefined);
  return {
    names: () => Object.keys(environment).filter((name) => environment[name] !== undefined),
    read,
    take(name) {
      const value = read(name);
      return value === undefined || value === '' ? undefined : Secret.fromBytes(Buffer.from(value));
    },
  };
}

/** The option that a variable sets, or undefined where it sets none. A team's own section is written as in the file. */
export function optionOf(variable: string): { readonly section: string; readonly key: string } | undefined {
  const [, team, section = '', key = ''] = /^AIRFLOW__(?:(.+?)___)?(.+?)__(.+)$/.exec(variable) ?? [];
  if (section === '') return undefined;
  return { section: `${team === undefined ? '' : `${team}=`}${section}`.toLowerCase(), key: key.toLowerCase() };
}

/** The variable that sets an option. */
export function variableOf(section: string, key: string): string {
  const [first = '', second] = section.replaceAll('.', '_').toUpperCase().split('=');
  return `AIRFLOW__${second === undefined ? first : `${first}___${second}`}__${key.toUpperCase()}`;
}
