import { constants } from 'node:os';
import { native } from '../native.js';

/**
 * Has the kernel discard a signal, without the moment that a JavaScript listener leaves open. A listener that is
 * added later still takes the signal over. Scope: process; inherited by execve. @see sigaction(2)
 */
export function ignoreSignal(signal: NodeJS.Signals): void {
  native().ignoreSignal(constants.signals[signal]);
}

/** What the kernel does with a signal now. */
export function signalDisposition(signal: NodeJS.Signals): 'default' | 'ignore' | 'handler' {
  return native().signalDisposition(constants.signals[signal]);
}

/**
 * Has the kernel end this process with SIGKILL when the thread that started it ends: also while it is stopped or busy.
 *
 * @param parent The process that started this one.
 * @throws System error `ESRCH`, `syscall: 'getppid'`: it has ended already.
 * @see prctl(2), PR_SET_PDEATHSIG. Scope: process; lost when it executes a set-uid program.
 */
export function dieWithParent(parent: number): void {
  native().dieWithParent(parent);
}
