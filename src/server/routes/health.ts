import type { AccessOptions } from '../access.js';
import type { App } from '../app.js';
import { one } from '../store/sql.js';

const config = { access: 'public' } as const;

export function health(app: App, { database }: AccessOptions): void {
  app.get('/health', { config }, () => ({ status: 'healthy' }));

  // Airflow's services are its own; ours is the database. Anybody may ask, so that it is told and not why.
  app.get('/health/ping', { config }, async (_request, reply) => {
    try {
      await database.run(one('SELECT 1 AS alive'));
      return { ok: ['database'], failing: {} };
    } catch {
      return reply.code(500).send({ ok: [], failing: { database: 'does not answer' } });
    }
  });
}
