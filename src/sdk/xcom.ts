import { checkOptions } from '../errors.js';
import { client } from './client.js';
import { context } from './context.js';
import type { XComRef } from './types.js';

type Fields = Readonly<Record<string, unknown>> | null;

/** A misspelt one would have the task read its own, and find nothing. */
const fields = ['key', 'dag_id', 'run_id', 'task_id', 'include_prior_dates'];

/** What is left out is this task's own. */
function named(ref: Omit<XComRef, 'map_index' | 'include_prior_dates'>): Readonly<Record<string, unknown>> {
  const { dag_id, run_id, task_id } = context.ti;
  return { key: 'return_value', dag_id, run_id, task_id, ...ref };
}

export const xcom = Object.freeze({
  /**
   * Another task's XCom, or our own: `await xcom.pull({ task_id: 'extract' })`. What type it has is the caller's word: `pull<string[]>(...)`.
   * @returns null where there is none, as in Airflow.
   * @throws {TaskError} `ERR_BROKER_DENIED`: another's, and not among the supervisor's `xcoms`.
   */
  async pull<Value = unknown>(which: XComRef = {}): Promise<Value | null> {
    checkOptions('ref', which, [...fields, 'map_index']);
    const { map_index, include_prior_dates = false, ...ref } = which;
    const reply = (await client().request('GetXCom', { ...named(ref), map_index: map_index ?? null, include_prior_dates })) as Fields;
    return (reply?.['value'] ?? null) as Value | null;
  },

  /** Of a task that is mapped: what each of its instances pushed, in the order of their map index. */
  async pullAll<Value = unknown>(ref: Omit<XComRef, 'map_index'> = {}): Promise<Value[]> {
    checkOptions('ref', ref, fields);
    const { include_prior_dates = false, ...name } = ref;
    const reply = (await client().request('GetXComSequenceSlice', { ...named(name), start: null, stop: null, step: null, include_prior_dates })) as Fields;
    return reply?.['root'] as Value[];
  },

  /**
   * An XCom of this task. Any JSON value.
   * @throws {TaskError} `ERR_BROKER_DENIED`: not JSON, or not granted.
   */
  async push(key: string, value: unknown): Promise<void> {
    const { map_index } = context.ti;
    await client().request('SetXCom', { ...named({ key }), value, map_index });
  },

  /** Takes back one that this task has pushed. One that is not there is gone. */
  async delete(key: string): Promise<void> {
    const { map_index } = context.ti;
    await client().request('DeleteXCom', { ...named({ key }), map_index });
  },
});
