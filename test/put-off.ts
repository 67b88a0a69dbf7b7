// A word that puts a task off, and whose answer gets lost: the task goes on before its first leg's supervisor has said that word again.
import { randomBytes } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { AuditRecord } from '../lib/broker/index.js';
import { Triggerer } from '../lib/hosts/index.js';
import { ExecutionApi, type Outcome, type ReportResult, Secret, type Supervisor } from '../lib/index.js';
import type { ServerOptions } from '../lib/server/index.js';
import { ApiServer, expectRefusal, expectReply, type Reply } from './helpers/api-server.js';
import { Life, until } from './helpers/life.js';

const putOff = suite('put-off');

const question = { options: ['yes', 'no'], subject: 'go?', body: null, defaults: null, multiple: false, params: {}, assigned_users: [] };
const words = {
  deferred: "await ask('DeferTask', { classpath: 'fires.mjs', trigger_kwargs: {}, next_method: 'arrived' })",
  awaiting_input: `await ask('CreateHITLDetailPayload', { ti_id: ti.id, ...${JSON.stringify(question)} }); await ask('AwaitInputTask', { next_method: 'arrived' })`,
  up_for_reschedule: "await ask('RescheduleTask', { reschedule_date: '2026-01-01T00:00:00Z' })",
} as const;
type Word = keyof typeof words;
const all = Object.keys(words) as Word[];

/** Says its word, and ends only when a file says so; what goes on waits for another one. */
const task = (word: Word): string => `
  import { existsSync } from 'node:fs';
  const here = (name) => existsSync(new URL('./' + name, import.meta.url));
  const until = async (name) => { while (!here(name)) await new Promise((resolve) => setTimeout(resolve, 10)); };
  const ask = (type, fields) => globalThis[Symbol.for('sallyport.task.client')].request(type, fields);
  export default async ({ ti }) => {
    if (here('comes')) return arrived({}, { event: 'comes' });
    ${words[word]};
    console.log('said');
    await until('end');
    process.exit(0);
  };
  export const arrived = async (_, { event }) => { console.log('went on with', event?.chosen_options?.[0] ?? event); await until('go'); };`;

/** A task instance whose first leg has said its word: the server took it, nobody was told, and the process is still there. */
class Leg implements AsyncDisposable {
  readonly life: Life;
  readonly ti: { readonly id: string };
  readonly results: ReportResult[] = [];
  readonly lines: string[] = [];
  readonly audited: AuditRecord[] = [];
  readonly supervisor: Supervisor;
  readonly first: Promise<Outcome>;
  readonly #workload: object;
  readonly #direct: ExecutionApi;
  readonly #triggerer: Triggerer;

  static async lost(word: Word, isKept: boolean, options: Partial<ServerOptions> = {}): Promise<Leg> {
    const life = await Life.start({ database: await ApiServer.newDatabase(), ...options });
    await life.server.seed({ bundles: [{ name: 'b' }], dags: [{ dag_id: 'd', bundle: 'b' }] });
    const leg = new Leg(life, await life.queued(life.file(task(word))), await life.server.addTriggerer({ name: 't', queues: ['default'] }), isKept);
    await until(() => leg.lines.includes('said'));
    assert.equal([life.proxy.counts.lost, await leg.state()], [1, word]); // control: it was taken
    return leg;
  }

  private constructor(life: Life, workload: { readonly ti: { readonly id: string } }, credential: Secret, isKept: boolean) {
    [this.life, this.ti, this.#workload] = [life, workload.ti, workload];
    writeFileSync(join(life.bundle, 'fires.mjs'), 'export default async () => 42;');
    this.#direct = new ExecutionApi({ baseUrl: life.url });
    const reports = { folder: this.folder, key: Secret.fromBytes(randomBytes(32)), retryDelayMs: 30, onReport: (result: ReportResult) => this.results.push(result) };
    this.supervisor = life.supervisor({ ...(isKept && { reports }), audit: (record) => this.audited.push(record), onLog: ({ line }) => this.lines.push(line) });
    this.#triggerer = new Triggerer({ api: this.#direct, credential, bundles: { b: life.bundle }, pollMs: 20 });
    life.proxy.fault = ({ path }) => (path.endsWith('/state') && life.proxy.counts.lost === 0 ? 'lost' : 'none');
    this.first = this.run();
  }

  get folder(): string {
    return join(this.life.folder, 'reports');
  }

  /** What is kept of anything, taken, refused or waiting. */
  records(): string[] {
    return readdirSync(this.folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.json'));
  }

  async run(supervisor = this.supervisor): Promise<Outcome> {
    return supervisor.run(this.#workload, { token: await this.life.token(this.ti.id), grants: { defers: ['fires.mjs'] } });
  }

  /** Of the leg that goes on, on a host for which nothing fails. */
  async elsewhere(): Promise<Outcome> {
    await using supervisor = this.life.supervisor({ api: this.#direct, hostname: 'elsewhere', onLog: ({ line }) => this.lines.push(line) });
    return await this.run(supervisor);
  }

  state(): Promise<string> {
    return this.life.state(this.ti.id);
  }

  /** What was waited for has come: the same try waits for a worker again. */
  async comes(word: Word): Promise<void> {
    const { life, ti: { id } } = this;
    if (word === 'deferred') void this.#triggerer.run();
    else if (word === 'awaiting_input') {
      const { asked_at } = await life.admin('GET', `hitl-details/${id}`);
      await life.admin('PATCH', `hitl-details/${id}`, { chosen_options: ['yes'], responded_by: { id: '7', name: 'Ada' }, asked_at });
    } else {
      this.write('comes');
      await life.admin('PATCH', `task-instances/${id}`, { state: 'queued' });
    }
    await until(async () => (await this.state()) === 'queued');
  }

  write(name: 'end' | 'go' | 'comes'): void {
    writeFileSync(join(this.life.bundle, name), '');
  }

  get went(): readonly string[] {
    return this.lines.filter((line) => line.startsWith('went on'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of ['end', 'go'] as const) this.write(name); // where an assertion came in between
    await this.supervisor[Symbol.asyncDispose]();
    await this.#triggerer[Symbol.asyncDispose]();
    await this.#direct.close();
    await this.life[Symbol.asyncDispose]();
  }
}

const messages: Readonly<Record<Word, string>> = { deferred: 'DeferTask', awaiting_input: 'AwaitInputTask', up_for_reschedule: 'RescheduleTask' };
const events: Readonly<Record<Word, string>> = { deferred: '42', awaiting_input: 'yes', up_for_reschedule: 'comes' };
const told = ({ state, reported, kept, error }: Outcome): unknown => ({ state, reported, kept, error: error && String(error) });
const done = (state: string): unknown => ({ state, reported: true, kept: undefined, error: undefined });

for (const [isKept, isOver, wanted] of [[true, false, all], [true, true, ['deferred']], [false, false, ['deferred']]] as const) {
  putOff(`said again ${isOver ? 'when the next leg has ended' : 'while the next leg runs'}${isKept ? '' : ', by who keeps no reports'}, it counts as taken, and changes nothing`, async () => {
    for (const word of wanted) {
      await using leg = await Leg.lost(word, isKept);
      await leg.comes(word);
      const second = leg.run(); // by the same supervisor, which has two tries of one id now
      await until(() => leg.went.length > 0);
      if (isOver) leg.write('go');
      if (isOver) assert.equal(told(await second), done('success'));
      leg.write('end');
      assert.equal(told(await leg.first), done(word), `${word} ${isOver}`);
      assert.is(await leg.state(), isOver ? 'success' : 'running');
      leg.write('go');
      assert.equal([told(await second), await leg.state()], [done('success'), 'success']);
      assert.equal([leg.went, leg.results], [[`went on with ${events[word]}`], []]);
      assert.equal(leg.audited.filter(({ method }) => method.endsWith('Task')).map(({ method, outcome }) => [method, outcome]), [[messages[word], 'allowed'], ['SucceedTask', 'allowed']]);
      if (isKept) assert.equal(leg.records(), []);
    }
  });
}

putOff('kept while the server is away, it counts as taken when that is back, and leaves no record', async () => {
  for (const word of all) {
    await using leg = await Leg.lost(word, true);
    leg.life.proxy.fault = () => 'unavailable';
    leg.write('end');
    const { state, reported, kept } = await leg.first;
    assert.equal([state, reported, kept, leg.supervisor.reportsWaiting], [word, false, true, 1]);
    await leg.comes(word);
    const second = leg.elsewhere();
    await until(() => leg.went.length > 0);
    leg.life.proxy.fault = () => 'none';
    await until(() => leg.results.length > 0);
    assert.equal([leg.results.map(({ task, state, result }) => [task, state, result]), await leg.state()], [[[leg.ti.id, word, 'taken']], 'running']);
    leg.write('go');
    assert.equal([told(await second), await leg.state()], [done('success'), 'success']);
    assert.equal([leg.went, leg.records()], [[`went on with ${events[word]}`], []]);
  }
});

putOff('an API that ends no tokens, as Airflow, is not told it again while another leg runs', async () => {
  await using leg = await Leg.lost('deferred', false, { authorization: 'airflow' });
  await leg.comes('deferred');
  const second = leg.elsewhere();
  await until(() => leg.went.length > 0);
  leg.write('end');
  const { state, reported, error } = await leg.first;
  // Who has it is all that this API says: what became of the word is not known.
  assert.equal([state, reported, (error as { reason?: unknown }).reason], ['deferred', false, 'running_elsewhere']);
  assert.is(await leg.state(), 'running');
  leg.write('go');
  assert.equal([told(await second), await leg.state(), leg.went], [done('success'), 'success', ['went on with 42']]);
});

putOff('a retry that was answered in vain counts as taken, though the next try is there', async () => {
  await using life = await Life.start({ database: await ApiServer.newDatabase() });
  const lines: string[] = [];
  await using supervisor = life.supervisor({ onLog: ({ line }) => lines.push(line) });
  const workload = await life.queued(life.file(task('deferred').replace(words.deferred, "await ask('RetryTask', {})")), { max_tries: 1 });
  const { ti } = workload;
  life.proxy.fault = ({ path }) => (path.endsWith('/state') && life.proxy.counts.lost === 0 ? 'lost' : 'none');
  const first = supervisor.run(workload, { token: await life.token(ti.id) });
  await until(() => lines.includes('said'));
  const { id } = await life.admin('POST', 'task-instances', { dag_id: ti.dag_id, run_id: ti.run_id, task_id: ti.task_id, try_number: 2, max_tries: 1, state: 'queued' });
  writeFileSync(join(life.bundle, 'end'), '');
  assert.equal([told(await first), await life.state(ti.id), await life.state(id)], [done('up_for_retry'), 'up_for_retry', 'queued']);
});

putOff('a leg that is over is told its own word, by which nothing changes; not where it was revoked, nor on any other route', async () => {
  const credential = randomBytes(32).toString('base64url');
  await using api = await ApiServer.start({ adminCredential: Secret.fromBytes(Buffer.from(credential)) }, { variables: { region: 'north' } });
  const base = await api.server.listenAdmin();
  const admin = (method: string, id: string, body?: object): Promise<Reply> => api.ask(method, new URL(`task-instances/${id}`, base).href, credential, body);
  const at = '2026-01-01T00:00:00Z';
  const word = { state: 'up_for_reschedule', end_date: at, reschedule_date: at };
  const [own, revoked] = [await api.running(), await api.running()];
  expectReply(await own.ask('GET', 'variables/region'), 200); // control
  for (const task of [own, revoked]) expectReply(await task.state(word), 204);
  await api.server.revokeTokens({ taskInstanceId: revoked.id });
  expectRefusal(await own.state(word), 409, 'invalid_state'); // control: it has not gone on
  for (const { id } of [own, revoked]) expectReply(await admin('PATCH', id, { state: 'queued' }), 200);
  for (const reply of [await own.heartbeat(), await own.state(word), await own.state({ state: 'success', end_date: at, task_outlets: [], outlet_events: [] })]) {
    expectRefusal(reply, 409, 'not_running');
    const { current_state, previous_state } = (reply.body as { detail: Record<string, unknown> }).detail;
    assert.equal([current_state, previous_state], [word.state, word.state]);
  }
  for (const reply of [await revoked.heartbeat(), await revoked.state(word), await own.run(), await own.ask('GET', 'variables/region'), await own.ask('PUT', `task-instances/${own.id}/rtif`, {})]) expectRefusal(reply, 403, 'invalid_token');
  for (const { id } of [own, revoked]) assert.is(((await admin('GET', id)).body as { state: string }).state, 'queued');
});

putOff.run();
