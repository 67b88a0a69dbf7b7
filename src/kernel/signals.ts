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
