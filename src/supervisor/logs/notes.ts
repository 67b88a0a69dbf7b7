import type { Outcome } from '../run.js';
import type { LogFile } from './file.js';

/**
 * Runs a try, and has its log end with what became of it, so that who reads it need look nowhere else. Closes the log.
 *
 * @param mask For words of a refusal, which may quote what a task is called.
 * @param run Settles when all that the task wrote has been read.
 */
export async function keeping(log: LogFile | undefined, mask: (text: string) => string, run: () => Promise<Outcome>): Promise<Outcome> {
  if (log === undefined) return run();
  try {
    const outcome = await run();
    noteEnd(log, outcome);
    return Object.freeze({ ...outcome, log: await log.close() });
  } catch (error) {
    log.note('error', 'the task was not started', { state: null, error: mask(error instanceof Error ? error.message : String(error)) });
    throw error;
  } finally {
    await log.close();
  }
}

function noteEnd(log: LogFile, { state, exit, reported, kept, error, reason }: Outcome): void {
  const how = exit.kind === 'exited' ? { exit_code: exit.exitCode } : exit.kind === 'signaled' ? { signal: exit.signal } : {};
  const level = state === 'failed' || state === 'server_terminated' || (!reported && kept !== true) ? 'error' : state === 'up_for_retry' || kept === true ? 'warning' : 'info';
  log.note(level, `the task has ended: ${state}`, { state, reported, ...(kept === true && { kept }), ...how, ...(error && { error: error.message }), ...(reason !== undefined && { reason }) });
}
