import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ExecutionApi, Secret, Supervisor, type SupervisorOptions } from '../../lib/index.js';
import { createServer, type Server, type ServerOptions } from '../../lib/server/index.js';
import { FailingProxy } from './failing-proxy.js';

const credential = randomBytes(32).toString('base64url');

/** How often and how long the client tries: as little as a test can bear. */
const patience = { attempts: 2, retryDelayMs: 20, maxRetryDelayMs: 40, requestTimeoutMs: 1_000 };

/** A real server, what fails before it, task files, and whoever schedules. */
export class Life implements AsyncDisposable {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-life-')));
  readonly server: Server;
  readonly proxy: FailingProxy;
  /** The server's own, for whom nothing fails. */
  readonly url: string;
  readonly #admin: string;
  readonly #apis: ExecutionApi[] = [];
  #files = 0;

  static async start(options: Partial<ServerOptions> = {}): Promise<Life> {
    const server = await createServer({ signingKey: Secret.fromBytes(randomBytes(64)), adminCredential: Secret.fromBytes(Buffer.from(credential)), ...options });
    const url = await server.listen();
    return new Life(server, url, await FailingProxy.start(url), await server.listenAdmin());
  }

  private constructor(server: Server, url: string, proxy: FailingProxy, admin: string) {
    [this.server, this.url, this.proxy, this.#admin] = [server, url, proxy, admin];
    mkdirSync(this.bundle);
  }

  get bundle(): string {
    return join(this.folder, 'bundle');
  }

  api(more: Partial<typeof patience> = {}): ExecutionApi {
    const api = new ExecutionApi({ baseUrl: this.proxy.url, ...patience, ...more });
    this.#apis.push(api);
    return api;
  }

  supervisor(options: Partial<SupervisorOptions> = {}): Supervisor {
    return new Supervisor({ api: this.api(), bundles: { b: this.bundle }, heartbeatIntervalMs: 50, maxFailedHeartbeats: 10_000, killGraceMs: 2_000, ...options });
  }

  /** A task file in the bundle, by its source. */
  file(source: string): string {
    const name = `task-${++this.#files}.mjs`;
    writeFileSync(join(this.bundle, name), source);
    return name;
  }

  /** A task instance that waits to be run, as a scheduler has it. */
  async queued(dag_rel_path: string, { max_tries = 0 }: { readonly max_tries?: number } = {}) {
    const id = randomUUID();
    const ti = { id, dag_id: 'd', run_id: 'r', task_id: `t-${id}`, try_number: 1, map_index: -1 };
    await this.server.seed({ taskInstances: [{ ...ti, max_tries, state: 'queued' }] });
    return { type: 'ExecuteTask', ti, dag_rel_path, bundle_info: { name: 'b', version: null } };
  }

  async token(id: string): Promise<Secret> {
    return Secret.fromBytes(Buffer.from(await this.server.issueWorkloadToken(id)));
  }

  /** What the server says of it. */
  async admin(method: string, path: string, body?: unknown): Promise<any> {
    const response = await fetch(new URL(path, this.#admin), { method, headers: { authorization: `Bearer ${credential}`, ...(body !== undefined && { 'content-type': 'application/json' }) }, body: body === undefined ? null : JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} was answered ${response.status}: ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  async state(id: string): Promise<string> {
    return (await this.admin('GET', `task-instances/${id}`)).state as string;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#apis.map((api) => api.close()));
    await this.proxy[Symbol.asyncDispose]();
    await this.server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Waits for as long as it takes: a hang is the runner's to end. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(10);
}
