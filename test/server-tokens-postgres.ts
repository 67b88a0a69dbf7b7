// What test/server-tokens.ts, test/server-late.ts and test/server-workers.ts ask of the server with SQLite, asked of it with PostgreSQL.
import { onPostgres } from './helpers/on-postgres.js';

await onPostgres('server-tokens-postgres', ['tokens', 'late', 'workers'].map((name) => () => import(`./server-${name}.js`)));
