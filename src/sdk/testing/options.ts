import { checkOptions, invalidArgument } from '../../errors.js';
import type { FakeOptions } from '../testing.js';

const xcom = ['task_id', 'value', 'key', 'dag_id', 'run_id', 'map_index'];
const connection = ['conn_id', 'conn_type', 'host', 'schema', 'login', 'password', 'port', 'extra'];
const asset = ['name', 'uri', 'group', 'extra', 'aliases', 'events', 'state'];
const context = ['ti', 'dag_run', 'start_date', 'max_tries', 'should_retry', 'task_reschedule_count', 'next_method', 'next_kwargs'];
const instance = ['id', 'dag_id', 'run_id', 'task_id', 'try_number', 'map_index'];

/**
 * What has fields of its own choice is let be: a DAG run, an event, `extra`, `conf`, values.
 *
 * @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`: a field that is none, or one that is missing.
 */
export function checkFakeOptions(options: FakeOptions): void {
  checkOptions('options', options, ['variables', 'connections', 'xcoms', 'state', 'assets', 'dagRuns', 'context', 'answers']);
  for (const [id, each] of Object.entries(options.connections ?? {})) checkOptions(`options.connections.${id.slice(0, 40)}`, each, connection);
  checkEach('options.xcoms', options.xcoms, xcom, ['task_id', 'value']);
  checkEach('options.assets', options.assets, asset, ['name', 'uri']);
  if (options.context === undefined) return;
  checkOptions('options.context', options.context, context);
  if (options.context.ti !== undefined) checkOptions('options.context.ti', options.context.ti, instance);
}

function checkEach(name: string, list: unknown, fields: readonly string[], needed: readonly string[]): void {
  if (list === undefined) return;
  if (!Array.isArray(list)) throw invalidArgument(name, 'an array', list);
  for (const [index, each] of list.entries()) {
    checkOptions(`${name}[${index}]`, each, fields);
    for (const field of needed) if (!(field in each)) throw invalidArgument(`${name}[${index}].${field}`, 'given', undefined);
  }
}
