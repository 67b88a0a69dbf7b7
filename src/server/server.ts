import { Authorizer, type DecisionListener, type PolicyFunction } from '../authorization/index.js';
import { Secret } from '../secrets/secret.js';
import type { KeyAgent, NamedSecret } from '../tokens/index.js';
import { type Authorization, guard } from './access.js';
import { isLocal, type ListenOptions, listenOn } from './address.js';
import { admin, credentialCheck } from './admin/index.js';
import { type AccessListener, createApp } from './app.js';
import { checkOptions, outOfRange } from '../errors.js';
import { apiVersion } from '../execution-api/schema.js';
import { Memo } from './memo.js';
import { openApi } from './openapi.js';
import { firstToken } from './routes/first-token.js';
import { triggerers } from './routes/triggerers.js';
import { triggerLookups } from './routes/trigger-lookups.js';
import { waitingWork } from './routes/waiting-work.js';
import { routes } from './routes/index.js';
import { wellKnown } from './routes/well-known.js';
import { checkSeed, type Seed } from './seed.js';
import { openDatabase, type PostgresOptions } from './store/index.js';
import { seedAll } from './store/seed.js';
import { getTaskInstance } from './store/task-instances.js';
import { storedNow } from './store/time.js';
import { revokeTriggerer } from './store/triggers.js';
import { revokeWorker, type Role } from './store/workers.js';
import { enrol, type WorkerOptions } from './worker.js';
import { type KeyOptions, keysFor, Tokens } from './tokens.js';
import { Waits } from './waits.js';
import type { Revocation } from './store/tokens.js';

export interface ServerOptions {
  /**
   * Signs and verifies every token in this process; at least 64 bytes. It stays the caller's and must live as long as
   * the server. Either this or `signer`.
   */
  readonly signingKey?: Secret;
  /** The signing key's name, in the header of tokens. Beside other keys it chooses the one that verifies. @default 'not-used', as Airflow */
  readonly kid?: string;
  /** Verify what they have signed, or will: for as long as keys overlap. They stay the caller's too. @default none */
  readonly otherKeys?: readonly NamedSecret[];
  /** Signs, and verifies HS512, in a process of its own, so that this one has no key. It stays the caller's, as above. */
  readonly signer?: KeyAgent;
  /** A SQLite file, made with mode 0600 where there is none; `:memory:`; or a PostgreSQL server. @default ':memory:' */
  readonly database?: string | PostgresOptions;
  /**
   * A dispatcher is given no token: {@link Server.issueWorkloadToken} is refused, and a worker asks for a task instance's first token with
   * its own credential. @default false: workers may ask, and whoever has the server object is given tokens too
   */
  readonly soleIssuer?: boolean;
  /** @default 'own': docs/authorization.md's rules. With `airflow` nothing is decided, and the five options below, and `lateReportSeconds`, are refused */
  readonly authorization?: Authorization;
  /** Airflow's `[core] multi_team`: a task reads what is its team's or nobody's, and writes what is its team's. @default false */
  readonly multiTeam?: boolean;
  /** A DAG's tasks get the variables, connections and XComs that the DAG declares, and no other. @default false */
  readonly predeclared?: boolean;
  /** The deployment's own rule, asked last. `opaPolicy()` makes one of a compiled Rego policy. @default none */
  readonly policy?: PolicyFunction;
  /** Airflow's `[core] task_success_overtime`: how long after its last heartbeat a try may speak that is over. Airflow's Python tasks push operator links then. @default 0 */
  readonly overtimeSeconds?: number;
  /** Gets every decision; also published on `diagnostics_channel` 'sallyport:decision'. If it throws, the request is answered 500. */
  readonly onDecision?: DecisionListener;
  /** The claim `iss` of all tokens. A `signer` has its own. @default none */
  readonly issuer?: string;
  /** A `signer` has its own. @default 'urn:airflow.apache.org:task' */
  readonly audience?: string;
  /** Of an execution token, which is renewed when half of it is left: an API may be away so long and no longer, and tasks run on. @default 1800, or the `signer`'s where that is less */
  readonly tokenLifetimeSeconds?: number;
  /** Of a workload token, which has to last until its task instance starts: Airflow's `[scheduler] task_queued_timeout`. @default as `tokenLifetimeSeconds` where that is given, else 600 */
  readonly workloadLifetimeSeconds?: number;
  /**
   * How long after its end an execution token may still say what became of its own try, if nothing was heard of that since; it reads nothing, and is
   * not renewed. 0: not at all. At most a day. With authorization 'airflow', where nothing but its end can stop a token, refused. @default 3600
   */
  readonly lateReportSeconds?: number;
  /** How many XCom keys a task instance may have, at most 2000: its next try is told of all of them at its start, in one message. One more is answered 409 `xcoms_full`. @default 1000 */
  readonly maxXComKeys?: number;
  /** How far the clock of another server on the database may be off: Airflow's `[api_auth] jwt_leeway`. @default 10 */
  readonly leewaySeconds?: number;
  /** Opens the admin API, which listens elsewhere: docs/server.md. At least 32 printable characters; read now, and the caller's to destroy. @default none */
  readonly adminCredential?: Secret;
  /** A larger body is answered 413. @default 1048576 */
  readonly maxBodyBytes?: number;
  /** A client that has not sent its whole request by then, or has taken nothing of its answer for as long, is cut off. @default 30000 */
  readonly requestTimeoutMs?: number;
  /** One more is closed at once. @default what this process may have open, without 256 */
  readonly maxConnections?: number;
  /** Gets every request that was answered, of the admin API too. @default none */
  readonly onAccess?: AccessListener;
  /** Told why a request was answered 500. @default a line on stderr */
  readonly onError?: (error: Error, route: string) => void;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

export type { ListenOptions } from './address.js';

/** The Execution API in this process. */
export interface Server extends AsyncDisposable {
  /** The base URL for an `ExecutionApi`, as `http://127.0.0.1:41234/execution/`; undefined until it listens, `unix:/path` on a socket. */
  readonly url: string | undefined;
  /** @returns The base URL. */
  listen(options?: ListenOptions): Promise<string>;
  /**
   * @returns The base URL, as `http://127.0.0.1:41235/admin/`, or `unix:/path`.
   * @throws {RangeError} `ERR_OUT_OF_RANGE`: without an `adminCredential`, or for a host that is not this one alone.
   */
  listenAdmin(options?: ListenOptions): Promise<string>;
  /** Adds variables, connections, DAG runs and task instances. @throws {RangeError} `ERR_OUT_OF_RANGE`, naming the field. */
  seed(seed: Seed): Promise<void>;
  /** The token a scheduler would put into the task's workload: good for `run` and nothing else, and once. */
  issueWorkloadToken(taskInstanceId: string): Promise<string>;
  /**
   * Lets a worker ask for the first tokens of task instances of its queues, of its team's DAGs, or of both.
   *
   * @returns Its credential, which is kept here as a hash and told once.
   * @throws {RangeError} `ERR_OUT_OF_RANGE`: it is bound to nothing, its name is taken, or there is no such team.
   */
  addWorker(worker: WorkerOptions): Promise<Secret>;
  /**
   * Ends a worker's credential, and every token that came from one that it was given. Its name may be given again.
   *
   * @returns How many tokens have ended by it.
   * @throws {RangeError} `ERR_OUT_OF_RANGE`: there is no such worker.
   */
  revokeWorker(name: string): Promise<number>;
  /**
   * Lets a triggerer have what task instances of its queues, of its team's DAGs, or of both are deferred to: docs/triggerer.md. No worker has its name.
   *
   * @returns Its credential, which is kept here as a hash and told once. It opens nothing else.
   * @throws {RangeError} `ERR_OUT_OF_RANGE`, as of {@link addWorker}.
   */
  addTriggerer(triggerer: WorkerOptions): Promise<Secret>;
  /** Ends a triggerer's credential; its triggers are for others from then on. @throws {RangeError} `ERR_OUT_OF_RANGE`: there is no such triggerer. */
  revokeTriggerer(name: string): Promise<void>;
  /**
   * Signs with another key from now on; what is neither it nor among the others verifies nothing any more. docs/tokens.md has the order
   * in which to do it. Secrets and agents that are not used any more may be destroyed and closed when no request is under way.
   *
   * @throws {RangeError} `ERR_OUT_OF_RANGE`: keys as they must not be, or an agent in place of a key; the old ones stay in use.
   */
  useKeys(keys: KeyOptions): void;
  /**
   * Ends one token, those of a task instance (who has one can have had it renewed), those that came from a worker's first tokens, or all. It holds from the next request on, at
   * this server and at every other one on PostgreSQL; another one on the same SQLite file sees it from the next turn of its event loop. With authorization 'airflow' nobody asks.
   *
   * @returns How many have ended by it; one that was used up or had ended before does not count.
   */
  revokeTokens(which: Revocation): Promise<number>;
  /**
   * Takes no more requests, ends the connections and closes the database. Twice is fine.
   *
   * @param options.graceMs How long requests that have begun may go on. @default 0
   */
  close(options?: { readonly graceMs?: number }): Promise<void>;
}

/**
 * Airflow's Execution API, version 2026-04-06: docs/execution-api.md has the routes, and where they differ.
 *
 * Needs the optional packages fastify and @photostructure/sqlite. Tokens are in no log and no error.
 *
 * @throws `ERR_MODULE_NOT_FOUND` where one of them is not installed.
 * @throws {RangeError} `ERR_OUT_OF_RANGE`: the signing key is shorter than 64 bytes, or there is none, or two; rules that `airflow` would not ask.
 */
export async function createServer(options: ServerOptions): Promise<Server> {
  const authorizer = authorizerFor(options);
  const { authorization = 'own', now = Date.now, overtimeSeconds = 0, soleIssuer = false } = options;
  if (soleIssuer && authorization === 'airflow') throw outOfRange('options.soleIssuer', "left out with authorization 'airflow', which takes any signature");
  const { leewaySeconds = 10 } = options;
  if (!Number.isSafeInteger(leewaySeconds) || leewaySeconds < 0 || leewaySeconds > 3600) throw outOfRange('options.leewaySeconds', 'a whole number of seconds, at most 3600');
  const { lateReportSeconds = authorization === 'airflow' ? 0 : 3600 } = options;
  if (!Number.isSafeInteger(lateReportSeconds) || lateReportSeconds < 0 || lateReportSeconds > 86_400) throw outOfRange('options.lateReportSeconds', 'a whole number of seconds, at most 86400');
  const { maxXComKeys = 1000 } = options;
  if (!Number.isSafeInteger(maxXComKeys) || maxXComKeys < 1 || maxXComKeys > 2000) throw outOfRange('options.maxXComKeys', 'a whole number from 1 to 2000');
  const keys = keysFor(options, options, now);
  const { maxBodyBytes = 1024 * 1024, requestTimeoutMs, maxConnections, adminCredential, onAccess, onError = complain } = options;
  const http = { maxBodyBytes, requestTimeoutMs, maxConnections, onAccess, onError };
  const app = await createApp(http);
  const adminApp = adminCredential && (await createApp(http));
  const asAdmin = adminCredential && credentialCheck(adminCredential);
  const database = await openDatabase(options.database ?? ':memory:');
  const tokens = new Tokens({ database, keys, registered: authorization === 'own', soleIssuer, leewaySeconds, lateSeconds: lateReportSeconds, now });
  const context = { database, memo: new Memo(database), tokens, authorization, authorizer, overtimeSeconds, maxXComKeys, now };
  guard(app, context);
  wellKnown(app, context);
  openApi(app, { title: 'Execution API', version: apiVersion, prefix: '/execution', rest: 'key', credential: 'a token of a task instance' });
  openApi(app, { title: 'Sallyport', version: '1', prefix: '/sallyport/v1', rest: 'name', credential: "a worker's or a triggerer's credential" });
  for (const beside of [firstToken, waitingWork, triggerers, triggerLookups]) beside(app, context);
  await app.register(async (scope) => routes(scope as typeof app, context), { prefix: '/execution' });
  if (adminApp !== undefined && asAdmin !== undefined) admin(adminApp, asAdmin, context);
  const apps = [app, ...(adminApp === undefined ? [] : [adminApp])];
  const waits = new Waits(database, now, (error) => onError(error, 'the end of a wait'));
  let url: string | undefined;
  let closed: Promise<void> | undefined;

  async function close(graceMs: number): Promise<void> {
    const timer = setTimeout(() => apps.forEach(({ server }) => server.closeAllConnections()), graceMs);
    await Promise.all(apps.map((each) => each.close()));
    clearTimeout(timer);
    await waits.close();
    await database.close();
  }

  async function added(role: Role, options: WorkerOptions): Promise<Secret> {
    const { credential, wrong } = await enrol(database, role, options);
    if (wrong !== undefined) throw outOfRange(`${role}.${wrong}`, wrong === 'team' ? 'a team that there is' : 'a name that no worker and no triggerer has');
    return Secret.fromBytes(Buffer.from(credential, 'latin1'));
  }

  const server: Server = {
    get url() {
      return url;
    },
    async listen(where = {}) {
      const base = await listenOn(app, where);
      url = base.startsWith('unix:') ? base : `${base}/execution/`;
      return url;
    },
    async listenAdmin(where = {}) {
      if (adminApp === undefined) throw outOfRange('options.adminCredential', 'given, for an admin API');
      if (!isLocal(where)) throw outOfRange('options.host', 'an address of this host alone: its credential and what it is sent would cross a network in clear text');
      const base = await listenOn(adminApp, where);
      return base.startsWith('unix:') ? base : `${base}/admin/`;
    },
    async seed(seed) {
      checkSeed(seed);
      await database.transaction(seedAll(seed, now()));
    },
    async issueWorkloadToken(id) {
      const ti = await database.run(getTaskInstance(id));
      if (ti === undefined) throw outOfRange('taskInstanceId', 'the id of a task instance that was seeded');
      return tokens.issueWorkload(ti);
    },
    useKeys(given) {
      checkOptions('keys', given, ['signingKey', 'kid', 'otherKeys', 'signer']);
      const { signer } = given;
      if ((signer === undefined) !== (options.signer === undefined)) throw outOfRange('keys', 'a signer where there was one, and a signingKey where there was one');
      // Else every token that is out would end at once, and no overlap would help.
      if (signer !== undefined && (signer.issuer !== options.signer?.issuer || signer.audience !== options.signer?.audience)) throw outOfRange('keys.signer', 'one with the issuer and the audience of the one before');
      tokens.useKeys(keysFor(given, signer === undefined ? options : Object.fromEntries(lasting.map((name) => [name, options[name]]).filter(([, value]) => value !== undefined)), now));
    },
    addWorker: (worker) => added('worker', worker),
    async revokeWorker(name) {
      const ended = await database.transaction(revokeWorker(name, storedNow(now())));
      if (ended === undefined) throw outOfRange('name', 'the name of a worker');
      return ended;
    },
    addTriggerer: (triggerer) => added('triggerer', triggerer),
    async revokeTriggerer(name) {
      if (!(await database.transaction(revokeTriggerer(name, storedNow(now()))))) throw outOfRange('name', 'the name of a triggerer');
    },
    async revokeTokens(which) {
      return tokens.revoke(checkRevocation(which));
    },
    close({ graceMs = 0 } = {}) {
      return (closed ??= close(graceMs));
    },
    [Symbol.asyncDispose]() {
      return (closed ??= close(0));
    },
  };
  tokensOf.set(server, tokens);
  return server;
}

/** What an agent leaves to the server that it signs for. */
const lasting = ['tokenLifetimeSeconds', 'workloadLifetimeSeconds', 'leewaySeconds'] as const;

/** For what issues tokens that no scheduler would: tests. */
export const tokensOf = new WeakMap<Server, Tokens>();

function checkRevocation(which: Revocation): Revocation {
  const [id]: unknown[] = which === 'all' ? [which] : Object.entries(which).flatMap(([name, value]) => (['jti', 'taskInstanceId', 'worker'].includes(name) ? [value] : []));
  if (typeof id !== 'string' || id === '') throw outOfRange('which', "{ jti }, { taskInstanceId }, { worker } or 'all'");
  return typeof which === 'object' && 'taskInstanceId' in which ? { taskInstanceId: which.taskInstanceId.toLowerCase() } : which;
}

function authorizerFor({ authorization, multiTeam, predeclared, policy, overtimeSeconds = 0, lateReportSeconds, onDecision, onError = complain, now }: ServerOptions): Authorizer {
  const rules = { multiTeam, predeclared, policy, onDecision };
  const unused = Object.entries({ ...rules, overtimeSeconds, lateReportSeconds }).find(([, value]) => value !== undefined && value !== false && value !== 0);
  if (authorization === 'airflow' && unused !== undefined) throw outOfRange(`options.${unused[0]}`, "left out with authorization 'airflow', which decides nothing");
  if (!Number.isSafeInteger(overtimeSeconds) || overtimeSeconds < 0 || overtimeSeconds > 3600) throw outOfRange('options.overtimeSeconds', 'a whole number of seconds, at most 3600');
  const given = Object.fromEntries(Object.entries({ ...rules, now }).filter(([, value]) => value !== undefined));
  return new Authorizer({ ...given, onPolicyError: (error) => onError(error instanceof Error ? error : new Error(String(error)), 'the policy') });
}

function complain(error: Error, route: string): void {
  process.stderr.write(`sallyport/server: ${route} failed: ${error.message}\n`);
}
