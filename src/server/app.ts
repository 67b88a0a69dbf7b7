import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Static, TSchema } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { Value } from '@sinclair/typebox/value';
import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply, FastifyRequest, FastifyTypeProvider, RawServerDefault } from 'fastify';
import { apiVersion } from '../execution-api/schema.js';
import { isTooDeep } from './depth.js';
import { optional } from './optional.js';
import { Problem } from './problem.js';

/** A route's schema gives its types: what `@fastify/type-provider-typebox` does, in four lines. */
interface TypeBoxProvider extends FastifyTypeProvider {
  validator: this['schema'] extends TSchema ? Static<this['schema']> : unknown;
  serializer: this['schema'] extends TSchema ? Static<this['schema']> : unknown;
}

export type App = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxProvider>;

/** One request, when it has been answered. `path` is what the client sent, which may be anything; no header, no body. */
export interface AccessRecord {
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly method: string;
  /** The route as it is declared; null where there is none. */
  readonly route: string | null;
  /** Without its query. */
  readonly path: string;
  readonly status: number;
  readonly duration_ms: number;
  /** Whose token it was, where one was accepted. */
  readonly task_instance_id: string | null;
  readonly correlation_id: string | null;
  /** Where it came from; null by a Unix socket. */
  readonly client: string | null;
}

export type AccessListener = (record: AccessRecord) => void;

export interface AppOptions {
  readonly maxBodyBytes: number;
  /** For a request, and for each part of its answer. @default 30000 */
  readonly requestTimeoutMs?: number | undefined;
  /** @default what this process may have open, without 256 */
  readonly maxConnections?: number | undefined;
  readonly onAccess?: AccessListener | undefined;
  /** Told of what no client is told: why a request was answered 500. */
  readonly onError: (error: Error, route: string) => void;
}

/** Fastify with one validator, Airflow's error bodies and headers; no routes and no knowledge of them. */
export async function createApp({ maxBodyBytes, requestTimeoutMs = 30_000, maxConnections = mostConnections(), onAccess, onError }: AppOptions): Promise<App> {
  const { fastify } = await optional('fastify', () => import('fastify'));
  const app: App = fastify({
    bodyLimit: maxBodyBytes,
    // A client has this long for its whole request, counted from its connection; Node looks now and then.
    requestTimeout: requestTimeoutMs,
    http: { headersTimeout: requestTimeoutMs, connectionsCheckingInterval: Math.min(requestTimeoutMs, 5_000) },
    // And as long to take a part of its answer, which is in memory until then.
    connectionTimeout: requestTimeoutMs,
    // The longest id, percent-encoded.
    routerOptions: { maxParamLength: 4096 },
    // Those in mid-request are given time by whoever closes it.
    forceCloseConnections: 'idle',
  }).withTypeProvider<TypeBoxProvider>();

  app.server.maxConnections = maxConnections; // beyond it a connection is closed at once
  app.removeContentTypeParser(['text/plain', 'application/json']); // JSON is what is parsed, and nothing else passes for it
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, bytes, done) => {
    // No body where none is wanted, though a header says what it would be.
    if (bytes.length === 0 && request.routeOptions.schema?.body === undefined) return done(null);
    const text = textOf(bytes as Buffer);
    if (text === undefined) done(badText('body'));
    else if (isTooDeep(text)) done(tooDeep());
    else parse(request, text, done);
  });

  app.setValidatorCompiler<TSchema>(({ schema, httpPart = 'body' }) => {
    const check = TypeCompiler.Compile(schema);
    return (input: unknown) => {
      // Only what comes as text is converted; a body has types of its own.
      const value = httpPart === 'querystring' && !isEmpty(input as object) ? Value.Convert(schema, input) : input;
      if (check.Check(value)) return { value };
      const wrong = [...take(check.Errors(value), 16)];
      return { error: new Problem(422, wrong.map(({ path, message }) => ({ loc: [places[httpPart] ?? httpPart, ...path.split('/').slice(1)], msg: message, type: 'value_error' }))) };
    };
  });
  app.setSerializerCompiler(() => JSON.stringify);

  // A request that comes before the answer to the one before has gone has no socket of its own yet. A client that waits sends one such
  // at most, when the answer's last byte has reached it and we have not been told; a second would be another answer in memory.
  const early = new WeakSet<object>();
  app.addHook('onRequest', (request, reply, done) => {
    if (reply.raw.socket === null) {
      if (early.has(request.socket)) return void request.socket.destroy();
      early.add(request.socket);
      reply.raw.once('close', () => early.delete(request.socket));
    }
    const correlationId = request.headers['correlation-id'];
    if (typeof correlationId === 'string' && correlationId.length <= 256) reply.header('correlation-id', correlationId);
    reply.header('airflow-api-version', apiVersion);
    done(request.url.includes('%00') ? badText('path') : undefined);
  });

  // Airflow's client takes an error's words from exactly this type, as FastAPI sends it: JSON has no charset (RFC 8259 section 11).
  app.addHook('onSend', (_request, reply, payload, done) => {
    const type = reply.getHeader('content-type');
    if (typeof type === 'string' && type.endsWith('json; charset=utf-8')) reply.header('content-type', type.slice(0, type.indexOf(';')));
    done(null, payload);
  });

  if (onAccess !== undefined) app.addHook('onResponse', (request, reply, done) => {
    onAccess({
      at: new Date().toISOString(),
      method: request.method,
      route: request.is404 ? null : (request.routeOptions.url ?? null),
      path: request.url.split('?', 1)[0] ?? '',
      status: reply.statusCode,
      duration_ms: Math.round(reply.elapsedTime * 1000) / 1000,
      task_instance_id: request.claims?.sub ?? null,
      correlation_id: (reply.getHeader('correlation-id') as string | undefined) ?? null,
      client: request.socket.remoteAddress ?? null,
    });
    done();
  });

  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ detail: 'Not Found' }));
  app.setErrorHandler((error: (FastifyError | Problem) & { readonly code?: string }, request, reply) => {
    // PostgreSQL's words for a list with a name that its text cannot hold.
    if (error.code === '22P02' || error.code === '22P05') error = badText('body');
    if (error instanceof Problem) return reply.code(error.status).send({ detail: error.detail });
    const status = error.statusCode ?? 500;
    // Fastify's own: a body that is too large, of another type, or not JSON, which FastAPI calls 422.
    if (status >= 400 && status < 500) return reply.code(status === 400 ? 422 : status).send({ detail: [{ loc: ['body'], msg: error.message, type: error.code ?? 'value_error' }] });
    onError(error, `${request.method} ${request.routeOptions.url ?? ''}`);
    return reply.code(500).send({ message: 'Internal server error', 'correlation-id': reply.getHeader('correlation-id') ?? null });
  });
  return app;
}

/** Some are for the database, files and whoever connects last to be told off. */
function mostConnections(): number {
  const [, soft = '1024'] = /^Max open files +(\d+)/m.exec(process.platform === 'linux' ? readFileSync('/proc/self/limits', 'latin1') : '') ?? [];
  return Math.max(Number(soft) - 256, 64);
}

export const tooDeep = (): Problem => new Problem(422, [{ loc: ['body'], msg: 'arrays and objects nest more than 1000 deep', type: 'json_invalid' }]);

/** Undefined where it is no UTF-8: what was sent would not be what is kept. */
export const textOf = (bytes: Buffer): string | undefined => (isUtf8(bytes) ? bytes.toString('utf8') : undefined);

export const badText = (place: string): Problem => new Problem(422, [{ loc: [place], msg: 'text must be Unicode without NUL', type: 'value_error' }]);

/** Sends what may be no object: Fastify would send text as it is, and nothing for null. */
export function sendJson(reply: FastifyReply, value: unknown): FastifyReply {
  return reply.type('application/json').send(JSON.stringify(value ?? null));
}

/** Whether a client knows a version of the API; without the header it means the newest that this server has. */
export function speaks({ headers }: FastifyRequest, version: string): boolean {
  return String(headers['airflow-api-version'] ?? apiVersion) >= version;
}

/** FastAPI's words for the parts of a request. */
const places: Readonly<Record<string, string>> = { querystring: 'query', params: 'path', headers: 'header' };

/** Converting costs microseconds, and most requests have no query. */
function isEmpty(query: object): boolean {
  for (const _name in query) return false;
  return true;
}

function* take<T>(items: Iterable<T>, count: number): Iterable<T> {
  for (const item of items) {
    if (count-- === 0) return;
    yield item;
  }
}
