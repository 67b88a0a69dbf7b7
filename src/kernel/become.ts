import { native } from '../native.js';
import { maskOf, type CapabilityName } from './capabilities.js';

/** Whom a program runs as. `home` and `name` are what its environment says. */
export interface User {
  readonly uid: number;
  readonly gid: number;
  /** `gid` among them. */
  readonly groups: readonly number[];
  readonly name?: string;
  readonly home: string;
}

/** The user of this name or number, with all its groups; undefined where the system knows none. @see getpwnam(3) */
export function findUser(name: string): User | undefined {
  return native().findUser(name);
}

export interface Successor {
  /** The program's file. */
  readonly path: string;
  readonly argv: readonly string[];
  /** NAME=value; nothing of ours is added. */
  readonly environment: readonly string[];
  /** What it has open, by its own number: which of ours that is. All others are closed. */
  readonly descriptors: ReadonlyMap<number, number>;
  /** @default whoever we are */
  readonly user?: User | undefined;
  /** Capabilities that it keeps. @default none */
  readonly keep?: readonly CapabilityName[];
}

/**
 * This process turns into another program, with no_new_privs and without capabilities; given a user, as that one and
 * not dumpable from its first instruction. Everything is read back before.
 *
 * @throws System error: what the kernel refused. The calling thread is half-way then: end the process. What fails
 *   when its descriptors are gone is a line on standard error, and exit code 126 or 127.
 * @see execve(2), credentials(7), prctl(2). Scope: process.
 */
export function become({ path, argv, environment, descriptors, user, keep = [] }: Successor): never {
  const moves = [...descriptors].sort(([a], [b]) => a - b).flatMap(([target, source]) => [source, target]);
  const ids = user === undefined ? [] : [user.uid, user.gid, ...new Set([user.gid, ...user.groups])];
  return native().become(path, argv, environment, maskOf('keep', keep), moves, ids);
}

const nobodysGroup = 65534;

/**
 * Ends what {@link become} with a user begins: the effective group, which was another one so that the kernel kept the new
 * image closed, is the real one again, on every thread. Files that are made from now on belong to it, and what this
 * process starts has ids that are equal. A process that has other ids stays as it is.
 */
export function takeRealGroup(): void {
  const real = process.getgid?.();
  const other = real === nobodysGroup ? nobodysGroup - 1 : nobodysGroup;
  if (real !== undefined && process.getegid?.() === other) process.setegid?.(real);
}
