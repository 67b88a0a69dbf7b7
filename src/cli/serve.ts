import { readFile } from 'node:fs/promises';
import { opaPolicy, type PolicyFunction } from '../authorization/index.js';
import { type Config, loadConfig } from '../config/index.js';
import { outOfRange } from '../errors.js';
import { harden } from '../harden/harden.js';
import { Masker } from '../secrets/masker.js';
import { isLocal } from '../server/address.js';
import { type Authorization, createServer, type Server } from '../server/index.js';
import { executionLifetimeSeconds } from '../tokens/claims.js';
import type { KeyOption } from '../tokens/index.js';
import { commandLine, usageError, type Values } from './command-line.js';
import { LineLog } from './line-log.js';
import { ServeKeys } from './serve-keys.js';
import { without } from './policy-options.js';
import { addressOf, databaseFrom, keyFrom, secretFrom, seedFrom } from './serve-options.js';

const usage = `usage: sallyport serve [options]

Serves Airflow's Execution API until SIGTERM or SIGINT: docs/server.md. A key
agent, a process of its own, has the signing key.

  --listen ADDRESS       HOST:PORT or unix:/PATH; by default 127.0.0.1:8080
  --clear-text           listen on another host's address too: what is sent
                         there is not encrypted
  --database WHERE       a SQLite file; or postgres://USER@HOST[:PORT]/NAME,
                         with ?host=FOLDER for a Unix socket
  --database-password SOURCE
  --key SOURCE           PEM, a JWK, or at least 64 bytes; the first signs,
                         those of further --key verify. By default [api_auth] of
                         the configuration has it
  --config FILE          an airflow.cfg for role api-server, as
                         \`sallyport config check\` reads it
  --admin ADDRESS        where the admin API listens, on this host alone; by
                         default nowhere
  --admin-credential SOURCE
                         at least 32 printable characters
  --seed FILE            JSON of what is to be there: examples/seed.json
  --authorization MODE   own (default), or airflow, which decides nothing
  --sole-issuer          no token for whoever administrates: workers ask for the
                         first ones, each with its credential
  --multi-team           teams bound what is read and written; [core] multi_team
  --predeclared          a DAG gets what it declares
  --policy FILE          a policy.wasm, which has the last word
  --access-log FILE      a JSON line for each request; - for standard output
  --decision-log FILE    a JSON line for each decision, before it takes effect
  --late-reports SECONDS how long after its end a token may say what became of
                         its try; by default 3600, none with --authorization
                         airflow
  --xcom-keys N          XCom keys a task instance may have; by default 1000
  --grace SECONDS        for requests to end, when it stops; by default 10
  --without GUARANTEE    start though this process itself cannot be hardened so

SOURCE is env:VARIABLE, file:PATH, credential:NAME of a systemd service,
exec:NAME of \`sallyport exec\`, or fd:N.

SIGHUP opens the logs again, and reads keys of file: and credential: again.
Exit code 0: it was told to stop. 1: it could not start, or its key agent has
ended.
`;

const options = {
  listen: { type: 'string', default: '127.0.0.1:8080' },
  'clear-text': { type: 'boolean', default: false },
  database: { type: 'string' },
  'database-password': { type: 'string' },
  key: { type: 'string', multiple: true },
  config: { type: 'string' },
  admin: { type: 'string' },
  'admin-credential': { type: 'string' },
  seed: { type: 'string' },
  authorization: { type: 'string', default: 'own' },
  'sole-issuer': { type: 'boolean', default: false },
  'multi-team': { type: 'boolean' },
  predeclared: { type: 'boolean', default: false },
  policy: { type: 'string' },
  'access-log': { type: 'string' },
  'decision-log': { type: 'string' },
  'late-reports': { type: 'string' },
  'xcom-keys': { type: 'string' },
  grace: { type: 'string', default: '10' },
  without: { type: 'string', multiple: true },
} as const;

export async function run(args: string[]): Promise<number> {
  const given = commandLine(args, usage, options);
  if (given === undefined) return 0;
  const { values } = given;
  try {
    return await serve(values);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined || code.startsWith('ERR_PARSE_ARGS')) throw error;
    say(`${message} (${code})`);
    return 1;
  }
}

async function serve(values: Values<typeof options>): Promise<number> {
  const { listen, admin, graceMs, authorization } = checked(values);
  // Before a secret is read.
  harden({ without: without(values.without) });
  const stopped = stopSignal();
  using masker = new Masker();
  const logs = [values['access-log'], values['decision-log']].map((path) => path && new LineLog(path, masker));
  const [accessLog, decisionLog] = logs.map((log) => log || undefined);
  const { keys, ...configured } = await started(values);
  await using _keys = keys;
  const credential = values['admin-credential'] === undefined ? undefined : secretFrom(values['admin-credential'], '--admin-credential');
  const database = databaseFrom(values.database ?? '', values['database-password']);
  for (const secret of [credential, typeof database === 'string' ? undefined : database.password]) if (secret !== undefined) masker.add(secret);
  await using server: Server = await createServer({
    ...configured,
    signer: keys.agent,
    database,
    authorization,
    ...(credential && { adminCredential: credential }),
    ...(values['sole-issuer'] && { soleIssuer: true }),
    ...(values.predeclared && { predeclared: true }),
    ...(values['late-reports'] !== undefined && { lateReportSeconds: Number(values['late-reports']) }),
    ...(values['xcom-keys'] !== undefined && { maxXComKeys: Number(values['xcom-keys']) }),
    ...(values.policy !== undefined && { policy: await wasmPolicy(values.policy) }),
    ...(accessLog && { onAccess: (record) => accessLog.write(record) }),
    ...(decisionLog && { onDecision: (record) => decisionLog.write(record) }),
    onError: (error, route) => say(masker.redact(`${route} failed: ${error.message}`)),
  });
  credential?.destroy();
  if (values.seed !== undefined) await server.seed(seedFrom(values.seed));
  // Whoever administrates it is let in first.
  if (admin !== undefined) say(`admin API on ${await server.listenAdmin(admin)}`);
  say(`listening on ${await server.listen(listen)}`);

  const again = (): void => {
    for (const log of logs) attempt('a log', () => log && log.reopen());
    if (keys.areFiles) keys.renew((signer) => server.useKeys({ signer })).then((kids) => say(`keys: ${kids}`), (error: Error) => say(`the keys stay as they were: ${error.message}`));
  };
  process.on('SIGHUP', again);
  const asked = await Promise.race([stopped.then(() => true), keys.ended.then(() => false)]);
  say(asked ? 'stopping' : 'the key agent has ended: no token can be issued');
  await server.close({ graceMs });
  process.off('SIGHUP', again);
  for (const log of logs) log && log.close();
  return asked ? 0 : 1;
}

/** What can be said of the command line before anything is started. */
function checked({ listen, admin, grace, authorization, database, ...values }: Values<typeof options>) {
  const where = addressOf(listen, '--listen');
  if (!isLocal(where) && !values['clear-text']) throw usageError(`--listen ${listen} is for other hosts, and tokens would cross the network in clear text: put a proxy with TLS before a loopback address, or say --clear-text`);
  if (database === undefined) throw usageError('--database says where everything is kept: a file, or postgres://...; :memory: forgets it');
  if ((admin === undefined) !== (values['admin-credential'] === undefined)) throw usageError('--admin and --admin-credential go together');
  if (authorization !== 'own' && authorization !== 'airflow') throw usageError('--authorization is own or airflow');
  if (!/^\d{1,4}$/.test(grace)) throw usageError('--grace takes seconds');
  if (!/^\d{1,5}$/.test(values['late-reports'] ?? '0')) throw usageError('--late-reports takes seconds');
  if (!/^[1-9]\d{0,3}$/.test(values['xcom-keys'] ?? '1') || Number(values['xcom-keys'] ?? 1) > 2000) throw usageError('--xcom-keys takes a number from 1 to 2000');
  return { listen: where, admin: admin === undefined ? undefined : addressOf(admin, '--admin'), graceMs: Number(grace) * 1000, authorization: authorization as Authorization };
}

/** The keys, and what the role's configuration says of tokens and rules. Its other secrets are wiped. */
async function started(values: Values<typeof options>) {
  using config = loadConfig({ role: 'api-server', ...(values.config !== undefined && { file: values.config }) });
  for (const { place, problem } of config.warnings) say(`${place}: ${problem}`);
  const multiTeam = values['multi-team'] ?? config.getBoolean('core', 'multi_team');
  const overtimeSeconds = config.getNumber('core', 'task_success_overtime');
  const issuer = config.get('api_auth', 'jwt_issuer');
  const audience = config.get('execution_api', 'jwt_audience')?.split(',')[0]?.trim();
  const seconds = (section: string, key: string): number | undefined => {
    const given = config.getNumber(section, key); // Airflow's default of some is 600.0
    return given && Math.ceil(given);
  };
  const [lifetime, workloadLifetime, leewaySeconds] = [seconds('execution_api', 'jwt_expiration_time'), seconds('scheduler', 'task_queued_timeout'), seconds('api_auth', 'jwt_leeway')];
  const longest = lifetime === undefined && workloadLifetime === undefined ? undefined : Math.max(lifetime ?? executionLifetimeSeconds, workloadLifetime ?? 0);
  const [key = keyOf(config), ...otherKeys] = (values.key ?? []).map((source) => keyFrom(source, '--key'));
  const keys = await ServeKeys.start({ key, otherKeys, ...(issuer && { issuer }), ...(audience && { audience }), ...(longest !== undefined && { maxLifetimeSeconds: longest }), harden: { without: without(values.without) } });
  return {
    keys,
    ...(multiTeam !== undefined && { multiTeam }),
    // With Airflow's authorization a try may speak for ever.
    ...(overtimeSeconds !== undefined && values.authorization !== 'airflow' && { overtimeSeconds }),
    ...(lifetime !== undefined && { tokenLifetimeSeconds: lifetime }),
    ...(workloadLifetime !== undefined && { workloadLifetimeSeconds: workloadLifetime }),
    ...(leewaySeconds !== undefined && { leewaySeconds }),
  };
}

function keyOf(config: Config): KeyOption {
  const named = config.get('api_auth', 'jwt_kid');
  const kid = named === undefined ? {} : { kid: named };
  const file = config.get('api_auth', 'jwt_private_key_path');
  if (file) return { file, ...kid };
  const secret = config.getSecret('api_auth', 'jwt_secret');
  if (secret === undefined) throw outOfRange('--key', 'given where the configuration has no [api_auth] jwt_secret and no jwt_private_key_path');
  return { secret, ...kid };
}

/** What is no policy is a mistake of the command line: WebAssembly's errors have no code. */
async function wasmPolicy(path: string): Promise<PolicyFunction> {
  const wasm = await readFile(path);
  return opaPolicy(wasm).catch((error: NodeJS.ErrnoException) => {
    throw error.code === undefined ? usageError(`--policy ${path} is no policy.wasm as \`opa build -t wasm\` makes one: ${error.message}`) : error;
  });
}

/** Resolves at the first SIGTERM or SIGINT. A second one ends the process at once. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    const signals = ['SIGTERM', 'SIGINT'] as const;
    const stop = (): void => {
      for (const signal of signals) process.off(signal, stop);
      resolve();
    };
    for (const signal of signals) process.on(signal, stop);
  });
}

/** A signal's handler that throws would end the server. */
function attempt(what: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    say(`${what} stays as it was: ${(error as Error).message}`);
  }
}

function say(text: string): void {
  process.stderr.write(`sallyport serve: ${text}\n`);
}
