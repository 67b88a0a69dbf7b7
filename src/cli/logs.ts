import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { laidOut } from '../supervisor/logs/path.js';
import { supervisorLogger } from '../supervisor/logs/record.js';
import { commandLine, usageError } from './command-line.js';
import { atLeast, dayOf, levels, parseEntry, renderEntry, stateOf } from './log-line.js';
import { awaitFile, readLog } from './log-reader.js';
import { paintFor } from './table.js';

const usage = `usage: sallyport logs [options] FILE
       sallyport logs [options] DAG RUN TASK [TRY]

Shows what a task wrote, from the file that its supervisor keeps, for a person:
when, what kind, what, and its fields. "out" and "err" are what it printed,
"note" is the supervisor's. What a terminal would obey is shown, not obeyed.
Without TRY, the last one.

  --folder DIR     where the supervisor keeps logs; by default $SALLYPORT_LOGS,
                   or logs
  --map-index N    of a mapped task
  --follow, -f     wait for lines as they come, until the try has ended; on,
                   where it is deferred
  --lines N, -n N  the last N lines of what is there
  --level LEVEL    ${levels.join(', ')}: no less important ones
  --json           the lines as they are in the file
`;

const options = {
  folder: { type: 'string' },
  'map-index': { type: 'string' },
  follow: { type: 'boolean', short: 'f', default: false },
  lines: { type: 'string', short: 'n' },
  level: { type: 'string', default: 'debug' },
  json: { type: 'boolean', default: false },
} as const;

export async function run(args: string[], signal: AbortSignal): Promise<number> {
  const given = commandLine(args, usage, options, { allowPositionals: true });
  if (given === undefined) return 0;
  const { values, positionals } = given;
  const level = levels.find((name) => name === values.level);
  if (level === undefined) throw usageError(`--level is one of ${levels.join(', ')}, not "${values.level}"`);
  const path = pathOf(positionals, values);
  const most = values.lines === undefined ? undefined : count('--lines', values.lines);
  if (values.follow) await awaitFile(path, signal, () => process.stderr.write(`sallyport logs: ${waitsFor(path, positionals.length > 1 ? folderOf(values) : undefined)}\n`));
  if (signal.aborted) return 0; // nothing is there to be shown, and the exit code is the signal's

  const paint = paintFor(process.stdout);
  let state: string | null | undefined;
  let day = '';
  let caughtUp = most === undefined;
  const kept: string[] = [];
  const show = (line: string): void => {
    if (values.json) return void process.stdout.write(`${line}\n`);
    const entry = parseEntry(line);
    const today = dayOf(entry);
    if (today !== '' && today !== day) process.stdout.write(`${paint('bold', (day = today))}\n`);
    process.stdout.write(`${renderEntry(entry, paint)}\n`);
  };
  const catchUp = (): void => {
    if (!caughtUp) kept.splice(0).forEach(show);
    caughtUp = true;
  };
  const more = (): boolean => {
    catchUp();
    return values.follow && state === undefined;
  };
  for await (const line of hinted(readLog(path, { more, signal }), positionals.length > 1)) {
    if (line === '') continue;
    const entry = parseEntry(line);
    if (entry.logger === supervisorLogger) state = stateOf(entry) ?? (entry.event === 'the task has started' ? undefined : state);
    if (!atLeast(entry, level)) continue;
    if (caughtUp) show(line);
    else if (kept.push(line) > (most ?? 0)) kept.shift();
    if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain', { signal }).catch(() => {});
  }
  catchUp();
  return 0;
}

interface Which {
  readonly folder?: string | undefined;
  readonly 'map-index'?: string | undefined;
}

const folderOf = ({ folder = process.env['SALLYPORT_LOGS'] ?? 'logs' }: Which): string => folder;

/** A supervisor makes its folder, and a task's below it, when it first writes there: who follows may well be sooner, and has to know what is not there. */
function waitsFor(path: string, folder: string | undefined): string {
  if (folder === undefined) return `waiting for '${path}', which is not there`;
  const missing = existsSync(folder) ? '' : `; nor is the folder '${folder}'`;
  return `waiting for '${path}', which is not there${missing}; --folder or SALLYPORT_LOGS says in which folder the supervisor keeps them`;
}

function pathOf(words: readonly string[], which: Which): string {
  const [folder, index] = [folderOf(which), which['map-index']];
  if (words.length === 1) return words[0] as string;
  if (words.length < 3 || words.length > 4) throw usageError('which log? FILE, or DAG RUN TASK [TRY]');
  const [dag_id, run_id, task_id, given] = words as [string, string, string, string?];
  const owner = { dag_id, run_id, task_id, map_index: index === undefined ? -1 : count('--map-index', index) };
  if (given !== undefined) return join(folder, ...laidOut({ ...owner, try_number: count('TRY', given) }));
  const beside = join(folder, ...laidOut({ ...owner, try_number: 1 }).slice(0, -1));
  const tries = names(beside).flatMap((name) => /^attempt=(\d+)\.log$/.exec(name)?.[1] ?? []).map(Number);
  return join(beside, `attempt=${Math.max(1, ...tries)}.log`);
}

/** For a log that is looked for by ids, an error that says where it was looked for. */
async function* hinted(lines: AsyncIterable<string>, byIds: boolean): AsyncGenerator<string, void, undefined> {
  try {
    yield* lines;
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    if (!byIds || (code !== 'ENOENT' && code !== 'ENOTDIR')) throw error;
    throw Object.assign(error as Error, { message: `there is no log '${path}'; --folder or SALLYPORT_LOGS says in which folder the supervisor keeps them` });
  }
}

/** None, where there is no such folder: the file's own error says it better. */
function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function count(name: string, value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw usageError(`${name} takes a whole number, not "${value}"`);
  return Number(value);
}
