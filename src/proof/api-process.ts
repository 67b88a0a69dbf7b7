import { randomBytes, randomUUID } from 'node:crypto';
import { Secret } from '../secrets/secret.js';
import { spawnServer, type ServerProcess } from '../server/process.js';
import { TokenIssuer } from '../tokens/index.js';
import type { Admission, ProofApi } from './api.js';
import type { Identity } from './scene.js';

/** The embedded server in a process of its own, from start to end; and what a scheduler would do with it. */
export class ApiProcess implements ProofApi {
  readonly #server: ServerProcess;
  readonly #issuer: TokenIssuer;

  private constructor(server: ServerProcess, issuer: TokenIssuer) {
    this.#server = server;
    this.#issuer = issuer;
  }

  /** @throws {Error} The server did not start; says why. */
  static async start(): Promise<ApiProcess> {
    const key = randomBytes(64);
    // As Airflow 3.2 has it: the server lets any token write any result. What stands between is the supervisor.
    const server = await spawnServer({ signingKey: key.toString('base64'), authorization: 'airflow' });
    return new ApiProcess(server, new TokenIssuer({ key: Secret.fromBytes(key) }));
  }

  get pid(): number {
    return this.#server.pid;
  }

  get baseUrl(): string {
    return this.#server.url;
  }

  async admit(): Promise<Admission> {
    const [hostile, neighbour] = [identity('hostile'), identity('neighbour')];
    const ownVariable = { key: `own-${hostile.id}`, value: randomBytes(16).toString('hex') };
    // In the form of a well-known kind of credential, as an attacker would look for it.
    const neighbourVariable = { key: `secret-${neighbour.id}`, value: `ghp_${randomBytes(24).toString('hex')}` };
    await this.#server.seed({ taskInstances: [hostile, neighbour], variables: { [ownVariable.key]: ownVariable.value, [neighbourVariable.key]: neighbourVariable.value } });
    return { hostile, neighbour, token: await this.#token(hostile), neighbourToken: await this.#token(neighbour), ownVariable, neighbourVariable };
  }

  /** A task instance that waits for a supervisor, with the token of its workload and what the greeting task asks for. */
  async queue(task_id: string): Promise<{ ti: Identity; token: string }> {
    const ti = identity(task_id);
    const warehouse = { conn_id: 'warehouse', conn_type: 'postgres', host: 'warehouse.example', login: 'reader', password: randomBytes(16).toString('hex') };
    await this.#server.seed({ taskInstances: [ti], variables: { greeting: 'Good morning' }, connections: [warehouse] });
    using token = await this.#server.issueWorkloadToken(ti.id);
    return { ti, token: token.use((bytes) => Buffer.from(bytes).toString('latin1')) };
  }

  async result(of: Identity): Promise<unknown> {
    const path = ['xcoms', of.dag_id, of.run_id, of.task_id, 'return_value'].map(encodeURIComponent).join('/');
    const response = await fetch(`${this.baseUrl}${path}`, { headers: { authorization: `Bearer ${await this.#token(of)}` } });
    return response.ok ? ((await response.json()) as { value: unknown }).value : null;
  }

  end(): Promise<void> {
    return this.#server.close();
  }

  #token({ id, dag_id }: Identity): Promise<string> {
    return this.#issuer.issue({ sub: id, scope: 'execution', dag_id });
  }
}

function identity(task_id: string): Identity {
  return { id: randomUUID(), dag_id: 'proof', run_id: `manual__${randomUUID()}`, task_id, map_index: -1 };
}
