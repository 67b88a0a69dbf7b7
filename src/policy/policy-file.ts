import { lstatSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { PolicyInvalid } from '../errors.js';
import { checkPolicy, type Policy } from './policy.js';
import { policies } from './presets.js';

export type PresetName = keyof typeof policies;

/** What a file or a command may name. `none` grants what the policy says and no more, not even the system's libraries. */
export const presetNames: readonly (PresetName | 'none')[] = Object.freeze([...(Object.keys(policies) as PresetName[]), 'none']);

/** A policy file as it stands, its paths made absolute. */
export interface PolicyFile {
  /** The file's own path, without symbolic links. */
  readonly path: string;
  readonly preset: PresetName | 'none' | undefined;
  /** Which Python, for the preset of that name. */
  readonly interpreter: string | undefined;
  readonly wishes: Policy;
}

/** Larger than any policy, and small enough to be read at once. */
const mostBytes = 1 << 20;

/**
 * Makes a policy of a JSON file: the fields of {@link Policy}, and `preset`, which says what they add to: `command`,
 * `node`, `python` (of `interpreter`, if the file names one) or `none`. Relative paths start at the file's folder, wherever the caller stands.
 *
 * @param path Read once; a later change of the file changes nothing.
 * @param options.preset Used where the file names none. @default 'command'
 * @returns A frozen policy, to be launched any number of times.
 * @throws {PolicyInvalid} `ERR_POLICY_INVALID` with `file`, and `path` of the wrong field: unknown fields are refused, and so
 *   are grants that would let the task change the file itself.
 * @throws System error `ENOENT`, `EACCES` ..., `path`: the file cannot be read.
 */
export function loadPolicy(path: string, { preset = 'command' }: { readonly preset?: PresetName | 'none' } = {}): Policy {
  const file = readPolicyFile(path);
  return inFile(file.path, () => {
    refuseOwnFile(file.wishes, file.path);
    return fromPreset(file.preset ?? preset, file.wishes, file.interpreter);
  });
}

/** A preset and what is added to it. */
export function fromPreset(preset: PresetName | 'none', wishes: Policy, interpreter?: string): Policy {
  if (preset === 'python') return policies.python(wishes, interpreter === undefined ? {} : { interpreter });
  if (preset !== 'none') return policies[preset](wishes);
  checkPolicy(wishes);
  return Object.freeze({ ...wishes });
}

/** The file's contents, checked. @throws as {@link loadPolicy} does. */
export function readPolicyFile(given: string): PolicyFile {
  const path = realpathSync(given);
  const { size } = lstatSync(path);
  return inFile(path, () => {
    if (size > mostBytes) throw new PolicyInvalid('', `is ${size} bytes long; ${mostBytes} is the most`);
    const { preset, interpreter, ...wishes } = parsed(readFileSync(path, 'utf8'));
    if (preset !== undefined && !presetNames.includes(preset as PresetName)) throw new PolicyInvalid('preset', `must be one of ${presetNames.join(', ')}`);
    if (interpreter !== undefined && (typeof interpreter !== 'string' || preset !== 'python')) throw new PolicyInvalid('interpreter', "must be a path, next to preset 'python'");
    // A file is for confining; whoever measures what that costs writes a program.
    if (Object.hasOwn(wishes, 'dangerouslyUnconfined')) throw new PolicyInvalid('dangerouslyUnconfined', 'is not for files');
    checkPolicy(wishes);
    return {
      path,
      preset: preset as PresetName | 'none' | undefined,
      interpreter: interpreter?.includes('/') === true ? resolve(dirname(path), interpreter) : interpreter,
      wishes: absolutePaths(wishes, dirname(path)),
    };
  });
}

function parsed(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (cause) {
    // The parser's message can hold a piece of the file, and with it a value of `environment`.
    const [, at] = /position (\d+)/.exec((cause as Error).message) ?? [];
    const before = at === undefined ? text : text.slice(0, Number(at));
    throw new PolicyInvalid('', `is not JSON: see line ${before.split('\n').length}, column ${before.length - before.lastIndexOf('\n')}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new PolicyInvalid('', 'must be an object');
  return value as Record<string, unknown>;
}

function absolutePaths(policy: Policy, folder: string): Policy {
  const from = (path: string): string => resolve(folder, path);
  const lists = (['read', 'execute', 'write'] as const).filter((name) => policy[name] !== undefined);
  return {
    ...policy,
    ...Object.fromEntries(lists.map((name) => [name, policy[name]?.map(from)])),
    ...(policy.cwd !== undefined && { cwd: from(policy.cwd) }),
  };
}

/**
 * A task that can write the file it is locked in by is free at its next start.
 *
 * @throws {PolicyInvalid} `ERR_POLICY_INVALID` with the path of the grant.
 */
export function refuseOwnFile({ write = [] }: Policy, file: string): void {
  const index = write.findIndex((granted) => {
    const path = real(resolve(granted));
    return file === path || file.startsWith(path.endsWith('/') ? path : `${path}/`);
  });
  if (index >= 0) throw new PolicyInvalid(`write[${index}]`, `would let the task change its own policy (${file}); keep that file elsewhere`);
}

function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // What is missing may be made later, below a folder that is there.
    return isAbsolute(path) && dirname(path) !== path ? join(real(dirname(path)), path.slice(dirname(path).length)) : path;
  }
}

/** Says which file a wrong field is in. */
function inFile<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof PolicyInvalid && error.file === undefined) throw new PolicyInvalid(error.path, error.problem, { cause: error.cause, file });
    throw error;
  }
}
