// What test/server-access.ts asks of the server with SQLite, asked of it with PostgreSQL.
import { onPostgres } from './helpers/on-postgres.js';

await onPostgres('server-access-postgres', [() => import('./server-access.js')]);
