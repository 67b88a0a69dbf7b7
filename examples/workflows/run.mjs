// node examples/workflows/run.mjs
import { randomBytes, randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { ExecutionApi, harden, Secret, Supervisor } from 'sallyport';
import { ParseHost } from 'sallyport/hosts';
import { createServer } from 'sallyport/server';

harden();
const bundle_path = fileURLToPath(new URL('bundle', import.meta.url));

// What users define is found out in a process of its own, which has this folder to read and nothing else.
const host = new ParseHost();
const { serialized_dags, import_errors } = await host.parse({ file: 'daily.mjs', bundle_path, bundle_name: 'sales' });
for (const [file, error] of Object.entries(import_errors)) console.error(`${file}: ${error}`);

// From then on it is data. A real scheduler would wait for its time, and have many runs; this one does one now.
const server = await createServer({ signingKey: Secret.fromBytes(randomBytes(64)) });
const baseUrl = await server.listen();
await server.seed({ variables: { region: 'north', salaries: 'of nobody here' } });
const api = new ExecutionApi({ baseUrl });
const supervisor = new Supervisor({ api, bundles: { sales: bundle_path }, onLog: ({ line }) => console.log(`  ${line}`) });

async function run({ dag_id, bundle_name }, { task_id, file, declares }) {
  const ti = { id: randomUUID(), dag_id, run_id: 'manual__1', task_id, try_number: 1 };
  await server.seed({ taskInstances: [ti] });
  const token = await server.issueWorkloadToken(ti.id);
  const workload = { type: 'ExecuteTask', ti, token, dag_rel_path: file, bundle_info: { name: bundle_name } };
  const { state } = await supervisor.run(workload, { declares }); // which is all that it may ask for
  console.log(`${dag_id}.${task_id}: ${state}`);
}

for (const dag of serialized_dags) {
  const done = new Set();
  for (let left = dag.tasks; left.length > 0; left = left.filter(({ task_id }) => !done.has(task_id))) {
    const ready = left.filter(({ upstream_task_ids }) => upstream_task_ids.every((id) => done.has(id)));
    await Promise.all(ready.map((task) => run(dag, task)));
    for (const { task_id } of ready) done.add(task_id);
  }
}
for (const each of [host, supervisor, api]) await each[Symbol.asyncDispose]();
await server.close();
