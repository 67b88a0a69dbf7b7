import { randomBytes, randomUUID } from 'node:crypto';
import * as assert from 'uvu/assert';
import { Secret } from '../../lib/secrets/secret.js';
import { createServer, type Seed, type Server, type ServerOptions } from '../../lib/server/index.js';
import { tokensOf } from '../../lib/server/server.js';
import { TokenIssuer } from '../../lib/tokens/index.js';

export const dagRun = { dag_id: 'daily', run_id: 'manual__2026-04-06T00:00:00+00:00' };
/** Who runs the task. */
export const here = { hostname: 'host-1', unixname: 'worker', pid: 4321 };
export const startDate = '2026-04-06T00:00:01.5+00:00';

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

/** The status, and the body where it is given. */
export function expectReply({ status, body }: Reply, expected: number, expectedBody?: unknown): void {
  assert.is(status, expected, JSON.stringify(body));
  if (expectedBody !== undefined) assert.equal(body, expectedBody);
}

/** An error as Airflow words it. */
export function expectRefusal({ status, body }: Reply, expected: number, reason: string): void {
  assert.is(status, expected, JSON.stringify(body));
  assert.is((body as { detail: { reason: string } }).detail.reason, reason);
}

/** A real server with tasks in it, and plain `fetch` to it: what Sallyport's client adds is tested elsewhere. */
export class ApiServer {
  /** Where a server keeps its data when a test does not say. */
  static newDatabase: () => NonNullable<ServerOptions['database']> | Promise<NonNullable<ServerOptions['database']>> = () => ':memory:';

  static async start(options: Partial<ServerOptions> = {}, seed: Seed = {}): Promise<ApiServer> {
    const keyBytes = randomBytes(64);
    const server = await createServer({ signingKey: Secret.fromBytes(Buffer.from(keyBytes)), database: options.database ?? (await this.newDatabase()), ...options });
    await server.seed(seed);
    const forger = new TokenIssuer({ key: Secret.fromBytes(keyBytes), ...(options.now && { now: options.now }) });
    const tokens = tokensOf.get(server);
    assert.ok(tokens);
    return new ApiServer(server, await server.listen(), tokens, forger);
  }

  readonly server: Server;
  readonly url: string;
  /** Registers what it issues, as the server does. */
  readonly issuer: Pick<TokenIssuer, 'issue'>;
  /** Has the key, and no registry. */
  readonly forger: TokenIssuer;

  private constructor(server: Server, url: string, issuer: Pick<TokenIssuer, 'issue'>, forger: TokenIssuer) {
    this.server = server;
    this.url = url;
    this.issuer = issuer;
    this.forger = forger;
  }

  async task(ti: Partial<NonNullable<Seed['taskInstances']>[number]> = {}): Promise<Task> {
    const id = randomUUID();
    const task_id = `task-${id}`;
    await this.server.seed({ taskInstances: [{ id, ...dagRun, task_id, ...ti }] });
    return new Task(this, id, ti.task_id ?? task_id, await this.issuer.issue({ sub: id, scope: 'execution' }));
  }

  /** One that runs, and so may speak. */
  async running(ti: Partial<NonNullable<Seed['taskInstances']>[number]> = {}): Promise<Task> {
    const task = await this.task(ti);
    const { status } = await task.run();
    if (status !== 200) throw new Error(`run was answered ${status}`);
    return task;
  }

  async ask(method: string, path: string, token?: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> {
    const response = await fetch(new URL(path, this.url), {
      method,
      redirect: 'manual',
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server.close();
  }
}

/** One task instance and its execution token. */
export class Task {
  readonly #api: ApiServer;
  readonly id: string;
  readonly task_id: string;
  readonly token: string;

  constructor(api: ApiServer, id: string, task_id: string, token: string) {
    this.#api = api;
    this.id = id;
    this.task_id = task_id;
    this.token = token;
  }

  ask(method: string, path: string, body?: unknown): Promise<Reply> {
    return this.#api.ask(method, path, this.token, body);
  }

  run(who: object = here, token = this.token): Promise<Reply> {
    return this.#api.ask('PATCH', `task-instances/${this.id}/run`, token, { state: 'running', start_date: startDate, ...who });
  }

  state(update: object): Promise<Reply> {
    return this.ask('PATCH', `task-instances/${this.id}/state`, update);
  }

  heartbeat(who: object = { hostname: here.hostname, pid: here.pid }): Promise<Reply> {
    return this.ask('PUT', `task-instances/${this.id}/heartbeat`, who);
  }

  xcom(key: string, task_id = this.task_id): string {
    return `xcoms/${[dagRun.dag_id, dagRun.run_id, task_id, key].map(encodeURIComponent).join('/')}`;
  }
}
