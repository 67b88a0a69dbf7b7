import { createHash } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { Lane } from '../broker/turns.js';
import type { StateUpdate } from '../execution-api/schema.js';
import { Secret } from '../secrets/secret.js';
import { seal, unseal } from './seal.js';

/** What is written of a try beside what the server is to be told: who it is, and who ran it. */
const Head = Type.Object({
  version: Type.Literal(2),
  at: Type.String({ maxLength: 40 }),
  task: Type.Object({ id: Type.String({ pattern: '^[0-9a-fA-F-]{36}$' }), dag_id: Type.String(), run_id: Type.String(), task_id: Type.String(), map_index: Type.Integer(), try_number: Type.Integer() }),
  owner: Type.Object({ hostname: Type.String(), pid: Type.Integer() }),
  /** Whether the task has ended so; otherwise it is what becomes of it where its supervisor did not live to see its end. */
  ended: Type.Boolean(),
  state: Type.Unsafe<StateUpdate['state']>(Type.String({ maxLength: 32 })),
  apiVersion: Type.Optional(Type.String({ maxLength: 32 })),
  /** Whose token reports it: the try's own, or the supervisor's. */
  credential: Type.Union([Type.Literal('own'), Type.Literal('shared')]),
});
const Tail = Type.Object({ sealed: Type.Union([Type.String({ maxLength: 1 << 17 }), Type.Null()]) });

export type Head = Static<typeof Head>;

/** A file has three lines of JSON: who, what the server is to be told, byte for byte, and the token, sealed. Only the second one may be long. */
export interface Contents {
  readonly head: Head;
  readonly update: Uint8Array;
}

const newline = Buffer.from('\n');

/** The parts of a file: the token in it can be had with the key alone, and with the rest unchanged. */
export async function toFile(contents: Contents, key: Secret | undefined, useToken: <T>(fn: (bytes: Uint8Array) => T) => T | undefined): Promise<Uint8Array[]> {
  const isSealed = key !== undefined && contents.head.credential === 'own';
  const beside = isSealed ? await digest(contents) : undefined;
  const sealed = beside === undefined ? null : (useToken((bytes) => seal(key as Secret, bytes, beside)) ?? null);
  return [lineOf(contents.head), contents.update, newline, lineOf({ sealed })];
}

/** For a person, without its token. */
export const toRecord = ({ head, update }: Contents, why: object): Uint8Array[] => [lineOf({ ...head, why }), update, newline];

/** @throws Where it is not such a file. */
export function fromFile(bytes: Buffer): Contents & { readonly sealed: string | null } {
  const first = bytes.indexOf(newline);
  const second = bytes.indexOf(newline, first + 1);
  const [head, tail] = [first, second].includes(-1) ? [] : [bytes.subarray(0, first), bytes.subarray(second)].map((line): unknown => JSON.parse(line.toString()));
  if (!Value.Check(Head, head)) throw new Error(`not a kept report: ${Value.Errors(Head, head).First()?.path ?? ''}`);
  if (!Value.Check(Tail, tail)) throw new Error('not a kept report: /sealed');
  return { head, update: bytes.subarray(first + 1, second), sealed: tail.sealed };
}

/** Rejects where it was sealed with another key, or anything was changed. */
export async function tokenOf(contents: Contents, sealed: string, key: Secret): Promise<Secret> {
  return unseal(key, sealed, await digest(contents));
}

const lineOf = (value: object): Buffer => Buffer.from(`${JSON.stringify(value)}\n`);

const hashedAtOnce = 1 << 18;

/** Of what a token is bound to; the same of what was written and of what was read, for JSON keeps the order of fields. */
async function digest({ head, update }: Contents): Promise<Buffer> {
  const hash = createHash('sha256').update(lineOf(head));
  const lane = new Lane();
  let at = 0;
  const next = (): unknown => hash.update(update.subarray(at, (at += hashedAtOnce)));
  next();
  while (at < update.length) await lane.run(next);
  return hash.digest();
}
