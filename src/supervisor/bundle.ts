import { realpath, stat } from 'node:fs/promises';
import { isAbsolute, resolve, sep } from 'node:path';
import { WorkloadInvalid } from '../errors.js';
import type { Workload } from './workload.js';

/** Where a workload's code is, links resolved. */
export interface TaskFile {
  readonly root: string;
  readonly file: string;
}

/**
 * Finds the task file of a workload in its bundle.
 *
 * @throws {WorkloadInvalid} `ERR_WORKLOAD_INVALID`: no such bundle, or no such file below its root, links followed.
 */
export async function locate(bundles: ReadonlyMap<string, string>, { bundle_info, dag_rel_path }: Pick<Workload, 'bundle_info' | 'dag_rel_path'>): Promise<TaskFile> {
  const root = await bundleRoot(bundles, bundle_info.name);
  if (isAbsolute(dag_rel_path) || dag_rel_path.includes('\0') || dag_rel_path.split('/').includes('..')) {
    throw new WorkloadInvalid('dag_rel_path', 'must be a path below the bundle');
  }
  const file = await real(resolve(root, dag_rel_path), 'dag_rel_path', 'names no file of its bundle');
  if (!file.startsWith(root.endsWith(sep) ? root : root + sep)) throw new WorkloadInvalid('dag_rel_path', 'leads out of the bundle by a link');
  if (!(await stat(file)).isFile()) throw new WorkloadInvalid('dag_rel_path', 'names no file of its bundle');
  return { root, file };
}

/** Its folder, links resolved. @throws {WorkloadInvalid} `ERR_WORKLOAD_INVALID`: no such bundle. */
export async function bundleRoot(bundles: ReadonlyMap<string, string>, name: string): Promise<string> {
  const folder = bundles.get(name);
  if (folder === undefined) throw new WorkloadInvalid('bundle_info.name', 'names no bundle of this supervisor');
  return real(folder, 'bundle_info.name', 'names a bundle whose folder cannot be read');
}

async function real(path: string, field: string, problem: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    throw new WorkloadInvalid(field, problem, { cause });
  }
}
