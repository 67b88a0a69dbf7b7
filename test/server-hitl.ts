// Tasks that wait for people: who answers, who does not, and what the task goes on with.
import { randomBytes, randomUUID } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Secret } from '../lib/secrets/secret.js';
import type { Seed, ServerOptions } from '../lib/server/index.js';
import { ApiServer, dagRun, expectRefusal as refused, expectReply as expect, here, type Reply, startDate, type Task } from './helpers/api-server.js';
import { until } from './helpers/life.js';

const hitl = suite('server-hitl');

const credential = randomBytes(32).toString('base64url');
const ada = { id: '7', name: 'Ada' };

interface Question {
  readonly task_instance_id: string;
  readonly state: string;
  readonly subject: string;
  readonly asked_at: string;
  readonly deadline: string | null;
  readonly chosen_options: string[];
}

/** A server with its admin API, and tasks that ask. */
class World {
  static async with(options: Partial<ServerOptions>, use: (world: World) => Promise<void>): Promise<void> {
    const errors: string[] = [];
    await using api = await ApiServer.start({ adminCredential: Secret.fromBytes(Buffer.from(credential)), onError: (error) => errors.push(String(error.stack)), ...options });
    await use(new World(api, await api.server.listenAdmin()));
    assert.equal(errors, []);
  }

  readonly api: ApiServer;
  /** Of the admin API. */
  readonly base: string;
  constructor(api: ApiServer, base: string) {
    this.api = api;
    this.base = base;
  }

  admin(method: string, path: string, body?: unknown): Promise<Reply> {
    return this.api.ask(method, new URL(path, this.base).href, credential, body);
  }

  async question({ id }: { readonly id: string }): Promise<Question> {
    return (await this.admin('GET', `hitl-details/${id}`)).body as Question;
  }

  /** As somebody who has just read it. */
  async answer(task: Task, change: object = {}): Promise<Reply> {
    const { asked_at } = await this.question(task);
    return this.admin('PATCH', `hitl-details/${task.id}`, { chosen_options: ['yes'], responded_by: ada, asked_at, ...change });
  }

  async state({ id }: { readonly id: string }): Promise<string> {
    return ((await this.admin('GET', `task-instances/${id}`)).body as { state: string }).state;
  }

  /** One that runs and has asked. */
  async asking(words: object = {}, ti: NonNullable<Seed['taskInstances']>[number] | object = {}): Promise<Task> {
    const task = await this.api.running(ti);
    expect(await ask(task, words), 201);
    return task;
  }

  /** The next leg, as a worker starts it. */
  async goesOn({ id }: Task): Promise<Record<string, unknown>> {
    const reply = await this.api.ask('PATCH', `task-instances/${id}/run`, await this.api.server.issueWorkloadToken(id), { state: 'running', start_date: startDate, ...here });
    expect(reply, 200);
    return reply.body as Record<string, unknown>;
  }
}

const ask = (task: Task, words: object = {}): Promise<Reply> => task.ask('POST', `hitlDetails/${task.id}`, { ti_id: task.id, options: ['yes', 'no'], subject: 'Deploy?', ...words });
const park = (task: Task, more: object = {}): Promise<Reply> => task.state({ state: 'awaiting_input', next_method: 'deploy', next_kwargs: { a: 1 }, ...more });
const seconds = (iso: string): number => Date.parse(iso) / 1000;

for (const authorization of ['own', 'airflow'] as const) {
  hitl(`authorization ${authorization}: a task waits for people without a process, and goes on with what one of them answers`, () =>
    World.with({ authorization }, async (world) => {
      const task = await world.asking({ params: { note: 'x' }, assigned_users: [ada, { id: '8', name: 'Bob' }] });
      expect(await park(task, { rendered_map_index: 'north' }), 204);
      assert.is(await world.state(task), 'awaiting_input');
      const { hitl_details } = (await world.admin('GET', `hitl-details?dag_id=${dagRun.dag_id}&answered=false`)).body as { hitl_details: Question[] };
      assert.equal(hitl_details.map(({ task_instance_id, state, subject, deadline }) => [task_instance_id, state, subject, deadline]), [[task.id, 'awaiting_input', 'Deploy?', null]]);
      refused(await park(task), 409, 'invalid_state');

      const { asked_at } = await world.question(task);
      const answer = { chosen_options: ['yes'], params_input: { note: 'y' }, responded_by: ada, asked_at };
      const send = (change: object): Promise<Reply> => world.admin('PATCH', `hitl-details/${task.id}`, { ...answer, ...change });
      for (const wrong of [{ chosen_options: [] }, { chosen_options: ['maybe'] }, { chosen_options: ['yes', 'no'] }, { responded_by: undefined }, { asked_at: undefined }, { asked_at: 'now' }, { chosen_options: 'yes' }, { state: 'success' }]) expect(await send(wrong), 422);
      refused(await send({ responded_by: { id: '9', name: 'Ada' } }), 403, 'not_assigned');
      refused(await send({ asked_at: '2020-01-01T00:00:00Z' }), 409, 'another_question');
      refused(await world.admin('PATCH', `hitl-details/${randomUUID()}`, answer), 404, 'not_found');
      assert.is(await world.state(task), 'awaiting_input');

      expect(await send({}), 200);
      refused(await send({}), 409, 'already_exists');
      assert.equal([await world.state(task), ((await world.admin('GET', 'hitl-details?answered=true')).body as { hitl_details: unknown[] }).hitl_details.length], ['queued', 1]);
      if (authorization === 'own') refused(await task.ask('GET', 'variables/none'), 403, 'invalid_token'); // the leg before is over
      const { next_method, next_kwargs } = await world.goesOn(task);
      const { event, ...kwargs } = next_kwargs as { a: number; event: Record<string, unknown> };
      const { responded_at, ...rest } = event;
      assert.equal([next_method, kwargs, rest], ['deploy', { a: 1 }, { chosen_options: ['yes'], params_input: { note: 'y' }, responded_by_user: ada, timedout: false }]);
      assert.ok((responded_at as { __data__: { timestamp: number } }).__data__.timestamp >= seconds(asked_at));
      assert.is(await world.state(task), 'running');
    }));

  hitl(`authorization ${authorization}: no task answers in the place of people`, () =>
    World.with({ authorization }, async (world) => {
      const task = await world.asking();
      const other = await world.api.running();
      const own = { ti_id: task.id, chosen_options: ['yes'] };
      // What it has said itself before it waits is no answer that it waits for.
      expect(await task.ask('PATCH', `hitlDetails/${task.id}`, own), 200);
      expect(await park(task), 204);
      assert.equal([await world.state(task), (await world.question(task)).chosen_options], ['awaiting_input', []]);
      refused(await task.ask('PATCH', `hitlDetails/${task.id}`, own), 409, 'not_running');
      refused(await other.ask('PATCH', `hitlDetails/${task.id}`, own), 403, 'subject_mismatch');
      for (const token of [task.token, other.token]) refused(await world.api.ask('PATCH', new URL(`hitl-details/${task.id}`, world.base).href, token, {}), 403, 'invalid_credential');
      assert.is(await world.state(task), 'awaiting_input');
      expect(await world.answer(task), 200); // control
      assert.is(await world.state(task), 'queued');
    }));
}

hitl('a worker that takes from the server goes on with what was answered, and has nothing to do until then', () =>
  World.with({}, async (world) => {
    await world.api.server.seed({ bundles: [{ name: 'b' }], dags: [{ dag_id: dagRun.dag_id, bundle: 'b', relative_fileloc: 'f.mjs' }] });
    using secret = await world.api.server.addWorker({ name: 'w', queues: ['default'] });
    const worker = secret.use((bytes) => Buffer.from(bytes).toString());
    const waiting = async (): Promise<string[]> => ((await world.api.ask('GET', '../sallyport/v1/workloads', worker)).body as { workloads: { ti: { id: string } }[] }).workloads.map(({ ti }) => ti.id);
    const start = async (id: string): Promise<Reply> => {
      const { token } = (await world.api.ask('POST', `../sallyport/v1/task-instances/${id}/token`, worker)).body as { token: string };
      return world.api.ask('PATCH', `task-instances/${id}/run`, token, { state: 'running', start_date: startDate, ...here });
    };
    const { id } = await world.api.task();
    assert.equal(await waiting(), [id]);
    const token = (await start(id)).headers.get('refreshed-api-token') ?? '';
    expect(await world.api.ask('POST', `hitlDetails/${id}`, token, { ti_id: id, options: ['yes', 'no'], subject: 'Deploy?' }), 201);
    expect(await world.api.ask('PATCH', `task-instances/${id}/state`, token, { state: 'awaiting_input', next_method: 'deploy' }), 204);
    assert.equal(await waiting(), []);
    refused(await world.api.ask('POST', `../sallyport/v1/task-instances/${id}/token`, worker), 409, 'invalid_state');
    const { asked_at } = await world.question({ id });
    expect(await world.admin('PATCH', `hitl-details/${id}`, { chosen_options: ['no'], responded_by: ada, asked_at }), 200);
    assert.equal(await waiting(), [id]);
    const again = await start(id);
    expect(again, 200);
    assert.is((again.body as { next_method: string }).next_method, 'deploy');
  }));

hitl('who answers before the task waits is not missed, and who waits for nobody is refused', () =>
  World.with({}, async (world) => {
    const task = await world.asking();
    expect(await world.answer(task), 200);
    assert.is(await world.state(task), 'running');
    expect(await park(task), 204);
    assert.is(await world.state(task), 'queued');
    assert.equal(((await world.goesOn(task))['next_kwargs'] as { event: { chosen_options: unknown } }).event.chosen_options, ['yes']);
    const silent = await world.api.running();
    expect(await park(silent), 422);
    assert.is(await world.state(silent), 'running');
    for (const wrong of [{ next_method: undefined }, { next_kwargs: [] }, { timeout: '10' }, { timeout: 'P9999999Y' }, { trigger_kwargs: {} }]) expect(await park(await world.asking(), wrong), 422);
  }));

hitl('a wait ends in time: with the defaults, or with nothing to go on but that', async () => {
  let clock = Date.parse('2026-04-06T00:00:00Z');
  await World.with({ now: () => clock, tokenLifetimeSeconds: 86_400 }, async (world) => {
    const choice = await world.asking({ multiple: true, defaults: ['no', 'yes'], params: { a: 1, b: { value: [2], description: 'd' } } });
    const none = await world.asking();
    const patient = await world.asking();
    const quick = await world.asking({ defaults: ['no'] });
    for (const task of [choice, none, quick]) expect(await park(task, { timeout: 'PT1M' }), 204);
    expect(await park(patient, { timeout: null, next_kwargs: null }), 204);
    assert.is((await world.question(none)).deadline, '2026-04-06T00:01:00Z');
    clock += 59_999;
    expect(await world.answer(quick), 200);
    assert.equal([await world.state(choice), await world.state(none)], ['awaiting_input', 'awaiting_input']);
    clock += 1;
    await until(async () => (await world.state(choice)) === 'queued' && (await world.state(none)) === 'queued');
    const event = async (task: Task): Promise<Record<string, unknown>> => ((await world.goesOn(task))['next_kwargs'] as { event: Record<string, unknown> }).event;
    const { responded_at: _, ...defaults } = await event(choice);
    assert.equal(defaults, { chosen_options: ['no', 'yes'], params_input: { a: 1, b: [2] }, responded_by_user: null, timedout: true });
    assert.equal((await event(none))['error_type'], 'timeout');
    assert.equal((await event(quick))['timedout'], false);
    refused(await world.answer(choice), 409, 'already_exists');
    assert.equal([await world.state(patient), (await world.question(patient)).deadline], ['awaiting_input', null]);
    expect(await world.answer(patient), 200);
    assert.equal(Object.keys((await world.goesOn(patient))['next_kwargs'] as object), ['event']);
  });
});

hitl('an operator ends a wait and cannot skip it, and an answer that comes too late is none', () =>
  World.with({}, async (world) => {
    for (const state of ['queued', 'scheduled']) {
      const task = await world.asking();
      expect(await park(task), 204);
      refused(await world.admin('PATCH', `task-instances/${task.id}`, { state }), 409, 'invalid_state');
      expect(await world.answer(task), 200); // control
    }
    const ended = await world.asking();
    expect(await park(ended), 204);
    expect(await world.admin('PATCH', `task-instances/${ended.id}`, { state: 'failed' }), 200);
    refused(await world.answer(ended), 409, 'invalid_state');
    const replaced = await world.asking({}, { task_id: 'again', try_number: 1 });
    expect(await park(replaced), 204);
    const next = await world.asking({}, { task_id: 'again', try_number: 2 });
    refused(await world.answer(replaced), 409, 'invalid_state');
    assert.equal([await world.state(ended), await world.state(replaced)], ['failed', 'awaiting_input']);
    expect(await world.answer(next), 200);
  }));

hitl('a second question of the same try has its own words, and no answer to the first is one to it', () => {
  let clock = Date.parse('2026-04-06T00:00:00Z');
  return World.with({ now: () => clock++, tokenLifetimeSeconds: 86_400 }, async (world) => {
    const task = await world.asking({ subject: 'Deploy?' });
    // Asked again before anybody has answered: its words stay.
    assert.is(((await ask(task, { subject: 'Delete?' })).body as Question).subject, 'Deploy?');
    expect(await park(task), 204);
    const first = await world.question(task);
    expect(await world.answer(task), 200);
    const token = (await world.api.ask('PATCH', `task-instances/${task.id}/run`, await world.api.server.issueWorkloadToken(task.id), { state: 'running', start_date: startDate, ...here })).headers.get('refreshed-api-token') ?? '';
    const again = (method: string, path: string, body: unknown): Promise<Reply> => world.api.ask(method, path, token, body);
    expect(await again('POST', `hitlDetails/${task.id}`, { ti_id: task.id, options: ['yes', 'no', 'later'], subject: 'Delete?' }), 201);
    expect(await again('PATCH', `task-instances/${task.id}/state`, { state: 'awaiting_input', next_method: 'remove' }), 204);
    const second = await world.question(task);
    assert.equal([second.subject, second.state, second.chosen_options], ['Delete?', 'awaiting_input', []]);
    refused(await world.answer(task, { asked_at: first.asked_at }), 409, 'another_question');
    expect(await world.answer(task, { chosen_options: ['later'] }), 200);
    assert.is((await world.goesOn(task))['next_method'], 'remove');
  });
});

hitl('of many answers at once one counts, and it is the one that the task goes on with', () =>
  World.with({}, async (world) => {
    for (const first of [true, false]) {
      const task = await world.asking({ options: Array.from({ length: 12 }, (_, n) => `o${n}`) });
      if (first) expect(await park(task), 204);
      const answers = Array.from({ length: 12 }, (_, n) => world.answer(task, { chosen_options: [`o${n}`] }));
      const parked = first ? undefined : park(task);
      const replies = await Promise.all(answers);
      if (parked !== undefined) expect(await parked, 204);
      assert.equal(replies.map(({ status }) => status).sort(), [200, ...Array<number>(11).fill(409)]);
      const counted = `o${replies.findIndex(({ status }) => status === 200)}`;
      assert.is(await world.state(task), 'queued');
      assert.equal(((await world.goesOn(task))['next_kwargs'] as { event: { chosen_options: unknown } }).event.chosen_options, [counted]);
    }
  }));

hitl.run();
