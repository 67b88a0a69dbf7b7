// docs/execution-api.md against the routes that there are.
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type AccessOptions, guard } from '../lib/server/access.js';
import { Authorizer } from '../lib/authorization/index.js';
import { createApp } from '../lib/server/app.js';
import { routes } from '../lib/server/routes/index.js';

const documented = suite('server-routes');

documented('every route is in the table, with who may use it and what it is about, and nothing else is', async () => {
  const app = await createApp({ maxBodyBytes: 1, onError: () => {} });
  // Only what routes are made of; none is asked anything here.
  const context = { authorizer: new Authorizer(), now: Date.now } as unknown as AccessOptions;
  const found: string[] = [];
  app.addHook('onRoute', ({ method, url, config }) => {
    const path = url.replaceAll(/:(\w+)/g, '{$1}').replace('*', '{key}');
    // HEAD of what Fastify adds for each GET; the one of XComs is a route.
    if (method !== 'HEAD' || url.includes('/xcoms/')) found.push(`${String(method)} ${path} | ${config?.access} | ${config?.resource === undefined ? '' : `${config.resource.kind} ${config.resource.action}`}`.trim());
  });
  guard(app, context);
  await routes(app, context);
  await app.ready();
  const text = readFileSync(new URL('../docs/execution-api.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| (GET|HEAD|PUT|PATCH|POST|DELETE) `([^`]+)` \| (\S+) \| ([^|]*)\|/gm)].map(([, method, path, access, resource]) => `${method} ${path} | ${access} | ${resource?.trim()}`.trim());
  if (process.env['PRINT_ROUTES'] === '1') console.log([...new Set(found)].sort().join('\n'));
  assert.equal(rows.sort(), [...new Set(found)].sort());
});

documented.run();
