import { checkOptions, invalidArgument } from '../errors.js';
import { client } from './client.js';
import { TaskError } from './error.js';

type Fields = Readonly<Record<string, unknown>> | null;

/** As many of Airflow's longest as one answer holds. */
const keysAtOnce = 4000;

async function get(key: string): Promise<string>;
async function get<T>(key: string, options: { readonly default: T }): Promise<string | T>;
async function get<T>(key: string, options?: { readonly default: T }): Promise<string | T> {
  if (options !== undefined) checkOptions('options', options, ['default']);
  try {
    const reply = (await client().request('GetVariable', { key })) as Fields;
    return reply?.['value'] as string;
  } catch (error) {
    if (options !== undefined && error instanceof TaskError && error.code === 'VARIABLE_NOT_FOUND') return options.default;
    throw error;
  }
}

export const variables = Object.freeze({
  /**
   * The variable's text: `await variables.get('region')`, or `get('region', { default: 'north' })` for one that may not be there.
   * @throws {TaskError} `VARIABLE_NOT_FOUND`; `ERR_BROKER_DENIED`: not among the supervisor's `variables`.
   */
  get,

  /**
   * Makes or changes one. @throws {TaskError} `ERR_BROKER_DENIED`: not among the supervisor's `writableVariables`.
   */
  async set(key: string, value: string, { description }: { readonly description?: string } = {}): Promise<void> {
    if (typeof value !== 'string') throw invalidArgument('value', 'a string, such as JSON.stringify() makes', value);
    await client().request('PutVariable', { key, value, description: description ?? null });
  },

  /** One that is not there is gone. @throws {TaskError} `ERR_BROKER_DENIED`, as for `set`. */
  async delete(key: string): Promise<void> {
    await client().request('DeleteVariable', { key });
  },

  /** The keys that this task may read, in order. Needs a server of Airflow 3.3, or `sallyport/server`. */
  async keys(options: { readonly prefix?: string } = {}): Promise<string[]> {
    checkOptions('options', options, ['prefix']);
    const { prefix } = options;
    const keys: string[] = [];
    for (;;) {
      const reply = (await client().request('GetVariableKeys', { prefix: prefix ?? null, limit: keysAtOnce, offset: keys.length })) as { readonly keys: readonly string[]; readonly total_entries: number };
      keys.push(...reply.keys);
      if (reply.keys.length === 0 || keys.length >= reply.total_entries) return keys;
    }
  },
});
