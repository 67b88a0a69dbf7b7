import { Type } from '@sinclair/typebox';
import { WaitingWork } from '../../execution-api/schema.js';
import { type AccessOptions, workerOf } from '../access.js';
import type { App } from '../app.js';
import { storedNow } from '../store/time.js';
import { findWaiting } from '../store/workers.js';

/** How long a task instance is left to the worker that has asked for its token: long enough to start it. */
const leftToItMs = 30_000;
/** What is answered at a time, passed by at most one: what a DAG declares must not make an answer that no worker takes. */
const mostBytes = 4 << 20;
const querystring = Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })), offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 1e9 })) });

/** For a worker without a queue of its own: the workloads that wait for it, without tokens. It asks for those of which it wants to run. */
export function waitingWork(app: App, { database, now }: AccessOptions): void {
  app.get('/sallyport/v1/workloads', { config: { access: 'worker' }, schema: { querystring, response: { 200: WaitingWork } } }, async (request) => {
    const { limit = 10, offset = 0 } = request.query;
    const found = await database.run(findWaiting(workerOf(request), storedNow(now() - leftToItMs), limit, offset));
    let bytes = 0;
    const workloads = found.map(({ relative_fileloc, bundle, bundle_version, declares, ...ti }) => ({
      type: 'ExecuteTask' as const,
      ti,
      dag_rel_path: relative_fileloc,
      bundle_info: { name: bundle, version: bundle_version },
      declares,
    }));
    return { workloads: workloads.filter((workload) => bytes <= mostBytes && (bytes += Buffer.byteLength(JSON.stringify(workload))) > 0) };
  });
}
