import { closeSync, constants, fstatSync, openSync, readSync, realpathSync, type Stats } from 'node:fs';
import { basename, dirname } from 'node:path';
import { SecretRefused } from '../errors.js';
import { withCredential } from '../secrets/credential.js';
import { changeableByOthers, walk, type Step } from '../secrets/safe-path.js';
import { noteSecretFile, withSecretFile } from '../secrets/secret-file.js';

/** Larger than any configuration, and small enough to be read at once. */
const mostBytes = 1 << 20;

export interface PlaceProblem {
  readonly rule: 'too-open' | 'missing';
  readonly place: string;
  readonly problem: string;
  readonly remedy: string;
}

/** Every file that a configuration of this process was read from. A policy that lets a task write one is refused. */
export const configFiles: ReadonlySet<string> = new Set();

/** What could let another user decide what `path` holds: each folder, link and file on the way to it. */
export function changeable(path: string, seen?: Map<string, Step>): PlaceProblem[] {
  try {
    return walk(path, seen).flatMap((step) => {
      const problem = changeableByOthers(step);
      if (problem === undefined) return [];
      const remedy = problem.startsWith('is owned') ? `chown it to root or to this user` : `chmod go-w ${step.path}`;
      return [{ rule: 'too-open' as const, place: step.path, problem, remedy }];
    });
  } catch (error) {
    return [absent(path, error)];
  }
}

function absent(place: string, error: unknown): PlaceProblem {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) throw error;
  return { rule: 'missing', place, problem: `cannot be read: ${code}`, remedy: 'correct the path, or let this user read it' };
}

/**
 * Lends the bytes of a configuration file to `read` and overwrites them afterwards: there may be a secret in it that must not
 * be. What is wrong with the file and the way to it goes to `problems`; `read` is not called where there is nothing to read, and says whether a secret was in it.
 */
export function withConfigFile(path: string, problems: PlaceProblem[], read: (bytes: Uint8Array, stats: Stats) => boolean): void {
  problems.push(...changeable(path));
  if (problems.some(({ rule }) => rule === 'missing')) return;
  let fd: number;
  try {
    // O_NONBLOCK: opening a pipe that someone put there must not wait for its writer.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    problems.push(absent(path, error));
    return;
  }
  let bytes = new Uint8Array();
  try {
    const stats = fstatSync(fd);
    const unusable = !stats.isFile() ? 'is not a regular file' : stats.size > mostBytes ? `is larger than ${mostBytes} bytes` : undefined;
    if (unusable !== undefined) {
      problems.push({ rule: 'missing', place: path, problem: unusable, remedy: 'name a configuration file' });
      return;
    }
    // A buffer of its own: V8 keeps a small array on its heap, and leaves copies where it moves it.
    bytes = new Uint8Array(new ArrayBuffer(stats.size));
    let length = 0;
    for (let got = -1; got !== 0 && length < bytes.length; length += got) got = readSync(fd, bytes, length, bytes.length - length, length);
    (configFiles as Set<string>).add(realpathSync(path));
    if (read(bytes.subarray(0, length), stats)) noteSecretFile(fd);
  } finally {
    bytes.fill(0);
    closeSync(fd);
  }
}

/** What keeps a file with a key from being used, by the rules of {@link Secret.fromFile}, or of a credential. It is not read. */
export function keyFile(path: string): PlaceProblem | undefined {
  try {
    if (dirname(path) === process.env['CREDENTIALS_DIRECTORY']) withCredential(basename(path), mostBytes, () => undefined);
    else withSecretFile(path, mostBytes, () => undefined);
    return undefined;
  } catch (error) {
    if (!(error instanceof SecretRefused)) throw error;
    const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
    const missing = code !== undefined && code !== 'ELOOP';
    return { rule: missing ? 'missing' : 'too-open', place: path, problem: `is no place for a key: ${error.problem}`, remedy: missing ? 'correct the path, or let this user read it' : 'name a regular file of root\'s or of this user\'s, mode 600, in folders that nobody else can change' };
  }
}
