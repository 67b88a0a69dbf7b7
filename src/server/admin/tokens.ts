import { Type } from '@sinclair/typebox';
import type { App } from '../app.js';
import { Id, Uuid } from '../routes/params.js';
import { listTokens } from '../store/tokens.js';
import type { AdminOptions } from './index.js';

const closed = { additionalProperties: false } as const;
const query = Type.Object({ task_instance_id: Type.Optional(Uuid), limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })), after: Type.Optional(Type.String()) });
/** One token, those of a task instance, those that came from a worker, or every one there is. */
const Which = Type.Union([Type.Object({ jti: Type.String({ pattern: '^[0-9a-f]{32}$' }) }, closed), Type.Object({ task_instance_id: Uuid }, closed), Type.Object({ worker: Id }, closed), Type.Object({ all: Type.Literal(true) }, closed)]);

/** What the registry has of tokens, which is never one itself, and their end. */
export function tokens(app: App, { database, tokens: registry }: AdminOptions): void {
  app.get('/tokens', { schema: { querystring: query } }, async (request) => {
    const { task_instance_id, after = '', limit = 100 } = request.query;
    return { tokens: await database.run(listTokens(task_instance_id?.toLowerCase(), after, limit)) };
  });

  app.post('/revocations', { schema: { body: Which } }, async (request) => {
    const which = request.body;
    return { revoked: await registry.revoke('all' in which ? 'all' : 'task_instance_id' in which ? { taskInstanceId: which.task_instance_id.toLowerCase() } : which) };
  });
}
