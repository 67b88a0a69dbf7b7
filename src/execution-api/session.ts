import type { Static, TSchema } from '@sinclair/typebox';
import { checkOptions, invalidArgument, TokenInvalid } from '../errors.js';
import { refuseFromArguments } from '../secrets/arguments.js';
import { Secret } from '../secrets/secret.js';
import { assertStatus, parse } from './answer.js';
import { apiVersion } from './schema.js';
import { type Answer, type Request, Transport, type TransportOptions } from './transport.js';

export interface ExecutionApiOptions extends TransportOptions {
  /** Sent as Bearer token. Taken over: it is destroyed when the server sends a fresh one. */
  readonly token?: Secret;
}

export interface RequestOptions {
  readonly signal?: AbortSignal;
  /** How often it is sent at most. @default the client's `attempts` */
  readonly attempts?: number;
}

/** What a Bearer header may hold: RFC 6750 section 2.1. */
const bearer = /^[A-Za-z0-9\-._~+/]{1,8192}=*$/;

/** Requests with one task instance's token, which is read for each and replaced when the server sends another. */
export abstract class Session implements AsyncDisposable {
  readonly #options: ExecutionApiOptions;
  readonly #transport: Transport;
  readonly #ownsTransport: boolean;
  #token: Secret | undefined;
  #closed = false;
  #warned = false;
  /** Called when the server has sent a fresh token. @internal */
  onFreshToken: (() => void) | undefined;

  /** Whether somebody knows that the API is away for all: what a task asks for waits then. @internal */
  isAway: (() => boolean) | undefined;

  /** @param transport Connections of another session's, which closes them. */
  protected constructor(options: ExecutionApiOptions, transport?: Transport) {
    checkOptions('options', options, ['baseUrl', 'token', 'requestTimeoutMs', 'attempts', 'retryDelayMs', 'maxRetryDelayMs', 'maxResponseBytes']);
    const { token } = options;
    if (token !== undefined && !(token instanceof Secret)) throw invalidArgument('options.token', 'a Secret, as of Secret.fromBytes() or Secret.fromFile()', token);
    if (token !== undefined) refuseFromArguments(token);
    this.#options = { ...options }; // checked once: what the caller does to its own later must not fail withToken()
    this.#transport = transport ?? new Transport(options);
    this.#ownsTransport = transport === undefined;
    this.#token = token;
  }

  /**
   * Lends the token that is in use now, as {@link Secret.use} does; undefined where there is none. For a supervisor that has to keep it.
   * @internal
   */
  useToken<T>(fn: (bytes: Uint8Array) => T): T | undefined {
    return this.#token?.use(fn);
  }

  /** Destroys the token and, but for one made by `withToken()`, ends the connections. Twice is fine. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#token?.destroy();
    if (this.#ownsTransport) await this.#transport.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What another session of the same API and connections is made of. */
  protected with(token: Secret): readonly [ExecutionApiOptions, Transport] {
    return [{ ...this.#options, token }, this.#transport];
  }

  /** With a credential that is the caller's, and without the token. */
  protected sendAs(credential: Secret, request: Request, options?: RequestOptions): Promise<Answer> {
    if (!(credential instanceof Secret)) throw invalidArgument('credential', 'a Secret, as of Secret.fromBytes() or Secret.fromFile()', credential);
    refuseFromArguments(credential);
    return this.#transport.send(request, () => ({ authorization: credential.use(bearerHeader) }), options?.signal, options?.attempts);
  }

  /** Without any credential: for a server of which it is not known what it is. */
  protected sendOpenly(request: Request, options?: RequestOptions): Promise<Answer> {
    return this.#transport.send(request, () => ({}), options?.signal, options?.attempts);
  }

  /** The answer's body, which must fit. */
  protected async json<T extends TSchema>(schema: T, request: Request, options?: RequestOptions): Promise<Static<T>> {
    return parse(schema, request, await this.send(request, options));
  }

  /** Only the status is of interest. */
  protected async done(status: number, request: Request, options?: RequestOptions): Promise<void> {
    assertStatus(status, request, await this.send(request, options));
  }

  protected async send(request: Request, options?: RequestOptions): Promise<Answer> {
    const headers = (): Record<string, string> => ({
      'airflow-api-version': request.version ?? apiVersion,
      ...(request.idempotencyKey !== undefined && { 'idempotency-key': request.idempotencyKey }),
      ...(this.#token !== undefined && { authorization: this.#token.use(bearerHeader) }),
    });
    const isAway = request.vital === true || options?.attempts !== undefined ? undefined : this.isAway;
    const answer = await this.#transport.send(request, headers, options?.signal, options?.attempts, isAway);
    this.#refresh(answer);
    return answer;
  }

  /**
   * Airflow sends a token that replaces the one of the request when that was a workload token or is soon to expire.
   * An answer that comes after close() brings none: nobody would destroy it.
   */
  #refresh({ status, headers }: Answer): void {
    const fresh = headers['refreshed-api-token'];
    if (typeof fresh !== 'string' || status >= 300 || this.#token === undefined || this.#closed || !bearer.test(fresh)) return;
    const old = this.#token;
    const bytes = Buffer.from(fresh, 'latin1');
    try {
      this.#token = Secret.fromBytes(bytes);
    } catch (error) {
      // What was asked for has been done, so that failing the call would be a lie; the old token may serve on for a while.
      bytes.fill(0);
      this.#warn('a fresh token of the Execution API could not be kept; the old one stays in use', error);
      return;
    }
    old.destroy();
    this.onFreshToken?.();
  }

  #warn(message: string, error: unknown): void {
    if (!this.#warned) process.emitWarning(message, { type: 'SallyportWarning', detail: (error as Error).message });
    this.#warned = true;
  }
}

function bearerHeader(bytes: Uint8Array): string {
  const token = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  if (!bearer.test(token)) throw new TokenInvalid('malformed');
  return `Bearer ${token}`;
}
