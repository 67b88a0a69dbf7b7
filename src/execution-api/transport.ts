import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { errors, Pool } from 'undici';
import { invalidArgument, outOfRange, UpstreamUnreachable } from '../errors.js';

export interface TransportOptions {
  /** Where the API is, with its path: `http://127.0.0.1:8080/execution/`. */
  readonly baseUrl: string | URL;
  /** For one attempt, from connecting to the last byte of the answer. @default 5000 */
  readonly requestTimeoutMs?: number;
  /** How often a request is sent at most. @default 5 */
  readonly attempts?: number;
  /** The shortest wait before another attempt; the longest doubles each time. @default 1000 */
  readonly retryDelayMs?: number;
  /** @default 90000 */
  readonly maxRetryDelayMs?: number;
  /** @default 16777216 */
  readonly maxResponseBytes?: number;
}

export interface Request {
  readonly method: 'DELETE' | 'GET' | 'HEAD' | 'PATCH' | 'POST' | 'PUT';
  /** What errors call it, without ids or keys: those may be a task's data. */
  readonly route: string;
  /** Below the base URL, already encoded: see `path()`. */
  readonly path: string;
  /** Beside the base URL, in the folder that it is in. @default false */
  readonly beside?: boolean;
  /** Is a supervisor's own, about the life of a task: it waits for no connection that what tasks ask for has taken. @default false */
  readonly vital?: boolean;
  /** JSON. */
  readonly body?: string | Uint8Array;
  /** Of a route that is newer than what this package speaks otherwise. */
  readonly version?: string;
  /** The same for all attempts: a server that knows it answers one again whose answer was lost. */
  readonly idempotencyKey?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** Which attempt was answered, from 1: above 1 an earlier one may have taken effect too. */
  readonly attempt: number;
}

/** Of what tasks ask for: any number of them share these, and a request beyond waits for one, within its time. */
const mostConnections = 64;

/** HTTP with retries, and nothing about tokens: undici's pool, for `fetch` costs 2.6 times its processor time. */
export class Transport {
  readonly #pool: Pool;
  /** As many as there are tasks, at most: each has one such request under way. */
  readonly #vital: Pool;
  readonly #prefix: string;
  readonly #attempts: number;
  readonly #requestTimeoutMs: number;
  readonly #retryDelayMs: number;
  readonly #maxRetryDelayMs: number;

  constructor(options: TransportOptions) {
    const url = parseBaseUrl(options.baseUrl);
    this.#prefix = url.pathname.endsWith('/') ? url.pathname : `${url.pathname}/`;
    this.#attempts = positive('attempts', options.attempts ?? 5);
    this.#requestTimeoutMs = positive('requestTimeoutMs', options.requestTimeoutMs ?? 5_000);
    this.#retryDelayMs = positive('retryDelayMs', options.retryDelayMs ?? 1_000);
    this.#maxRetryDelayMs = positive('maxRetryDelayMs', options.maxRetryDelayMs ?? 90_000);
    const maxResponseSize = positive('maxResponseBytes', options.maxResponseBytes ?? 16 * 1024 * 1024);
    const poolOf = (connections: number | null): Pool => new Pool(url.origin, { connections, maxResponseSize, connect: { timeout: this.#requestTimeoutMs } });
    this.#pool = poolOf(mostConnections);
    this.#vital = poolOf(null);
  }

  /**
   * Sends the request until it is answered with anything but a 5xx, then returns that answer;
   * after the last attempt, the 5xx too. A redirect is an answer like any other and not followed.
   *
   * @param headers Asked for at each attempt, so that a credential among them is not kept while waiting.
   * @param attempts How often at most. @default the option's
   * @param isAway While it says so it is sent again beyond that.
   * @throws {UpstreamUnreachable} No attempt was answered with HTTP, or an answer was too large.
   */
  async send(request: Request, headers: () => Record<string, string>, signal: AbortSignal | undefined, attempts = this.#attempts, isAway?: () => boolean): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted();
      const sent = this.#sendOnce(request, headers(), signal);
      try {
        const answer = { ...(await sent), attempt };
        if (answer.status < 500 || (attempt >= attempts && isAway?.() !== true)) return answer;
      } catch (error) {
        signal?.throwIfAborted();
        if ((attempt >= attempts && isAway?.() !== true) || !isTransient(error)) throw new UpstreamUnreachable(`${request.method} ${request.route}`, problem(error));
      }
      await this.#pause(attempt, signal, isAway);
    }
  }

  async #sendOnce({ method, path, beside, vital, body }: Request, headers: Record<string, string>, signal: AbortSignal | undefined): Promise<Omit<Answer, 'attempt'>> {
    // undici's own timeouts start over at each byte; this one does not.
    const aborter = new AbortController();
    const timer = setTimeout(() => aborter.abort(new TimedOut()), this.#requestTimeoutMs);
    const abort = (): void => aborter.abort(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const response = await (vital === true ? this.#vital : this.#pool).request({
        method,
        path: (beside === true ? this.#prefix.replace(/[^/]+\/$/, '') : this.#prefix) + path,
        headers: {
          accept: 'application/json',
          ...(body !== undefined && { 'content-type': 'application/json' }),
          'correlation-id': randomUUID(),
          ...headers,
        },
        body: body ?? null,
        signal: aborter.signal,
      });
      const bytes = Buffer.from(await response.body.arrayBuffer());
      return { status: response.statusCode, headers: response.headers, body: bytes };
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Random between the base and its double for each attempt, as tenacity's wait_random_exponential in Airflow's client; cut short when what was away is back. */
  async #pause(attempt: number, signal: AbortSignal | undefined, isAway: (() => boolean) | undefined): Promise<void> {
    const longest = Math.min(this.#maxRetryDelayMs, this.#retryDelayMs * 2 ** attempt);
    const delayMs = this.#retryDelayMs + Math.random() * Math.max(0, longest - this.#retryDelayMs);
    const end = performance.now() + delayMs;
    for (let leftMs = delayMs, wasAway = isAway?.() === true; leftMs > 0; leftMs = end - performance.now()) {
      await sleep(isAway === undefined ? leftMs : Math.min(leftMs, lookAgainMs), undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
      const away = isAway?.() === true;
      if (wasAway && !away) return;
      wasAway = away;
    }
  }

  /** Ends the connections; requests under way fail. */
  async close(): Promise<void> {
    await Promise.all([this.#pool.destroy(), this.#vital.destroy()]);
  }
}

/** How often it is asked, in a pause, whether what was away is back. */
const lookAgainMs = 500;

class TimedOut extends Error {}

/** An answer that is too large stays so; a client that is closed too; our own bad arguments too. */
function isTransient(error: unknown): boolean {
  return !(
    error instanceof errors.ResponseExceededMaxSizeError ||
    error instanceof errors.ClientDestroyedError ||
    error instanceof errors.ClientClosedError ||
    error instanceof errors.InvalidArgumentError
  );
}

/** In words of our own, for undici's messages quote what came over the wire. */
function problem(error: unknown): string {
  if (error instanceof TimedOut) return 'it took too long';
  if (error instanceof errors.HTTPParserError) return 'it is no HTTP';
  if (error instanceof errors.ResponseExceededMaxSizeError) return 'it is larger than maxResponseBytes';
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code) ? code : 'the connection failed';
}

function parseBaseUrl(value: string | URL): URL {
  const url = URL.canParse(String(value)) ? new URL(value) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw outOfRange('baseUrl', 'an http or https URL');
  if (url.username !== '' || url.password !== '') throw outOfRange('baseUrl', 'a URL without user and password; the token is an option of its own');
  if (url.search !== '' || url.hash !== '') throw outOfRange('baseUrl', 'a URL without query and fragment');
  return url;
}

function positive(name: string, value: number): number {
  if (typeof value !== 'number') throw invalidArgument(name, 'a number', value);
  if (!Number.isInteger(value) || value < 1) throw outOfRange(name, 'a whole number of at least 1');
  return value;
}

const maxSegmentChars = 1024;

/**
 * Encodes the parts of a path. Keys come from tasks: one that some proxy could read as a
 * way up the tree (`..`, `a/../b`) is refused, for encoding does not stop a proxy that decodes first.
 *
 * @throws {RangeError} `ERR_OUT_OF_RANGE`
 */
export function path(...segments: readonly string[]): string {
  return segments.map(encodeSegment).join('/');
}

function encodeSegment(segment: string): string {
  if (typeof segment !== 'string') throw invalidArgument('id', 'a string', segment);
  if (segment === '' || segment.length > maxSegmentChars) throw outOfRange('id', `a string of 1 to ${maxSegmentChars} characters`);
  // \p{Cs} is half of a surrogate pair, which has no UTF-8.
  if (/[\0\p{Cs}]/u.test(segment) || segment.split(/[/\\]/).some((part) => part === '.' || part === '..')) {
    throw outOfRange('id', 'text without NUL and without "." or ".." between slashes');
  }
  return encodeURIComponent(segment);
}

type QueryValue = string | number | boolean | readonly string[] | null | undefined;

/** A query with its question mark: what is null or undefined is left out, a list is given once for each item. Empty for none. */
export function query(fields: Readonly<Record<string, QueryValue>>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    for (const each of Array.isArray(value) ? value : [value]) if (each != null) search.append(name, String(each));
  }
  return search.size > 0 ? `?${search}` : '';
}
