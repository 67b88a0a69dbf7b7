import { TaskError } from './error.js';

/** Airflow's next_method for a task whose trigger brought no event: it goes on to fail, so that what a task's failure does is done. */
export const failsWhereItGoesOn = '__fail__';

/** Airflow's TaskDeferralError and TaskDeferralTimeout. */
export function deferralFailure(kwargs: Readonly<Record<string, unknown>> | null | undefined): TaskError {
  const { error, traceback } = kwargs ?? {};
  if (error === 'Trigger timeout') return new TaskError('ERR_TRIGGER_TIMEOUT', 'the trigger that the task waited for has not fired in time');
  const reasons = Array.isArray(traceback) ? traceback.join('\n') : '';
  return new TaskError('ERR_TRIGGER_FAILED', `the trigger that the task waited for has failed${reasons === '' ? '' : `: ${reasons}`}`);
}
