import { constants } from 'node:os';

/** Why a command is to end early. Its exit code is the one a shell gives to a signal. */
export class Interrupted extends Error {
  readonly exitCode: number;
  constructor(signal: 'SIGHUP' | 'SIGINT' | 'SIGTERM' | 'SIGPIPE') {
    super(`interrupted by ${signal}`);
    this.exitCode = 128 + constants.signals[signal];
  }
}

/** Aborts at a signal, and when whoever reads standard output has gone, as `head` does. A second signal ends the process at once. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort(new Interrupted(signal)));
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    controller.abort(new Interrupted('SIGPIPE')); // Node ignores the signal itself
  });
  process.stderr.on('error', () => {});
  return controller.signal;
}
