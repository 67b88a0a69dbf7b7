import { client } from './client.js';
import type { Connection } from './types.js';

export const connections = Object.freeze({
  /** @throws {TaskError} `CONNECTION_NOT_FOUND`; `ERR_BROKER_DENIED`: not among the supervisor's `connections`. */
  async get(conn_id: string): Promise<Connection> {
    const { type: _, ...connection } = ((await client().request('GetConnection', { conn_id })) ?? {}) as Readonly<Record<string, unknown>>;
    const absent = { host: null, schema: null, login: null, password: null, port: null, extra: null };
    return { ...absent, ...connection } as unknown as Connection;
  },
});
