import { HitlAnswer, HitlRequest, HitlResponse } from '../../execution-api/schema.js';
import type { AccessOptions } from '../access.js';
import type { App } from '../app.js';
import { absent, notFound, Problem } from '../problem.js';
import { answerHuman, askHuman, getHumanAnswer } from '../store/hitl.js';
import { storedNow } from '../store/time.js';
import { ofTaskInstance as params } from './params.js';

const url = '/hitlDetails/:id';
const config = (action: 'read' | 'write') => ({ access: 'self', resource: { kind: 'task_instance', action } }) as const;

/** Human in the loop: what a task instance asks of people. Its own questions alone: CVE-2026-30911. */
export function hitl(app: App, { database, now }: AccessOptions): void {
  app.post(url, { config: config('write'), schema: { params, body: HitlRequest, response: { 201: HitlRequest } } }, async (request, reply) => {
    const asked = await database.run(askHuman(request.params.id.toLowerCase(), request.body, storedNow(now())));
    if (asked === undefined) throw notFound('Task Instance');
    return reply.code(201).send(asked);
  });

  app.patch(url, { config: config('write'), schema: { params, body: HitlAnswer, response: { 200: HitlResponse } } }, async (request) => {
    const id = request.params.id.toLowerCase();
    const answer = await database.run(answerHuman(id, request.body, storedNow(now())));
    if (answer !== undefined) return answer;
    const answered = await database.run(getHumanAnswer(id));
    if (answered === undefined) throw noQuestion();
    if (!answered.response_received) throw new Problem(409, { reason: 'not_running', message: 'The question waits for people, and the task that asked it does not answer', current_state: 'awaiting_input' });
    throw new Problem(409, { reason: 'already_exists', message: `Human-in-the-loop detail for Task Instance with id ${id} already exists.` });
  });

  app.get(url, { config: config('read'), schema: { params, response: { 200: HitlResponse } } }, async (request) => {
    const answer = await database.run(getHumanAnswer(request.params.id.toLowerCase()));
    if (answer === undefined) throw noQuestion();
    return answer;
  });
}

const noQuestion = (): Problem => absent('HITLDetail not found. This happens most likely due to clearing task instance before receiving response.');
