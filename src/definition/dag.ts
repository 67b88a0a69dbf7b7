import { assets, type Asset } from './assets.js';
import { at, date, entries, fail, fields, fileBelow, flag, id, json, list, oneOf, text, unique, whole } from './check.js';
import { resourceKinds, triggerRules, type DagDeclaration, type DeclaredResources, type ResourceKind, type TaskDefaults, type TriggerRule } from './declaration.js';
import { refuseCircles } from './order.js';
import { schedule, type Schedule } from './schedule.js';

/** A DAG as data: every field there, nothing left to a default. */
export interface SerializedDag {
  /** Of this form; a later one that cannot be read as this one has another. */
  readonly format: 'sallyport/1';
  readonly dag_id: string;
  readonly schedule: Schedule;
  readonly start_date: string | null;
  readonly end_date: string | null;
  readonly catchup: boolean;
  readonly max_active_runs: number;
  readonly max_active_tasks: number;
  readonly description: string | null;
  readonly owner: string | null;
  readonly tags: readonly string[];
  readonly params: Readonly<Record<string, unknown>>;
  /** In the author's order. */
  readonly tasks: readonly SerializedTask[];
}

export interface SerializedTask {
  readonly task_id: string;
  /** Below the bundle. */
  readonly file: string;
  readonly upstream_task_ids: readonly string[];
  readonly downstream_task_ids: readonly string[];
  /** As `supervisor.run()` takes it: what its author declared, the XComs of the tasks right before it, its outlets and its inlets. */
  readonly declares: Required<DeclaredResources>;
  readonly inlets: readonly Asset[];
  readonly outlets: readonly Asset[];
  readonly retries: number;
  readonly retry_delay_seconds: number;
  readonly execution_timeout_seconds: number | null;
  readonly trigger_rule: TriggerRule;
  readonly pool: string;
  readonly pool_slots: number;
  readonly priority_weight: number;
  readonly queue: string;
  readonly description: string | null;
}

const defaultFields = ['retries', 'retry_delay_seconds', 'execution_timeout_seconds', 'trigger_rule', 'pool', 'pool_slots', 'priority_weight', 'queue', 'declares'] as const satisfies readonly (keyof TaskDefaults)[];
const taskFields = [...defaultFields, 'file', 'after', 'inlets', 'outlets', 'description'] as const;
const dagFields = [
  'dag_id', 'tasks', 'schedule', 'start_date', 'end_date', 'catchup', 'max_active_runs', 'max_active_tasks', 'description', 'owner', 'tags', 'params', 'default_args',
] as const satisfies readonly (keyof DagDeclaration)[];

const mostTasks = 4096;
const mostNames = 1000;
/** Characters of what is declared for all tasks, times the tasks. */
const mostShared = 1 << 20;
const seconds = 2 ** 31 - 1;

/**
 * Checks a declaration and fills in what it leaves out. The same for an author, who is told, and for a host, which believes no file.
 *
 * @throws {DagInvalid} `ERR_DAG_INVALID` with the path of the first wrong field.
 */
export function serialize(declaration: unknown): SerializedDag {
  const given = fields('', declaration, dagFields);
  const dag_id = id('dag_id', given.dag_id);
  const start_date = optional(given.start_date, (value) => date('start_date', value));
  const end_date = optional(given.end_date, (value) => date('end_date', value));
  if (start_date !== null && end_date !== null && end_date < start_date) fail('end_date', 'comes before start_date');
  return {
    format: 'sallyport/1',
    dag_id,
    schedule: schedule('schedule', given.schedule),
    start_date,
    end_date,
    catchup: flag('catchup', given.catchup ?? false),
    max_active_runs: whole('max_active_runs', given.max_active_runs ?? 16, 1, 2 ** 20),
    max_active_tasks: whole('max_active_tasks', given.max_active_tasks ?? 16, 1, 2 ** 20),
    description: optional(given.description, (value) => text('description', value, 5000)),
    owner: optional(given.owner, (value) => text('owner', value, 250)),
    tags: unique('tags', list('tags', given.tags ?? [], 100, (path, value) => text(path, value, 100))),
    params: json('params', Object.fromEntries(entries('params', given.params ?? {}, mostNames))) as Record<string, unknown>,
    tasks: tasks(dag_id, given.tasks, fields('default_args', given.default_args ?? {}, defaultFields)),
  };
}

type Fields<K extends string> = { readonly [Name in K]?: unknown };

function tasks(dag_id: string, value: unknown, defaults: Fields<(typeof defaultFields)[number]>): SerializedTask[] {
  const shared = declares('default_args.declares', defaults.declares);
  const given = entries('tasks', value, mostTasks);
  // A few bytes here would be many there: a copy for each task.
  if (Object.values(shared).flat().join().length * given.length > mostShared) fail('default_args.declares', 'is too much for so many tasks: declare it where it is needed');
  const found = given.map(([name, declaration]) => {
    const path = at('tasks', name);
    const task_id = id(path, name);
    const said = fields(path, declaration, taskFields);
    const own = declares(`${path}.declares`, said.declares);
    const args = { ...defaults, ...said };
    const upstream_task_ids = unique(`${path}.after`, list(`${path}.after`, args.after ?? [], mostTasks, id));
    const inlets = assets(`${path}.inlets`, args.inlets);
    const outlets = assets(`${path}.outlets`, args.outlets);
    return {
      task_id,
      file: fileBelow(`${path}.file`, args.file),
      upstream_task_ids,
      downstream_task_ids: [] as string[],
      declares: together(shared, own, { xcoms: upstream_task_ids.map((up) => `${dag_id}/${up}/*`), outlets: names(outlets), assets: names(inlets), assetStates: names([...inlets, ...outlets]) }),
      inlets,
      outlets,
      retries: whole(`${path}.retries`, args.retries ?? 0, 0, 1000),
      retry_delay_seconds: whole(`${path}.retry_delay_seconds`, args.retry_delay_seconds ?? 300, 0, seconds),
      execution_timeout_seconds: optional(args.execution_timeout_seconds, (limit) => whole(`${path}.execution_timeout_seconds`, limit, 1, seconds)),
      trigger_rule: oneOf(`${path}.trigger_rule`, args.trigger_rule ?? 'all_success', triggerRules),
      pool: text(`${path}.pool`, args.pool ?? 'default_pool', 250),
      pool_slots: whole(`${path}.pool_slots`, args.pool_slots ?? 1, 1, 2 ** 20),
      priority_weight: whole(`${path}.priority_weight`, args.priority_weight ?? 1, -(2 ** 31), 2 ** 31 - 1),
      queue: text(`${path}.queue`, args.queue ?? 'default', 250),
      description: optional(args.description, (words) => text(`${path}.description`, words, 5000)),
    };
  });
  if (found.length === 0) fail('tasks', 'must have a task');
  const byId = new Map(found.map((task) => [task.task_id, task]));
  for (const { task_id, upstream_task_ids } of found) {
    for (const [index, up] of upstream_task_ids.entries()) (byId.get(up) ?? fail(`${at('tasks', task_id)}.after[${index}]`, 'names no task of this DAG')).downstream_task_ids.push(task_id);
  }
  refuseCircles('tasks', found);
  return found;
}

function declares(path: string, value: unknown): DeclaredResources {
  const given = fields(path, value ?? {}, resourceKinds);
  return each((kind) => list(`${path}.${kind}`, given[kind] ?? [], mostNames, (where, name) => (kind === 'xcoms' ? xcomPattern(where, name) : text(where, name, 1500))));
}

function xcomPattern(path: string, value: unknown): string {
  const pattern = text(path, value, 1024);
  return /^[^/]+\/[^/]+\/.+$/.test(pattern) ? pattern : fail(path, "must be 'dag_id/task_id/key', each a name or a pattern");
}

const names = (known: readonly Asset[]): string[] => known.map(({ name }) => name);
const each = (make: (kind: ResourceKind) => string[]): Required<DeclaredResources> => Object.fromEntries(resourceKinds.map((kind) => [kind, make(kind)])) as unknown as Required<DeclaredResources>;
const together = (...all: readonly DeclaredResources[]): Required<DeclaredResources> => each((kind) => [...new Set(all.flatMap((some) => some[kind] ?? []))]);

/** What is left out and what is null are the same. */
function optional<T>(value: unknown, read: (value: unknown) => T): T | null {
  return value === undefined || value === null ? null : read(value);
}
