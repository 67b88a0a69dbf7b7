import type { Task } from '../task/task.js';
import { within } from './waiting.js';

/** Ends a task in steps, and once: SIGTERM, so that it can clear up, and SIGKILL where that was not enough. */
export class Ending {
  readonly #task: Pick<Task, 'kill' | 'exited'>;
  readonly #graceMs: number;
  readonly #onBegin: (cause: Error | undefined) => void;
  #begun = false;
  #cause: Error | undefined;

  /** @param onBegin Called when it is asked. */
  constructor(task: Pick<Task, 'kill' | 'exited'>, graceMs: number, onBegin: (cause: Error | undefined) => void) {
    this.#task = task;
    this.#graceMs = graceMs;
    this.#onBegin = onBegin;
  }

  /** Why it had to end; undefined as long as it need not, and where it was merely slow to end by itself. */
  get cause(): Error | undefined {
    return this.#cause;
  }

  /** The first reason stands, and the first SIGTERM counts: a task does not gain time by a second reason to end it. */
  begin(cause?: Error): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#cause = cause;
    this.#onBegin(cause);
    this.#task.kill('SIGTERM');
    void within(this.#task.exited, this.#graceMs).then((ended) => ended || this.#task.kill('SIGKILL'));
  }

  /** Where the task has not ended by then. */
  async beginAfter(delayMs: number, cause?: Error): Promise<void> {
    if (!(await within(this.#task.exited, delayMs))) this.begin(cause);
  }
}
