import { Type } from '@sinclair/typebox';
import { Name } from './fields.js';
import { accessDenied, foundIfAllowed, row, type RowOptions, type Rows } from './row.js';

const GetConnection = Type.Object({ conn_id: Name });

export function connections({ api, reach, masking }: RowOptions): Rows {
  return {
    GetConnection: row({
      params: GetConnection,
      grant: 'connections',
      permit: ({ conn_id }) => (reach.has('connections', conn_id) ? { conn_id } : undefined),
      about: ({ conn_id }) => [['read', { kind: 'connection', conn_id }]],
      denied: accessDenied,
      handler: ({ conn_id }, { signal }) => foundIfAllowed('CONNECTION_NOT_FOUND', { conn_id }, async () => {
        const { conn_type, host, schema, login, password, port, extra } = await api.getConnection(conn_id, { signal });
        masking.given('GetConnection', [password, extra, fieldsOf(extra)]);
        return { type: 'ConnectionResult', conn_id, conn_type, host, schema, login, password, port, extra };
      }),
    }),
  };
}

/** A connection's extra, which is JSON more often than not. */
function fieldsOf(extra: string | null | undefined): unknown {
  try {
    return JSON.parse(extra ?? '');
  } catch {
    return undefined;
  }
}
