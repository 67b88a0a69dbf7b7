import type { AccessOptions } from '../access.js';
import type { App } from '../app.js';
import { connections } from './connections.js';
import { health } from './health.js';
import { taskInstances } from './task-instances.js';
import { variables } from './variables.js';
import { xcoms } from './xcoms.js';

/** The routes below `/execution`, one file a noun. A new noun is a file and a line here. */
export async function routes(app: App, context: AccessOptions): Promise<void> {
  health(app);
  taskInstances(app, context);
  variables(app, context);
  connections(app, context);
  await app.register(async (scope) => xcoms(scope as App, context));
}
