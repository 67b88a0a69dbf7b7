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
import './index.js'; // what the task file is going to import
import { findLog, log } from './log.js';
import { runTask, type TaskModule } from './runner.js';
import { saysNoPlace } from './syntax.js';
import { warmUp } from './warm-up.js';

/** Where the supervisor has found it, too: below the bundle, links followed. */
function fileOf(bundle: string, path: string): string {
  const root = realpathSync(bundle);
  const file = realpathSync(resolve(root, path));
  if (!file.startsWith(root.endsWith(sep) ? root : root + sep)) throw new TaskError('ERR_TASK_FILE', 'the task file is not in its bundle');
  return file;
}

async function load(bundle: string, path: string): Promise<TaskModule> {
  try {
    return (await import(pathToFileURL(fileOf(bundle, path)).href)) as TaskModule;
  } catch (error) {
    if (saysNoPlace(error)) withoutPlace = error;
    throw error;
  }
}

let withoutPlace: SyntaxError | undefined;

/** Where it is Node knows, and tells on stderr alone, when nobody catches the error. The exit code stays 0, for the report has been made. */
async function showPlace(error: SyntaxError): Promise<never> {
  process.removeAllListeners('uncaughtException');
  process.once('exit', () => { process.exitCode = 0; });
  error.stack = String(error); // the log has it
  return new Promise(() => queueMicrotask(() => { throw error; }));
}

/** What keeps a task's promise from settling as it should. */
function broken(): Promise<never> {
  return new Promise((_, reject) => {
    // Nothing is left that could: exit code 0 would pass for success.
    process.once('beforeExit', () => reject(new TaskError('ERR_TASK_STALLED', 'the task waits for something that can no longer happen')));
    // Thrown where nobody catches it, or a promise that nobody looks at: the end of any Node process, unless the task says otherwise.
    process.on('uncaughtException', (error) => {
      if (process.listenerCount('uncaughtException') === 1) reject(error);
    });
  });
}

const flushed = (stream: NodeJS.WriteStream): Promise<void> => new Promise((done) => stream.write('', () => done()));

async function main(): Promise<number> {
  findLog();
  const bundle = process.argv[2];
  if (bundle === undefined) throw new TaskError('ERR_TASK_FILE', 'usage: main.js BUNDLE');
  const client = new Client(0);
  const started = client.awaitStart();
  // fd 0 is the channel: code that reads its standard input finds it empty.
  Object.defineProperty(process, 'stdin', { value: Readable.from([]), configurable: true });
  await Promise.all([started, warmUp(bundle)]);
  setClient(client);
  try {
    await runTask(() => load(bundle, client.start.dag_rel_path), broken());
  } catch (error) {
    log.critical('what became of the task could not be told', { error });
    return 1;
  }
  await client.end();
  if (withoutPlace !== undefined) await showPlace(withoutPlace);
  return 0;
}

main().catch((error: unknown) => {
  log.critical('the task could not be run', { error });
  return 1;
}).then(async (code) => {
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(code); // whatever the task left running ends with it
});
