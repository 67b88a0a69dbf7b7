import { BrokerDenied, SallyportError, UpstreamFailed } from '../errors.js';
import { record, recordDone, recordOverdue, type Audit } from './audit.js';
import { DescriptorReply, type Reply } from './descriptor.js';
import type { FrameLimits } from './frame.js';
import { encodeErrorReply, encodeReply, errorResponse, printable, type ErrorResponse, type Request } from './message.js';
import type { Permissions } from './permissions.js';
import type { Lane } from './turns.js';

/** A handler threw what is no answer to a task: the author of the handler should see it, and nobody else. */
export type MethodErrorListener = (error: unknown, request: { readonly task: string; readonly method: string }) => void;

export interface DispatchOptions {
  readonly permissions: Permissions;
  readonly audit: Audit | undefined;
  readonly onMethodError: MethodErrorListener | undefined;
  readonly limits: FrameLimits;
  readonly signal: AbortSignal;
  /** Where an answer that came later is encoded in its turn. */
  readonly lane: Lane;
}

/**
 * One request from permission to reply, at once where its handler answers at once. Never throws or rejects: whatever goes
 * wrong is one typed reply.
 */
export function dispatch(request: Request, task: string, options: DispatchOptions): Reply | Promise<Reply> {
  const { permissions, signal, lane } = options;
  try {
    recordOverdue(options.audit);
  } catch (error) {
    return unrecorded(error, request, options);
  }
  try {
    const { row, params } = permissions.admit(request.method, request.params);
    const answer = row.handler(params, { task, signal });
    if (!isThenable(answer)) return allowed(answer, request, task, options);
    return Promise.resolve(answer).then((value) => lane.run(() => allowed(value, request, task, options))).catch((error: unknown) => refused(error, request, task, options));
  } catch (error) {
    return refused(error, request, task, options);
  }
}

function isThenable(answer: unknown): answer is PromiseLike<unknown> {
  return typeof answer === 'object' && answer !== null && 'then' in answer && typeof answer.then === 'function';
}

/** @throws {AnswerUnsendable} */
function allowed(answer: unknown, request: Request, task: string, options: DispatchOptions): Reply {
  const attached = answer instanceof DescriptorReply ? answer : undefined;
  let frame: Uint8Array;
  try {
    frame = encodeAnswer(request.id, attached === undefined ? answer : attached.body, options.limits);
  } catch (error) {
    attached?.close();
    throw error;
  }
  try {
    recordDone(options.audit, { task, id: request.id, method: nameOf(request), outcome: 'allowed' });
  } catch (error) {
    attached?.close();
    return unrecorded(error, request, options);
  }
  return attached === undefined ? frame : { frame, attached };
}

function refused(error: unknown, request: Request, task: string, options: DispatchOptions): Uint8Array {
  const { permissions, audit, limits, onMethodError } = options;
  const method = nameOf(request);
  const isDenial = error instanceof BrokerDenied;
  try {
    if (!(error instanceof SallyportError)) onMethodError?.(error instanceof AnswerUnsendable ? error.cause : error, { task, method });
    (isDenial ? record : recordDone)(audit, { task, id: request.id, method, outcome: isDenial ? 'denied' : 'failed', reason: reasonOf(error) });
    const denial = isDenial ? permissions.denial(request.method, error) : undefined;
    return denial === undefined ? encodeErrorReply(request.id, describe(error, method), limits) : encodeReply(request.id, denial, limits);
  } catch (failure) {
    return unrecorded(failure, request, options);
  }
}

function unrecorded(error: unknown, request: Request, { limits }: DispatchOptions): Uint8Array {
  process.emitWarning('a request could not be recorded', { type: 'SallyportWarning', detail: String(error) });
  return encodeErrorReply(request.id, errorResponse('GENERIC_ERROR', { code: methodFailed, method: nameOf(request) }), limits);
}

function nameOf({ method = '' }: Request): string {
  return printable(method);
}

/** The code of a failure that is nobody's business but the supervisor's. */
const methodFailed = 'ERR_BROKER_METHOD';

/** The method did what it was asked, and what it returned fits no frame: too long, nested too deep, or of no form. */
class AnswerUnsendable extends Error {
  readonly code: string | undefined;

  constructor(cause: unknown) {
    super('the answer fits no frame', { cause });
    this.code = codeOf(cause);
  }
}

function encodeAnswer(id: number, answer: unknown, limits: FrameLimits): Uint8Array {
  try {
    return encodeReply(id, answer, limits);
  } catch (cause) {
    throw new AnswerUnsendable(cause);
  }
}

/** A word for the audit: an error's code is a fixed word, its message could quote anything. */
function reasonOf(error: unknown): string {
  return error instanceof BrokerDenied ? error.message : (codeOf(error) ?? 'the method threw');
}

/** What the task may know of an error: its code and the server's status. No message, stack, path or cause. */
function describe(error: unknown, method: string): ErrorResponse {
  if (error instanceof UpstreamFailed) {
    return errorResponse('API_SERVER_ERROR', { code: error.code, method, status_code: error.status, reason: error.reason ?? null });
  }
  if (error instanceof BrokerDenied) return errorResponse('GENERIC_ERROR', { code: error.code, method, message: error.message });
  // The task asked for more than it can be given: it should know that asking again is of no use.
  if (error instanceof AnswerUnsendable && error.cause instanceof RangeError) return errorResponse('GENERIC_ERROR', { code: error.code, method, message: `method "${method}" has an answer that is larger than a task is sent` });
  return errorResponse('GENERIC_ERROR', { code: error instanceof SallyportError ? error.code : methodFailed, method });
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
