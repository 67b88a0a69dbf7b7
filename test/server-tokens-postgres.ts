// What test/server-tokens.ts and test/server-workers.ts ask of the server with SQLite, asked of it with PostgreSQL.
import { onPostgres } from './helpers/on-postgres.js';

await onPostgres('server-tokens-postgres', ['tokens', 'workers'].map((name) => () => import(`./server-${name}.js`)));
