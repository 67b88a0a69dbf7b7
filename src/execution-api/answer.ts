import type { Static, TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { UpstreamFailed, UpstreamUnreachable } from '../errors.js';
import { ErrorBody } from './schema.js';
import type { Answer, Request } from './transport.js';

/** A page of some proxy's own comes with a 200 too, so only the API's own status will do. */
export function assertStatus(expected: number, request: Request, answer: Answer): void {
  if (answer.status === expected) return;
  if (answer.status >= 300) throw new UpstreamFailed(`${request.method} ${request.route}`, answer.status, errorDetail(answer)?.reason);
  throw unexpected(request, answer);
}

export function parse<T extends TSchema>(schema: T, request: Request, answer: Answer, status = 200): Static<T> {
  assertStatus(status, request, answer);
  const body = jsonBody(answer);
  if (!Value.Check(schema, body)) throw unexpected(request, answer);
  return body;
}

export function unexpected(request: Request, { status }: Answer): UpstreamUnreachable {
  return new UpstreamUnreachable(`${request.method} ${request.route}`, `status ${status}, but not with what this API answers`);
}

export function errorDetail(answer: Answer): Static<typeof ErrorBody>['detail'] | undefined {
  const body = jsonBody(answer);
  return Value.Check(ErrorBody, body) ? body.detail : undefined;
}

/** `undefined` for anything but JSON. What it was is not told: it may hold a secret. */
function jsonBody({ headers, body }: Answer): unknown {
  const type = headers['content-type'];
  if (typeof type !== 'string' || !/^application\/json\s*(;|$)/i.test(type)) return undefined;
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
}
