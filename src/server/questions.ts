import type { HitlUser } from '../execution-api/schema.js';
import { absent, Problem } from './problem.js';
import { type Change, finished, resume, type TaskInstance } from './state.js';
import { closeQuestion, getQuestion, holdQuestion, openQuestion, type Question, recordAnswer } from './store/hitl.js';
import type { Sql } from './store/sql.js';
import { changeTaskInstance } from './store/task-instances.js';
import { toStored } from './store/time.js';
import { endLeg } from './store/tokens.js';

// Tasks that wait for people, and the people's answers: Airflow's awaiting_input. Each of these runs in a transaction and locks the
// task instance before its question.

/**
 * The task instance has become `awaiting_input`. Where a person has answered already, it goes on at once.
 *
 * @param deadline When it goes on without an answer. null: never.
 * @throws {Problem} 422: it has asked nobody, and would wait for ever.
 */
export function* awaitAnswer({ id }: TaskInstance, deadline: string | null, now: string): Sql<void> {
  const question = yield* holdQuestion(id);
  if (question === undefined) throw new Problem(422, [{ loc: ['body', 'state'], msg: 'TI has asked nobody, so that there is nothing to wait for', type: 'value_error' }]);
  if (question.responded_by_user == null) yield* openQuestion(id, deadline);
  else yield* goOn(id, answerEvent(question), now);
}

export interface PersonsAnswer {
  readonly chosen_options: string[];
  readonly params_input?: Record<string, unknown> | null;
  readonly responded_by: HitlUser;
  readonly asked_at: string;
}

/**
 * What a person has answered, and nobody else has before: the task goes on with it if it waits, else as soon as it would.
 *
 * @throws {Problem} 404; 403 for somebody who was not asked; 409 for a question that is answered, or another one by now, or of a
 *   task instance that is over; 422 for what is no answer to it.
 */
export function* answerQuestion(id: string, { responded_by, asked_at, ...answer }: PersonsAnswer, now: string): Sql<Question> {
  const found = yield* changeTaskInstance(id, () => ({ set: {} }));
  const question = found && (yield* holdQuestion(id));
  if (found === undefined || question === undefined) throw absent('This task instance has asked nobody');
  const { state, replaced } = found.before;
  if (toStored(question.asked_at) !== toStored(asked_at)) throw new Problem(409, { reason: 'another_question', message: 'The task has asked something else meanwhile' });
  if (question.response_received) throw new Problem(409, { reason: 'already_exists', message: 'There is an answer already' });
  if (replaced === 1 || state === null || state === 'up_for_retry' || finished.includes(state)) throw new Problem(409, { reason: 'invalid_state', message: 'Nobody waits for an answer any more', previous_state: state });
  const { options, multiple, assigned_users } = question;
  if (assigned_users?.length && !assigned_users.some((user) => user.id === responded_by.id)) throw new Problem(403, { reason: 'not_assigned', message: 'The question was put to others' });
  const wrong = (msg: string): Problem => new Problem(422, [{ loc: ['body', 'chosen_options'], msg, type: 'value_error' }]);
  if (!answer.chosen_options.every((option) => options.includes(option))) throw wrong('not among the options');
  if (multiple !== true && answer.chosen_options.length > 1) throw wrong('one option is to be chosen');
  yield* recordAnswer(id, answer, responded_by, now);
  const recorded = (yield* getQuestion(id)) as Question;
  if (state !== 'awaiting_input') return recorded;
  yield* goOn(id, answerEvent(recorded), now);
  return (yield* getQuestion(id)) as Question;
}

/** Airflow's check_awaiting_input_timeouts: the defaults are the answer, or there is none and the task is told. */
export function* endUnanswered(id: string, now: string): Sql<void> {
  const found = yield* changeTaskInstance(id, () => ({ set: {} }));
  if (found?.before.state !== 'awaiting_input') return;
  const { defaults, params } = (yield* holdQuestion(id)) as Question;
  if (defaults == null) {
    yield* closeQuestion(id);
    yield* goOn(id, { error: 'The Human-in-the-loop response timeout has passed without a response.', error_type: 'timeout' }, now);
    return;
  }
  yield* recordAnswer(id, { chosen_options: defaults, params_input: Object.fromEntries(Object.entries(params ?? {}).map(([name, param]) => [name, valueOf(param)])) }, undefined, now);
  yield* goOn(id, answerEvent((yield* getQuestion(id)) as Question, true), now);
}

/** A parameter is a value, or Airflow's Param with one. */
const valueOf = (param: unknown): unknown => (typeof param === 'object' && param !== null && 'value' in param ? param.value : param);

/** The same try waits for a worker again; its next leg starts with a token of its own. */
function* goOn(id: string, event: object, now: string): Sql<void> {
  yield* changeTaskInstance(id, (ti): Change => resume(ti, { event }, 'awaiting_input'), function* () {
    yield* endLeg(id, now);
  });
}

/** Airflow's event, whose time Python's tasks read as one: in the form of its serde. */
function answerEvent({ chosen_options, params_input, responded_at, responded_by_user }: Question, timedout = false): object {
  const time = { __classname__: 'datetime.datetime', __version__: 2, __data__: { timestamp: Date.parse(responded_at ?? '') / 1000, tz: ['UTC', 'pendulum.tz.timezone.Timezone', 1, true] } };
  return { chosen_options, params_input, responded_at: time, responded_by_user, timedout };
}
