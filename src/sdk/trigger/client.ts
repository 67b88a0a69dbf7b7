import { Client } from '../client.js';
import type { StartDetails } from '../types.js';
import { TaskError } from '../error.js';
import { current } from './scope.js';

/** The channel of a process that many triggers share: each request says whose it is. */
export class TriggerClient extends Client {
  /** The task instance for which the calling trigger waits, so that `context` and `xcom` work as in a task. */
  override get start(): StartDetails {
    const ti = current()?.ti;
    if (ti === undefined || ti === null) throw new TaskError('ERR_TASK_OUTSIDE', 'this works in a trigger that a task waits for');
    const { dag_id, run_id } = ti;
    return { ti, dag_rel_path: '', start_date: '', ti_context: { dag_run: { dag_id, run_id } } } as StartDetails;
  }

  override async request(type: string, fields: Readonly<Record<string, unknown>>): Promise<unknown> {
    const trigger = current();
    return await super.request(type, trigger === undefined ? fields : { ...fields, trigger_id: trigger.id });
  }
}
