import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Secret } from '../secrets/secret.js';
import type { ServerConfiguration } from '../server/main.js';
import type { Seed } from '../server/index.js';
import { TokenIssuer } from '../tokens/index.js';
import type { Admission, ProofApi } from './api.js';
import type { Identity } from './scene.js';

/** A line of src/server/main.ts. */
interface Reply {
  readonly url?: string;
  readonly token?: string;
  readonly error?: { readonly code: string; readonly message: string };
}

const serverMain = fileURLToPath(new URL('../server/main.js', import.meta.url));

/** The embedded server in a process of its own, from start to end; and what a scheduler would do with it. */
export class ApiProcess implements ProofApi {
  readonly pid: number;
  #baseUrl = '';
  readonly #child: ChildProcess;
  readonly #issuer: TokenIssuer;
  /** It answers in the order of the questions. */
  readonly #waiting: ((reply: Reply) => void)[] = [];

  private constructor(child: ChildProcess, issuer: TokenIssuer) {
    this.#child = child;
    this.#issuer = issuer;
    this.pid = child.pid ?? 0;
    if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', (line) => this.#waiting.shift()?.(JSON.parse(line) as Reply));
    child.stdin?.on('error', () => {}); // its end is seen at the exit
    child.once('exit', () => {
      for (const settle of this.#waiting.splice(0)) settle(ended);
    });
  }

  /** @throws {Error} The server did not start; says why. */
  static async start(): Promise<ApiProcess> {
    const key = randomBytes(64);
    // As Airflow 3.2 has it: the server lets any token write any result. What stands between is the supervisor.
    const configuration: ServerConfiguration = { signingKey: key.toString('base64'), authorization: 'airflow' };
    const child = spawn(process.execPath, [serverMain], { stdio: ['pipe', 'pipe', 'inherit'] });
    const api = new ApiProcess(child, new TokenIssuer({ key: Secret.fromBytes(key) }));
    api.#baseUrl = (await api.#ask(configuration)).url ?? '';
    return api;
  }

  get baseUrl(): string {
    return this.#baseUrl;
  }

  async admit(): Promise<Admission> {
    const [hostile, neighbour] = [identity('hostile'), identity('neighbour')];
    const ownVariable = { key: `own-${hostile.id}`, value: randomBytes(16).toString('hex') };
    // In the form of a well-known kind of credential, as an attacker would look for it.
    const neighbourVariable = { key: `secret-${neighbour.id}`, value: `ghp_${randomBytes(24).toString('hex')}` };
    await this.#seed({ taskInstances: [hostile, neighbour], variables: { [ownVariable.key]: ownVariable.value, [neighbourVariable.key]: neighbourVariable.value } });
    return { hostile, neighbour, token: await this.#token(hostile), neighbourToken: await this.#token(neighbour), ownVariable, neighbourVariable };
  }

  /** A task instance that waits for a supervisor, with the token of its workload and what the greeting task asks for. */
  async queue(task_id: string): Promise<{ ti: Identity; token: string }> {
    const ti = identity(task_id);
    const warehouse = { conn_id: 'warehouse', conn_type: 'postgres', host: 'warehouse.example', login: 'reader', password: randomBytes(16).toString('hex') };
    await this.#seed({ taskInstances: [ti], variables: { greeting: 'Good morning' }, connections: [warehouse] });
    return { ti, token: (await this.#ask({ issueWorkloadToken: ti.id })).token ?? '' };
  }

  async result(of: Identity): Promise<unknown> {
    const path = ['xcoms', of.dag_id, of.run_id, of.task_id, 'return_value'].map(encodeURIComponent).join('/');
    const response = await fetch(`${this.baseUrl}${path}`, { headers: { authorization: `Bearer ${await this.#token(of)}` } });
    return response.ok ? ((await response.json()) as { value: unknown }).value : null;
  }

  async end(): Promise<void> {
    if (this.#hasExited()) return;
    const exited = once(this.#child, 'exit');
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
    await exited;
    clearTimeout(timer);
  }

  #hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async #seed(seed: Seed): Promise<void> {
    await this.#ask({ seed });
  }

  #token({ id, dag_id }: Identity): Promise<string> {
    return this.#issuer.issue({ sub: id, scope: 'execution', dag_id });
  }

  async #ask(line: object): Promise<Reply> {
    const reply = await new Promise<Reply>((resolve) => {
      if (this.#hasExited()) return resolve(ended);
      this.#waiting.push(resolve);
      this.#child.stdin?.write(`${JSON.stringify(line)}\n`);
    });
    if (reply.error !== undefined) throw new Error(reply.error.message);
    return reply;
  }
}

const ended: Reply = { error: { code: 'ERR_BROKER_CLOSED', message: "the server's process has ended" } };

function identity(task_id: string): Identity {
  return { id: randomUUID(), dag_id: 'proof', run_id: `manual__${randomUUID()}`, task_id, map_index: -1 };
}
