import type { HitlAnswer, HitlRequest, HitlResponse, HitlUser } from '../../execution-api/schema.js';
import type { TaskInstanceState } from '../state.js';
import type { Try } from './identities.js';
import { all, forUpdate, one, run, type Sql, type Value } from './sql.js';
import { shown } from './time.js';

const words = ['options', 'subject', 'body', 'defaults', 'multiple', 'params', 'assigned_users'] as const;
const noAnswer = `responded_at = NULL, responded_by = NULL, chosen_options = NULL, params_input = '{}'`;
/** What a person has answered is over, and another question may follow it; what nobody has keeps its words. */
const renewed = (column: string, value: string): string => `${column} = CASE WHEN hitl_details.responded_by IS NULL THEN hitl_details.${column} ELSE ${value} END`;
const upsert = `INSERT INTO hitl_details (task_instance_id, ${words.join(', ')}, created_at)
  SELECT id, :options, :subject, :body, :defaults, CAST(:multiple AS INTEGER), :params, :assigned_users, :now FROM task_instances WHERE id = :id
  ON CONFLICT (task_instance_id) DO UPDATE SET ${[...words, 'created_at'].map((column) => renewed(column, `excluded.${column}`)).join(', ')}, ${noAnswer}
  RETURNING ${words.join(', ')}`;

type Words = { readonly [Field in 'options' | 'subject' | 'params' | 'assigned_users']: string } & { readonly body: string | null; readonly defaults: string | null; readonly multiple: number };

/**
 * Asks people. Of a question that none of them has answered yet the words stay and its answer, the task's own, goes, as in Airflow.
 *
 * @returns The question as it stands; undefined where there is no such task instance.
 */
export function* askHuman(id: string, { options, subject, body = null, defaults, multiple, params, assigned_users }: HitlRequest, now: string): Sql<HitlRequest | undefined> {
  const values = {
    options: JSON.stringify(options),
    subject,
    body,
    defaults: defaults == null ? null : JSON.stringify(defaults),
    multiple: multiple === true ? 1 : 0,
    params: JSON.stringify(params ?? {}),
    assigned_users: JSON.stringify(assigned_users ?? []),
  };
  const row = yield* one<Words>(upsert, { ...values, id, now });
  return row && { ti_id: id, ...asAsked(row) };
}

const asAsked = ({ options, subject, body, defaults, multiple, params, assigned_users }: Words) => ({
  options: JSON.parse(options) as string[],
  subject,
  body,
  defaults: defaults === null ? null : (JSON.parse(defaults) as string[]),
  multiple: multiple === 1,
  params: JSON.parse(params) as Record<string, unknown>,
  assigned_users: JSON.parse(assigned_users) as HitlUser[],
});

const answered = 'responded_at, responded_by, chosen_options, params_input';
const answerSelf = `UPDATE hitl_details SET responded_at = :now, chosen_options = :chosen_options, params_input = :params_input
  WHERE task_instance_id = :id AND responded_at IS NULL AND NOT EXISTS (SELECT 1 FROM task_instances WHERE id = :id AND state = 'awaiting_input') RETURNING ${answered}`;

/**
 * The task's own answer, as its defaults after a time. The first answer is the one that counts.
 *
 * @returns Undefined where there is no question, one that is answered, or one whose task waits for people: these answer it.
 */
export function* answerHuman(id: string, { chosen_options, params_input }: HitlAnswer, now: string): Sql<HitlResponse | undefined> {
  return asResponse(yield* one<Answer>(answerSelf, { id, now, chosen_options: JSON.stringify(chosen_options), params_input: JSON.stringify(params_input ?? {}) }));
}

export function* getHumanAnswer(id: string): Sql<HitlResponse | undefined> {
  return asResponse(yield* one<Answer>(`SELECT ${answered} FROM hitl_details WHERE task_instance_id = :id`, { id }));
}

interface Answer {
  readonly responded_at: string | null;
  /** JSON: a user's id and name; null for the task itself, or a wait that ended. */
  readonly responded_by: string | null;
  readonly chosen_options: string | null;
  readonly params_input: string;
}

function asResponse(row: Answer | undefined): HitlResponse | undefined {
  if (row === undefined) return undefined;
  return {
    response_received: row.responded_at !== null,
    responded_by_user: row.responded_by === null ? null : (JSON.parse(row.responded_by) as HitlUser),
    responded_at: shown(row.responded_at),
    chosen_options: JSON.parse(row.chosen_options ?? '[]') as string[],
    params_input: JSON.parse(row.params_input) as Record<string, unknown>,
  };
}

// --- For whoever answers

/** A question, whose it is, and what became of it. */
export interface Question extends Omit<HitlRequest, 'ti_id'>, HitlResponse, Try {
  readonly task_instance_id: string;
  readonly state: TaskInstanceState | null;
  readonly asked_at: string;
  /** When the wait for an answer ends; null: never, or nobody waits. */
  readonly deadline: string | null;
}

type QuestionRow = Words & Answer & Try & Pick<Question, 'task_instance_id' | 'state' | 'deadline'> & { readonly created_at: string };

const questions = `SELECT task_instance_id, dag_id, run_id, task_id, map_index, try_number, state, created_at, deadline, ${words.join(', ')}, ${answered}
  FROM hitl_details JOIN task_instances ON task_instances.id = hitl_details.task_instance_id`;

function asQuestion(row: QuestionRow): Question {
  const { task_instance_id, dag_id, run_id, task_id, map_index, try_number, state } = row;
  return { task_instance_id, dag_id, run_id, task_id, map_index, try_number, state, asked_at: shown(row.created_at) as string, deadline: shown(row.deadline), ...asAsked(row), ...(asResponse(row) as HitlResponse) };
}

/** The oldest first. */
export function* listQuestions({ answered: wanted, ...filter }: { readonly dag_id?: string; readonly run_id?: string; readonly answered?: boolean }, limit: number, offset: number): Sql<readonly Question[]> {
  const ofAnswer = wanted === undefined ? [] : [`responded_at IS ${wanted ? 'NOT ' : ''}NULL`];
  const where = ['1 = 1', ...Object.keys(filter).map((column) => `${column} = :${column}`), ...ofAnswer].join(' AND ');
  return (yield* all<QuestionRow>(`${questions} WHERE ${where} ORDER BY created_at, task_instance_id LIMIT :limit OFFSET :offset`, { ...filter, limit, offset })).map(asQuestion);
}

export function* getQuestion(id: string): Sql<Question | undefined> {
  const row = yield* one<QuestionRow>(`${questions} WHERE task_instance_id = :id`, { id });
  return row && asQuestion(row);
}

/** In a transaction that has locked the task instance: whoever waits and whoever answers do so in this order, and so one after the other. */
export function* holdQuestion(id: string): Sql<Question | undefined> {
  yield* all(`SELECT task_instance_id FROM hitl_details WHERE task_instance_id = :id${forUpdate}`, { id });
  return yield* getQuestion(id);
}

const record = 'UPDATE hitl_details SET responded_at = :now, responded_by = :by, chosen_options = :chosen_options, params_input = :params_input, deadline = NULL WHERE task_instance_id = :id';

/** @param by undefined: nobody, the wait is over. */
export function recordAnswer(id: string, { chosen_options, params_input }: Pick<HitlAnswer, 'chosen_options' | 'params_input'>, by: HitlUser | undefined, now: string): Sql<void> {
  const values: Record<string, Value> = { by: by === undefined ? null : JSON.stringify(by), chosen_options: JSON.stringify(chosen_options), params_input: JSON.stringify(params_input ?? {}) };
  return run(record, { ...values, id, now });
}

/** From here on people are waited for; what the task had answered itself is none. */
export function openQuestion(id: string, deadline: string | null): Sql<void> {
  return run(`UPDATE hitl_details SET deadline = :deadline, ${noAnswer} WHERE task_instance_id = :id`, { id, deadline });
}

/** Nobody waits any more. */
export function closeQuestion(id: string): Sql<void> {
  return run('UPDATE hitl_details SET deadline = NULL WHERE task_instance_id = :id', { id });
}

/** Whose time is over: the ids of task instances. */
export function* findUnanswered(now: string, limit: number): Sql<readonly string[]> {
  const rows = yield* all<{ id: string }>(`SELECT ti.id FROM hitl_details JOIN latest_tries AS ti ON ti.id = hitl_details.task_instance_id AND ti.state = 'awaiting_input'
    WHERE hitl_details.deadline <= :now ORDER BY hitl_details.deadline, ti.id LIMIT :limit`, { now, limit });
  return rows.map(({ id }) => id);
}
