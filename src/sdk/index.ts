/**
 * `sallyport/task`: what a task file uses. It has no token and no address of the API; every call is a request
 * to the supervisor, which answers what this task was granted. docs/sdk.md
 */

import { client } from './client.js';

export { assets, type Asset, type AssetEvent, type AssetEventRange, type AssetState } from './assets.js';
export { awaitInput, type HumanAnswer, type InputRequest } from './await-input.js';
export { connections } from './connections.js';
export { context } from './context.js';
export { dagRuns, skipDownstream, triggerDagRun, type TriggerOptions } from './dag-runs.js';
export { TaskError } from './error.js';
export { onKill, type KillHook } from './kill.js';
export { log } from './log.js';
export { defer, fail, reschedule, skip, TaskOutcome, type Deferral } from './outcome.js';
export type { AssetKey, AssetUpdate } from './outlets.js';
export { state, type StateOptions } from './state.js';
export type { Connection, DagRun, TaskContext, TaskFunction, TaskInstance, XComRef } from './types.js';
export { variables } from './variables.js';
export { xcom } from './xcom.js';

/**
 * Asks for a method that the supervisor granted: `launch(argv, { methods })`, or a message of Airflow's that has no function here.
 *
 * @returns What the method returned.
 * @throws {TaskError} `ERR_BROKER_DENIED`: not granted, or the params do not fit. `ERR_BROKER_METHOD`: it failed.
 *   `ERR_BROKER_CLOSED`: the supervisor is gone. `ERR_TASK_OUTSIDE`: there is no supervisor.
 */
export async function request(method: string, params: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
  return await client().request(method, params);
}

/**
 * Has a value hidden in what this task prints from now on, as Airflow's mask_secret(). Connections' passwords, and variables
 * with sensitive names, are already.
 *
 * @param value Text of five characters or more, or JSON made of it. Short of 64 KiB in all.
 * @param name With it, and within objects: only where the name is a sensitive one, such as `api_key`.
 * @throws {TaskError} `ERR_BROKER_DENIED`: not JSON, or too much.
 */
export async function maskSecret(value: unknown, name?: string): Promise<void> {
  await client().request('MaskSecret', { value, ...(name !== undefined && { name }) });
}
