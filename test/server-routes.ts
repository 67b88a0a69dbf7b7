// The routes against what describes them: docs/execution-api.md, and Airflow's own client, each of its operations and the models that read the answers.
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type AccessOptions, guard } from '../lib/server/access.js';
import { Authorizer } from '../lib/authorization/index.js';
import { Secret } from '../lib/secrets/secret.js';
import { createApp } from '../lib/server/app.js';
import { routes } from '../lib/server/routes/index.js';
import { type AirflowPython, airflow32, airflow33, isThere, missing } from './helpers/airflow.js';
import { ApiServer, here, startDate } from './helpers/api-server.js';
import { where } from './helpers/where.js';

const documented = suite('server-routes');
documented('every route is in the table, with who may use it and what it is about, and nothing else is', async () => {
  const app = await createApp({ maxBodyBytes: 1, onError: () => {} });
  // Only what routes are made of; none is asked anything here.
  const context = { authorizer: new Authorizer(), now: Date.now } as unknown as AccessOptions;
  const found: string[] = [];
  app.addHook('onRoute', ({ method, url, config }) => {
    const path = url.replaceAll(/:(\w+)/g, '{$1}').replace('*', '{key}');
    // HEAD of what Fastify adds for each GET; the one of XComs is a route.
    if (method !== 'HEAD' || url.includes('/xcoms/')) found.push(`${String(method)} ${path} | ${config?.access} | ${config?.resource === undefined ? '' : `${config.resource.kind} ${config.resource.action}`}`.trim());
  });
  guard(app, context);
  await routes(app, context);
  await app.ready();
  const text = readFileSync(new URL('../docs/execution-api.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| (GET|HEAD|PUT|PATCH|POST|DELETE) `([^`]+)` \| (\S+) \| ([^|]*)\|/gm)].map(([, method, path, access, resource]) => `${method} ${path} | ${access} | ${resource?.trim()}`.trim());
  assert.equal(rows.sort(), [...new Set(found)].sort());
});

for (const airflow of [airflow32, airflow33]) {
  where(documented, isThere(airflow), ...missing(airflow))(`each operation of Airflow ${airflow.version}'s client is answered as its models expect`, async () => {
    const of = { dag_id: 'daily', run_id: 'manual__2026-04-06T00:00:00+00:00' };
    const table = { name: 'table', uri: 's3://table' };
    const credential = randomBytes(32).toString('base64url');
    await using api = await ApiServer.start({ adminCredential: Secret.fromBytes(Buffer.from(credential)) }, {
      dags: [{ dag_id: 'other', tags: ['b', 'a'] }, { dag_id: of.dag_id, task_assets: { one: [table] } }],
      dagRuns: [{ ...of, logical_date: '2026-04-06T00:00:00Z' }],
      variables: { region: 'north' },
      connections: [{ conn_id: 'warehouse', conn_type: 'http', password: 'hunter2', port: 80, extra: '{"a": 1}' }],
      assets: [table],
    }); // prettier-ignore
    const told: Record<string, string> = { url: api.url, ...of, task_id: 'one' };
    const tokens: Record<string, string> = {};
    for (const task_id of ['one', 'deferred', 'rescheduled', 'retried', 'failed', 'succeeded', 'waiting']) {
      told[task_id] = (await api.task({ ...of, task_id })).id;
      tokens[task_id] = await api.server.issueWorkloadToken(told[task_id]);
    }
    await api.task({ ...of, task_id: 'downstream' });
    await api.task({ ...of, task_id: 'mapped', map_index: 1 });
    const seen = await runClient(airflow, told, tokens);

    const ok = { ok: true, type: 'OKResponse' };
    const absent = (error: string, detail: object): object => ({ error, detail, type: 'ErrorResponse' });
    const { context, run: made, ...rest } = seen as Record<string, Record<string, unknown>>;
    assert.equal([context?.['should_retry'], context?.['xcom_keys_to_clear'], (context?.['dag_run'] as { dag_id: string }).dag_id], [false, [], 'daily']);
    assert.equal([made?.['state'], made?.['clear_number'], made?.['conf'], made?.['note'], made?.['logical_date']], ['queued', 1, { a: 1 }, 'why', '2026-04-06T00:00:00Z']);
    for (const name of ['rtif', 'rendered', 'variable set', 'variable deleted', 'xcom set', 'xcom deleted', 'triggered', 'reset']) assert.equal(rest[name], ok, name);
    const got = (name: string): unknown => rest[name];
    assert.equal(got('exchanged'), true);
    assert.equal(got('variable'), { key: 'region', value: 'north' });
    assert.equal(got('variable made'), { key: 'made/here', value: 'x' });
    assert.equal(got('variable missing'), absent('VARIABLE_NOT_FOUND', { key: 'none' }));
    assert.equal(got('connection'), { conn_id: 'warehouse', conn_type: 'http', host: null, schema: null, login: null, password: 'hunter2', port: 80, extra: '{"a": 1}' });
    assert.equal(got('connection missing'), absent('CONNECTION_NOT_FOUND', { conn_id: 'none' }));
    assert.equal(got('xcom'), { key: 'return_value', value: { a: [1, null] } });
    assert.equal(got('xcom missing'), { key: 'none', value: null });
    assert.equal([got('xcom count'), got('xcom item'), got('xcom slice')].map((each) => JSON.stringify(each)), [`{"len":1,"type":"XCom${airflow === airflow32 ? 'Length' : 'Count'}Response"}`, '{"a":[1,null]}', '[{"a":[1,null]}]']);
    assert.is((got('xcom item missing') as { error: string }).error, 'XCOM_NOT_FOUND');
    assert.is((got('count') as { count: number }).count, 1);
    assert.equal((got('states') as { task_states: object }).task_states, { [of.run_id]: { one: 'running', deferred: 'queued', rescheduled: 'queued', retried: 'queued', failed: 'queued', succeeded: 'queued', waiting: 'queued', downstream: 'queued', mapped_1: 'queued' } });
    assert.is((got('previous') as { task_instance: { state: string } }).task_instance.state, 'running');
    assert.equal((got('triggered twice') as { error: string }).error, 'DAGRUN_ALREADY_EXISTS');
    assert.is((got('run before') as { dag_run: { run_id: string } }).dag_run.run_id, 'made');
    assert.equal((got('run before none') as { dag_run: unknown }).dag_run, null);
    assert.equal((got('dag') as { tags: unknown }).tags, ['a', 'b']);
    assert.equal([(got('asked') as { subject: string }).subject, (got('unanswered') as { response_received: boolean }).response_received, (got('answered') as { chosen_options: unknown }).chosen_options], ['Deploy?', false, ['no']]);
    assert.equal(got('asset'), { ...table, group: 'asset', extra: {} });
    assert.is((got('asset missing') as { error: string }).error, 'ASSET_NOT_FOUND');
    if (airflow === airflow33) {
      for (const name of ['state set', 'state deleted', 'state cleared', 'asset state set', 'asset state deleted', 'asset state cleared']) assert.equal(rest[name], ok, name);
      assert.equal([got('state none'), got('asset state none')], [absent('TASK_STORE_NOT_FOUND', { key: 'a/b c' }), absent('ASSET_STORE_NOT_FOUND', { key: 'a/b c' })]);
      assert.equal([got('state'), got('asset state')], [{ value: { at: [1, null] } }, { value: false }]);
      // What a person answers is what Airflow's operator is called with: its event, with a time that is one.
      const url = new URL(`hitl-details/${told['waiting']}`, await api.server.listenAdmin()).href;
      const { asked_at } = (await api.ask('GET', url, credential)).body as { asked_at: string };
      assert.is((await api.ask('PATCH', url, credential, { chosen_options: ['yes'], responded_by: { id: '7', name: 'Ada' }, asked_at })).status, 200);
      const waiting = await api.ask('PATCH', `task-instances/${told['waiting']}/run`, await api.server.issueWorkloadToken(told['waiting'] as string), { state: 'running', start_date: startDate, ...here });
      const { next_method, next_kwargs } = waiting.body as { next_method: string; next_kwargs: { event: { responded_at: { __data__: { timestamp: number } } } } };
      const { event, x } = deserialized(airflow, next_kwargs) as { event: { chosen_options: string[]; responded_at: string }; x: number };
      assert.equal([next_method, x, event.chosen_options, Date.parse(event.responded_at)], ['go_on', 1, ['yes'], Math.round(next_kwargs.event.responded_at.__data__.timestamp * 1000)]);
    }
    const { asset_events } = got('events') as { asset_events: { extra: object; source_task_id: string }[] };
    assert.equal(asset_events.map(({ extra, source_task_id }) => [extra, source_task_id]), [[{ rows: 3 }, 'succeeded']]);
    assert.equal((got('states after') as { task_states: object }).task_states, { [of.run_id]: { one: 'running', deferred: 'deferred', rescheduled: 'up_for_reschedule', retried: 'up_for_retry', failed: 'failed', succeeded: 'success', waiting: airflow === airflow32 ? 'queued' : 'awaiting_input', downstream: 'skipped', mapped_1: 'skipped' } });
  });
}

const inFolder = <T>(use: (folder: string) => T): T => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-airflow-'));
  try {
    return use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
};

/** What a task of Airflow's goes on with, as its worker reads it. */
function deserialized({ python }: AirflowPython, kwargs: object): unknown {
  const script = 'import json, sys; from airflow.sdk.serde import deserialize; print(json.dumps(deserialize(json.load(sys.stdin)), default=lambda time: time.isoformat()))';
  const { stdout } = inFolder((folder) => spawnSync(python, ['-c', script], { input: JSON.stringify(kwargs), encoding: 'utf8', env: { PATH: '/usr/bin:/bin', HOME: folder, AIRFLOW_HOME: folder } }));
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
}

async function runClient({ python }: AirflowPython, told: object, tokens: object): Promise<Record<string, unknown>> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-airflow-'));
  try {
    const script = fileURLToPath(new URL('fixtures/airflow_client.py', import.meta.url));
    const env = { PATH: '/usr/bin:/bin', HOME: folder, AIRFLOW_HOME: folder, AIRFLOW__WORKERS__EXECUTION_API_RETRIES: '1' };
    const child = spawn(python, [script, JSON.stringify(told)], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.end(JSON.stringify(tokens));
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk));
    assert.is(await new Promise((resolve) => child.on('close', resolve)), 0, output);
    return JSON.parse(output.trimEnd().split('\n').at(-1) ?? '') as Record<string, unknown>;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

documented.run();
