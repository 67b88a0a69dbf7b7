/**
 * `sallyport/task`: what a task file uses. It has no token and no address of the API; every call is a request
 * to the supervisor, which answers what this task was granted.
 */

import { client } from './client.js';
import type { Connection, TaskContext, XComRef } from './types.js';

export { TaskError } from './error.js';
export { log } from './log.js';
export type { Connection, DagRun, TaskContext, TaskFunction, TaskInstance, XComRef } from './types.js';

/** This run, as the default export gets it: for code far from there. */
export const context: TaskContext = Object.freeze({
  get ti() { return client().start.ti; },
  get dag_run() { return client().start.ti_context.dag_run; },
  get start_date() { return client().start.start_date; },
  get max_tries() { return client().start.ti_context.max_tries ?? 0; },
});

/**
 * Asks for a method that the supervisor granted with `launch(argv, { methods })`.
 *
 * @returns What the method returned.
 * @throws {TaskError} `ERR_BROKER_DENIED`: not granted, or the params do not fit. `ERR_BROKER_METHOD`: it failed.
 *   `ERR_BROKER_CLOSED`: the supervisor is gone. `ERR_TASK_OUTSIDE`: there is no supervisor.
 */
export async function request(method: string, params: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
  return await client().request(method, params);
}

type Fields = Readonly<Record<string, unknown>> | null;

export const variables = Object.freeze({
  /**
   * The variable's text.
   * @throws {TaskError} `VARIABLE_NOT_FOUND`, `ERR_BROKER_DENIED`
   */
  async get(key: string): Promise<string> {
    const reply = (await client().request('GetVariable', { key })) as Fields;
    return reply?.['value'] as string;
  },
});

export const connections = Object.freeze({
  /** @throws {TaskError} `CONNECTION_NOT_FOUND`, `ERR_BROKER_DENIED` */
  async get(conn_id: string): Promise<Connection> {
    const { type: _, ...connection } = ((await client().request('GetConnection', { conn_id })) as Fields) ?? {};
    const absent = { host: null, schema: null, login: null, password: null, port: null, extra: null };
    return { ...absent, ...connection } as unknown as Connection;
  },
});

export const xcom = Object.freeze({
  /**
   * Another task's XCom, or our own: `await xcom.pull({ task_id: 'extract' })`.
   * @returns null where there is none, as in Airflow.
   * @throws {TaskError} `ERR_BROKER_DENIED`
   */
  async pull(ref: XComRef = {}): Promise<unknown> {
    const { dag_id, run_id, task_id } = context.ti;
    const reply = (await client().request('GetXCom', { key: 'return_value', dag_id, run_id, task_id, map_index: null, include_prior_dates: false, ...ref })) as Fields;
    return reply?.['value'] ?? null;
  },

  /**
   * An XCom of this task. Any JSON value.
   * @throws {TaskError} `ERR_BROKER_DENIED`: not JSON, or not granted.
   */
  async push(key: string, value: unknown): Promise<void> {
    const { dag_id, run_id, task_id, map_index } = context.ti;
    await client().request('SetXCom', { key, value, dag_id, run_id, task_id, map_index });
  },
});

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
