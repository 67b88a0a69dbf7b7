import type { AccessOptions } from '../access.js';
import type { App } from '../app.js';
import { assetStateStore } from './asset-state-store.js';
import { assets } from './assets.js';
import { connections } from './connections.js';
import { dagRuns } from './dag-runs.js';
import { dags } from './dags.js';
import { health } from './health.js';
import { hitl } from './hitl.js';
import { taskInstanceQueries } from './task-instance-queries.js';
import { taskInstances } from './task-instances.js';
import { taskReschedules } from './task-reschedules.js';
import { taskStateStore } from './task-state-store.js';
import { variables } from './variables.js';
import { xcoms } from './xcoms.js';

const nouns = [health, taskInstances, taskInstanceQueries, taskReschedules, taskStateStore, hitl, variables, connections, dagRuns, dags, assets, assetStateStore];

/** The routes below `/execution`, one file a noun. A new noun is a file and a name here. */
export async function routes(app: App, context: AccessOptions): Promise<void> {
  for (const noun of nouns) noun(app, context);
  await app.register(async (scope) => xcoms(scope as App, context));
}
