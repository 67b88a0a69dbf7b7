// node examples/deferral/run.mjs
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ExecutionApi, harden, policies, Secret, ServerQueue, Supervisor, Worker } from 'sallyport';
import { Triggerer } from 'sallyport/hosts';
import { createServer } from 'sallyport/server';

harden();
const bundles = { sales: fileURLToPath(new URL('bundle', import.meta.url)) };
const inbox = mkdtempSync(join(tmpdir(), 'inbox-'));
const policy = policies.node({ read: [inbox] });

// A task that waits in the server's queue, and what its DAG will ask for.
const server = await createServer({ signingKey: Secret.fromBytes(randomBytes(64)) });
const api = new ExecutionApi({ baseUrl: await server.listen() });
await server.seed({
  bundles: [{ name: 'sales' }],
  dags: [{ dag_id: 'daily', bundle: 'sales', relative_fileloc: 'load.mjs', declares: { variables: ['inbox'], defers: ['triggers/*'] } }],
  variables: { inbox: join(inbox, 'today.csv') },
  taskInstances: [{ id: randomUUID(), dag_id: 'daily', run_id: 'manual__1', task_id: 'load', queue: 'etl' }],
});

// Who runs tasks, and who waits in their place. On other machines these are `sallyport worker` and `sallyport triggerer`.
const supervisor = new Supervisor({ api, bundles, onLog: ({ line }) => console.log(`  ${line}`) });
const queue = new ServerQueue({ api, credential: await server.addWorker({ name: 'worker-1', queues: ['etl'] }), pollMs: 200 });
const worker = new Worker({ supervisor, queue, concurrency: 1, run: { policy }, onEvent: ended });
const triggerer = new Triggerer({ api, credential: await server.addTriggerer({ name: 'triggerer-1', queues: ['etl'] }), bundles, policy, pollMs: 200, onEvent: heard });

function ended(event) {
  if (event.kind === 'started' || event.kind === 'failed') return;
  console.log(`task ${event.ti.task_id}: ${event.outcome?.state ?? event.kind}`);
  if (event.outcome?.state === 'deferred') return; // no process of it is left: it costs nothing while it waits
  worker.drain();
  triggerer.stop();
}

function heard({ kind, classpath }) {
  console.log(`trigger ${classpath}: ${kind}`);
  if (kind === 'begun') writeFileSync(join(inbox, 'today.csv'), 'pens,3\nink,4\n'); // at last
}

await Promise.all([worker.run(), triggerer.run()]);
for (const each of [triggerer, supervisor, queue, api]) await each[Symbol.asyncDispose]();
await server.close();
rmSync(inbox, { recursive: true });
