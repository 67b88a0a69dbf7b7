import type { HitlAnswer, HitlRequest, HitlResponse } from '../../execution-api/schema.js';
import { one, type Sql } from './sql.js';
import { shown } from './time.js';

const upsert = `INSERT INTO hitl_details (task_instance_id, options, subject, body, defaults, multiple, params, assigned_users, created_at)
  SELECT id, :options, :subject, :body, :defaults, CAST(:multiple AS INTEGER), :params, :assigned_users, :now FROM task_instances WHERE id = :id
  ON CONFLICT (task_instance_id) DO UPDATE SET responded_at = NULL, responded_by = NULL, chosen_options = NULL, params_input = '{}'
  RETURNING options, subject, body, defaults, multiple, params, assigned_users`;

type Row = { readonly [Field in 'options' | 'subject' | 'params' | 'assigned_users']: string } & { readonly body: string | null; readonly defaults: string | null; readonly multiple: number };

/**
 * Asks a human. Of a question that was asked already the words stay and its answer goes, as in Airflow.
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
  const row = yield* one<Row>(upsert, { ...values, id, now });
  if (row === undefined) return undefined;
  return {
    ti_id: id,
    options: JSON.parse(row.options) as string[],
    subject: row.subject,
    body: row.body,
    defaults: row.defaults === null ? null : (JSON.parse(row.defaults) as string[]),
    multiple: row.multiple === 1,
    params: JSON.parse(row.params) as Record<string, unknown>,
    assigned_users: JSON.parse(row.assigned_users) as { id: string; name: string }[],
  };
}

const answered = 'responded_at, responded_by, chosen_options, params_input';
const answer = `UPDATE hitl_details SET responded_at = :now, chosen_options = :chosen_options, params_input = :params_input
  WHERE task_instance_id = :id AND responded_at IS NULL RETURNING ${answered}`;

/** The first answer is the one that counts. @returns Undefined where there is no question, or one that is answered. */
export function* answerHuman(id: string, { chosen_options, params_input }: HitlAnswer, now: string): Sql<HitlResponse | undefined> {
  return asResponse(yield* one<Answer>(answer, { id, now, chosen_options: JSON.stringify(chosen_options), params_input: JSON.stringify(params_input ?? {}) }));
}

export function* getHumanAnswer(id: string): Sql<HitlResponse | undefined> {
  return asResponse(yield* one<Answer>(`SELECT ${answered} FROM hitl_details WHERE task_instance_id = :id`, { id }));
}

interface Answer {
  readonly responded_at: string | null;
  /** JSON: a user's id and name; null for the task itself. */
  readonly responded_by: string | null;
  readonly chosen_options: string | null;
  readonly params_input: string;
}

function asResponse(row: Answer | undefined): HitlResponse | undefined {
  if (row === undefined) return undefined;
  return {
    response_received: row.responded_at !== null,
    responded_by_user: row.responded_by === null ? null : (JSON.parse(row.responded_by) as { id: string; name: string }),
    responded_at: shown(row.responded_at),
    chosen_options: JSON.parse(row.chosen_options ?? '[]') as string[],
    params_input: JSON.parse(row.params_input) as Record<string, unknown>,
  };
}
