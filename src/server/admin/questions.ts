import { Type } from '@sinclair/typebox';
import { HitlAnswer, HitlUser } from '../../execution-api/schema.js';
import { Timestamp } from '../../execution-api/schema/common.js';
import type { App } from '../app.js';
import { notFound } from '../problem.js';
import { answerQuestion } from '../questions.js';
import { ofTaskInstance as params } from '../routes/params.js';
import { Id } from '../seed.js';
import { getQuestion, listQuestions } from '../store/hitl.js';
import { storedNow } from '../store/time.js';
import type { AdminOptions } from './index.js';

const query = Type.Object({ dag_id: Type.Optional(Id), run_id: Type.Optional(Id), answered: Type.Optional(Type.Boolean()), limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })), offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 })) });
const { chosen_options, params_input } = HitlAnswer.properties;
const Answer = Type.Object({ chosen_options, params_input, responded_by: HitlUser, asked_at: Timestamp }, { additionalProperties: false });
const url = '/hitl-details/:id';

/** What tasks ask of people, and the people's answers: Airflow's Human-in-the-loop, for what stands before the people and knows who they are. */
export function questions(app: App, { database, now }: AdminOptions): void {
  app.get('/hitl-details', { schema: { querystring: query } }, async (request) => {
    const { limit = 100, offset = 0, ...filter } = request.query;
    return { hitl_details: await database.run(listQuestions(filter, limit, offset)) };
  });

  app.get(url, { schema: { params } }, async (request) => {
    const question = await database.run(getQuestion(request.params.id.toLowerCase()));
    if (question === undefined) throw notFound('Question');
    return question;
  });

  // It names what was read by when it was asked: an answer is never one to a question that came instead.
  app.patch(url, { schema: { params, body: Answer } }, async (request) => database.transaction(answerQuestion(request.params.id.toLowerCase(), request.body, storedNow(now()))));
}
