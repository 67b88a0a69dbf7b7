// What test/server.ts and others ask of the server with SQLite, asked of it with PostgreSQL.
import { onPostgres } from './helpers/on-postgres.js';

await onPostgres('server-postgres', ['', '-admin', '-dags', '-hitl', '-hostile', '-openapi', '-task-instances', '-triggerers', '-values'].map((name) => () => import(`./server${name}.js`)));
