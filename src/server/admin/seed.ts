import type { App } from '../app.js';
import { Seed } from '../seed.js';
import { seedAll } from '../store/seed.js';
import type { AdminOptions } from './index.js';
import { asProblem } from './problem.js';

/** All of a seed or, where any of it cannot be, nothing. */
export function seeds(app: App, { database, now }: AdminOptions): void {
  app.post('/seed', { schema: { body: Seed } }, async (request, reply) => {
    await asProblem(async () => database.transaction(seedAll(request.body, now())));
    return reply.code(204).send();
  });
}
