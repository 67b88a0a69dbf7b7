// What test/triggerer.ts asks with SQLite, asked with PostgreSQL.
import { onPostgres } from './helpers/on-postgres.js';

await onPostgres('triggerer-postgres', [() => import('./triggerer.js')]);
