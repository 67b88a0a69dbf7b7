import { TaskError } from './error.js';
import { log } from './log.js';
import { shared } from './shared.js';

export type KillHook = () => unknown;

/**
 * SIGTERM, with which a supervisor asks a task to end before it is killed. Until the task wants to know of it, it has its
 * usual meaning: the process ends at once.
 */
export class KillSwitch {
  readonly #controller = new AbortController();
  readonly #hooks: KillHook[] = [];
  readonly #killed: Promise<never>;
  #reject!: (error: TaskError) => void;
  #looksAtSignal = false;
  #listens = false;

  constructor() {
    this.#killed = new Promise<never>((_, reject) => { this.#reject = reject; });
    this.#killed.catch(() => {}); // whether anybody waits
  }

  /** Rejects once the hooks have done their work, unless the task looks at the signal, and so ends by itself. */
  get killed(): Promise<never> {
    return this.#killed;
  }

  get signal(): AbortSignal {
    this.#looksAtSignal = true;
    this.#listen();
    return this.#controller.signal;
  }

  add(hook: KillHook): void {
    this.#hooks.push(hook);
    this.#listen();
  }

  /** What SIGTERM does. Once. */
  async kill(): Promise<void> {
    if (this.#controller.signal.aborted) return;
    const reason = new TaskError('ERR_TASK_KILLED', 'the supervisor asked the task to end');
    this.#controller.abort(reason);
    await Promise.all(this.#hooks.map(async (hook) => {
      try {
        await hook();
      } catch (error) {
        log.error('a hook of onKill failed', { error });
      }
    }));
    if (!this.#looksAtSignal) this.#reject(reason);
  }

  #listen(): void {
    if (this.#listens) return;
    this.#listens = true;
    process.on('SIGTERM', this.#onSignal);
  }

  readonly #onSignal = (): void => void this.kill();

  /** Gives the signal its usual meaning back. */
  end(): void {
    process.off('SIGTERM', this.#onSignal);
  }
}

export const killSwitch = (): KillSwitch => (shared.kill ??= new KillSwitch());

/**
 * Has a function called when the supervisor asks the task to end (SIGTERM): to cancel a query, to remove what is half done.
 * Airflow's on_kill(). The process is killed `killGraceMs` after, 5 seconds unless the supervisor says otherwise. When all hooks are done the task has
 * failed with `ERR_TASK_KILLED`; one that looks at `context.signal` ends by itself instead, with what it then throws or returns.
 */
export function onKill(hook: KillHook): void {
  killSwitch().add(hook);
}
