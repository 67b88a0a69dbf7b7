import { constants } from 'node:os';
import { isMainThread } from 'node:worker_threads';
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
  started(pid: number, scratch: string | null): void;
  failed(error: TaskStartFailed): void;
  ended(end: ProcessEnd): void;
  removed(all: boolean): void;
}

/** As kernel::Exceeded counts them. */
const boundedLimits = [undefined, 'memoryBytes', 'processes', 'openFiles', 'cpuSeconds', 'fileBytes', 'scratchBytes', 'scratchFiles'] as const;

const pending = new Map<number, Pending>();
let nextId = 1;
let listening = false;

/** The first of two names is the one that Node uses: SIGABRT, not SIGIOT. */
const signalNames = new Map(Object.entries(constants.signals).reverse().map(([name, number]) => [number as number, name as NodeJS.Signals]));

function dispatch(id: number, event: 'started' | 'failed' | 'ended' | 'removed', first: number | string | boolean, second?: number | string | Error, survivors = 0, exceeded = 0): void {
  const task = pending.get(id);
  if (task === undefined) return;
  if (event === 'started') return task.started(first as number, second === '' ? null : (second as string));
  if (event !== 'ended') pending.delete(id);
  if (event === 'removed') return task.removed(first as boolean);
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
  readonly scratch: string | null;
  /** Resolves when no process of the task is left, and its scratch folder is gone; never rejects. */
  readonly ended: Promise<ProcessEnd>;
}

/** Called with the scratch folder of a task that has ended, before it is removed. */
export type Collect = (folder: string) => void | Promise<void>;

/** What the caller wants of the scratch folder, then its end. Never rejects. */
async function clearScratch(id: number, folder: string, collect: Collect | undefined, removed: Promise<boolean>): Promise<void> {
  try {
    await collect?.(folder);
  } catch (error) {
    process.emitWarning('`collect` failed; the scratch folder is removed all the same', { type: 'SallyportWarning', code: 'SALLYPORT_COLLECT', detail: String(error) });
  }
  native().removeScratch(id);
  if (await removed) return;
  process.emitWarning(`the scratch folder ${folder} could not be removed whole`, { type: 'SallyportWarning', code: 'SALLYPORT_SCRATCH', detail: 'It is tried again when this process ends.' });
}

interface StartOptions {
  readonly calls?: NativeCalls | undefined;
  readonly collect?: Collect | undefined;
}

/** Hands a launch to the native side. Takes the descriptors over, also when it throws. */
export function startProcess(prepared: PreparedPlan, path: string, argv: readonly string[], descriptors: readonly number[], { calls, collect }: StartOptions = {}): Promise<Launched> {
  if (!listening) {
    listening = true;
    native().onTaskEvent(dispatch);
    // process.exit() runs no clean-up of the environment: tasks must not outlive it.
    process.on('exit', () => native().endTasks(isMainThread));
  }
  const id = nextId++;
  return new Promise((resolve, reject) => {
    let end: (end: ProcessEnd) => void;
    let remove: (all: boolean) => void;
    let folder: string | null = null;
    const ended = new Promise<ProcessEnd>((resolveEnded) => (end = resolveEnded));
    const removed = new Promise<boolean>((resolveRemoved) => (remove = resolveRemoved));
    pending.set(id, {
      started: (pid, scratch) => {
        folder = scratch;
        resolve({ id, pid, scratch, ended });
      },
      failed: reject,
      ended: (how) => {
        if (folder !== null) return void clearScratch(id, folder, collect, removed).then(() => end(how));
        pending.delete(id);
        end(how);
      },
      removed: (all) => remove(all),
    });
    try {
      native().launch(prepared, id, path, argv, descriptors, calls);
    } catch (error) {
      pending.delete(id);
      // Of the kernel: there is no room for the threads that launch.
      const isSystem = typeof (error as NodeJS.ErrnoException).syscall === 'string';
      reject(isSystem ? new TaskStartFailed('clone', (error as Error).message, { cause: error }) : error);
    }
  });
}
