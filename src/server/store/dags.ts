import type { AssetProfile, Dag } from '../../execution-api/schema.js';
import { one, type Sql } from './sql.js';
import { shown } from './time.js';

type Row = Omit<Dag, 'tags' | 'is_paused'> & { readonly tags: string; readonly is_paused: number };

const select = 'SELECT dag_id, is_paused, bundle AS bundle_name, bundle_version, relative_fileloc, owners, tags, next_dagrun FROM dags WHERE dag_id = :dag_id';

export function* getDag(dag_id: string): Sql<Dag | undefined> {
  const row = yield* one<Row>(select, { dag_id });
  if (row === undefined) return undefined;
  return { ...row, is_paused: row.is_paused === 1, tags: (JSON.parse(row.tags) as string[]).sort(), next_dagrun: shown(row.next_dagrun) };
}

/** Undefined where there is no such DAG. */
export function* hasImportErrors(dag_id: string): Sql<boolean | undefined> {
  const row = yield* one<{ has_import_errors: number }>('SELECT has_import_errors FROM dags WHERE dag_id = :dag_id', { dag_id });
  return row === undefined ? undefined : row.has_import_errors === 1;
}

const ofTask = 'SELECT ti.task_id, dags.task_assets FROM task_instances AS ti JOIN dags ON dags.dag_id = ti.dag_id WHERE ti.id = :id';

/** The inlets and outlets that its DAG gives a task and that are not active assets; undefined where there is no such task instance. */
export function* getInactiveAssets(id: string): Sql<readonly AssetProfile[] | undefined> {
  const row = yield* one<{ task_id: string; task_assets: string }>(ofTask, { id });
  if (row === undefined) return undefined;
  const own = new Map(Object.entries(JSON.parse(row.task_assets) as Record<string, { name: string; uri: string }[]>)).get(row.task_id) ?? [];
  const inactive: AssetProfile[] = [];
  for (const { name, uri } of own) {
    const active = yield* one('SELECT 1 AS active FROM assets WHERE name = :name AND uri = :uri AND is_active = 1', { name, uri });
    if (active === undefined) inactive.push({ name, uri, type: 'Asset' });
  }
  return inactive;
}
