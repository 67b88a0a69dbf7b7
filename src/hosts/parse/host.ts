import { setMaxListeners } from 'node:events';
import { realpath, stat } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Audit } from '../../broker/index.js';
import { BrokerClosed, checkOptions, invalidArgument, outOfRange } from '../../errors.js';
import { checkGrants } from '../../execution-api/grants.js';
import type { Grants } from '../../execution-api/methods.js';
import { copyPolicy, type Limits, type Policy } from '../../policy/policy.js';
import { policies } from '../../policy/presets.js';
import { Masker, type MaskerOptions } from '../../secrets/masker.js';
import type { LogLine } from '../../supervisor/lines.js';
import { policyFor } from '../../supervisor/runtime.js';
import { endedBy, startChild } from '../child.js';
import { lookups, type Lookup } from '../lookups.js';
import { Slots } from '../slots.js';
import { ParseResult, type DagFileParsingResult } from './result.js';

export interface ParseHostOptions {
  /** What a file may have while it is parsed, besides to read its bundle. Limits it leaves out are `parseLimits`. @default `policies.node()` */
  readonly policy?: Policy;
  /** Files parsed at once; others wait. Airflow's parsing_processes. @default 2 */
  readonly concurrency?: number;
  /** Where variables and connections that were granted come from. Its token stays here. @default nowhere */
  readonly lookup?: Lookup;
  /** Variables and connections that files may read while they are parsed. @default none */
  readonly grants?: Pick<Grants, 'variables' | 'connections'>;
  /** Told of every request of every file. */
  readonly audit?: Audit;
  /** As a Supervisor's: what is hidden in lines, warnings and import errors. @default as Airflow's */
  readonly masking?: MaskerOptions | false;
  /** Gets every line that files write to descriptors 1, 2 and 3; `task` is the file. */
  readonly onLog?: (line: LogLine) => void;
}

/** Airflow's DagFileParseRequest. */
export interface DagFileParseRequest {
  readonly type?: 'DagFileParseRequest';
  /** Below `bundle_path`, or absolute and in it. */
  readonly file: string;
  readonly bundle_path: string;
  readonly bundle_name: string;
  /** Not Airflow's: ids, or patterns, of the DAGs that files of this bundle may define. @default any */
  readonly dag_ids?: readonly string[];
  /** Airflow has callbacks run where files are parsed; here they are tasks. */
  readonly callback_requests?: readonly never[];
}

/** Of one file. `wallTimeMs` is Airflow's dag_file_processor_timeout. */
export const parseLimits = Object.freeze({
  wallTimeMs: 50_000,
  memoryBytes: 512 << 20,
  processes: 64,
  outputBytes: 16 << 20,
  scratchBytes: 64 << 20,
}) satisfies Limits;

const main = fileURLToPath(new URL('../../sdk/dag/main.js', import.meta.url));

/**
 * Finds out what files define, each in a locked process of its own that has nothing but its bundle: no database, no
 * configuration, no Execution API. A file that loops, forks, allocates, prints, throws or exits costs itself.
 */
export class ParseHost implements AsyncDisposable {
  readonly #options: ParseHostOptions;
  readonly #policy: Policy;
  readonly #slots: Slots;
  readonly #running = new Map<AbortController, Promise<unknown>>();
  #disposed = false;

  /** @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`, {@link PolicyInvalid} `ERR_POLICY_INVALID`. */
  constructor(options: ParseHostOptions = {}) {
    checkOptions('options', options, ['policy', 'concurrency', 'lookup', 'grants', 'audit', 'masking', 'onLog']);
    const { policy = policies.node(), concurrency = 2, grants = {}, masking } = options;
    if (!Number.isSafeInteger(concurrency) || concurrency < 1 || concurrency > 1000) throw outOfRange('options.concurrency', 'a whole number from 1 to 1000');
    checkOptions('options.grants', grants, ['variables', 'connections']);
    checkGrants('options.grants', grants);
    if (masking !== undefined && masking !== false) new Masker(masking).destroy(); // misuse is told now
    const copy = copyPolicy(policy);
    this.#policy = Object.freeze({ ...copy, limits: Object.freeze({ ...parseLimits, ...copy.limits }) });
    this.#slots = new Slots(concurrency);
    this.#options = { ...options };
  }

  /**
   * Parses one file.
   *
   * @returns What it defines. What goes wrong with the file is an import error of the result, a limit it passed included.
   * @throws RangeError `ERR_OUT_OF_RANGE`, TypeError `ERR_INVALID_ARG_TYPE`: no such file in no such bundle, or another wrong argument.
   * @throws What `launch()` throws: this host cannot carry the policy. `signal.reason`; {@link BrokerClosed} `ERR_BROKER_CLOSED` once disposed.
   */
  async parse(request: DagFileParseRequest, { signal }: { readonly signal?: AbortSignal } = {}): Promise<DagFileParsingResult> {
    signal?.throwIfAborted();
    if (this.#disposed) throw disposed();
    const controller = new AbortController();
    const abort = (): void => controller.abort(signal?.reason);
    if (signal !== undefined) setMaxListeners(0, signal); // as many files as there are may share one
    signal?.addEventListener('abort', abort, { once: true });
    const running = this.#slots.run(() => this.#parse(request, controller.signal), controller.signal);
    this.#running.set(controller, running);
    try {
      return await running;
    } finally {
      this.#running.delete(controller);
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Ends what runs and refuses what comes. Twice is fine. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    for (const controller of this.#running.keys()) controller.abort(disposed());
    await Promise.allSettled(this.#running.values());
  }

  async #parse(request: DagFileParseRequest, signal: AbortSignal): Promise<DagFileParsingResult> {
    const { root, fileloc, bundle_name, dag_ids } = await checkedRequest(request);
    const { lookup, grants = {}, audit, masking = {}, onLog } = this.#options;
    using masker = masking === false ? undefined : new Masker(masking);
    const result = new ParseResult({ fileloc, relative_fileloc: relative(root, fileloc), bundle_name, dag_ids });
    const child = await startChild({
      main,
      policy: policyFor(root, this.#policy),
      name: fileloc,
      first: { type: 'DagFileParseRequest', file: fileloc, bundle_path: root, bundle_name, callback_requests: [] },
      methods: { ...lookups({ lookup, grants, declares: {}, identity: undefined, team: null, authorizer: undefined, masker }), DagFileParsingResult: result.row },
      audit,
      masker,
      onLog,
      signal,
    });
    await Promise.race([result.said, child.ended]);
    const exit = await child.end();
    signal.throwIfAborted();
    if (!result.complete) result.fail(`${endedBy(exit)} before it had said what the file defines`);
    await missingFiles(result, root);
    return result.result((text) => masker?.redact(text) ?? text);
  }
}

const disposed = (): Error => new BrokerClosed('the parse host was disposed');

interface Checked {
  readonly root: string;
  readonly fileloc: string;
  readonly bundle_name: string;
  readonly dag_ids: readonly string[];
}

async function checkedRequest(request: DagFileParseRequest): Promise<Checked> {
  checkOptions('request', request, ['type', 'file', 'bundle_path', 'bundle_name', 'dag_ids', 'callback_requests']);
  const { type = 'DagFileParseRequest', file, bundle_path, bundle_name, dag_ids = ['*'], callback_requests = [] } = request;
  if (type !== 'DagFileParseRequest') throw outOfRange('request.type', "'DagFileParseRequest'");
  for (const [name, value] of Object.entries({ file, bundle_path, bundle_name })) {
    if (typeof value !== 'string' || value === '' || value.includes('\0')) throw invalidArgument(`request.${name}`, 'a string, not empty, without NUL', value);
  }
  if (!Array.isArray(dag_ids) || !dag_ids.every((each) => typeof each === 'string')) throw invalidArgument('request.dag_ids', 'an array of names', dag_ids);
  if (!Array.isArray(callback_requests) || callback_requests.length > 0) throw outOfRange('request.callback_requests', 'empty: callbacks are run as tasks');
  const root = await realpath(bundle_path);
  const fileloc = await realpath(resolve(root, isAbsolute(file) ? file : join(root, file)));
  if (!fileloc.startsWith(root.endsWith(sep) ? root : root + sep) || !(await stat(fileloc)).isFile()) throw outOfRange('request.file', 'a file of the bundle, links followed');
  return { root, fileloc, bundle_name, dag_ids };
}

/** Says now what would fail when a task is run. */
async function missingFiles(result: ParseResult, root: string): Promise<void> {
  const known = new Map<string, boolean>();
  for (const { dag_id, tasks } of result.dags) {
    for (const { task_id, file } of tasks) {
      if (!known.has(file)) known.set(file, await isBelow(root, file));
      if (known.get(file) !== true) result.warn('MissingFile', `the task "${task_id}" of the DAG "${dag_id}": "${file}" is no file of the bundle`);
    }
  }
}

async function isBelow(root: string, file: string): Promise<boolean> {
  try {
    const real = await realpath(join(root, file));
    return real.startsWith(root.endsWith(sep) ? root : root + sep) && (await stat(real)).isFile();
  } catch {
    return false;
  }
}
