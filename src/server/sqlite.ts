import { closeSync, openSync } from 'node:fs';
import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite';
import type { Connection, DagRun } from '../execution-api/schema.js';
import { migrate } from './migrations.js';
import { optional } from './optional.js';
import type { Seed } from './seed.js';
import type { Change, TaskInstance } from './state.js';
import type { Store, XComKey } from './store.js';

const taskInstanceColumns = [
  'dag_id', 'run_id', 'task_id', 'map_index', 'try_number', 'max_tries', 'state', 'hostname', 'unixname', 'pid', 'start_date', 'end_date',
  'last_heartbeat_at', 'rendered_map_index', 'task_reschedule_count', 'reschedule_date', 'trigger', 'next_method', 'next_kwargs',
] as const satisfies readonly (keyof TaskInstance)[]; // prettier-ignore

const xcomMatches = 'dag_id = :dag_id AND task_id = :task_id AND map_index = :map_index AND key = :key';

/**
 * A store in one SQLite file, or in memory (`:memory:`). All values are bound, none is part of the SQL.
 *
 * Write-ahead log with `synchronous = NORMAL`: what was acknowledged survives the death of this
 * process at any moment. A power cut may take the last transactions; the file stays whole.
 * A new file is for its owner alone.
 */
export class SqliteStore implements Store {
  static async open(database: string): Promise<SqliteStore> {
    const { DatabaseSync } = await optional('@photostructure/sqlite', () => import('@photostructure/sqlite'));
    // SQLite gives its log and shared memory the mode of the database.
    if (database !== ':memory:') closeSync(openSync(database, 'a', 0o600));
    const db: DatabaseSyncInstance = new DatabaseSync(database, { timeout: 5_000, defensive: true });
    try {
      db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF');
      migrate(db);
      return new SqliteStore(db);
    } catch (error) {
      db.close();
      throw error;
    }
  }

  readonly #db: DatabaseSyncInstance;
  readonly #statements = new Map<string, StatementSyncInstance>();

  private constructor(db: DatabaseSyncInstance) {
    this.#db = db;
  }

  getTaskInstance(id: string): TaskInstance | undefined {
    return this.#sql('SELECT * FROM task_instances WHERE id = :id').get({ id }) as TaskInstance | undefined;
  }

  changeTaskInstance(id: string, decide: (ti: TaskInstance) => Change): { change: Change; before: TaskInstance } | undefined {
    return this.#transaction(() => {
      const before = this.getTaskInstance(id);
      if (before === undefined) return undefined;
      const change = decide(before);
      if ('set' in change && Object.keys(change.set).length > 0) {
        const assignments = taskInstanceColumns.map((column) => `${column} = :${column}`).join(', ');
        this.#sql(`UPDATE task_instances SET ${assignments} WHERE id = :id`).run({ ...before, ...change.set, id });
      }
      return { change, before };
    });
  }

  getDagRun(dag_id: string, run_id: string): DagRun | undefined {
    const row = this.#sql('SELECT * FROM dag_runs WHERE dag_id = :dag_id AND run_id = :run_id').get({ dag_id, run_id }) as
      | (Omit<DagRun, 'conf' | 'consumed_asset_events'> & { conf: string })
      | undefined;
    return row && { ...row, conf: JSON.parse(row.conf) as Record<string, unknown>, consumed_asset_events: [] };
  }

  getVariable(key: string): string | undefined {
    return (this.#sql('SELECT value FROM variables WHERE key = :key').get({ key }) as { value: string } | undefined)?.value;
  }

  getConnection(conn_id: string): Connection | undefined {
    return this.#sql('SELECT * FROM connections WHERE conn_id = :conn_id').get({ conn_id }) as Connection | undefined;
  }

  getXCom(key: XComKey): string | undefined {
    const row = this.#sql(`SELECT value FROM xcoms WHERE ${xcomMatches} AND run_id = :run_id`).get({ ...key });
    return (row as { value: string } | undefined)?.value;
  }

  getPriorXCom(key: XComKey): string | undefined {
    const row = this.#sql(
      `SELECT value FROM xcoms JOIN dag_runs AS run USING (dag_id, run_id)
       WHERE ${xcomMatches} AND (run_id = :run_id OR run.logical_date <=
         (SELECT logical_date FROM dag_runs WHERE dag_id = :dag_id AND run_id = :run_id))
       ORDER BY run_id = :run_id DESC, run.logical_date DESC LIMIT 1`,
    ).get({ ...key });
    return (row as { value: string } | undefined)?.value;
  }

  setXCom(key: XComKey, json: string): void {
    this.#sql(
      `INSERT INTO xcoms (dag_id, run_id, task_id, map_index, key, value) VALUES (:dag_id, :run_id, :task_id, :map_index, :key, :json)
       ON CONFLICT DO UPDATE SET value = excluded.value`,
    ).run({ ...key, json });
  }

  seed({ variables = {}, connections = [], dagRuns = [], taskInstances = [] }: Seed): void {
    const now = new Date().toISOString();
    this.#transaction(() => {
      const variable = this.#sql('INSERT INTO variables (key, value) VALUES (:key, :value) ON CONFLICT DO UPDATE SET value = excluded.value');
      for (const [key, value] of Object.entries(variables)) variable.run({ key, value });
      const connection = this.#sql(
        `INSERT OR REPLACE INTO connections (conn_id, conn_type, host, schema, login, password, port, extra)
         VALUES (:conn_id, :conn_type, :host, :schema, :login, :password, :port, :extra)`,
      );
      const nothing = { host: null, schema: null, login: null, password: null, port: null, extra: null };
      for (const { conn_id, conn_type, host, schema, login, password, port, extra } of connections.map((each) => ({ ...nothing, ...each }))) {
        connection.run({ conn_id, conn_type, host, schema, login, password, port, extra });
      }
      const run = this.#sql(
        `INSERT INTO dag_runs (dag_id, run_id, logical_date, run_after, start_date, conf)
         VALUES (:dag_id, :run_id, :logical_date, :now, :now, :conf) ON CONFLICT DO NOTHING`,
      );
      for (const { dag_id, run_id, logical_date = null, conf = {} } of [...dagRuns, ...taskInstances.map(({ dag_id, run_id }) => ({ dag_id, run_id }))] as NonNullable<Seed['dagRuns']>) {
        run.run({ dag_id, run_id, logical_date, now, conf: JSON.stringify(conf) });
      }
      const instance = this.#sql(
        `INSERT INTO task_instances (id, dag_id, run_id, task_id, map_index, try_number, max_tries, state)
         VALUES (:id, :dag_id, :run_id, :task_id, :map_index, :try_number, :max_tries, :state) ON CONFLICT (id) DO NOTHING`,
      );
      for (const ti of taskInstances) instance.run({ map_index: -1, try_number: 1, max_tries: 0, state: 'queued', ...ti });
    });
  }

  close(): void {
    if (this.#db.isOpen) this.#db.close();
  }

  #sql(text: string): StatementSyncInstance {
    let statement = this.#statements.get(text);
    if (statement === undefined) this.#statements.set(text, (statement = this.#db.prepare(text)));
    return statement;
  }

  #transaction<T>(work: () => T): T {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#db.exec('COMMIT');
      return result;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }
}
