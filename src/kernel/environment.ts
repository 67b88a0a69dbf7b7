import { native, type NativeWiped } from '../native.js';

/**
 * Overwrites the variables that this process was started with where /proc/<pid>/environ shows them, and moves
 * them to memory of our own, so that `process.env` and getenv(3) go on working. Irreversible; twice is fine.
 *
 * @throws System error, `syscall: 'mmap'` and the like: nothing was changed; `EIO`: the area could not be cleared.
 * @see proc(5). Scope: process. Call it before worker threads start: each has a copy of its own.
 */
export function wipeEnvironment(): NativeWiped {
  return native().wipeEnvironment();
}

/**
 * Overwrites the command line that /proc/<pid>/cmdline shows to everyone, up to the program's name.
 * `process.argv` stays as it is. Irreversible; twice is fine.
 */
export function wipeArguments(): NativeWiped {
  return native().wipeArguments();
}
