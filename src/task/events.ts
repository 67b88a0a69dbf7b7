import { constants } from 'node:os';
import { TaskExitUnknown, TaskLimitExceeded, TaskStartFailed } from '../errors.js';
import { native, type NativeCalls, type PreparedPlan } from '../native.js';

/** How the kernel says a task's main process ended. */
export type ProcessExit = { readonly kind: 'exited'; readonly exitCode: number } | { readonly kind: 'signaled'; readonly signal: NodeJS.Signals };

/** And why that is not the whole truth: a limit it was killed for, or an exit that could not be learnt. */
export interface ProcessEnd {
  readonly exit: ProcessExit;
  readonly violation: TaskLimitExceeded | TaskExitUnknown | undefined;
}

/** One launch as the native side tells of it. */
interface Pending {
  started(pid: number): void;
  failed(error: TaskStartFailed): void;
  ended(end: ProcessEnd): void;
}

/** As kernel::Exceeded counts them. */
const boundedLimits = [undefined, 'memoryBytes', 'processes', 'openFiles'] as const;

const pending = new Map<number, Pending>();
let nextId = 1;
let listening = false;

const signalNames = new Map(Object.entries(constants.signals).map(([name, number]) => [number as number, name as NodeJS.Signals]));

function dispatch(id: number, event: 'started' | 'failed' | 'ended', first: number | string, second?: number | Error, survivors = 0, exceeded = 0): void {
  const task = pending.get(id);
  if (task === undefined) return;
  if (event === 'started') return task.started(first as number);
  pending.delete(id);
  if (event === 'failed') {
    const cause = second as NodeJS.ErrnoException;
    return task.failed(new TaskStartFailed(first as string, cause.message, { cause }));
  }
  if (survivors > 0) process.emitWarning(`${survivors} processes of a task outlived SIGKILL; the kernel holds them`, { code: 'SALLYPORT_SURVIVORS' });
  const signal = second as number;
  const limit = boundedLimits[exceeded];
  task.ended({
    exit: signal === 0 ? { kind: 'exited', exitCode: first as number } : { kind: 'signaled', signal: signalNames.get(signal) ?? 'SIGKILL' },
    violation: limit !== undefined ? new TaskLimitExceeded(limit) : first === -1 ? new TaskExitUnknown() : undefined,
  });
}

/** A launch under way: its number for `signalTask`, its pid once it runs, and its end. */
export interface Launched {
  readonly id: number;
  readonly pid: number;
  /** Resolves when no process of the task is left; never rejects. */
  readonly ended: Promise<ProcessEnd>;
}

/** Hands a launch to the native side. Takes the descriptors over, also when it throws. */
export function startProcess(prepared: PreparedPlan, path: string, argv: readonly string[], descriptors: readonly number[], calls?: NativeCalls): Promise<Launched> {
  if (!listening) {
    listening = true;
    native().onTaskEvent(dispatch);
    // process.exit() runs no clean-up of the environment: tasks must not outlive it.
    process.on('exit', () => native().endTasks());
  }
  const id = nextId++;
  return new Promise((resolve, reject) => {
    let end: (end: ProcessEnd) => void;
    const ended = new Promise<ProcessEnd>((resolveEnded) => (end = resolveEnded));
    pending.set(id, {
      started: (pid) => resolve({ id, pid, ended }),
      failed: reject,
      ended: (how) => end(how),
    });
    try {
      native().launch(prepared, id, path, argv, descriptors, calls);
    } catch (error) {
      pending.delete(id);
      reject(error);
    }
  });
}
