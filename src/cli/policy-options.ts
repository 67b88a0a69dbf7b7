import { accessSync, constants, existsSync, openSync, closeSync, readSync, realpathSync, statSync } from 'node:fs';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { guaranteeNames, type GuaranteeName, type Level } from '../guarantees.js';
import type { Endpoint } from '../policy/network.js';
import type { Limits, Policy } from '../policy/policy.js';
import { findPython } from '../policy/python.js';
import { fromPreset, presetNames, readPolicyFile, refuseOwnFile, type PresetName } from '../policy/policy-file.js';
import { usageError } from './command-line.js';

/** The flags that `run` and `explain` share: each is a field of Policy. */
export const policyOptions = {
  policy: { type: 'string' },
  preset: { type: 'string' },
  level: { type: 'string' },
  read: { type: 'string', multiple: true },
  write: { type: 'string', multiple: true },
  execute: { type: 'string', multiple: true },
  connect: { type: 'string', multiple: true },
  listen: { type: 'string', multiple: true },
  env: { type: 'string', multiple: true },
  limit: { type: 'string', multiple: true },
  cwd: { type: 'string' },
  without: { type: 'string', multiple: true },
} as const satisfies ParseArgsConfig['options'];

export const policyHelp = `  --policy FILE          a policy as JSON: {"preset": "node", "read": ["src"],
                         "limits": {...}}; its paths start at its folder, and
                         the flags below add to it
  --preset NAME          ${presetNames.join(', ')}: what the system's part
                         is; by default node or python for those, command for
                         all others
  --read PATH            a file, or a folder with all beneath it, to read
  --execute PATH         likewise, to read and execute
  --write PATH           likewise, to read, create, change and remove
  --connect HOST:PORT    a TCP address to connect to; a name is resolved once,
                         before the start
  --listen [HOST:]PORT   a port to listen on, of 127.0.0.1 without HOST
  --env NAME[=VALUE]     a variable, yours where there is no VALUE; no other
                         reaches the task
  --limit NAME=VALUE     wallTimeMs, memoryBytes, processes, cpuSeconds,
                         openFiles, fileBytes, scratchBytes, scratchFiles,
                         outputBytes, logLineBytes; 512M and 2G for bytes, 30s
                         and 5m for times
  --cwd DIR              the folder to start in; here by default
  --level LEVEL          standard (default) or strict
  --without GUARANTEE    do without one that this host cannot carry`;

interface PolicyValues {
  readonly policy?: string | undefined;
  readonly preset?: string | undefined;
  readonly level?: string | undefined;
  readonly read?: string[] | undefined;
  readonly write?: string[] | undefined;
  readonly execute?: string[] | undefined;
  readonly connect?: string[] | undefined;
  readonly listen?: string[] | undefined;
  readonly env?: string[] | undefined;
  readonly limit?: string[] | undefined;
  readonly cwd?: string | undefined;
  readonly without?: string[] | undefined;
}

/** What this process itself may do without. @throws A usage error. */
export function without(given: readonly string[] = []): GuaranteeName[] {
  const wrong = given.find((name) => !(guaranteeNames as readonly string[]).includes(name));
  if (wrong !== undefined) throw usageError(`--without is one of ${guaranteeNames.join(', ')}, not "${wrong}"`);
  return given as GuaranteeName[];
}

/**
 * Parts a command line in ours and the task's: its first word that is neither an option nor the value of one begins the
 * task's, as with env(1) and nice(1); `--` says where, and is asked for where it would not be seen otherwise.
 */
export function split(args: readonly string[], options: NonNullable<ParseArgsConfig['options']>): { ours: string[]; command: string[] } {
  const { tokens } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true });
  const border = tokens.find(({ kind }) => kind === 'positional' || kind === 'option-terminator');
  if (border === undefined) return { ours: [...args], command: [] };
  return { ours: args.slice(0, border.index), command: args.slice(border.kind === 'positional' ? border.index : border.index + 1) };
}

/** What a command line asks for. */
export interface Request {
  readonly policy: Policy;
  readonly preset: PresetName | 'none';
  /** Which one, where the command says so. */
  readonly python: string | undefined;
  /** The program made a path, where it was found; then its arguments. */
  readonly argv: readonly string[];
}

/**
 * The policy that file, flags and command make together.
 *
 * @throws {PolicyInvalid} `ERR_POLICY_INVALID`; a usage error for a flag that is not one.
 */
export function request(values: PolicyValues, command: readonly string[]): Request {
  const file = values.policy === undefined ? undefined : readPolicyFile(values.policy);
  if (command.length === 1 && command[0]?.endsWith('.json') === true) throw usageError(`${command[0]} is not a program: a policy is given as --policy ${command[0]}`);
  const argv = command[0] === undefined ? [] : [found(command[0]), ...command.slice(1)];
  const interpreter = interpreterOf(argv[0]);
  const preset = presetOf(values.preset) ?? file?.preset ?? presetNamed(interpreter) ?? 'command';
  // pyenv's is a script; what it stands for is what runs.
  const python = preset !== 'python' ? undefined : presetNamed(interpreter) === 'python' ? interpreter : file?.interpreter;
  if (python !== undefined && python === argv[0]) argv[0] = findPython(python).executable;
  const wishes = file?.wishes ?? {};
  const asked: Policy = {
    ...wishes,
    read: [...(wishes.read ?? []), ...(values.read ?? []), ...script(argv, interpreter)],
    write: [...(wishes.write ?? []), ...(values.write ?? [])],
    execute: [...(wishes.execute ?? []), ...(values.execute ?? [])],
    network: network(wishes.network, values.connect ?? [], values.listen ?? []),
    environment: { ...wishes.environment, ...environment(values.env ?? []) },
    limits: { ...wishes.limits, ...limits(values.limit ?? []) },
    // Arguments that are paths mean what they mean to the caller.
    cwd: values.cwd ?? wishes.cwd ?? process.cwd(),
    without: [...(wishes.without ?? []), ...((values.without ?? []) as GuaranteeName[])],
    ...(values.level !== undefined && { level: values.level as Level }),
  };
  if (file !== undefined) refuseOwnFile(asked, file.path);
  return { policy: fromPreset(preset, asked, python), preset, python, argv };
}

function presetOf(name: string | undefined): PresetName | 'none' | undefined {
  if (name === undefined || presetNames.includes(name as PresetName)) return name as PresetName | undefined;
  throw usageError(`--preset is one of ${presetNames.join(', ')}, not "${name}"`);
}

function network(wished: Policy['network'], connect: readonly string[], listen: readonly string[]): NonNullable<Policy['network']> {
  const wishes = wished === undefined || wished === 'none' ? {} : wished;
  const known = connect.map((entry) => endpoint('connect', entry)) as Endpoint[];
  return { connect: [...(wishes.connect ?? []), ...known], listen: [...(wishes.listen ?? []), ...listen.map((entry) => endpoint('listen', entry))] };
}

/** `example.org:443`, `127.0.0.1:80`, `[::1]:80`; `8080` for a port to listen on. */
function endpoint(option: 'connect' | 'listen', entry: string): { host?: string; port: number } {
  const [, bracketed, plain, port = ''] = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d{1,5})$/.exec(entry) ?? [];
  const host = bracketed ?? plain;
  if (port === '' || (option === 'connect' && host === undefined)) throw usageError(`--${option} ${entry}: ${option === 'connect' ? 'HOST:PORT' : '[HOST:]PORT'}, as in ${option === 'connect' ? 'example.org:443' : '8080'} or [::1]:8080`);
  return { ...(host !== undefined && { host }), port: Number(port) };
}

function environment(entries: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => {
      const at = entry.indexOf('=');
      if (at >= 0) return [entry.slice(0, at), entry.slice(at + 1)];
      const own = process.env[entry];
      if (own === undefined) throw usageError(`--env ${entry}: there is no such variable here; --env ${entry}=VALUE gives it one`);
      return [entry, own];
    }),
  );
}

const units: readonly (readonly [ending: RegExp, factors: Readonly<Record<string, number>>])[] = [
  [/Bytes$/, { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }],
  [/Ms$/, { '': 1, ms: 1, s: 1e3, m: 6e4, h: 36e5 }],
  [/./, { '': 1 }],
];

/** `--limit NAME=VALUE`, each with a unit or without. @throws A usage error. */
export function limits(entries: readonly string[]): Limits {
  return Object.fromEntries(
    entries.map((entry) => {
      const [, name = '', digits = '', unit = ''] = /^(\w+)=(\d+(?:\.\d+)?)([a-zA-Z]*)$/.exec(entry) ?? [];
      const [, factors = {}] = units.find(([ending]) => ending.test(name)) ?? [];
      const factor = Object.hasOwn(factors, unit) ? factors[unit] : undefined;
      if (name === '' || factor === undefined) throw usageError(`--limit ${entry}: a limit is NAME=NUMBER, as in memoryBytes=512M, wallTimeMs=30s or processes=64`);
      return [name, Math.round(Number(digits) * factor)];
    }),
  );
}

const executable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
};

/** Where the caller's shell would find it; the task's PATH is another one. */
export function found(program: string): string {
  if (program.includes('/')) return resolve(program);
  const folders = (process.env['PATH'] ?? '').split(delimiter).map((folder) => (folder === '' ? '.' : folder));
  const path = folders.map((folder) => join(folder, program)).find(executable);
  return path === undefined ? program : resolve(path);
}

/** The program itself, or the interpreter that its first line names. */
function interpreterOf(program: string | undefined): string | undefined {
  if (program === undefined || presetNamed(program) !== undefined) return program;
  const words = firstLine(program).replace(/^#!\s*/, '').split(/\s+/);
  return basename(words[0] ?? '') === 'env' ? words.slice(1).find((word) => !word.startsWith('-')) : words[0];
}

function presetNamed(path: string | undefined): 'node' | 'python' | undefined {
  const name = basename(path ?? '');
  return /^node(js)?$/.test(name) ? 'node' : /^python(\d(\.\d+)?)?$/.test(name) ? 'python' : undefined;
}

function firstLine(path: string): string {
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const bytes = Buffer.alloc(256);
    const text = bytes.subarray(0, readSync(fd, bytes)).toString('latin1');
    return text.startsWith('#!') ? (text.split('\n')[0] ?? '') : '';
  } catch {
    return '';
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Options of interpreters that take the next word as their value. */
const withValue = /^(-r|--require|--import|--loader|--experimental-loader|-C|--conditions|--env-file|--title|-W|-X|-Q)$/;
/** And those after which no script comes. */
const noScript = /^(-e|--eval|-p|--print|-pe|-c|-m|-i|--test|--run|-)$/;

/** The program's text is as much part of the command as the program: the script that an interpreter is given, and what tells Node which kind it is. */
function script([program, ...args]: readonly string[], interpreter: string | undefined): string[] {
  const kind = presetNamed(interpreter);
  if (program === undefined || kind === undefined) return [];
  const path = presetNamed(program) === undefined ? program : firstOperand(args);
  if (path === undefined || !existsSync(path)) return [];
  const real = realpathSync(path);
  const packageFile = kind === 'node' ? packageOf(dirname(real)) : undefined;
  return packageFile === undefined ? [real] : [real, packageFile];
}

function firstOperand(args: readonly string[]): string | undefined {
  for (let at = 0; at < args.length; at++) {
    const word = args[at] as string;
    if (noScript.test(word)) return undefined;
    if (withValue.test(word)) at++;
    else if (!word.startsWith('-')) return word;
  }
  return undefined;
}

function packageOf(folder: string): string | undefined {
  const path = join(folder, 'package.json');
  if (existsSync(path)) return realpathSync(path);
  return dirname(folder) === folder ? undefined : packageOf(dirname(folder));
}

/** Words of a command that name files of the caller's which the policy does not let the task read. */
export function notGranted(argv: readonly string[], granted: readonly string[]): string[] {
  const covers = (path: string): boolean => granted.some((rule) => rule === '/' || path === rule || path.startsWith(`${rule}/`));
  return argv.slice(1).filter((word) => !word.startsWith('-') && existsSync(word) && !covers(realpathSync(word)));
}
