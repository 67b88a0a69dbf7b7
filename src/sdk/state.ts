import { checkOptions, outOfRange } from '../errors.js';
import { client } from './client.js';
import { context } from './context.js';
import { TaskError } from './error.js';

type Fields = Readonly<Record<string, unknown>>;

export interface StateOptions {
  /** After so long it is gone. `Infinity`: never. @default 30 days, as Airflow's `[state_store] default_retention_days` */
  readonly retentionMs?: number;
}

const day = 86_400_000;
/** A thousand years: servers keep no date beyond 9999. */
const mostMs = 365_000 * day;

/** @throws RangeError `ERR_OUT_OF_RANGE` */
function expiry(retentionMs: number): string | null {
  if (retentionMs === Infinity) return null;
  if (!(retentionMs > 0 && retentionMs <= mostMs)) throw outOfRange('retentionMs', 'a number of milliseconds above 0, or Infinity');
  return new Date(Date.now() + retentionMs).toISOString();
}

/** What is there, or what the caller has in its place. */
export async function valueOf<Value, Default>(absent: string, fallback: Default, ask: () => Promise<unknown>): Promise<Value | Default> {
  try {
    return ((await ask()) as Fields)['value'] as Value;
  } catch (error) {
    if (error instanceof TaskError && error.code === absent) return fallback;
    throw error;
  }
}

async function get<Value = unknown>(key: string): Promise<Value | null>;
async function get<Value = unknown, Default = Value>(key: string, options: { readonly default: Default }): Promise<Value | Default>;
async function get(key: string, options: { readonly default: unknown } = { default: null }): Promise<unknown> {
  return valueOf('TASK_STORE_NOT_FOUND', options.default, () => client().request('GetTaskStateStore', { ti_id: context.ti.id, key }));
}

/**
 * What a task keeps for its own later tries, in one run: how far it came, which job it started. Any JSON but null, 64 KiB of it for each of
 * 1000 keys at most. Needs a server of Airflow 3.3, or `sallyport/server`.
 */
export const state = Object.freeze({
  /** `await state.get<number>('offset', { default: 0 })`; null where there is none and no default. */
  get,

  /** Makes or changes one. @throws {TaskError} `ERR_BROKER_DENIED`: not JSON, or null. `API_SERVER_ERROR`: too large, or too many. */
  async set(key: string, value: unknown, options: StateOptions = {}): Promise<void> {
    checkOptions('options', options, ['retentionMs']);
    const { retentionMs = 30 * day } = options;
    await client().request('SetTaskStateStore', { ti_id: context.ti.id, key, value, expires_at: expiry(retentionMs) });
  },

  /** One that is not there is gone. */
  async delete(key: string): Promise<void> {
    await client().request('DeleteTaskStateStore', { ti_id: context.ti.id, key });
  },

  /** All keys of this task, so that its next try begins anew. */
  async clear(): Promise<void> {
    await client().request('ClearTaskStateStore', { ti_id: context.ti.id });
  },
});
