/** Who asks: one try of one task, and nobody's human role. */
export interface Identity {
  /** The task instance's id: a token's `sub`. */
  readonly id: string;
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  /** -1 for a task that is not mapped. */
  readonly map_index: number;
  readonly try_number: number;
  /** That of its DAG's bundle; null for one of no team. @default null */
  readonly team?: string | null;
  /** `live`: the latest try, and running. `ended`: in a state that may not speak. `replaced`: there is a later try. */
  readonly standing: 'live' | 'ended' | 'replaced';
  /** What its DAG says it needs; null where it says nothing. @default null */
  readonly declares?: Declares | null;
}

/** What a DAG needs: names, or patterns in which `*` stands for any characters, none included. */
export interface Declares {
  readonly variables?: readonly string[];
  readonly connections?: readonly string[];
  /** `dag_id/task_id/key`, of any run and map index. `*` in one of the three stays within it. */
  readonly xcoms?: readonly string[];
  /** Assets, by name or URI, whose state stores its tasks share, besides those that are a task's inlets and outlets. */
  readonly assetStates?: readonly string[];
}
