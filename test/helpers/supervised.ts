import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ExecutionApi } from '../../lib/execution-api/client.js';
import { Secret } from '../../lib/secrets/secret.js';
import { createServer, type Server } from '../../lib/server/index.js';
import { Supervisor, type Outcome, type RunOptions, type SupervisorOptions } from '../../lib/supervisor/index.js';

export interface Try extends RunOptions {
  /** Fields of the workload's `ti`. */
  readonly ti?: object;
  readonly max_tries?: number;
  /** Fields of the workload itself. */
  readonly workload?: object;
}

/** The embedded server, a folder for tasks and all else, and supervisors over them: what a test of a whole run needs. */
export class Supervised implements AsyncDisposable {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-supervised-')));
  readonly bundle = join(this.folder, 'bundle');
  readonly server: Server;
  readonly api: ExecutionApi;
  #files = 0;

  private constructor(server: Server) {
    this.server = server;
    this.api = new ExecutionApi({ baseUrl: server.url ?? '' });
    mkdirSync(this.bundle);
  }

  static async start(): Promise<Supervised> {
    const server = await createServer({ signingKey: Secret.fromBytes(randomBytes(64)) });
    await server.listen();
    return new Supervised(server);
  }

  supervisor(options: Partial<SupervisorOptions> = {}): Supervisor {
    return new Supervisor({ api: this.api, bundles: { b: this.bundle }, ...options });
  }

  /** A task of this source, queued on the server: what a scheduler hands over, and its token. */
  async queue(source: string, { ti, max_tries = 0, workload }: Pick<Try, 'ti' | 'max_tries' | 'workload'> = {}) {
    const name = `task-${++this.#files}.mjs`;
    writeFileSync(join(this.bundle, name), source);
    const made = {
      type: 'ExecuteTask',
      ti: { id: randomUUID(), dag_id: 'd', run_id: 'r', task_id: `t${this.#files}`, try_number: 1, map_index: -1, ...ti },
      dag_rel_path: name,
      bundle_info: { name: 'b', version: null },
      ...workload,
    };
    await this.server.seed({ taskInstances: [{ ...made.ti, max_tries, state: 'queued' }] });
    return { workload: made, token: Secret.fromBytes(Buffer.from(await this.server.issueWorkloadToken(made.ti.id))) };
  }

  async run(supervisor: Supervisor, source: string, { ti, max_tries, workload, ...options }: Try = {}): Promise<Outcome> {
    const queued = await this.queue(source, { ...(ti && { ti }), ...(max_tries !== undefined && { max_tries }), ...(workload && { workload }) });
    return await supervisor.run(queued.workload, { token: queued.token, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.api.close();
    await this.server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
