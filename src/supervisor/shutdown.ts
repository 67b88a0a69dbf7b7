import { checkOptions, invalidArgument, outOfRange } from '../errors.js';
import { Supervisor } from './supervisor.js';

export interface ShutdownOptions {
  /** @default SIGTERM and SIGINT */
  readonly signals?: readonly NodeJS.Signals[];
  /**
   * A signal that comes sooner after the first is that one again: init programs of containers send one to the process and to its group.
   * @default 1000
   */
  readonly secondAfterMs?: number;
  /** Told what a signal has begun: for a line in the log. */
  readonly onSignal?: (signal: NodeJS.Signals, what: 'drain' | 'stop') => void;
}

/** Waits for the signals of {@link shutDownOnSignals}. Disposing of it leaves them to Node again. */
export interface Shutdown extends Disposable {
  /** Resolves when the supervisor has drained or stopped: the process may end. Never rejects; pending for ever where no signal comes. */
  readonly done: Promise<void>;
}

/**
 * Warm shutdown: at the first signal the supervisor takes no more and finishes what runs, at a second one it stops. Tasks get neither: each has
 * a session of its own.
 *
 * @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`.
 */
export function shutDownOnSignals(supervisor: Supervisor, options: ShutdownOptions = {}): Shutdown {
  if (!(supervisor instanceof Supervisor)) throw invalidArgument('supervisor', 'a Supervisor', supervisor);
  checkOptions('options', options, ['signals', 'secondAfterMs', 'onSignal']);
  const { signals = ['SIGTERM', 'SIGINT'], secondAfterMs = 1_000, onSignal } = options;
  if (!Array.isArray(signals) || signals.length === 0) throw invalidArgument('options.signals', 'an array of names of signals', signals);
  if (!Number.isSafeInteger(secondAfterMs) || secondAfterMs < 0) throw outOfRange('options.secondAfterMs', 'a whole number of milliseconds');

  let finish = (): void => {};
  const done = new Promise<void>((resolve) => (finish = resolve));
  let firstAt: number | undefined;
  const received = (signal: NodeJS.Signals): void => {
    const now = performance.now();
    if (firstAt !== undefined && now - firstAt < secondAfterMs) return;
    const what = firstAt === undefined ? 'drain' : 'stop';
    firstAt ??= now;
    void supervisor[what]().then(finish);
    onSignal?.(signal, what);
  };
  const listening: NodeJS.Signals[] = [];
  const ignore = (): void => listening.forEach((signal) => process.off(signal, received));
  try {
    for (const signal of signals) {
      process.on(signal, received); // throws for what is no signal, or none that can be caught
      listening.push(signal);
    }
  } catch (error) {
    ignore();
    throw error;
  }
  return { done, [Symbol.dispose]: ignore };
}
