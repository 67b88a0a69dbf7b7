import { realpathSync, statSync } from 'node:fs';
import { basename, relative, resolve, sep } from 'node:path';
import { ParseHost, type DagFileParsingResult, type ParsedDag, type Schedule } from '../hosts/index.js';
import { policies } from '../policy/presets.js';
import { harmless } from '../supervisor/logs/record.js';
import { commandLine, usageError } from './command-line.js';
import { limits } from './policy-options.js';
import { columnsOf, paintFor, row, wrappedRow, type Paint } from './table.js';

const usage = `usage: sallyport parse [options] FILE ...

Says what each file defines with sallyport/dag. A file is parsed in a locked
process of its own: it reads its bundle, and nothing else of yours; no network,
no variable of your environment.

  --bundle FOLDER        the bundle that the files are in; here by default
  --name NAME            the bundle's name; by default its folder's
  --dag-ids PATTERN      ids that the files may define, as "sales_*"; any by
                         default
  --limit NAME=VALUE     as of \`sallyport run\`; by default wallTimeMs=50s,
                         memoryBytes=512M, processes=64, outputBytes=16M,
                         scratchBytes=64M
  --jobs N               files parsed at once; by default 2
  --output               what the files print, on standard error
  --json                 print only an array of Airflow's DagFileParsingResult

Exit code 0: every file could be parsed. 1: there are import errors.
`;

const options = {
  bundle: { type: 'string', default: '.' },
  name: { type: 'string' },
  'dag-ids': { type: 'string', multiple: true },
  limit: { type: 'string', multiple: true, default: [] as string[] },
  jobs: { type: 'string', default: '2' },
  output: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const;

export async function run(args: string[], signal: AbortSignal): Promise<number> {
  const given = commandLine(args, usage, options, { allowPositionals: true });
  if (given === undefined) return 0;
  const { values, positionals } = given;
  if (positionals.length === 0) throw usageError('which files? sallyport parse FILE ...');
  if (!/^[1-9]\d{0,2}$/.test(values.jobs)) throw usageError('--jobs is a number from 1 to 999');
  const bundle_path = realpathSync(values.bundle);
  const files = positionals.map((file) => inBundle(file, bundle_path));
  await using host = new ParseHost({
    policy: policies.node({ limits: limits(values.limit) }),
    concurrency: Number(values.jobs),
    ...(values.output && { onLog: ({ task, source, line }) => process.stderr.write(`${relative(bundle_path, task)} ${source}: ${clean(line)}\n`) }),
  });
  const bundle_name = values.name ?? basename(bundle_path);
  const parsing = Promise.all(files.map((file) => host.parse({ file, bundle_path, bundle_name, dag_ids: values['dag-ids'] ?? ['*'] }, { signal })));
  const results = await parsing.catch((error: unknown) => {
    if (signal.aborted) return undefined;
    throw error;
  });
  if (results === undefined) return 1; // interrupted: nothing is said of a part of them
  process.stdout.write(values.json ? `${harmless(JSON.stringify(results, null, 2))}\n` : asText(results, bundle_path));
  return results.some(failed) ? 1 : 0;
}

function inBundle(file: string, bundle: string): string {
  const path = resolve(file);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw usageError(`${file} is not there`);
  if (!stats.isFile()) throw usageError(`${file} is no file: name the files of the bundle that define workflows`);
  if (!realpathSync(path).startsWith(bundle.endsWith(sep) ? bundle : bundle + sep)) throw usageError(`${file} is not in the bundle ${bundle}: --bundle FOLDER says which it is in`);
  return path;
}

const failed = ({ import_errors }: DagFileParsingResult): boolean => Object.keys(import_errors).length > 0;

function asText(results: readonly DagFileParsingResult[], bundle: string): string {
  const paint = paintFor(process.stdout);
  const dags = results.reduce((sum, { serialized_dags }) => sum + serialized_dags.length, 0);
  const errors = results.filter(failed).length;
  const sum = `${count(results.length, 'file')}, ${count(dags, 'DAG')}, ${paint(errors === 0 ? 'green' : 'red', errors === 0 ? 'no import errors' : `${count(errors, 'file')} with import errors`)}`;
  return `${results.map((result) => fileText(result, bundle, paint)).join('\n\n')}\n\n${sum}\n`;
}

function fileText({ fileloc, serialized_dags, warnings, import_errors }: DagFileParsingResult, bundle: string, paint: Paint): string {
  const columns = columnsOf(process.stdout);
  return [
    paint('bold', relative(bundle, fileloc)),
    ...serialized_dags.map((dag) => dagText(dag, paint)),
    ...warnings.map(({ category, message }) => wrappedRow([paint('yellow', 'warning'), clean(`${message} (${category})`)], [7], columns)),
    ...Object.values(import_errors).map((text) => [`  ${paint('red', 'error')}`, ...clean(text).split('\n').map((line) => `    ${line}`.trimEnd())].join('\n')),
  ].join('\n');
}

function dagText({ dag_id, schedule, tasks }: ParsedDag, paint: Paint): string {
  const widths = [2, Math.max(...tasks.map(({ task_id }) => task_id.length)), Math.max(...tasks.map(({ file }) => file.length))];
  return [
    `  ${paint('cyan', dag_id)}  ${scheduleText(schedule)}  ${paint('dim', count(tasks.length, 'task'))}`,
    ...tasks.map(({ task_id, file, upstream_task_ids }) => row(['', task_id, clean(file), upstream_task_ids.length === 0 ? '' : paint('dim', `after ${upstream_task_ids.join(', ')}`)], widths)),
  ].join('\n');
}

function scheduleText(schedule: Schedule): string {
  switch (schedule.type) {
    case 'none': return 'when started';
    case 'cron': return schedule.expression;
    case 'delta': return `every ${schedule.seconds} s`;
    case 'assets': return `when updated: ${clean(schedule.assets.map(({ name }) => name).join(', '))}`;
  }
}

const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`;

/** A file's own words, for a terminal. */
const clean = (text: string): string => text.replace(/[^\P{C}\n\t]/gu, '?');
