import { randomInt } from 'node:crypto';
import type { Declares } from '../../authorization/index.js';
import { type Change, resume, type Resumption } from '../state.js';
import type { Try } from './identities.js';
import { all, forUpdate, insertInto, isOneOf, one, quiet, run, type Sql, type Value } from './sql.js';
import { changeTaskInstance } from './task-instances.js';
import { endLeg } from './tokens.js';
import { endCredential, type Worker } from './workers.js';

// A trigger is what one deferral waits for. It counts for as long as its task instance is the latest try and deferred; a row
// beyond that is nobody's, and is deleted when somebody looks for work. No decision of who may do what rests on these
// tables' rows, hence `quiet`.

/** A process with a triggerer's credential. */
export interface Triggerer extends Worker {
  /** The process's own, which it has made up. */
  readonly id: string;
}

/** A trigger that is some triggerer's, and the task instance that waits for it. */
export interface Held extends Try {
  readonly id: number;
  readonly task_instance_id: string;
  readonly team: string | null;
  readonly bundle: string;
  readonly bundle_version: string | null;
  readonly declares: Declares | null;
  readonly timeout_at: string | null;
  /** JSON. */
  readonly trigger: string;
}

const waiting = `FROM triggers JOIN latest_tries AS ti ON ti.id = triggers.task_instance_id AND ti.state = 'deferred' AND ti.trigger IS NOT NULL
  JOIN dags ON dags.dag_id = ti.dag_id JOIN bundles ON bundles.name = dags.bundle`;
const columns = `triggers.id, triggers.task_instance_id, triggers.timeout_at, ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.try_number, ti.trigger,
  bundles.team, dags.bundle, dags.bundle_version, dags.declares`;

/** What a credential is bound to, as a condition. */
function binding({ queues, team }: Worker): readonly [string, Readonly<Record<string, Value>>] {
  const ofQueues = queues.length === 0 ? '' : ` AND ${isOneOf('COALESCE(triggers.queue, ti.queue)', 'queues')}`;
  const ofTeam = team === null ? '' : ' AND bundles.team = :team';
  return [ofQueues + ofTeam, { ...(queues.length > 0 && { queues: JSON.stringify(queues) }), ...(team !== null && { team }) }];
}

/** In the transaction in which it is deferred. Ids are never given twice: what is late about an earlier trigger finds none. */
export function* addTrigger(task_instance_id: string, { queue, now, timeout_at }: { readonly queue: string | null; readonly now: string; readonly timeout_at: string | null }): Sql<void> {
  yield* run(`DELETE FROM triggers WHERE task_instance_id = :task_instance_id${quiet}`, { task_instance_id });
  const id = randomInt(2 ** 32, 2 ** 48 - 1);
  yield* run(insertInto('triggers', ['id', 'task_instance_id', 'queue', 'created_at', 'timeout_at'], quiet), { id, task_instance_id, queue, created_at: now, timeout_at });
}

// --- Whose they are

const beat = `${insertInto('triggerers', ['id', 'name', 'heartbeat_at'])} ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at WHERE triggerers.name = excluded.name RETURNING id${quiet}`;

/** The triggerer lives. @returns False where the id is another credential's. */
export function* beatTriggerer({ id, name }: Triggerer, now: string): Sql<boolean> {
  return (yield* one(beat, { id, name, heartbeat_at: now })) !== undefined;
}

/** Nobody's, or that of somebody who was not heard of since `dead`: it stays his until another takes it, and what he says of it counts. */
const free = '(triggers.triggerer IS NULL OR triggers.triggerer IN (SELECT id FROM triggerers WHERE heartbeat_at < :dead AND id <> :self))';

/** It goes, and its triggers are for others. @returns False where there is no such triggerer of this credential. */
export function* endTriggerer({ id, name }: Triggerer): Sql<boolean> {
  return (yield* one(`DELETE FROM triggerers WHERE id = :id AND name = :name RETURNING id${quiet}`, { id, name })) !== undefined;
}

/** In a transaction: the credential, and every process that has it. @returns False where there is none. */
export function* revokeTriggerer(name: string, now: string): Sql<boolean> {
  if (!(yield* endCredential('triggerer', name, now))) return false;
  yield* run(`DELETE FROM triggerers WHERE name = :name${quiet}`, { name });
  return true;
}

/**
 * In a transaction. Which triggers are this triggerer's, when it has been given as many more as it has room for, the oldest first.
 *
 * @param dead Before when somebody was last heard of who is not there any more.
 */
export function* assign(triggerer: Triggerer, bundles: readonly string[], capacity: number, dead: string): Sql<readonly number[]> {
  const { id: self } = triggerer;
  const [bound, values] = binding(triggerer);
  const select = (whose: string): string => `SELECT triggers.id ${waiting} WHERE ${whose}${bound} AND ${isOneOf('dags.bundle', 'bundles')} ORDER BY triggers.created_at, triggers.id LIMIT :limit`;
  const of = { ...values, bundles: JSON.stringify(bundles) };
  const idsOf = (rows: readonly { readonly id: number }[]): number[] => rows.map(({ id }) => id);
  const own = idsOf(yield* all<{ id: number }>(select('triggers.triggerer = :self'), { ...of, self, limit: mostHeld }));
  const { count = 0 } = (yield* one<{ count: number }>('SELECT count(*) AS count FROM triggers WHERE triggerer = :self', { self })) ?? {};
  if (count > own.length) yield* letGo(self, own);
  const room = Math.min(capacity - own.length, mostAtOnce);
  if (room <= 0) return own;
  const found = idsOf(yield* all<{ id: number }>(select(free), { ...of, self, dead, limit: room }));
  if (found.length === 0) return own;
  const taken = new Set(idsOf(yield* all<{ id: number }>(take, { self, dead, ids: JSON.stringify(found) })));
  return [...own, ...found.filter((id) => taken.has(id))];
}

/** More than anybody may hold. */
const mostHeld = 20_000;
const mostAtOnce = 1000;

const ofIds = 'id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids))';
/** In the order of their ids, so that no two who take wait for each other; who comes second finds them taken. */
const take = `UPDATE triggers SET triggerer = :self WHERE id IN (SELECT id FROM triggers WHERE ${ofIds} AND ${free} ORDER BY id${forUpdate}) RETURNING id${quiet}`;

/** Of what it has, all but these is for nobody, or for others: its task instance waits no more, or its DAG is another bundle's or team's now. */
function* letGo(self: string, own: readonly number[]): Sql<void> {
  yield* run(`UPDATE triggers SET triggerer = NULL WHERE triggerer = :self AND NOT ${ofIds}${quiet}`, { self, ids: JSON.stringify(own) });
}

const over = `DELETE FROM triggers WHERE ${free} AND NOT EXISTS (SELECT 1 FROM latest_tries AS ti WHERE ti.id = triggers.task_instance_id AND ti.state = 'deferred')${quiet}`;
const gone = `DELETE FROM triggerers WHERE id IN (SELECT id FROM triggerers WHERE heartbeat_at < :dead AND id <> :self AND NOT EXISTS (SELECT 1 FROM triggers WHERE triggers.triggerer = triggerers.id) ORDER BY id${forUpdate})${quiet}`;

/** Triggers that nobody has and nobody waits for, and who is not there any more and has none. */
export function* purge({ id: self }: Triggerer, dead: string): Sql<void> {
  yield* run(over, { self, dead });
  yield* run(gone, { self, dead });
}

const heldBy = `${waiting} JOIN triggerers ON triggerers.id = triggers.triggerer WHERE triggers.triggerer = :self AND triggerers.name = :name`;

/** A trigger that is this triggerer's, at this moment. Undefined for any other. */
export function* findHeld(triggerer: Triggerer, id: number): Sql<Held | undefined> {
  const { id: self, name } = triggerer;
  const [bound, values] = binding(triggerer);
  const row = yield* one<Row>(`SELECT ${columns} ${heldBy} AND triggers.id = :id${bound}`, { ...values, self, name, id });
  return row && shown(row);
}

type Row = Omit<Held, 'declares'> & { readonly declares: string | null };
const shown = (row: Row): Held => ({ ...row, declares: row.declares === null ? null : (JSON.parse(row.declares) as Declares) });

// --- What comes of them

/**
 * In a transaction. The task instance that waits for a trigger goes on, and its trigger is over: the first event is the only one.
 *
 * @returns False where the task instance does not wait for this trigger, or the trigger is another's: then nothing is changed.
 */
export function* goOn({ id, task_instance_id }: Pick<Held, 'id' | 'task_instance_id'>, how: Resumption, now: string, self?: string): Sql<boolean> {
  let over = false;
  const result = yield* changeTaskInstance(task_instance_id, (ti): Change => resume(ti, how), function* (ti) {
    const whose = self === undefined ? '' : ' AND triggerer = :self';
    over = (yield* one(`DELETE FROM triggers WHERE id = :id${whose} RETURNING id${quiet}`, { id, ...(self !== undefined && { self }) })) !== undefined;
    // Taken over in between: by throwing, all of it is undone.
    if (!over) throw new TakenOver();
    // The next leg starts with a token of its own.
    yield* endLeg(ti.id, now);
  });
  return result !== undefined && !('conflict' in result.change) && over;
}

/** A trigger that was somebody's is not any more. */
export class TakenOver extends Error {}

/** What was waited for too long. */
export function findTimedOut(now: string, limit: number): Sql<readonly Pick<Held, 'id' | 'task_instance_id'>[]> {
  return all(`SELECT triggers.id, triggers.task_instance_id FROM triggers JOIN latest_tries AS ti ON ti.id = triggers.task_instance_id AND ti.state = 'deferred'
    WHERE triggers.timeout_at <= :now ORDER BY triggers.timeout_at, triggers.id LIMIT :limit`, { now, limit });
}
