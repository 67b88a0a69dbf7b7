import { client } from './client.js';
import { killSwitch } from './kill.js';
import type { TaskContext } from './types.js';

const known = {
  get ti() { return client().start.ti; },
  get dag_run() { return client().start.ti_context.dag_run; },
  get start_date() { return client().start.start_date; },
  get max_tries() { return client().start.ti_context.max_tries ?? 0; },
  get task_reschedule_count() { return client().start.ti_context.task_reschedule_count ?? 0; },
};

/** This run, as the default export gets it: for code far from there. Who prints or copies it has not looked at the signal. */
export const context: TaskContext = Object.freeze(Object.defineProperty(known, 'signal', { get: () => killSwitch().signal }) as TaskContext);
