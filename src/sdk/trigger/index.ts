/**
 * `sallyport/trigger`: what a trigger's file uses, besides `variables`, `connections` and `xcom.pull` of `sallyport/task`, which a
 * trigger asks in its own name. It shares a process with the other triggers of its team.
 */

import { setTimeout as wait } from 'node:timers/promises';

export { TaskError } from '../error.js';
export { connections, log, maskSecret, variables } from '../index.js';
export type { TriggerContext, TriggerFunction } from './types.js';

/**
 * Waits without blocking the others.
 *
 * @param signal Ends it early: the trigger's own, usually. Rejects with its reason.
 */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await wait(ms, undefined, signal && { signal }).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw error;
  });
}
