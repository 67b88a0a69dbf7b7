/**
 * The server as a process of its own: `node lib/server/main.js`. Speaks JSON lines with whoever
 * started it, over stdin and stdout, for arguments and environment are there for others to read:
 *
 *     > {"database": "…", "signingKey": "base64 …", "seed": {…}}     every field may be left out
 *     < {"url": "http://127.0.0.1:41234/execution/"}
 *     > {"seed": {…}}                                                < {}
 *     > {"issueWorkloadToken": "task instance id"}                   < {"token": "…"}
 *     > {"addWorker": {"name": "…", "queues": ["…"]}}               < {"credential": "…"}
 *     > {"revokeWorker": "name"}, {"revokeTokens": "all"}             < {"ended": 3}
 *     > {"addTriggerer": {…}}, {"revokeTriggerer": "name"}           as of workers
 *
 * What cannot be done is answered `{"error": {"code", "message"}}`, and ends it when it was the first line.
 * It ends when stdin does. It hardens itself before it looks at what it was told: it holds the signing key.
 * Without one it makes one, which never leaves this process.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { opaPolicy } from '../authorization/index.js';
import { outOfRange } from '../errors.js';
import { harden } from '../harden/harden.js';
import { Secret } from '../secrets/secret.js';
import { Seed } from './seed.js';
import { createServer, type Server } from './server.js';
import type { Revocation } from './store/tokens.js';
import { WorkerOptions } from './worker.js';

const closed = { additionalProperties: false } as const;

export const ServerConfiguration = Type.Object(
  {
    database: Type.Optional(Type.String({ minLength: 1 })),
    /** Base64 of at least 64 bytes. */
    signingKey: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9+/]+={0,2}$' })),
    authorization: Type.Optional(Type.Union([Type.Literal('own'), Type.Literal('airflow')])),
    multiTeam: Type.Optional(Type.Boolean()),
    predeclared: Type.Optional(Type.Boolean()),
    soleIssuer: Type.Optional(Type.Boolean()),
    overtimeSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 3600 })),
    /** A compiled Rego policy: the path of its `policy.wasm`. */
    opa: Type.Optional(Type.Object({ file: Type.String({ minLength: 1 }), entrypoint: Type.Optional(Type.String()), data: Type.Optional(Type.Object({})) }, closed)),
    issuer: Type.Optional(Type.String()),
    audience: Type.Optional(Type.String()),
    tokenLifetimeSeconds: Type.Optional(Type.Integer({ minimum: 1 })),
    workloadLifetimeSeconds: Type.Optional(Type.Integer({ minimum: 1 })),
    lateReportSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400 })),
    maxXComKeys: Type.Optional(Type.Integer({ minimum: 1, maximum: 2000 })),
    leewaySeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 3600 })),
    host: Type.Optional(Type.String()),
    port: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535 })),
    seed: Type.Optional(Seed),
  },
  closed,
);
export type ServerConfiguration = Static<typeof ServerConfiguration>;

const Which = Type.Union([Type.Literal('all'), ...['jti', 'taskInstanceId', 'worker'].map((name) => Type.Object({ [name]: Type.String() }, closed))]);
const Order = Type.Union([
  Type.Object({ seed: Seed }, closed),
  Type.Object({ issueWorkloadToken: Type.String() }, closed),
  Type.Object({ addWorker: WorkerOptions }, closed),
  Type.Object({ revokeWorker: Type.String() }, closed),
  Type.Object({ addTriggerer: WorkerOptions }, closed),
  Type.Object({ revokeTriggerer: Type.String() }, closed),
  Type.Object({ revokeTokens: Which }, closed),
]);

async function start(line: string): Promise<Server> {
  harden();
  const configuration: unknown = JSON.parse(line);
  const wrong = Value.Errors(ServerConfiguration, configuration).First();
  if (!Value.Check(ServerConfiguration, configuration)) throw outOfRange(`configuration${wrong?.path ?? ''}`, wrong?.message.toLowerCase() ?? 'valid');
  const { signingKey, seed, host, port, opa, ...options } = configuration;
  const policy = opa && (await opaPolicy(await readFile(opa.file), opa));
  const server = await createServer({ ...options, ...(policy && { policy }), signingKey: Secret.fromBytes(signingKey === undefined ? randomBytes(64) : Buffer.from(signingKey, 'base64')) });
  if (seed !== undefined) await server.seed(seed);
  await server.listen({ ...(host !== undefined && { host }), ...(port !== undefined && { port }) });
  return server;
}

async function obey(server: Server, line: string): Promise<object> {
  const order: unknown = JSON.parse(line);
  if (!Value.Check(Order, order)) throw outOfRange('line', '{"seed"}, {"issueWorkloadToken"}, {"addWorker"}, {"revokeWorker"}, {"addTriggerer"}, {"revokeTriggerer"} or {"revokeTokens"}');
  if ('issueWorkloadToken' in order) return { token: await server.issueWorkloadToken(order.issueWorkloadToken) };
  if ('addWorker' in order || 'addTriggerer' in order) {
    using credential = 'addWorker' in order ? await server.addWorker(order.addWorker) : await server.addTriggerer(order.addTriggerer);
    return { credential: credential.use((bytes) => Buffer.from(bytes).toString('latin1')) };
  }
  if ('revokeTriggerer' in order) {
    await server.revokeTriggerer(order.revokeTriggerer);
    return {};
  }
  if ('revokeWorker' in order) return { ended: await server.revokeWorker(order.revokeWorker) };
  if ('revokeTokens' in order) return { ended: await server.revokeTokens(order.revokeTokens as Revocation) };
  await server.seed(order.seed);
  return {};
}

function answer(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function answerError(error: unknown): void {
  // JSON.parse quotes what it could not read.
  if (error instanceof SyntaxError) return answer({ error: { code: 'ERR_INVALID_ARG_VALUE', message: 'the line is not JSON' } });
  const { code = 'ERR_INTERNAL', message } = error as NodeJS.ErrnoException;
  answer({ error: { code, message } });
}

let server: Server | undefined;
// Its reader is gone, and with it whoever started us; stdin tells.
process.stdout.on('error', () => {});
for await (const line of createInterface({ input: process.stdin })) {
  try {
    if (server === undefined) answer({ url: (server = await start(line)).url });
    else answer(await obey(server, line));
  } catch (error) {
    answerError(error);
    if (server === undefined) {
      process.exitCode = 1;
      break;
    }
  }
}
await server?.close();
process.stdin.destroy();
