import { createHash, timingSafeEqual } from 'node:crypto';
import { outOfRange } from '../../errors.js';
import type { Secret } from '../../secrets/secret.js';
import type { App } from '../app.js';
import { openApi } from '../openapi.js';
import { Problem } from '../problem.js';
import type { Database } from '../store/sql.js';
import type { Tokens } from '../tokens.js';
import { dagRuns } from './dag-runs.js';
import { questions } from './questions.js';
import { seeds } from './seed.js';
import { taskInstances } from './task-instances.js';
import { things } from './things.js';
import { tokens } from './tokens.js';
import { workers } from './workers.js';

export interface AdminOptions {
  readonly database: Database;
  readonly tokens: Tokens;
  readonly now: () => number;
}

const leastBytes = 32;

/** @returns Whether what is presented is the credential. @throws {RangeError} `ERR_OUT_OF_RANGE`: it is shorter than 32 bytes, or no header can hold it. */
export function credentialCheck(credential: Secret): (presented: string) => boolean {
  if (credential.byteLength < leastBytes) throw outOfRange('options.adminCredential', `a secret of at least ${leastBytes} bytes`);
  // Random bytes as they are would be a credential that nobody can present.
  if (!credential.use((bytes) => bytes.every((byte) => byte > 0x20 && byte < 0x7f))) throw outOfRange('options.adminCredential', 'printable characters without spaces, as base64 has them');
  // What is kept cannot be presented.
  const expected = credential.use((bytes) => createHash('sha256').update(bytes).digest());
  return (presented) => timingSafeEqual(createHash('sha256').update(presented).digest(), expected);
}

/**
 * The routes below `/admin`, for who runs the server and for schedulers, and for no task: they are in an application of
 * their own, which listens elsewhere and knows one credential and no tokens.
 */
export function admin(app: App, isCredential: (presented: string) => boolean, options: AdminOptions): void {
  app.addHook('onRequest', async ({ headers }) => {
    const presented = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
    if (presented === undefined) throw new Problem(401, { reason: 'missing_credential', message: 'Missing admin credential' });
    if (!isCredential(presented)) throw new Problem(403, { reason: 'invalid_credential', message: 'Invalid admin credential' });
  });
  openApi(app, { title: 'Admin API', version: '1', prefix: '/admin', rest: 'name', credential: 'the admin credential' });
  for (const noun of [seeds, things, dagRuns, taskInstances, questions, tokens, workers]) void app.register(async (scope) => noun(scope as App, options), { prefix: '/admin' });
}
