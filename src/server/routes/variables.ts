import { Type } from '@sinclair/typebox';
import { Variable } from '../../execution-api/schema.js';
import type { App } from '../app.js';
import { notFound } from '../problem.js';
import { authorize, type AccessOptions } from '../access.js';
import { getVariable } from '../store/variables.js';

/** A key may hold slashes, so it is the rest of the path. */
const params = Type.Object({ '*': Type.String() });

export function variables(app: App, { database }: AccessOptions): void {
  app.get('/variables/*', { config: { access: 'task', resource: { kind: 'variable', action: 'read' } }, schema: { params, response: { 200: Variable } } }, async (request) => {
    const key = request.params['*'];
    await authorize(request, { kind: 'variable', key });
    const value = await database.run(getVariable(key));
    if (value === undefined) throw notFound('Variable');
    return { key, value };
  });
}
