import { hash, randomBytes } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { outOfRange } from '../errors.js';
import type { Database } from './store/sql.js';
import { addWorker, type Role, type Work, type Worker } from './store/workers.js';

const Name = Type.String({ minLength: 1, maxLength: 250 });

/** A worker or a triggerer, and the queues or the team that it is bound to: at least one of the two. */
export const WorkerOptions = Type.Object(
  {
    name: Name,
    /** Task instances of these queues. @default of any, for one of a team */
    queues: Type.Optional(Type.Array(Name, { minItems: 1, maxItems: 1000 })),
    /** Task instances of this team's DAGs. @default of any, for one of queues */
    team: Type.Optional(Name),
  },
  { additionalProperties: false },
);
export type WorkerOptions = Static<typeof WorkerOptions>;

/** @throws {RangeError} `ERR_OUT_OF_RANGE`: a worker that is bound to nothing, or that is none. */
function checked(role: Role, options: WorkerOptions): Worker {
  const wrong = Value.Errors(WorkerOptions, options).First();
  if (wrong !== undefined) throw outOfRange(`${role}${wrong.path}`, wrong.message.toLowerCase());
  const { name, queues = [], team = null } = options;
  if (queues.length === 0 && team === null) throw outOfRange(role, 'bound to queues, to a team, or to both');
  return { name, queues: [...new Set(queues)], team };
}

/** Says what it is where it turns up, as in a scan for secrets; 256 bits, so that a plain hash tells nothing. */
const newCredential = (role: Role): string => `sallyport-${role}-${randomBytes(32).toString('base64url')}`;

/** What is kept of it. */
export const credentialHash = (credential: string): string => hash('sha256', credential, 'hex');

/**
 * @returns The new credential, or what is wrong with it, and then there is none.
 * @throws {RangeError} `ERR_OUT_OF_RANGE`: a worker that is bound to nothing, or that is none.
 */
export async function enrol(database: Database, role: Role, options: WorkerOptions): Promise<{ readonly credential: string; readonly wrong: 'name' | 'team' | undefined }> {
  const credential = newCredential(role);
  return { credential, wrong: await database.transaction(addWorker(role, checked(role, options), credentialHash(credential))) };
}

/** By which binding a worker may have a task instance's first token; undefined where it may not. */
export function bindingOf({ queues, team }: Worker, work: Work): 'queue' | 'team' | undefined {
  if (queues.length > 0 && !queues.includes(work.queue)) return undefined;
  if (team !== null && work.team !== team) return undefined;
  return queues.length > 0 ? 'queue' : 'team';
}
