// node examples/airflow/supervisor.mjs
import { randomBytes, randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { ExecutionApi, harden, Secret, Supervisor } from 'sallyport';
import { spawnServer } from 'sallyport/server';
import { TokenIssuer } from 'sallyport/tokens';

harden();

// What a scheduler does: a server with one task instance queued in it, and the workload it would hand out.
const ti = { id: randomUUID(), dag_id: 'morning', run_id: 'manual', task_id: 'greet', try_number: 1 };
const workload = { type: 'ExecuteTask', ti, dag_rel_path: 'greet.mjs', bundle_info: { name: 'dags' } };
const signingKey = randomBytes(64);
const server = await spawnServer({
  signingKey: signingKey.toString('base64'),
  seed: {
    variables: { greeting: 'Good morning' },
    connections: [{ conn_id: 'warehouse', conn_type: 'postgres', host: 'warehouse.example', password: randomBytes(9).toString('hex') }],
    taskInstances: [ti],
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

// What the next task, or the user interface, would read.
const issuer = new TokenIssuer({ key: Secret.fromBytes(signingKey) });
const reader = api.withToken(Secret.fromBytes(Buffer.from(await issuer.issue({ sub: ti.id, scope: 'execution' }))));
console.log('return_value:', (await reader.getXCom({ ...ti, key: 'return_value' })).value);

await api.close();
await server.close();
