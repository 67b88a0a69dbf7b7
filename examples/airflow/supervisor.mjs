// node examples/airflow/supervisor.mjs
import { randomBytes, randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import { fileURLToPath } from 'node:url';
import { ExecutionApi, harden, Supervisor } from 'sallyport';
import { spawnServer } from 'sallyport/server';

harden();

// What a scheduler does: a server with task instances queued in it, and the workload it would hand out.
const ti = { id: randomUUID(), dag_id: 'morning', run_id: 'manual', task_id: 'greet', try_number: 1 };
const workload = { type: 'ExecuteTask', ti, dag_rel_path: 'greet.mjs', bundle_info: { name: 'dags' } };
const next = { ...ti, id: randomUUID(), task_id: 'answer' };
const server = await spawnServer({
  seed: {
    variables: { greeting: 'Good morning' },
    connections: [{ conn_id: 'warehouse', conn_type: 'postgres', host: 'warehouse.example', password: randomBytes(9).toString('hex') }],
    taskInstances: [ti, next],
  },
});

// What a worker does.
const api = new ExecutionApi({ baseUrl: server.url });
const supervisor = new Supervisor({
  api,
  bundles: { dags: fileURLToPath(new URL('tasks', import.meta.url)) },
  onLog: ({ source, line }) => console.log(`${source}: ${line}`),
});
const outcome = await supervisor.run(workload, {
  token: await server.issueWorkloadToken(ti.id),
  grants: { variables: ['greeting'], connections: ['warehouse'] },
});
console.log(outcome.state, outcome.error ?? outcome.exit);

// What the next task reads: it starts with a workload token, once, and goes on with what it gets for that.
const reader = api.withToken(await server.issueWorkloadToken(next.id));
await reader.run(next.id, { hostname: hostname(), unixname: userInfo().username, pid: process.pid, start_date: new Date().toISOString() });
console.log('return_value:', (await reader.getXCom({ ...ti, key: 'return_value' })).value);

await api.close();
await server.close();
