/**
 * `sallyport/dag`: what a file that defines workflows uses. It runs in a parse host's sandbox, and what it exports is data.
 */

import { serialize, type SerializedDag } from '../../definition/dag.js';
import type { DagDeclaration } from '../../definition/declaration.js';
import { marked } from './mark.js';

export type { AssetDeclaration, DagDeclaration, DeclaredResources, TaskDeclaration, TaskDefaults, TriggerRule } from '../../definition/declaration.js';
export type { Asset } from '../../definition/assets.js';
export type { SerializedDag, SerializedTask } from '../../definition/dag.js';
export type { Schedule } from '../../definition/schedule.js';
export { DagInvalid } from '../../errors.js';

/** A checked DAG: all of its fields, defaults filled in. */
export type Dag = SerializedDag;

/**
 * Defines a workflow: export what it returns, as default, by name or in an array.
 *
 * @throws {DagInvalid} `ERR_DAG_INVALID`: `path` says which field, and `problem` what is wrong with it.
 */
export function dag(declaration: DagDeclaration): Dag {
  const made = serialize(declaration);
  // What is handed over is what was checked, not what became of it since. A host checks it again.
  return marked(made, structuredClone(declaration));
}
