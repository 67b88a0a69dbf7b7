import { setMaxListeners } from 'node:events';
import type { Duplex } from 'node:stream';
import { BrokerViolation, invalidArgument, outOfRange } from '../errors.js';
import type { Audit } from './audit.js';
import { Channel, defaultChannelLimits, type ChannelLimits } from './channel.js';
import type { Reply } from './descriptor.js';
import { dispatch, type DispatchOptions, type MethodErrorListener } from './dispatch.js';
import { encodeReply, parseRequest } from './message.js';
import { Permissions, type MethodTable } from './permissions.js';
import { Lane } from './turns.js';

export type { Audit, AuditRecord } from './audit.js';
export type { ChannelLimits } from './channel.js';
export type { MethodErrorListener } from './dispatch.js';
export { errorResponse, type ErrorResponse, type ErrorType } from './message.js';
export { method, type Method, type MethodContext, type MethodTable } from './permissions.js';

export interface ServeOptions {
  /** What the task may ask for. The table is copied; nothing else is granted. */
  readonly methods: MethodTable;
  /** The task's name in audit records; where several share a channel, asked for each request, whose fields nobody has checked yet. @default 'task' */
  readonly task?: string | ((params: Readonly<Record<string, unknown>>) => string);
  readonly audit?: Audit;
  /** Gets what a handler threw, unless it is an answer of ours; the task learns `ERR_BROKER_METHOD` and no more. @default nobody */
  readonly onMethodError?: MethodErrorListener;
  readonly limits?: Partial<ChannelLimits>;
  /** The task broke the protocol and the channel is closed: end the task. Called at most once. */
  readonly onViolation: (violation: BrokerViolation) => void;
}

/** The supervisor's side of one task's channel. */
export interface Broker extends AsyncDisposable {
  /**
   * A frame the task did not ask for, such as its start message (id 0).
   * @throws {BrokerClosed} `ERR_BROKER_CLOSED`
   */
  send(id: number, body: unknown): void;
  /** Settles, never rejects: the task closed its side or the broker was closed, and every request read was dealt with. */
  readonly closed: Promise<void>;
  /** Stops reading, aborts the signal that handlers were given, destroys the stream. */
  close(): void;
}

/**
 * Answers a task's requests from its method table, each with exactly one reply. A request that is not granted gets a typed
 * error; bytes that are not a request end the channel and are told to `onViolation`.
 *
 * @param stream The task's channel: a Duplex of bytes that nothing else reads. A socket of its own should allow half-open.
 */
export function serve(stream: Duplex, options: ServeOptions): Broker {
  if (typeof options?.methods !== 'object' || options.methods === null) throw invalidArgument('options.methods', 'an object', options?.methods);
  if (typeof options.onViolation !== 'function') throw invalidArgument('options.onViolation', 'a function', options.onViolation);
  const limits = checkedLimits(options.limits);
  const task = options.task ?? 'task';
  const permissions = new Permissions();
  permissions.grant(options.methods);
  const controller = new AbortController();
  setMaxListeners(0, controller.signal); // one for each request that is outstanding
  const unanswered = new Set<number>();

  const lane = new Lane();
  const dispatching: DispatchOptions = { permissions, audit: options.audit, onMethodError: options.onMethodError, limits, signal: controller.signal, lane };

  function answer(message: unknown): Reply | Promise<Reply> {
    const request = parseRequest(message);
    // Two open requests of one id could not be told apart, by the task or in the audit.
    if (unanswered.has(request.id)) throw new BrokerViolation('a request id that is still unanswered');
    const reply = dispatch(request, typeof task === 'string' ? task : task(request.params), dispatching);
    if (!(reply instanceof Promise)) return reply;
    unanswered.add(request.id);
    return reply.finally(() => unanswered.delete(request.id));
  }

  const channel = new Channel(stream, limits, lane, answer, (violation) => {
    controller.abort(violation);
    options.onViolation(violation);
  });
  const close = (): void => {
    controller.abort();
    channel.close();
  };
  return {
    send: (id, body) => channel.write(encodeReply(id, body, limits)),
    closed: channel.closed,
    close,
    async [Symbol.asyncDispose]() {
      close();
      await channel.closed;
    },
  };
}

/** Refusals must always fit a frame. */
const leastFrameBytes = 1024;
/** What is read, checked and written by functions that call themselves. */
const deepest = 512;

function checkedLimits(wanted: Partial<ChannelLimits> | undefined): ChannelLimits {
  const limits = { ...defaultChannelLimits, ...wanted };
  for (const [name, value] of Object.entries(limits)) {
    const least = name === 'maxFrameBytes' ? leastFrameBytes : 1;
    const most = name === 'maxDepth' ? deepest : Number.MAX_SAFE_INTEGER;
    if (!Number.isSafeInteger(value) || value < least || value > most) throw outOfRange(`options.limits.${name}`, `a whole number from ${least} to ${most}`);
  }
  return limits;
}
