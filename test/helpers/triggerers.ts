import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Triggerer, type TriggererEvent, type TriggererOptions } from '../../lib/hosts/index.js';
import { ExecutionApi, Secret, ServerQueue, Supervisor, Worker, type WorkerEvent } from '../../lib/index.js';
import type { Seed, ServerOptions } from '../../lib/server/index.js';
import { ApiServer } from './api-server.js';
import { asWeAre } from './cli.js';
import { until } from './processes.js';

export const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-triggerer-')));
export const removeFolder = (): void => rmSync(folder, { recursive: true, force: true });
export const bundles = { red: join(folder, 'red'), blue: join(folder, 'blue') };

const task = (trigger: string, more = ''): string => `import { defer } from 'sallyport/task';
  export default ({ ti }) => defer({ trigger: 'triggers.mjs#${trigger}', trigger_kwargs: { name: ti.task_id }, method_name: 'arrived', kwargs: { asked: ti.try_number }, ${more} });
  export const arrived = ({ ti }, { asked, event }) => ({ asked, event, try_number: ti.try_number });`;
const files: Readonly<Record<string, string>> = {
  'arrives.mjs': task('arrives'),
  'fails.mjs': task('fails'),
  'silent.mjs': task('silent'),
  'broken.mjs': task('x').replace('triggers.mjs#x', 'broken-trigger.mjs'),
  'absent.mjs': task('x').replace('triggers.mjs#x', 'nowhere.mjs'),
  'timeout.mjs': task('arrives', 'timeoutMs: 600_000'),
  'reads.mjs': task('reads'),
  'twice.mjs': task('twice'),
  'large.mjs': task('arrives').replace('name: ti.task_id', "name: ti.task_id, pad: 'x'.repeat(300_000)"),
  'odd-event.mjs': task('odd'),
  'broken-trigger.mjs': 'export default async () => {\n  const of = ;\n};',
  'triggers.mjs': `import { existsSync, writeFileSync } from 'node:fs';
    import { connections, log, sleep, variables } from 'sallyport/trigger';
    import { log as taskLog, xcom } from 'sallyport/task';
    const here = (name) => new URL('./in-' + name, import.meta.url);
    const arrived = async (name, signal) => { while (!existsSync(here(name))) await sleep(20, signal); };
    export async function* arrives({ kwargs, signal, ti }) {
      log.info('waiting', { task: ti.task_id });
      await arrived(kwargs.name, signal);
      yield { path: kwargs.name };
    }
    export const fails = async ({ kwargs, signal }) => { taskLog.info('failing soon'); await arrived(kwargs.name, signal); throw new TypeError('no such bucket'); };
    export const silent = async () => {};
    export async function* twice({ kwargs, signal }) { await arrived(kwargs.name, signal); for (let at = 1; at < 5; at++) yield at; }
    export const odd = async () => JSON.parse('{"a":' + '['.repeat(20) + ']'.repeat(20) + ',"pad":"' + 'x'.repeat(1_200_000) + '"}');
    const code = (promise) => promise.catch(({ code }) => code);
    export const reads = async ({ ti: { dag_id, run_id } }) => [await code(variables.get('of-red')), await code(variables.get('of-blue')), await code(variables.get('undeclared')), (await code(connections.get('c')))?.password ?? 'none',
      await code(xcom.pull({ task_id: 'before', key: 'k' }))];`,
};
for (const place of Object.values(bundles)) {
  mkdirSync(place);
  for (const [name, source] of Object.entries(files)) writeFileSync(join(place, name), source);
}
export const arrive = (name: string, place: keyof typeof bundles = 'red'): void => writeFileSync(join(bundles[place], `in-${name}`), '');

const names = Object.keys(files).filter((name) => name !== 'triggers.mjs' && name !== 'broken-trigger.mjs').map((name) => name.replace('.mjs', ''));
const declares = { variables: ['of-red', 'of-blue'], connections: ['c'], xcoms: ['*/before/*'], defers: ['*.mjs*'] };
const seed: Seed = {
  teams: ['red', 'blue'],
  bundles: [{ name: 'red', team: 'red' }, { name: 'blue', team: 'blue' }],
  dags: (['red', 'blue'] as const).flatMap((bundle) => names.map((name) => ({ dag_id: bundle === 'red' ? name : `blue-${name}`, bundle, relative_fileloc: `${name}.mjs`, declares }))),
  variables: { 'of-red': { value: 'north', team: 'red' }, 'of-blue': { value: 'south', team: 'blue' }, undeclared: 'x' },
  connections: [{ conn_id: 'c', conn_type: 'http', password: 'hunter2', team: 'red' }],
};

/** A server and a worker of its queue; triggerers come as a test wants them. */
export class Scene implements AsyncDisposable {
  readonly server: ApiServer;
  readonly api: ExecutionApi;
  readonly ended: (WorkerEvent & { readonly kind: 'ended' })[] = [];
  readonly events: TriggererEvent[] = [];
  readonly lines: string[] = [];
  readonly #worker: Worker;
  readonly #running: Promise<void>;
  readonly #disposables: (AsyncDisposable | Disposable)[] = [];

  static async start(options: Partial<ServerOptions> = {}): Promise<Scene> {
    const server = await ApiServer.start({ multiTeam: true, ...options }, seed);
    return new Scene(server, await server.server.addWorker({ name: 'w', queues: ['default'] }));
  }

  private constructor(server: ApiServer, credential: Secret) {
    this.server = server;
    this.api = new ExecutionApi({ baseUrl: server.url });
    const supervisor = new Supervisor({ api: this.api, bundles });
    const queue = new ServerQueue({ api: this.api, credential, pollMs: 50 });
    this.#worker = new Worker({ supervisor, queue, concurrency: 8, onEvent: (event) => event.kind === 'ended' && this.ended.push(event) });
    this.#running = this.#worker.run();
    this.#disposables.push(supervisor, queue, this.api, server, credential);
  }

  /** A task instance of a DAG that waits to be run. */
  async queued(dag_id: string, more: object = {}): Promise<{ readonly id: string; readonly task_id: string }> {
    const ti = { id: randomUUID(), dag_id, run_id: 'r', task_id: `t-${randomUUID()}`, ...more };
    await this.server.server.seed({ taskInstances: [ti] });
    return ti;
  }

  async credential(team = 'red'): Promise<Secret> {
    const credential = await this.server.server.addTriggerer({ name: randomUUID(), team });
    this.#disposables.push(credential);
    return credential;
  }

  async triggerer(options: Partial<TriggererOptions> & { readonly team?: string } = {}): Promise<Triggerer> {
    const { team, ...more } = options;
    const triggerer = new Triggerer({ api: this.api, credential: await this.credential(team), bundles, pollMs: 50, onEvent: (event) => this.events.push(event), onLog: ({ line }) => this.lines.push(line), ...more });
    this.#disposables.unshift(triggerer);
    void triggerer.run();
    return triggerer;
  }

  /** What became of a task's legs. */
  outcomes({ id }: { readonly id: string }): { readonly state: string; readonly reason?: string }[] {
    return this.ended.filter(({ name }) => name === id).map(({ outcome: { state, reason } }) => ({ state, ...(reason != null && { reason }) }));
  }

  async legs(ti: { readonly id: string }, count: number): Promise<string[]> {
    await until(() => this.outcomes(ti).length >= count);
    return this.outcomes(ti).map(({ state }) => state);
  }

  /** That a triggerer here has begun its trigger, or told of it. */
  async told(kind: TriggererEvent['kind'], { id }: { readonly id: string }): Promise<TriggererEvent> {
    const found = (): TriggererEvent | undefined => this.events.find((event) => event.kind === kind && 'ti' in event && event.ti.id === id);
    await until(() => found() !== undefined);
    return found() as TriggererEvent;
  }

  async returned({ task_id }: { readonly task_id: string }, dag_id: string): Promise<unknown> {
    const reader = await this.server.running({ dag_id, run_id: 'r' });
    return ((await reader.ask('GET', `xcoms/${dag_id}/r/${task_id}/return_value`)).body as { value: unknown }).value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#worker.drain();
    await this.#running;
    for (const each of this.#disposables) await (Symbol.asyncDispose in each ? each[Symbol.asyncDispose]() : each[Symbol.dispose]());
  }
}

/** The command, with what it needs and more. */
export function command(scene: Scene, credential: Secret, ...more: string[]): ChildProcess {
  const file = join(folder, `credential-${randomUUID()}`);
  writeFileSync(file, credential.use((bytes) => Buffer.from(bytes)), { mode: 0o600 });
  const words = ['triggerer', '--api', scene.server.url, '--bundle', `red=${bundles.red}`, '--credential', `file:${file}`, ...more];
  return spawn(asWeAre[0], [...asWeAre.slice(1), ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
}
