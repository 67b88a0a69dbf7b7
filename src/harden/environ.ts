import { wipeArguments, wipeEnvironment } from '../kernel/environment.js';
import type { NativeWiped } from '../native.js';
import type { Row } from './report.js';

/** Nothing that this process was started with stays in /proc/<pid>/environ; on request nor in cmdline. */
export function environ(row: Row, options: { readonly wipeArguments: boolean }): void {
  row.rests(`the environment area is zero in ${seenIn('/proc/self/environ', wipeEnvironment())}`);
  if (options.wipeArguments) row.rests(`the argument area is zero in ${seenIn('/proc/self/cmdline', wipeArguments())}`);
}

function seenIn(file: string, { seenInProc }: NativeWiped): string {
  return seenInProc ? `memory and in ${file}` : 'memory';
}
