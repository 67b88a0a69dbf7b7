// What test/server.ts and others ask of the server with SQLite, asked of it with PostgreSQL.
import { ApiServer } from './helpers/api-server.js';
import { Postgres, withoutPostgres } from './helpers/postgres.js';

// All files are loaded before the first test runs: uvu would begin with the first file and lose its place at the second.
Object.assign(globalThis, { UVU_DEFER: 1, UVU_QUEUE: [[null]] });
const { exec, suite } = await import('uvu');

if (withoutPostgres === undefined) {
  const postgres = await Postgres.start();
  ApiServer.newDatabase = () => postgres.database();
  const last = suite('server-postgres');
  last('the database server is ended', () => postgres[Symbol.asyncDispose]());
  await import('./server.js');
  for (const name of ['dags', 'task-instances', 'values']) await import(`./server-${name}.js`);
  last.run();
} else {
  const skipped = suite('server-postgres');
  skipped.skip('the server with PostgreSQL');
  console.log(`  skipped: ${withoutPostgres}`);
  skipped.run();
}

await exec();
