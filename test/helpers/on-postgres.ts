import { ApiServer } from './api-server.js';
import { Postgres, withoutPostgres } from './postgres.js';

/**
 * Runs test files that use {@link ApiServer} with a real PostgreSQL behind it, one after the other. All are loaded
 * before the first test runs: uvu would begin with the first file and lose its place at the second. So whoever calls
 * this imports uvu nowhere.
 */
export async function onPostgres(name: string, load: readonly (() => Promise<unknown>)[]): Promise<void> {
  Object.assign(globalThis, { UVU_DEFER: 1, UVU_QUEUE: [[null]] });
  const { exec, suite } = await import('uvu');
  const last = suite(name);
  if (withoutPostgres === undefined) {
    const postgres = await Postgres.start();
    ApiServer.newDatabase = () => postgres.database();
    last('the database server is ended', () => postgres[Symbol.asyncDispose]());
    for (const each of load) await each();
  } else {
    last.skip('the server with PostgreSQL');
    console.log(`  skipped: ${withoutPostgres}`);
  }
  last.run();
  await exec();
}
