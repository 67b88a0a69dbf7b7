import { Type } from '@sinclair/typebox';
import { Connection } from '../../execution-api/schema.js';
import type { App } from '../app.js';
import { notFound } from '../problem.js';
import { authorize, type AccessOptions } from '../access.js';
import { getConnection } from '../store/connections.js';

const params = Type.Object({ conn_id: Type.String() });

export function connections(app: App, { database }: AccessOptions): void {
  app.get('/connections/:conn_id', { config: { access: 'task', resource: { kind: 'connection', action: 'read' } }, schema: { params, response: { 200: Connection } } }, async (request) => {
    const { conn_id } = request.params;
    await authorize(request, { kind: 'connection', conn_id });
    const connection = await database.run(getConnection(conn_id));
    if (connection === undefined) throw notFound(`Connection with ID ${conn_id}`);
    return connection;
  });
}
