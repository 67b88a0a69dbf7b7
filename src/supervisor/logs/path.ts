import { createHash } from 'node:crypto';
import { WorkloadInvalid } from '../../errors.js';
import type { Workload } from '../workload.js';

/** The kernel's NAME_MAX less what rotation adds to a name. */
const mostNameBytes = 240;
const mostNames = 32;

/** What names a try of a task instance. */
export type LogOwner = Pick<Workload['ti'], 'dag_id' | 'run_id' | 'task_id' | 'map_index' | 'try_number'>;

/**
 * The names, below the folder of logs, that lead to the log of one try: the workload's own `log_path`, or Airflow's layout
 * (`[logging] log_filename_template`).
 *
 * @throws {WorkloadInvalid} `ERR_WORKLOAD_INVALID`, `log_path`: it leads out of the folder, or is no path of a file.
 */
export function logNames({ log_path, ti }: Pick<Workload, 'log_path'> & { readonly ti: LogOwner }): readonly string[] {
  return typeof log_path === 'string' && log_path !== '' ? given(log_path) : laidOut(ti);
}

/** Airflow's default layout. A name that a file cannot have is written in another way, and two names never in the same. */
export function laidOut({ dag_id, run_id, task_id, map_index, try_number }: LogOwner): readonly string[] {
  return [
    fileName(`dag_id=${dag_id}`),
    fileName(`run_id=${run_id}`),
    fileName(`task_id=${task_id}`),
    ...(map_index >= 0 ? [`map_index=${map_index}`] : []),
    `attempt=${try_number}.log`,
  ];
}

function given(path: string): readonly string[] {
  const names = path.split('/');
  const problem = path.startsWith('/') ? 'must be a path below the folder of logs'
    : names.some((name) => name === '' || name === '.' || name === '..') ? "must not have '.', '..' or empty names"
    : /[\0-\x1f\x7f]/.test(path) ? 'must not have control characters'
    : names.length > mostNames || names.some((name) => Buffer.byteLength(name) > mostNameBytes) ? 'is too long'
    : undefined;
  if (problem !== undefined) throw new WorkloadInvalid('log_path', problem);
  return names;
}

/** What only names have that were too long. */
const shortened = /~[0-9a-f]{32}$/;

function fileName(name: string): string {
  // Halves of surrogate pairs have no UTF-8: all would be the same.
  const safe = name.replace(/[\0-\x1f\x7f%/]|\p{Surrogate}/gu, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
  if (Buffer.byteLength(safe) <= mostNameBytes && !shortened.test(safe)) return safe;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 32);
  let kept = safe;
  while (Buffer.byteLength(kept) > mostNameBytes - hash.length - 1) kept = kept.slice(0, -1);
  return `${kept}~${hash}`;
}
