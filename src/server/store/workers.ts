import type { Declares } from '../../authorization/index.js';
import type { TaskInstanceState } from '../state.js';
import { all, forUpdate, insertInto, isOneOf, one, type Sql } from './sql.js';
import { revokeTokens } from './tokens.js';

/** Who asks for first tokens, and for which task instances: those of its queues, where it has any, and of its team, where it has one. */
export interface Worker {
  readonly name: string;
  readonly queues: readonly string[];
  readonly team: string | null;
}

/** What a credential is for: first tokens, or triggers. Neither is good for the other. */
export type Role = 'worker' | 'triggerer';

/** A name that was revoked may be given again, with another credential. */
const add = `${insertInto('workers', ['name', 'credential_hash', 'team', 'queues', 'role'], '')}
  ON CONFLICT (name) DO UPDATE SET credential_hash = excluded.credential_hash, team = excluded.team, queues = excluded.queues, role = excluded.role, revoked_at = NULL
  WHERE workers.revoked_at IS NOT NULL RETURNING name`;

/** In a transaction. @returns What is wrong with it: then nothing was added. */
export function* addWorker(role: Role, { name, queues, team }: Worker, credential_hash: string): Sql<'name' | 'team' | undefined> {
  if (team !== null && (yield* one('SELECT name FROM teams WHERE name = :team', { team })) === undefined) return 'team';
  return (yield* one(add, { name, credential_hash, team, role, queues: JSON.stringify(queues) })) === undefined ? 'name' : undefined;
}

const columns = 'SELECT name, queues, team FROM workers';
type Row = Omit<Worker, 'queues'> & { readonly queues: string };
const workerOf = ({ name, queues, team }: Row): Worker => ({ name, team, queues: JSON.parse(queues) as string[] });

export function* findWorker(role: Role, credential_hash: string): Sql<Worker | undefined> {
  const row = yield* one<Row>(`${columns} WHERE credential_hash = :credential_hash AND role = :role AND revoked_at IS NULL`, { credential_hash, role });
  return row && workerOf(row);
}

export function* getWorkers(role: Role): Sql<readonly Worker[]> {
  return (yield* all<Row>(`${columns} WHERE role = :role AND revoked_at IS NULL ORDER BY name`, { role })).map(workerOf);
}

/** In a transaction. Whoever revokes the worker waits until it is over, and sees what was registered in it. */
export function* holdWorker(name: string): Sql<boolean> {
  return (yield* one(`SELECT name FROM workers WHERE name = :name AND revoked_at IS NULL${forUpdate}`, { name })) !== undefined;
}

/** @returns False where there is none. */
export function* endCredential(role: Role, name: string, now: string): Sql<boolean> {
  return (yield* one('UPDATE workers SET revoked_at = :now WHERE name = :name AND role = :role AND revoked_at IS NULL RETURNING name', { name, role, now })) !== undefined;
}

/** In a transaction. @returns How many tokens have ended with it; undefined where there is no such worker. */
export function* revokeWorker(name: string, now: string): Sql<number | undefined> {
  if (!(yield* endCredential('worker', name, now))) return undefined;
  return yield* revokeTokens({ worker: name }, now);
}

/** What decides whether a worker may have the first token of a task instance. */
export interface Work {
  readonly id: string;
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly try_number: number;
  readonly queue: string;
  readonly state: TaskInstanceState | null;
  readonly replaced: number;
  readonly team: string | null;
}

const work = `SELECT ti.id, ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.try_number, ti.queue, ti.state,
  CASE WHEN EXISTS (SELECT 1 FROM task_instances AS later WHERE later.dag_id = ti.dag_id AND later.run_id = ti.run_id AND later.task_id = ti.task_id
    AND later.map_index = ti.map_index AND later.try_number > ti.try_number) THEN 1 ELSE 0 END AS replaced,
  (SELECT bundles.team FROM dags JOIN bundles ON bundles.name = dags.bundle WHERE dags.dag_id = ti.dag_id) AS team
  FROM task_instances AS ti WHERE ti.id = :id`;

export function findWork(id: string): Sql<Work | undefined> {
  return one(work, { id });
}

/** A task instance that waits, with what of it a workload has. */
export interface Waiting extends Pick<Work, 'id' | 'dag_id' | 'run_id' | 'task_id' | 'map_index' | 'try_number' | 'queue'> {
  readonly relative_fileloc: string;
  readonly bundle: string;
  readonly bundle_version: string | null;
  readonly declares: Declares | null;
}

const waiting = `SELECT ti.id, ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.try_number, ti.queue, dags.relative_fileloc, dags.bundle, dags.bundle_version, dags.declares
  FROM latest_tries AS ti JOIN dags ON dags.dag_id = ti.dag_id JOIN bundles ON bundles.name = dags.bundle JOIN dag_runs ON dag_runs.dag_id = ti.dag_id AND dag_runs.run_id = ti.run_id
  WHERE ti.state IN ('queued', 'restarting') AND dags.relative_fileloc IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM tokens WHERE tokens.sub = ti.id AND tokens.worker IS NOT NULL AND tokens.used_at IS NULL AND tokens.revoked_at IS NULL AND tokens.issued_at > :since)`;
const inOrder = ' ORDER BY dag_runs.run_after, ti.dag_id, ti.run_id, ti.task_id, ti.map_index LIMIT :limit OFFSET :offset';

/**
 * What waits for a worker, the oldest runs first: of DAGs whose file is known. What another worker has asked a token for since then, and
 * has not used yet, is about to be started by it.
 */
export function* findWaiting({ queues, team }: Worker, since: string, limit: number, offset: number): Sql<readonly Waiting[]> {
  const ofQueues = queues.length === 0 ? '' : ` AND ${isOneOf('ti.queue', 'queues')}`;
  const ofTeam = team === null ? '' : ' AND bundles.team = :team';
  const values = { since, limit, offset, ...(queues.length > 0 && { queues: JSON.stringify(queues) }), ...(team !== null && { team }) };
  const rows = yield* all<Omit<Waiting, 'declares'> & { readonly declares: string | null }>(waiting + ofQueues + ofTeam + inOrder, values);
  return rows.map((row) => ({ ...row, declares: row.declares === null ? null : (JSON.parse(row.declares) as Declares) }));
}
