import type { Connection, DagRun } from '../execution-api/schema.js';
import type { Seed } from './seed.js';
import type { Change, TaskInstance } from './state.js';

type Awaitable<T> = T | Promise<T>;

/** Names one XCom. */
export interface XComKey {
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly key: string;
}

/**
 * Where the server keeps what must outlive it. Each method is atomic, and what it did is
 * there for any later reader, also of another process, once it has returned.
 */
export interface Store {
  getTaskInstance(id: string): Awaitable<TaskInstance | undefined>;
  /** Reads, lets `decide` look, and writes, with nobody in between. `decide` does nothing else. */
  changeTaskInstance(id: string, decide: (ti: TaskInstance) => Change): Awaitable<{ readonly change: Change; readonly before: TaskInstance } | undefined>;
  getDagRun(dag_id: string, run_id: string): Awaitable<DagRun | undefined>;
  getVariable(key: string): Awaitable<string | undefined>;
  getConnection(conn_id: string): Awaitable<Connection | undefined>;
  /** JSON text as it was written: parsing it here would round Python's integers. */
  getXCom(key: XComKey): Awaitable<string | undefined>;
  /** The same of the newest run up to this one that has it, by logical date. */
  getPriorXCom(key: XComKey): Awaitable<string | undefined>;
  setXCom(key: XComKey, json: string): Awaitable<void>;
  /** Adds what is new and replaces variables and connections; runs and task instances that exist stay as they are. */
  seed(seed: Seed): Awaitable<void>;
  close(): Awaitable<void>;
}
