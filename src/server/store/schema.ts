import { all, one, run, type Sql } from './sql.js';

/**
 * Each entry takes the database from the version of its index to the next: never edited once released, only added to.
 * Words that SQLite and PostgreSQL both know. Times are text in UTC with six digits, which sorts as time does; what
 * Airflow keeps as JSON is text as it came; truth is 0 or 1.
 */
const migrations: readonly (readonly string[])[] = [
  [
    `CREATE TABLE teams (name TEXT PRIMARY KEY)`,
    `CREATE TABLE bundles (name TEXT PRIMARY KEY, team TEXT REFERENCES teams)`,
    `CREATE TABLE dags (
       dag_id TEXT PRIMARY KEY,
       bundle TEXT REFERENCES bundles,
       bundle_version TEXT,
       is_paused INTEGER NOT NULL DEFAULT 0,
       relative_fileloc TEXT,
       owners TEXT,
       tags TEXT NOT NULL DEFAULT '[]',
       next_dagrun TEXT,
       has_import_errors INTEGER NOT NULL DEFAULT 0,
       declares TEXT,
       task_assets TEXT NOT NULL DEFAULT '{}'
     )`,
    `CREATE TABLE dag_runs (
       dag_id TEXT NOT NULL REFERENCES dags,
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
     )`,
    `CREATE UNIQUE INDEX dag_runs_by_date ON dag_runs (dag_id, logical_date)`,
    `CREATE TABLE task_instances (
       id TEXT PRIMARY KEY,
       dag_id TEXT NOT NULL,
       run_id TEXT NOT NULL,
       task_id TEXT NOT NULL,
       map_index INTEGER NOT NULL,
       try_number INTEGER NOT NULL,
       max_tries INTEGER NOT NULL,
       queue TEXT NOT NULL DEFAULT 'default',
       operator TEXT,
       state TEXT,
       hostname TEXT,
       unixname TEXT,
       pid INTEGER,
       start_date TEXT,
       end_date TEXT,
       last_heartbeat_at TEXT,
       rendered_map_index TEXT,
       rendered_fields TEXT,
       task_reschedule_count INTEGER NOT NULL DEFAULT 0,
       reschedule_date TEXT,
       trigger TEXT,
       next_method TEXT,
       next_kwargs TEXT,
       UNIQUE (dag_id, run_id, task_id, map_index, try_number),
       FOREIGN KEY (dag_id, run_id) REFERENCES dag_runs
     )`,
    `CREATE VIEW latest_tries AS SELECT * FROM task_instances AS ti WHERE NOT EXISTS (
       SELECT 1 FROM task_instances AS later
       WHERE later.dag_id = ti.dag_id AND later.run_id = ti.run_id AND later.task_id = ti.task_id AND later.map_index = ti.map_index AND later.try_number > ti.try_number
     )`,
    `CREATE TABLE task_reschedules (
       task_instance_id TEXT NOT NULL REFERENCES task_instances,
       number INTEGER NOT NULL,
       start_date TEXT,
       end_date TEXT NOT NULL,
       reschedule_date TEXT NOT NULL,
       PRIMARY KEY (task_instance_id, number)
     )`,
    `CREATE TABLE variables (key TEXT PRIMARY KEY, value TEXT, description TEXT, team TEXT REFERENCES teams)`,
    `CREATE TABLE connections (
       conn_id TEXT PRIMARY KEY,
       conn_type TEXT NOT NULL,
       host TEXT,
       schema TEXT,
       login TEXT,
       password TEXT,
       port INTEGER,
       extra TEXT,
       team TEXT REFERENCES teams
     )`,
    `CREATE TABLE xcoms (
       dag_id TEXT NOT NULL,
       run_id TEXT NOT NULL,
       task_id TEXT NOT NULL,
       map_index INTEGER NOT NULL,
       key TEXT NOT NULL,
       value TEXT NOT NULL,
       mapped_length INTEGER,
       PRIMARY KEY (dag_id, run_id, task_id, key, map_index)
     )`,
    `CREATE TABLE assets (
       name TEXT NOT NULL,
       uri TEXT NOT NULL,
       asset_group TEXT NOT NULL DEFAULT 'asset',
       extra TEXT NOT NULL DEFAULT '{}',
       is_active INTEGER NOT NULL DEFAULT 1,
       team TEXT REFERENCES teams,
       PRIMARY KEY (name, uri)
     )`,
    `CREATE TABLE asset_aliases (alias TEXT NOT NULL, name TEXT NOT NULL, uri TEXT NOT NULL, PRIMARY KEY (alias, name, uri), FOREIGN KEY (name, uri) REFERENCES assets)`,
    `CREATE TABLE asset_events (
       id SERIAL8 PRIMARY KEY,
       name TEXT NOT NULL,
       uri TEXT NOT NULL,
       timestamp TEXT NOT NULL,
       extra TEXT NOT NULL DEFAULT '{}',
       partition_key TEXT,
       source_dag_id TEXT,
       source_run_id TEXT,
       source_task_id TEXT,
       source_map_index INTEGER,
       FOREIGN KEY (name, uri) REFERENCES assets
     )`,
    `CREATE INDEX asset_events_by_asset ON asset_events (name, uri, timestamp)`,
    `CREATE TABLE asset_event_aliases (alias TEXT NOT NULL, event_id BIGINT NOT NULL REFERENCES asset_events, PRIMARY KEY (alias, event_id))`,
    `CREATE INDEX asset_event_aliases_by_event ON asset_event_aliases (event_id)`,
    `CREATE TABLE consumed_asset_events (
       event_id BIGINT NOT NULL REFERENCES asset_events,
       dag_id TEXT NOT NULL,
       run_id TEXT NOT NULL,
       PRIMARY KEY (event_id, dag_id, run_id),
       FOREIGN KEY (dag_id, run_id) REFERENCES dag_runs
     )`,
    `CREATE INDEX consumed_asset_events_by_run ON consumed_asset_events (dag_id, run_id)`,
    `CREATE TABLE hitl_details (
       task_instance_id TEXT PRIMARY KEY REFERENCES task_instances,
       options TEXT NOT NULL,
       subject TEXT NOT NULL,
       body TEXT,
       defaults TEXT,
       multiple INTEGER NOT NULL DEFAULT 0,
       params TEXT NOT NULL DEFAULT '{}',
       assigned_users TEXT NOT NULL DEFAULT '[]',
       created_at TEXT NOT NULL,
       responded_at TEXT,
       responded_by TEXT,
       chosen_options TEXT,
       params_input TEXT NOT NULL DEFAULT '{}'
     )`,
    `CREATE TABLE tokens (
       jti TEXT PRIMARY KEY,
       sub TEXT NOT NULL,
       scope TEXT NOT NULL,
       exp BIGINT NOT NULL,
       issued_at TEXT NOT NULL,
       used_at TEXT,
       revoked_at TEXT,
       worker TEXT
     )`,
    `CREATE INDEX tokens_by_subject ON tokens (sub)`,
    `CREATE INDEX tokens_by_expiry ON tokens (exp)`,
    `CREATE TABLE workers (name TEXT PRIMARY KEY, credential_hash TEXT NOT NULL UNIQUE, team TEXT REFERENCES teams, queues TEXT NOT NULL, revoked_at TEXT)`,
  ],
  [`CREATE INDEX task_instances_waiting ON task_instances (queue) WHERE state IN ('queued', 'restarting')`],
  [`ALTER TABLE tokens ADD COLUMN given_for TEXT`],
  [
    `CREATE TABLE task_state_store (
       dag_id TEXT NOT NULL,
       run_id TEXT NOT NULL,
       task_id TEXT NOT NULL,
       map_index INTEGER NOT NULL,
       key TEXT NOT NULL,
       value TEXT NOT NULL,
       expires_at TEXT,
       PRIMARY KEY (dag_id, run_id, task_id, map_index, key),
       FOREIGN KEY (dag_id, run_id) REFERENCES dag_runs
     )`,
    `CREATE INDEX task_state_store_by_expiry ON task_state_store (expires_at) WHERE expires_at IS NOT NULL`,
    `CREATE TABLE asset_state_store (
       name TEXT NOT NULL,
       uri TEXT NOT NULL,
       key TEXT NOT NULL,
       value TEXT NOT NULL,
       PRIMARY KEY (name, uri, key),
       FOREIGN KEY (name, uri) REFERENCES assets
     )`,
  ],
  [
    `ALTER TABLE workers ADD COLUMN role TEXT NOT NULL DEFAULT 'worker'`,
    `CREATE TABLE triggerers (id TEXT PRIMARY KEY, name TEXT NOT NULL REFERENCES workers, heartbeat_at TEXT NOT NULL)`,
    `CREATE TABLE triggers (
       id BIGINT PRIMARY KEY,
       task_instance_id TEXT NOT NULL UNIQUE REFERENCES task_instances,
       queue TEXT,
       created_at TEXT NOT NULL,
       timeout_at TEXT,
       triggerer TEXT REFERENCES triggerers ON DELETE SET NULL
     )`,
    `CREATE INDEX triggers_by_triggerer ON triggers (triggerer, created_at)`,
    `CREATE INDEX triggers_by_timeout ON triggers (timeout_at)`,
    // What was deferred before there were triggerers: without its timeout, which nobody had begun to count.
    `INSERT INTO triggers (id, task_instance_id, created_at) SELECT ROW_NUMBER() OVER (ORDER BY id), id, '1970-01-01T00:00:00.000000Z' FROM task_instances WHERE state = 'deferred' AND trigger IS NOT NULL`,
  ],
  [`ALTER TABLE hitl_details ADD COLUMN deadline TEXT`, `CREATE INDEX hitl_details_by_deadline ON hitl_details (deadline) WHERE deadline IS NOT NULL`],
  [`ALTER TABLE tokens ADD COLUMN last_word TEXT`],
  [`CREATE INDEX xcoms_by_task_instance ON xcoms (dag_id, run_id, task_id, map_index, key)`],
  [`ALTER TABLE task_instances ADD COLUMN retry_delay_seconds FLOAT8`, `ALTER TABLE task_instances ADD COLUMN retry_reason TEXT`],
];

/** Brings the tables to this build's version, in the transaction that it runs in. */
export function* migrate(asDialect: (definition: string) => string): Sql<void> {
  yield* run('CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)');
  const version = (yield* one<{ version: number }>('SELECT version FROM schema_version'))?.version;
  if (version !== undefined && version > migrations.length) {
    throw Object.assign(new Error(`the database is of version ${version}, newer than this build's ${migrations.length}: use a newer sallyport, or another database`), { code: 'ERR_DATABASE_VERSION' as const });
  }
  for (const step of migrations.slice(version ?? 0)) {
    for (const definition of step) yield* all(asDialect(definition));
  }
  yield* run(version === undefined ? 'INSERT INTO schema_version (version) VALUES (:version)' : 'UPDATE schema_version SET version = :version', { version: migrations.length });
}
