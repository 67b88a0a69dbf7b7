// What test/triggerer.ts and test/put-off.ts ask with SQLite, asked with PostgreSQL.
import { onPostgres } from './helpers/on-postgres.js';

await onPostgres('triggerer-postgres', [() => import('./triggerer.js'), () => import('./put-off.js')]);
