import type { DatabaseSyncInstance } from '@photostructure/sqlite';

/** Each entry takes the database from the version of its index to the next. Never edited once released, only added to. */
const migrations: readonly string[] = [
  `CREATE TABLE dag_runs (
     dag_id TEXT NOT NULL,
     run_id TEXT NOT NULL,
     logical_date TEXT,
     data_interval_start TEXT,
     data_interval_end TEXT,
     run_after TEXT NOT NULL,
     start_date TEXT,
     end_date TEXT,
     clear_number INTEGER NOT NULL DEFAULT 0,
     run_type TEXT NOT NULL DEFAULT 'manual',
     state TEXT NOT NULL DEFAULT 'running',
     conf TEXT NOT NULL,
     triggering_user_name TEXT,
     partition_key TEXT,
     note TEXT,
     PRIMARY KEY (dag_id, run_id)
   ) STRICT, WITHOUT ROWID;

   CREATE TABLE task_instances (
     id TEXT PRIMARY KEY,
     dag_id TEXT NOT NULL,
     run_id TEXT NOT NULL,
     task_id TEXT NOT NULL,
     map_index INTEGER NOT NULL,
     try_number INTEGER NOT NULL,
     max_tries INTEGER NOT NULL,
     state TEXT,
     hostname TEXT,
     unixname TEXT,
     pid INTEGER,
     start_date TEXT,
     end_date TEXT,
     last_heartbeat_at TEXT,
     rendered_map_index TEXT,
     task_reschedule_count INTEGER NOT NULL DEFAULT 0,
     reschedule_date TEXT,
     trigger TEXT,
     next_method TEXT,
     next_kwargs TEXT,
     UNIQUE (dag_id, run_id, task_id, map_index, try_number),
     FOREIGN KEY (dag_id, run_id) REFERENCES dag_runs
   ) STRICT, WITHOUT ROWID;

   CREATE TABLE variables (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

   CREATE TABLE connections (
     conn_id TEXT PRIMARY KEY,
     conn_type TEXT NOT NULL,
     host TEXT,
     schema TEXT,
     login TEXT,
     password TEXT,
     port INTEGER,
     extra TEXT
   ) STRICT, WITHOUT ROWID;

   CREATE TABLE xcoms (
     dag_id TEXT NOT NULL,
     run_id TEXT NOT NULL,
     task_id TEXT NOT NULL,
     map_index INTEGER NOT NULL,
     key TEXT NOT NULL,
     value TEXT NOT NULL,
     PRIMARY KEY (dag_id, run_id, task_id, map_index, key)
   ) STRICT;`,
];

/** Brings the tables to this build's version, all steps or none. */
export function migrate(db: DatabaseSyncInstance): void {
  db.exec('BEGIN IMMEDIATE');
  try {
    const { user_version } = db.prepare('PRAGMA user_version').get() as { user_version: number };
    if (user_version > migrations.length) throw new Error(`the database is of version ${user_version}, newer than this build's ${migrations.length}`);
    for (const step of migrations.slice(user_version)) db.exec(step);
    db.exec(`PRAGMA user_version = ${migrations.length}`);
    db.exec('COMMIT');
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}
