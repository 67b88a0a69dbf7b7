import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { StateUpdate } from '../execution-api/schema.js';
import { Secret } from '../secrets/secret.js';
import { seal, unseal } from './seal.js';

/** What is written of a try: who it is, who ran it, and what the server is to be told. */
const Contents = Type.Object({
  version: Type.Literal(1),
  at: Type.String({ maxLength: 40 }),
  task: Type.Object({ id: Type.String({ pattern: '^[0-9a-fA-F-]{36}$' }), dag_id: Type.String(), run_id: Type.String(), task_id: Type.String(), map_index: Type.Integer(), try_number: Type.Integer() }),
  owner: Type.Object({ hostname: Type.String(), pid: Type.Integer() }),
  /** Whether the task has ended so; otherwise it is what becomes of it where its supervisor did not live to see its end. */
  ended: Type.Boolean(),
  update: StateUpdate,
  /** Whose token reports it: the try's own, or the supervisor's. */
  credential: Type.Union([Type.Literal('own'), Type.Literal('shared')]),
});
const File = Type.Composite([Contents, Type.Object({ sealed: Type.Union([Type.String({ maxLength: 1 << 17 }), Type.Null()]) })]);

export type Contents = Static<typeof Contents>;

/** The text of a file: the token in it can be had with the key alone, and with the rest unchanged. */
export function toText(contents: Contents, key: Secret | undefined, useToken: <T>(fn: (bytes: Uint8Array) => T) => T | undefined): string {
  const sealed = key === undefined || contents.credential === 'shared' ? null : (useToken((bytes) => seal(key, bytes, bound(contents))) ?? null);
  return `${JSON.stringify({ ...contents, sealed })}\n`;
}

/** @throws Where it is not such a text. */
export function fromText(text: string): { readonly contents: Contents; readonly sealed: string | null } {
  const value: unknown = JSON.parse(text);
  if (!Value.Check(File, value)) throw new Error(`not a kept report: ${Value.Errors(File, value).First()?.path ?? ''}`);
  const { sealed, ...contents } = value;
  return { contents, sealed };
}

/** @throws Where it was sealed with another key, or anything was changed. */
export function tokenOf(contents: Contents, sealed: string, key: Secret): Secret {
  return unseal(key, sealed, bound(contents));
}

/** The same text from what was written and from what was read: JSON keeps the order of fields. */
const bound = (contents: Contents): string => JSON.stringify(contents);
