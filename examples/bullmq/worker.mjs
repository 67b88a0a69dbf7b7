// REDIS=redis://127.0.0.1:6379 node examples/bullmq/worker.mjs
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Queue, QueueEvents, UnrecoverableError, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { ExecutionApi, harden, Supervisor, UpstreamFailed, WorkloadInvalid } from 'sallyport';
import { spawnServer } from 'sallyport/server';

harden();
const redis = () => new Redis(process.env.REDIS ?? 'redis://127.0.0.1:6379', { maxRetriesPerRequest: null });

// The server is the only one who issues tokens, and this worker may ask for those of its queue.
const ti = (task_id) => ({ id: randomUUID(), dag_id: 'nightly', run_id: 'manual', task_id, try_number: 1, queue: 'node' });
const instances = [ti('greet'), ti('curious'), ti('fails')];
const server = await spawnServer({ soleIssuer: true, seed: { variables: { greeting: 'Good night' }, taskInstances: instances } });
const credential = await server.addWorker({ name: 'worker-1', queues: ['node'] });

// What a worker does. A job is a workload without a token, so that Redis has none.
const api = new ExecutionApi({ baseUrl: server.url });
const supervisor = new Supervisor({
  api,
  bundles: { dags: fileURLToPath(new URL('tasks', import.meta.url)) },
  warm: { size: 2 },
  onLog: ({ source, line }) => source === 'stdout' && console.log(`  ${line}`),
});

async function run({ data: { workload, declares } }) {
  try {
    const token = await api.firstToken(workload.ti.id, credential);
    const { state, reason } = await supervisor.run(workload, { token, declares });
    return { state, reason }; // the server has it, failures too: to try again is its scheduler's business
  } catch (error) {
    // A job whose worker died comes again, and the server starts a try once; a workload that is none stays none.
    const final = error instanceof WorkloadInvalid || (error instanceof UpstreamFailed && error.status < 500);
    throw final ? new UnrecoverableError(error.message) : error; // whatever else it is, BullMQ tries again
  }
}

const connections = [redis(), redis(), redis()];
const [forQueue, forEvents, forWorker] = connections;
const name = process.env.QUEUE ?? 'sallyport-example';
const worker = new Worker(name, run, { connection: forWorker, concurrency: 2 });

// Warm shutdown: close() takes no more jobs and waits for those that run.
async function stop() {
  await worker.close();
  await supervisor.drain();
}
process.once('SIGTERM', stop);

// What a dispatcher does, elsewhere.
const queue = new Queue(name, { connection: forQueue });
const events = new QueueEvents(name, { connection: forEvents });
const add = (workload, more) => queue.add(workload.ti.task_id, { workload, ...more }, { attempts: 5, backoff: { type: 'exponential', delay: 1_000 }, removeOnComplete: true, removeOnFail: true });
const workloadOf = (instance) => ({ type: 'ExecuteTask', ti: instance, dag_rel_path: `${instance.task_id}.mjs`, bundle_info: { name: 'dags' } });
const [greet, curious, fails] = instances.map(workloadOf);
for (const [workload, declares] of [[greet, { variables: ['greeting'] }], [curious], [fails], [greet]]) {
  const job = await add(workload, { declares });
  const said = await job.waitUntilFinished(events).then(JSON.stringify, (error) => `not run: ${error.message}`);
  console.log(`${workload.ti.task_id}: ${said}`);
}

await stop();
await Promise.all([events.close(), queue.close()]);
for (const connection of connections) connection.disconnect();
await supervisor[Symbol.asyncDispose]();
await api.close();
credential.destroy();
await server.close();
