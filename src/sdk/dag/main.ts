// What a parse process runs: `node main.js`. Is told a file over fd 0, imports it, and says what it exports. Exit code 0 means
// that this was said, import errors included; 1 that nothing could be.

import { spawnSync } from 'node:child_process';
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { Client, setClient } from '../client.js';
import { TaskError } from '../error.js';
import { findLog, log } from '../log.js';
import { provideTaskModule } from '../provide.js';
import { declarations } from './mark.js';

interface Warning {
  readonly category: string;
  readonly message: string;
}

const mostWarnings = 100;
const longest = 8000;

const warnings: Warning[] = [];
const warn = (category: string, message: string): void => {
  if (warnings.length < mostWarnings) warnings.push({ category: category.slice(0, 100), message: message.slice(0, longest) });
};

/** Nothing is left that could settle the import, as when the file awaits what never comes. */
function stalled(): Promise<never> {
  return new Promise((_, reject) => {
    process.once('beforeExit', () => reject(new TaskError('ERR_TASK_STALLED', 'the file waits for something that can no longer happen')));
  });
}

async function load(file: string): Promise<unknown[]> {
  if (/\.[cm]?ts$/.test(file) && !(process.features as { typescript?: unknown }).typescript) {
    throw new TaskError('ERR_TASK_FILE', `Node ${process.versions.node} does not run TypeScript, Node 22.18 does: compile the file, or update Node`);
  }
  provideTaskModule(file);
  const exported: unknown = await Promise.race([stalled(), import(pathToFileURL(file).href)]);
  await nextTurn(); // Node tells of warnings on its next tick
  return declarations(exported);
}

/** Its place in the author's files is what matters; Node's own part of a stack is left out. */
function describe(error: unknown, file: string): string {
  if (!(error instanceof Error) || typeof error.stack !== 'string') return inspect(error).slice(0, longest);
  const lines = error.stack.split('\n').filter((line) => !/^ {4}at .*\(?node:/.test(line));
  const placed = error instanceof SyntaxError && lines.length === 1 ? syntaxError(file) : undefined;
  return (placed ?? lines.join('\n')).slice(0, longest);
}

/** Node keeps the place of an ES module's syntax error to itself, until it dies of it. */
function syntaxError(file: string): string | undefined {
  const { stderr } = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
  const [, found] = /^([^]*?\nSyntaxError: .*)$/m.exec(stderr ?? '') ?? [];
  return found?.replace(/\n{3,}/g, '\n\n');
}

/** In as many messages as it takes, for one holds so many values and no more: `more` says that another follows. */
async function report(client: Client, fileloc: string, serialized_dags: readonly unknown[], last: object): Promise<void> {
  try {
    await client.request('DagFileParsingResult', { fileloc, serialized_dags, ...last });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // it is larger than a supervisor accepts
    if (serialized_dags.length < 2) throw new TaskError('ERR_TASK_FILE', 'a DAG is too large: about 1500 tasks fit into one', { cause: (error as Error).message });
    const half = serialized_dags.length >> 1;
    await report(client, fileloc, serialized_dags.slice(0, half), { more: true });
    await report(client, fileloc, serialized_dags.slice(half), last);
  }
}

async function main(): Promise<number> {
  findLog();
  process.on('warning', ({ name, message }) => warn(name, message));
  const client = new Client(0);
  const { file } = (await client.first('DagFileParseRequest')) as { file?: unknown };
  if (typeof file !== 'string') throw new TaskError('ERR_TASK_PROTOCOL', 'the first message names no file');
  setClient(client);
  // fd 0 is the channel: code that reads its standard input finds it empty.
  Object.defineProperty(process, 'stdin', { value: Readable.from([]), configurable: true });
  try {
    const found = await load(file);
    if (found.length === 0) warn('NoDags', 'the file exports no DAG: export what dag() returns');
    await report(client, file, found, { warnings, import_errors: {} });
  } catch (error) {
    await client.request('DagFileParsingResult', { fileloc: file, serialized_dags: [], warnings, import_errors: { [file]: describe(error, file) } });
  }
  await client.end();
  return 0;
}

main().catch((error: unknown) => {
  log.critical('the file could not be parsed', { error });
  return 1;
}).then((code) => process.exit(code)); // whatever the file left running ends with it
