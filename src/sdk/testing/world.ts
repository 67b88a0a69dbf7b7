import { MaskRule, trimmed } from '../../secrets/masking/rule.js';
import type { Asset, AssetEvent } from '../assets.js';
import type { Connection, DagRun, StartDetails, TaskInstance } from '../types.js';

/** What a task finds in its context; what is left out is made up. */
export interface FakeContext {
  readonly ti?: Partial<TaskInstance>;
  readonly dag_run?: Partial<DagRun>;
  readonly start_date?: string;
  readonly max_tries?: number;
  /** A failure is to be tried again. @default false */
  readonly should_retry?: boolean;
  readonly task_reschedule_count?: number;
  /** The export by which a deferred task goes on. */
  readonly next_method?: string;
  readonly next_kwargs?: Readonly<Record<string, unknown>>;
}

/** An XCom of another task: of this run, unless it says otherwise. */
export interface FakeXCom {
  readonly task_id: string;
  readonly value: unknown;
  /** @default 'return_value' */
  readonly key?: string;
  readonly dag_id?: string;
  readonly run_id?: string;
  /** @default -1 */
  readonly map_index?: number;
}

/** What is there when the task starts. */
export interface FakeSeed {
  readonly variables?: Readonly<Record<string, string>>;
  /** By conn_id. */
  readonly connections?: Readonly<Record<string, Partial<Omit<Connection, 'conn_id'>>>>;
  readonly xcoms?: readonly FakeXCom[];
  /** What earlier tries of the task have left, by key. */
  readonly state?: Readonly<Record<string, unknown>>;
  readonly assets?: readonly (Pick<Asset, 'name' | 'uri'> & Partial<Asset> & { readonly aliases?: readonly string[]; readonly events?: readonly Partial<AssetEvent>[]; readonly state?: Readonly<Record<string, unknown>> })[];
  /** Runs of this DAG and of others. The task's own is always there. */
  readonly dagRuns?: readonly (Pick<DagRun, 'dag_id' | 'run_id'> & Partial<DagRun> & { readonly state?: string })[];
}

export function startDetails({ ti, dag_run, start_date = new Date().toISOString(), ...context }: FakeContext = {}): StartDetails {
  const dag_id = ti?.dag_id ?? dag_run?.dag_id ?? 'dag';
  const run_id = ti?.run_id ?? dag_run?.run_id ?? 'manual__1';
  return {
    ti: { id: '00000000-0000-7000-8000-000000000000', task_id: 'task', try_number: 1, map_index: -1, ...ti, dag_id, run_id },
    dag_rel_path: 'task.mjs',
    start_date,
    ti_context: { max_tries: 0, should_retry: false, task_reschedule_count: 0, next_method: null, ...context, dag_run: { run_type: 'manual', conf: {}, ...dag_run, dag_id, run_id } },
  };
}

const maskRule = new MaskRule();

export interface StoredXCom extends Required<FakeXCom> {}

/** What the fake keeps in the place of a server. */
export class World {
  readonly variables: Map<string, string>;
  readonly connections: Map<string, Partial<Omit<Connection, 'conn_id'>>>;
  /** XComs that the task has pushed, by key. */
  readonly pushed = new Map<string, unknown>();
  /** What the task keeps for its next try, by key. Nothing expires here. */
  readonly state: Map<string, unknown>;
  /** Values that the task has had hidden, each once: of objects those under sensitive names, and none that is too short, as by a supervisor whose `masking` is left as it is. */
  readonly masked: string[] = [];
  /** Runs that the task has started. */
  readonly triggered: Readonly<Record<string, unknown>>[] = [];
  /** What it has asked people. */
  readonly questions: Readonly<Record<string, unknown>>[] = [];
  /** Tasks that it has had skipped. */
  readonly skipped: unknown[] = [];
  readonly assets: NonNullable<FakeSeed['assets']>;
  /** What tasks keep about each asset, by its name and then by key. */
  readonly assetStates: ReadonlyMap<string, Map<string, unknown>>;
  readonly dagRuns: Record<string, unknown>[];
  readonly ti: TaskInstance;
  readonly #xcoms: readonly StoredXCom[];

  protected constructor({ variables = {}, connections = {}, xcoms = [], state = {}, assets = [], dagRuns = [] }: FakeSeed, ti: TaskInstance) {
    this.ti = ti;
    this.variables = new Map(Object.entries(variables));
    this.connections = new Map(Object.entries(connections));
    this.#xcoms = xcoms.map((each) => ({ dag_id: ti.dag_id, run_id: ti.run_id, key: 'return_value', map_index: -1, ...each }));
    this.state = new Map(Object.entries(state));
    this.assets = assets;
    this.assetStates = new Map(assets.map(({ name, state: kept = {} }) => [name, new Map(Object.entries(kept))]));
    this.dagRuns = [{ dag_id: ti.dag_id, run_id: ti.run_id, state: 'running' }, ...dagRuns].map((run) => ({ run_type: 'manual', conf: {}, state: 'success', ...run }));
  }

  /** As `Masker.add()`. @internal */
  mask(value: unknown, name: string | undefined): void {
    const isNone = (_: object): _ is never => false;
    for (const found of maskRule.values(value, name, isNone)) {
      const bytes = trimmed(Buffer.from(found));
      const text = Buffer.from(bytes).toString();
      if (maskRule.hides(bytes) && !this.masked.includes(text)) this.masked.push(text);
    }
  }

  /** Others' XComs, and the task's own. */
  get xcoms(): readonly StoredXCom[] {
    const { dag_id, run_id, task_id, map_index } = this.ti;
    return [...this.#xcoms, ...[...this.pushed].map(([key, value]) => ({ dag_id, run_id, task_id, map_index, key, value }))];
  }
}
