import type { Connection } from '../../execution-api/schema.js';
import { one, type Sql } from './sql.js';

export function getConnection(conn_id: string): Sql<Connection | undefined> {
  return one('SELECT conn_id, conn_type, host, schema, login, password, port, extra FROM connections WHERE conn_id = :conn_id', { conn_id });
}
