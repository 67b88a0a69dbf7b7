import { type ConfigRule, SecretRefused } from '../errors.js';
import { credentialNames } from '../secrets/credential.js';
import { handedOverNames, handoverVariable } from '../secrets/handover.js';
import { Secret } from '../secrets/secret.js';
import { bytesOf, parseCfg, textOf, type Entry } from './cfg.js';
import { interpolate, Unusable } from './expand.js';
import { classify, currentName, optionId, type Classified } from './options.js';
import { withConfigFile, type PlaceProblem } from './places.js';
import { optionOf, type Variables } from './variables.js';

/** What a finding is made of, before it is known whether it refuses. */
export interface Found {
  readonly rule: ConfigRule;
  readonly option: string | undefined;
  readonly place: string;
  readonly problem: string;
  readonly remedy: string;
}

/** In the order in which Airflow, and we, prefer them. */
const origins = ['exec', 'credential', 'variable', 'file'] as const;
export type Origin = (typeof origins)[number];

/** One option in one place. Section and key are in lower case; a section's dots are `_`, as in a variable's name. */
export interface Setting {
  readonly section: string;
  readonly key: string;
  readonly origin: Origin;
  readonly place: string;
  /** Set where it is about a secret. */
  readonly classified: Classified | undefined;
  /** Undefined for an empty one, and for one that could not be used. */
  readonly secret: Secret | undefined;
  /** Whether there is a secret, of use or not. */
  readonly holds: boolean;
  /** Of one that holds no secret, with `%` resolved and `$` not. */
  readonly text: string | undefined;
}

/** Reads places into settings; each secret it makes is on its list from the moment it exists. */
export class Sources {
  readonly settings: Setting[] = [];
  readonly found: Found[] = [];

  /** Secrets that `sallyport exec` or systemd handed over under the names of their variables. */
  readHandedOver(): void {
    const announced = this.#usable(undefined, handoverVariable, handedOverNames) ?? [];
    this.#readNamed('exec', 'sallyport exec --secret', announced, (name) => Secret.fromExec(name));
    this.#readNamed('credential', 'credential', credentialNames(), (name) => Secret.fromCredential(name));
  }

  /** Every variable that sets an option. Those with secrets leave the environment. */
  readVariables(variables: Variables): void {
    for (const name of variables.names()) {
      const option = optionOf(name);
      if (option === undefined) continue;
      const classified = classify(option.section, option.key);
      const id = optionId(option.section, option.key);
      const held = this.#secret(classified, id, name, () => variables.take(name));
      this.settings.push({ ...option, origin: 'variable', place: name, classified, ...held, text: classified === undefined ? variables.read(name) : undefined });
    }
  }

  /** Every option of a file, and what is wrong with its text, its mode, and the way to it. */
  readFile(file: string): void {
    const problems: PlaceProblem[] = [];
    withConfigFile(file, problems, (bytes, stats) => {
      const { entries, problems: wrong } = parseCfg(bytes);
      for (const { line, problem } of wrong) this.found.push({ rule: 'syntax', option: undefined, place: `${file}:${line}`, problem: `the line ${problem}`, remedy: 'write it as Airflow\'s configparser reads it' });
      const before = this.settings.length;
      for (const entry of entries) this.#readEntry(entry, entries, file);
      const holdsSecret = this.settings.slice(before).some(({ holds }) => holds);
      const mode = stats.mode & 0o7777;
      if (holdsSecret && (mode & 0o077) !== 0) problems.push({ rule: 'too-open', place: file, problem: `holds a secret, and its mode ${mode.toString(8)} gives access to its group or to everyone`, remedy: 'chmod 600 it until the secret is out of it' });
      return holdsSecret;
    });
    for (const problem of problems) this.found.push({ ...problem, option: undefined });
  }

  wipe(): void {
    for (const { secret } of this.settings) secret?.destroy();
  }

  /** Other names are other secrets of this process, and none of ours to take. */
  #readNamed(origin: Origin, called: string, names: readonly string[], take: (name: string) => Secret): void {
    for (const name of names) {
      const option = optionOf(name);
      const classified = option === undefined ? undefined : classify(option.section, option.key);
      if (option === undefined || classified?.kind !== 'value') continue;
      const place = `${called} ${name}`;
      const held = this.#secret(classified, optionId(option.section, option.key), place, () => take(name));
      this.settings.push({ ...option, origin, place, classified, ...held, text: undefined });
    }
  }

  #readEntry(entry: Entry, all: readonly Entry[], file: string): void {
    const [section, key] = [entry.section.toLowerCase().replaceAll('.', '_'), entry.key];
    const place = `${file}:${entry.line}`;
    const classified = classify(section, key);
    const id = optionId(section, key);
    const held = this.#secret(classified, id, place, () => (entry.value.length > 0 ? secretOf(entry) : undefined));
    const text = classified === undefined ? this.#usable(id, place, () => interpolate(textOf(entry), (other) => lookUp(all, entry.section, other))) : undefined;
    this.settings.push({ section, key, origin: 'file', place, classified, ...held, text });
  }

  /** What cannot be used is judged too, lest the next start says the rest. */
  #secret(classified: Classified | undefined, id: string, place: string, read: () => Secret | undefined): Pick<Setting, 'secret' | 'holds'> {
    const before = this.found.length;
    const secret = classified?.kind === 'value' ? this.#usable(id, place, read) : undefined;
    return { secret, holds: secret !== undefined || this.found.length > before };
  }

  #usable<T>(option: string | undefined, place: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof Unusable) && !(error instanceof SecretRefused)) throw error;
      this.found.push({ rule: 'value', option, place, problem: error instanceof SecretRefused ? error.problem : error.message, remedy: 'correct the value' });
      return undefined;
    }
  }
}

function secretOf(entry: Entry): Secret {
  const bytes = bytesOf(entry);
  if (bytes === undefined) throw new Unusable('has a % that is not %%, and no other option is put into a secret');
  return Secret.fromBytes(bytes);
}

/** The value that `%(other)s` stands for; undefined for a secret. */
function lookUp(all: readonly Entry[], section: string, other: string): string | undefined {
  if (classify(section.toLowerCase(), other) !== undefined) return undefined;
  const entry = all.find((one) => one.section === section && one.key === other) ?? all.find((one) => one.section === 'DEFAULT' && one.key === other);
  return entry === undefined ? undefined : textOf(entry);
}

/**
 * For each option the setting that Airflow would take: what was handed over before a variable before a file, and in each an option's present name before
 * an old one. By {@link optionId} of the present name.
 */
export function effective(settings: readonly Setting[]): ReadonlyMap<string, Setting> {
  const rank = ({ origin, section, key }: Setting): number => 2 * origins.indexOf(origin) + (currentName(section, key)[0] === section ? 0 : 1);
  const chosen = new Map<string, Setting>();
  for (const setting of settings) {
    if (setting.secret === undefined && setting.text === undefined) continue;
    const id = optionId(...currentName(setting.section, setting.key));
    const other = chosen.get(id);
    if (other === undefined || rank(setting) < rank(other)) chosen.set(id, setting);
  }
  return chosen;
}
