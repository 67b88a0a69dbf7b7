import { Type } from '@sinclair/typebox';
import { Health } from '../../execution-api/schema.js';
import type { AccessOptions } from '../access.js';
import type { App } from '../app.js';
import { one } from '../store/sql.js';

const config = { access: 'public' } as const;
const Ping = Type.Object({ ok: Type.Array(Type.String()), failing: Type.Record(Type.String(), Type.String()) });

export function health(app: App, { database }: AccessOptions): void {
  app.get('/health', { config, schema: { response: { 200: Health } } }, () => ({ status: 'healthy' as const }));

  // Airflow's services are its own; ours is the database. Anybody may ask, so that it is told and not why.
  app.get('/health/ping', { config, schema: { response: { 200: Ping, 500: Ping } } }, async (_request, reply) => {
    try {
      await database.run(one('SELECT 1 AS alive'));
      return { ok: ['database'], failing: {} };
    } catch {
      return reply.code(500).send({ ok: [], failing: { database: 'does not answer' } });
    }
  });
}
