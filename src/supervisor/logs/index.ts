import { realpathSync } from 'node:fs';
import { checkOptions, invalidArgument, outOfRange } from '../../errors.js';
import { keepFromTasks } from '../../policy/grants.js';
import type { Workload } from '../workload.js';
import { onDisk } from './disk.js';
import { LogFile, type LogFileLimits } from './file.js';
import { logFolder, OpenFolder } from './folder.js';
import { logNames } from './path.js';

export type { LogFile, LogSummary } from './file.js';

/** Where and how much of what tasks write is kept. */
export interface LogOptions {
  /** One file for each try, below this folder: the workload's `log_path`, or Airflow's layout. Made with mode 0700 where it is missing. A policy that grants any of it to a task is refused. */
  readonly folder: string;
  /** How large a file may become, in bytes, at least 1 MiB; then it is renamed to `.1`, and another one begun. @default 64 MiB */
  readonly maxBytes?: number;
  /** How many files a try may have, at least 2; the oldest go. @default 4 */
  readonly maxFiles?: number;
  /** How long a task waits for a disk that does not take its lines; after that they are counted and not kept. @default 10000 */
  readonly stallMs?: number;
}

/** Opens the log of each try. */
export class Logs {
  readonly #folder: string;
  readonly #limits: LogFileLimits;

  /**
   * @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`; {@link LogRefused} `ERR_LOG_REFUSED`: another user
   *   could change the folder's path; system errors.
   */
  constructor(options: LogOptions) {
    checkOptions('options.logs', options, ['folder', 'maxBytes', 'maxFiles', 'stallMs']);
    const { folder, maxBytes = 64 << 20, maxFiles = 4, stallMs = 10_000 } = options;
    if (typeof folder !== 'string' || folder === '') throw invalidArgument('options.logs.folder', 'the path of a folder', folder);
    this.#limits = { maxBytes: whole('maxBytes', maxBytes, 1 << 20), maxFiles: whole('maxFiles', maxFiles, 2, 1000), stallMs: whole('stallMs', stallMs, 1, 2 ** 31 - 1) };
    this.#folder = logFolder(folder);
    keepFromTasks(realpathSync(this.#folder), 'the logs of tasks');
  }

  /**
   * @throws {WorkloadInvalid} `ERR_WORKLOAD_INVALID`, `log_path`; {@link LogRefused} `ERR_LOG_REFUSED`: a link or something else is
   *   where the file should be; system errors. Nothing is left open.
   */
  async open(workload: Workload): Promise<LogFile> {
    const names = logNames(workload);
    const folder = await onDisk(() => OpenFolder.descend(this.#folder, names.slice(0, -1)));
    return LogFile.open(folder, names.at(-1) as string, this.#limits);
  }
}

function whole(name: string, value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most) throw outOfRange(`options.logs.${name}`, `a whole number from ${least} to ${most}`);
  return value as number;
}
