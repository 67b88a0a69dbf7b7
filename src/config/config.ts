import { inspect } from 'node:util';
import { invalidArgument, outOfRange, type ConfigFinding } from '../errors.js';
import type { Secret } from '../secrets/secret.js';
import { classify, currentName, optionId, type Role } from './options.js';
import { booleanOf, type SallyportSettings } from './sallyport.js';

/** What {@link Config} is made of. */
export interface Loaded {
  readonly role: Role;
  readonly file: string | undefined;
  readonly securityIsolation: boolean;
  readonly warnings: readonly ConfigFinding[];
  readonly sallyport: SallyportSettings;
  /** By {@link optionId}, section and key in lower case and as newer releases name them. */
  readonly texts: ReadonlyMap<string, string>;
  readonly secrets: ReadonlyMap<string, Secret>;
}

/** A role's configuration. Secrets are in secret memory, everything else is text; defaults of Airflow's are not filled in. */
export class Config {
  readonly role: Role;
  /** The file that was read, if one was. */
  readonly file: string | undefined;
  readonly securityIsolation: boolean;
  /** What `securityIsolation: false` let pass; empty otherwise. */
  readonly warnings: readonly ConfigFinding[];
  readonly sallyport: SallyportSettings;
  readonly #texts: ReadonlyMap<string, string>;
  readonly #secrets: ReadonlyMap<string, Secret>;

  constructor({ role, file, securityIsolation, warnings, sallyport, texts, secrets }: Loaded) {
    this.role = role;
    this.file = file;
    this.securityIsolation = securityIsolation;
    this.warnings = warnings;
    this.sallyport = sallyport;
    this.#texts = texts;
    this.#secrets = secrets;
  }

  /**
   * The value of an option that holds no secret; undefined where it is not set.
   *
   * @throws RangeError `ERR_OUT_OF_RANGE`: the option holds a secret, which {@link getSecret} has.
   */
  get(section: string, key: string): string | undefined {
    const [plainSection, plainKey] = names(section, key);
    if (classify(plainSection, plainKey) !== undefined) throw outOfRange('key', `an option that holds no secret; ${optionId(plainSection, plainKey)} is got by getSecret()`);
    return this.#texts.get(optionId(plainSection, plainKey)) ?? this.#texts.get(optionId('default', plainKey));
  }

  /**
   * True for `t`, `true`, `1`, false for `f`, `false`, `0`, in any case, as Airflow has them.
   *
   * @throws RangeError `ERR_OUT_OF_RANGE`: another word.
   */
  getBoolean(section: string, key: string): boolean | undefined {
    const text = this.get(section, key);
    const value = text === undefined ? undefined : booleanOf(text);
    if (text !== undefined && value === undefined) throw outOfRange(`${section}.${key}`, 'True or False');
    return value;
  }

  /** @throws RangeError `ERR_OUT_OF_RANGE`: not a finite decimal number. */
  getNumber(section: string, key: string): number | undefined {
    const text = this.get(section, key)?.trim();
    if (text === undefined) return undefined;
    const value = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : NaN;
    if (!Number.isFinite(value)) throw outOfRange(`${section}.${key}`, 'a number');
    return value;
  }

  /** The value of an option that holds a secret; undefined where it is not set or empty. Whoever gets it may destroy it, for all. */
  getSecret(section: string, key: string): Secret | undefined {
    const [plainSection, plainKey] = names(section, key);
    const [current, currentKey] = currentName(plainSection, plainKey);
    return this.#secrets.get(optionId(current, currentKey)) ?? this.#secrets.get(optionId('default', currentKey));
  }

  /** The secrets there are, as `section.key`. */
  get secretNames(): readonly string[] {
    return [...this.#secrets.keys()].sort();
  }

  /** Wipes every secret of it. Twice is fine. */
  [Symbol.dispose](): void {
    for (const secret of this.#secrets.values()) secret.destroy();
  }

  /** Names of the secrets, and no value of anything. */
  toJSON(): object {
    const { role, file, securityIsolation, warnings, sallyport } = this;
    return { role, file, securityIsolation, warnings, sallyport, options: [...this.#texts.keys()].sort(), secrets: this.secretNames };
  }

  [inspect.custom](): string {
    return `Config ${inspect(this.toJSON())}`;
  }
}

/** As Airflow looks an option up: in lower case. A dot in a section is `_` in a variable, so it is here. */
function names(section: string, key: string): readonly [string, string] {
  if (typeof section !== 'string') throw invalidArgument('section', 'a string', section);
  if (typeof key !== 'string') throw invalidArgument('key', 'a string', key);
  return [section.toLowerCase().replaceAll('.', '_'), key.toLowerCase()];
}
