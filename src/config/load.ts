import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { checkOptions, ConfigRefused, invalidArgument, outOfRange, type ConfigFinding } from '../errors.js';
import type { Step } from '../secrets/safe-path.js';
import type { Secret } from '../secrets/secret.js';
import { Config } from './config.js';
import { expand, Unusable } from './expand.js';
import { keyFilesOf, optionId, roles, type Role } from './options.js';
import { changeable, keyFile } from './places.js';
import { judge } from './rules.js';
import { booleanOf, settings as sallyportSettings } from './sallyport.js';
import { effective, Sources, type Found, type Setting } from './sources.js';
import { givenVariables, ownVariables, type Variables } from './variables.js';

export interface LoadConfigOptions {
  readonly role: Role;
  /**
   * Refuse what must not be; `false` makes warnings of it. A file cannot say so, for it would excuse itself.
   * @default the variable AIRFLOW__SALLYPORT__SECURITY_ISOLATION, else true
   */
  readonly securityIsolation?: boolean;
  /** `false`: none is read. @default AIRFLOW_CONFIG, else airflow.cfg in AIRFLOW_HOME, else in ~/airflow, if it is there */
  readonly file?: string | false;
  /** Variables to read instead of this process's own. Its values are strings, which nothing wipes: for tests and tools. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/**
 * Reads what one role of an Airflow deployment is configured with: secrets that are handed over, variables
 * `AIRFLOW__SECTION__KEY`, then an airflow.cfg.
 * The value of an option that holds a secret goes into a {@link Secret} and never becomes a string, and its variable leaves the
 * environment, refused or not. Call it after `harden()`, and before anything enumerates `process.env`.
 *
 * With `securityIsolation`, the default, it refuses secrets in the file, secrets that the role must not have, commands and
 * secrets backends in a secret's place, and files and folders that other users can change or, where there is a key in
 * them, read: all that is found, at once.
 *
 * @throws {ConfigRefused} `ERR_CONFIG_REFUSED` with `findings`: the secrets that were read are wiped; no file was changed.
 *   Also without isolation where there is no telling what the configuration is: syntax, impossible values, a missing file.
 * @throws {EnforcementPartial} `ERR_ENFORCEMENT_PARTIAL`: no memory can be locked for a secret.
 * @see Airflow's configuration reference and security model; configparser in Python's library reference.
 */
export function loadConfig(options: LoadConfigOptions): Config {
  const { role, securityIsolation, file, environment } = checked(options);
  const sources = new Sources();
  try {
    const variables = environment === undefined ? ownVariables : givenVariables(environment);
    return load(sources, new Surroundings(variables, sources.found), role, securityIsolation, file);
  } catch (error) {
    sources.wipe();
    throw error;
  }
}

function checked(options: LoadConfigOptions): LoadConfigOptions {
  checkOptions('options', options, ['role', 'securityIsolation', 'file', 'environment']);
  const { role, securityIsolation, file, environment } = options;
  if (!roles.includes(role)) throw outOfRange('options.role', `one of ${roles.join(', ')}`);
  if (securityIsolation !== undefined && typeof securityIsolation !== 'boolean') throw invalidArgument('options.securityIsolation', 'a boolean', securityIsolation);
  if (file !== undefined && file !== false && typeof file !== 'string') throw invalidArgument('options.file', 'a path or false', file);
  if (typeof file === 'string' && (file === '' || file.includes('\0'))) throw outOfRange('options.file', 'the path of a file');
  if (environment === undefined) return options;
  if (typeof environment !== 'object' || environment === null) throw invalidArgument('options.environment', 'an object', environment);
  const wrong = Object.entries(environment).find(([, value]) => value !== undefined && typeof value !== 'string');
  if (wrong !== undefined) throw invalidArgument('options.environment', 'an object of strings', wrong[1]);
  return options;
}

/** Where paths start, and what a value's `~` and `$NAME` stand for. */
class Surroundings {
  readonly variables: Variables;
  readonly home: string;
  readonly airflowHome: string;
  readonly #found: Found[];
  constructor(variables: Variables, found: Found[]) {
    this.variables = variables;
    this.#found = found;
    this.home = variables.read('HOME') || homedir();
    this.airflowHome = this.path('AIRFLOW_HOME') ?? join(this.home, 'airflow');
  }

  /** @throws {Unusable} */
  expand(text: string): string {
    return expand(text, (name) => this.variables.read(name), this.home);
  }

  /** The path in a variable; undefined where it is not set. */
  path(variable: string): string | undefined {
    const text = this.variables.read(variable) ?? '';
    try {
      return text === '' ? undefined : resolve(this.expand(text));
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      this.#found.push({ rule: 'value', option: undefined, place: variable, problem: error.message, remedy: 'set it to a path' });
      return undefined;
    }
  }

  /** The file to read: what is asked for, else where Airflow looks. */
  file(asked: string | undefined): string | undefined {
    const named = asked === undefined ? this.path('AIRFLOW_CONFIG') : resolve(asked);
    if (named !== undefined) return named;
    const usual = join(this.airflowHome, 'airflow.cfg');
    return existsSync(usual) ? usual : undefined;
  }
}

/** Never excused: there would be no telling what the configuration is. */
const neverWarnings: ReadonlySet<string> = new Set(['missing', 'syntax', 'value']);

function load(sources: Sources, where: Surroundings, role: Role, isolationAsked: boolean | undefined, fileAsked: string | false | undefined): Config {
  const { settings, found } = sources;
  if (where.variables === ownVariables) sources.readHandedOver();
  sources.readVariables(where.variables);
  const file = fileAsked === false ? undefined : where.file(fileAsked);
  if (file !== undefined) sources.readFile(file);

  const chosen = effective(settings);
  const texts = new Map<string, string>();
  const secrets = new Map<string, Secret>();
  const wrong = (id: string, problem: string): void => void found.push({ rule: 'value', option: id, place: chosen.get(id)?.place ?? '', problem, remedy: 'correct the value' });
  for (const [id, { secret, text }] of chosen) {
    if (secret !== undefined) secrets.set(id, secret);
    else if (text !== undefined) expanded(where, text, (value) => texts.set(id, value), (problem) => wrong(id, problem));
  }
  for (const { secret } of settings) if (secret !== undefined && ![...secrets.values()].includes(secret)) secret.destroy();

  const sallyport = sallyportSettings((key) => texts.get(optionId('sallyport', key)), (key, problem) => wrong(optionId('sallyport', key), problem));
  const isolation = isolationAsked ?? isolationOf(settings, wrong);
  found.push(
    ...settings.flatMap((setting) => judge(setting, role, sallyport.throughApi)),
    ...keyFiles(role, where, texts, chosen),
    ...folders(where, texts, new Set(found.map(({ place }) => place))),
  );
  const findings = found.map((finding): ConfigFinding => Object.freeze({ ...finding, role, severity: isolation || neverWarnings.has(finding.rule) ? 'refused' : 'warning' }));
  if (findings.some(({ severity }) => severity === 'refused')) throw new ConfigRefused(role, { file, securityIsolation: isolation, findings: Object.freeze(findings) });
  return new Config({ role, file, securityIsolation: isolation, warnings: Object.freeze(findings), sallyport, texts, secrets });
}

function expanded(where: Surroundings, text: string, done: (value: string) => void, wrong: (problem: string) => void): void {
  try {
    done(where.expand(text));
  } catch (error) {
    if (!(error instanceof Unusable)) throw error;
    wrong(error.message);
  }
}

function isolationOf(settings: readonly Setting[], wrong: (id: string, problem: string) => void): boolean {
  const text = settings.find(({ section, key, origin }) => section === 'sallyport' && key === 'security_isolation' && origin === 'variable')?.text;
  const value = text === undefined ? true : booleanOf(text);
  if (value === undefined) wrong('sallyport.security_isolation', 'is neither True nor False');
  return value ?? true;
}

/** Files that options name and that have a key in them: who may have them, and who can get at them. */
function keyFiles(role: Role, where: Surroundings, texts: ReadonlyMap<string, string>, chosen: ReadonlyMap<string, Setting>): Found[] {
  return [...chosen].flatMap(([option, { section, key, place }]): Found[] => {
    const rows = keyFilesOf(section, key);
    const path = texts.get(option);
    if (rows[0] === undefined || path === undefined || path === '') return [];
    const those = [...new Set(rows.flatMap((row) => row.roles))];
    const wrongRole: Found = { rule: 'wrong-role', option, place, problem: `role ${role} must not have ${rows[0].what}`, remedy: `take it out for this role; ${those.join(', ')} may have it` };
    const problem = keyFile(resolve(where.airflowHome, path));
    return [...(those.includes(role) ? [] : [wrongRole]), ...(problem === undefined ? [] : [{ ...problem, option }])];
  });
}

/** The user's home, Airflow's, and the folder whose code each role loads; each step of the way once. */
function folders(where: Surroundings, texts: ReadonlyMap<string, string>, told: Set<string>): Found[] {
  const plugins = texts.get('core.plugins_folder') ?? join(where.airflowHome, 'plugins');
  const seen = new Map<string, Step>();
  return [where.home, where.airflowHome, plugins].filter((folder) => existsSync(folder)).flatMap((folder) =>
    changeable(folder, seen).flatMap((problem) => {
      if (told.has(problem.place)) return [];
      told.add(problem.place);
      return [{ ...problem, option: undefined }];
    }),
  );
}
