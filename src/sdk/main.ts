// What a task process runs: `node main.js BUNDLE`. Makes ready what does not depend on the task, waits for
// the start message on fd 0, calls the default export of the file that it names, reports what became of it.
// Exit code 0 means that the report was made, failure of the task included, as with Airflow's own runner; 1
// that none could be.

import { realpathSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { Client, setClient } from './client.js';
import { TaskError } from './error.js';
import { context, log, xcom } from './index.js';
import { findLog } from './log.js';
import type { TaskFunction } from './types.js';
import { warmUp } from './warm-up.js';

/** Where the supervisor has found it, too: below the bundle, links followed. */
function fileOf(bundle: string, path: string): string {
  const root = realpathSync(bundle);
  const file = realpathSync(resolve(root, path));
  if (!file.startsWith(root.endsWith(sep) ? root : root + sep)) throw new TaskError('ERR_TASK_FILE', 'the task file is not in its bundle');
  return file;
}

async function load(bundle: string, path: string): Promise<TaskFunction> {
  const file = fileOf(bundle, path);
  const { default: exported } = (await import(pathToFileURL(file).href)) as { default?: unknown };
  // A CommonJS file that a compiler made from `export default` has it one level down.
  const entry = typeof exported === 'function' ? exported : (exported as { default?: unknown } | undefined)?.default;
  if (typeof entry !== 'function') throw new TaskError('ERR_TASK_FILE', 'the task file has no function as its default export');
  return entry as TaskFunction;
}

async function run(client: Client, bundle: string): Promise<void> {
  const end_date = (): string => new Date().toISOString();
  try {
    const result = await Promise.race([stalled(), load(bundle, client.start.dag_rel_path).then((task) => task(context))]);
    if (result !== undefined) await xcom.push('return_value', result);
  } catch (error) {
    log.error('the task failed', { error });
    const why = { end_date: end_date(), retry_reason: describe(error).slice(0, 2000) };
    if (client.start.ti_context.should_retry === true) await client.request('RetryTask', { ...why, state: 'up_for_retry' });
    else await client.request('TaskState', { ...why, state: 'failed' });
    return;
  }
  await client.request('SucceedTask', { state: 'success', end_date: end_date(), task_outlets: [], outlet_events: [] });
}

/** One line for whoever looks at the outcome; the log has it all. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? ` [${error.code}]` : '';
  return `${error.name}: ${error.message}${code}`;
}

/** Nothing is left that could settle the task's promise: exit code 0 would pass for success. */
function stalled(): Promise<never> {
  return new Promise((_, reject) => {
    process.once('beforeExit', () => reject(new TaskError('ERR_TASK_STALLED', 'the task waits for something that can no longer happen')));
  });
}

const flushed = (stream: NodeJS.WriteStream): Promise<void> => new Promise((done) => stream.write('', () => done()));

async function main(): Promise<number> {
  findLog();
  const bundle = process.argv[2];
  if (bundle === undefined) throw new TaskError('ERR_TASK_FILE', 'usage: main.js BUNDLE');
  const client = new Client(0);
  const started = client.awaitStart();
  await Promise.all([started, warmUp(bundle)]);
  setClient(client);
  // fd 0 is the channel: code that reads its standard input finds it empty.
  Object.defineProperty(process, 'stdin', { value: Readable.from([]), configurable: true });
  await run(client, bundle);
  await client.end();
  return 0;
}

main().catch((error: unknown) => {
  log.critical('the task could not be run', { error });
  return 1;
}).then(async (code) => {
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(code); // whatever the task left running ends with it
});
