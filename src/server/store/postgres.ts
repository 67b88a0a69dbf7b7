import type { Pool, PoolClient, QueryResult } from 'pg';
import type { Secret } from '../../secrets/secret.js';
import { optional } from '../optional.js';
import { migrate } from './schema.js';
import { checkText, type Database, forUpdate, placeholder, type Row, type Sql, type Statement } from './sql.js';

export interface PostgresOptions {
  /** A name, an address, or the folder of a Unix socket. @default '/var/run/postgresql' */
  readonly host?: string;
  /** @default 5432 */
  readonly port?: number;
  readonly database: string;
  readonly user: string;
  /** It stays the caller's, and must live as long as the server: each connection asks for it. @default none, for `peer` and the like */
  readonly password?: Secret;
  /** @default true, with the server's certificate checked; a Unix socket has none */
  readonly tls?: boolean;
  /** @default 10 */
  readonly maxConnections?: number;
}

const oneOfUs = 0x5a11_7097; // of pg_advisory_xact_lock: one process migrates at a time

/**
 * PostgreSQL. One statement alone is its own transaction; a transaction is READ COMMITTED and
 * locks the rows that it is going to write.
 */
export class PostgresDatabase implements Database {
  static async open({ host = '/var/run/postgresql', port = 5432, password, tls = !host.startsWith('/'), maxConnections = 10, ...who }: PostgresOptions): Promise<PostgresDatabase> {
    const { default: pg } = await optional('pg', () => import('pg'));
    const types = { getTypeParser: ((oid: number, format?: 'text') => (oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format))) as typeof pg.types.getTypeParser };
    const pool = new pg.Pool({
      ...who,
      host,
      port,
      types,
      max: maxConnections,
      ssl: tls,
      connectionTimeoutMillis: 5_000,
      // A string for as long as the server is asked to let us in: the protocol's library takes nothing else.
      ...(password !== undefined && { password: () => password.use((bytes) => Buffer.from(bytes).toString('utf8')) }),
    });
    pool.on('error', () => {}); // an idle connection was cut: the next statement opens another, or says what is wrong
    const database = new PostgresDatabase(pool);
    try {
      await database.#inTransaction(async (client) => {
        await client.query('SELECT pg_advisory_xact_lock($1)', [oneOfUs]);
        await runOn(client, migrate((definition) => definition));
      });
      return database;
    } catch (error) {
      await pool.end();
      throw error;
    }
  }

  readonly #pool: Pool;
  #closed: Promise<void> | undefined;

  private constructor(pool: Pool) {
    this.#pool = pool;
  }

  run<T>(program: Sql<T>): Promise<T> {
    return runOn(this.#pool, program);
  }

  transaction<T>(program: Sql<T>): Promise<T> {
    return this.#inTransaction((client) => runOn(client, program));
  }

  /** Other servers write to it too, and only a question to it could tell. */
  generation(): undefined {
    return undefined;
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#pool.end());
  }

  async #inTransaction<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    let broken: Error | undefined;
    try {
      await client.query('BEGIN');
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch((failure: Error) => (broken = failure));
      throw error;
    } finally {
      client.release(broken); // one that cannot roll back is not used again
    }
  }
}

interface Runner {
  query(config: { readonly name: string; readonly text: string; readonly values: unknown[] }): Promise<QueryResult<Row>>;
}

async function runOn<T>(runner: Runner, program: Sql<T>): Promise<T> {
  let step = program.next();
  while (step.done !== true) {
    let rows: readonly Row[];
    try {
      const { name, text, names } = prepared(step.value);
      const { values } = step.value;
      checkText(values);
      ({ rows } = await runner.query({ name, text, values: names.map((each) => values[each]) }));
    } catch (error) {
      step = program.throw(error);
      continue;
    }
    step = program.next(rows);
  }
  return step.value;
}

interface Prepared {
  readonly name: string;
  readonly text: string;
  readonly names: readonly string[];
}

const known = new Map<string, Prepared>();

/** Values by number, as the protocol has them; each text is parsed once by each connection. */
function prepared({ text }: Statement): Prepared {
  let found = known.get(text);
  if (found === undefined) {
    const names: string[] = [];
    const numbered = text.replaceAll(forUpdate, ' FOR UPDATE').replace(/json_each\((:\w+)\)/g, 'json_array_elements_text(CAST($1 AS json)) AS each (value)').replace(placeholder, (_all, name: string) => {
      if (!names.includes(name)) names.push(name);
      return `$${names.indexOf(name) + 1}`;
    });
    known.set(text, (found = { name: `s${known.size}`, text: numbered, names }));
  }
  return found;
}
