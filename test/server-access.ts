// Identities by resources by modes, over HTTP.
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { FastifyRequest } from 'fastify';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Authorizer, Secret } from '../lib/index.js';
import { authorize, guard, has_connection_access, has_variable_access, has_xcom_access } from '../lib/server/access.js';
import { createApp } from '../lib/server/app.js';
import { Memo } from '../lib/server/memo.js';
import { openDatabase } from '../lib/server/store/index.js';
import { seedAll } from '../lib/server/store/seed.js';
import { run } from '../lib/server/store/sql.js';
import { Tokens } from '../lib/server/tokens.js';
import { TokenIssuer, TokenVerifier } from '../lib/tokens/index.js';
import { type DecisionRecord, opaPolicy, type Seed, type ServerOptions, spawnServer } from '../lib/server/index.js';
import { ExecutionApi } from '../lib/execution-api/client.js';
import { ApiServer, here, type Reply, startDate, type Task } from './helpers/api-server.js';

const access = suite('server-access');

const endDate = '2026-04-06T00:01:00Z';
const seed: Seed = {
  teams: ['red', 'blue'],
  bundles: [{ name: 'reds', team: 'red' }, { name: 'blues', team: 'blue' }, { name: 'commons' }],
  dags: [
    { dag_id: 'red-1', bundle: 'reds', declares: { variables: ['red', 'none*'], xcoms: ['red-2/*/k'] } },
    { dag_id: 'red-2', bundle: 'reds' },
    { dag_id: 'blue-1', bundle: 'blues', declares: { variables: ['*'], connections: ['*'], xcoms: ['*/*/*'] } },
    { dag_id: 'common', bundle: 'commons' },
  ],
  variables: { red: { value: 'r', team: 'red' }, blue: { value: 'b', team: 'blue' }, all: 'a' },
  connections: [{ conn_id: 'red', conn_type: 'x', team: 'red' }, { conn_id: 'blue', conn_type: 'x', team: 'blue' }, { conn_id: 'all', conn_type: 'x' }] as NonNullable<Seed['connections']>,
};
const run_id = 'r';
const oneId = randomUUID();
const dags = ['red-1', 'red-2', 'blue-1', 'common'] as const;
type Dag = (typeof dags)[number];

interface World {
  readonly api: ApiServer;
  readonly tasks: Readonly<Record<Dag, Task>>;
  readonly records: DecisionRecord[];
}

const xcom = (dag: string, { key = 'k', task = 't' } = {}): string => `xcoms/${dag}/${run_id}/${task}/${key}`;

/** A running task `t` of each DAG, and an XComs of each. */
async function withWorld(options: Partial<ServerOptions>, use: (world: World) => Promise<void>): Promise<void> {
  const records: DecisionRecord[] = [];
  await using api = await ApiServer.start({ ...options, ...(options.authorization !== 'airflow' && { onDecision: (record: DecisionRecord) => records.push(record) }) }, seed);
  const tasks: Record<string, Task> = {};
  for (const dag_id of dags) {
    const task = await api.running({ dag_id, run_id, task_id: 't' });
    assert.is((await task.ask('POST', xcom(dag_id), [dag_id])).status, 201);
    tasks[dag_id] = task;
  }
  records.length = 0;
  await use({ api, tasks: tasks as World['tasks'], records });
}

const reason = ({ body }: Reply): unknown => (body as { detail?: { reason?: string } } | undefined)?.detail?.reason;

/** Status by status: red-1, red-2, blue-1, common. */
type Row = readonly [method: string, path: string, body: unknown, ...statuses: readonly [number, number, number, number]];

const reads: Readonly<Record<'off' | 'teams' | 'declared' | 'both', readonly Row[]>> = {
  off: [
    ...['red', 'blue', 'all'].flatMap((name): Row[] => [['GET', `variables/${name}`, undefined, 200, 200, 200, 200], ['GET', `connections/${name}`, undefined, 200, 200, 200, 200]]),
    ['GET', 'variables/none', undefined, 404, 404, 404, 404],
    ['GET', 'connections/none', undefined, 404, 404, 404, 404],
    ...dags.map((dag): Row => ['GET', xcom(dag), undefined, 200, 200, 200, 200]),
    ['GET', xcom('red-1', { key: 'none' }), undefined, 404, 404, 404, 404],
  ],
  teams: [
    ['GET', 'variables/red', undefined, 200, 200, 403, 403],
    ['GET', 'variables/blue', undefined, 403, 403, 200, 403],
    ['GET', 'variables/all', undefined, 200, 200, 200, 200],
    ['GET', 'variables/none', undefined, 403, 403, 403, 403],
    ['PUT', 'variables/blue', { val: 'x' }, 403, 403, 201, 403],
    ['PUT', 'variables/all', { val: 'x' }, 403, 403, 403, 201],
    ['PUT', 'variables/none', { val: 'x' }, 403, 403, 403, 403],
    ['DELETE', 'variables/none', undefined, 403, 403, 403, 403],
    ['GET', 'connections/red', undefined, 200, 200, 403, 403],
    ['GET', 'connections/blue', undefined, 403, 403, 200, 403],
    ['GET', 'connections/all', undefined, 200, 200, 200, 200],
    ['GET', 'connections/none', undefined, 403, 403, 403, 403],
    ['GET', xcom('red-1'), undefined, 200, 200, 403, 403],
    ['GET', xcom('red-2'), undefined, 200, 200, 403, 403],
    ['GET', xcom('blue-1'), undefined, 403, 403, 200, 403],
    ['GET', xcom('common'), undefined, 200, 200, 200, 200],
    ['GET', xcom('nowhere'), undefined, 403, 403, 403, 403],
    ['GET', xcom('red-1', { key: 'none' }), undefined, 404, 404, 403, 403],
    ['HEAD', xcom('red-1'), undefined, 200, 200, 403, 403],
  ],
  declared: [
    ['GET', 'variables/red', undefined, 200, 403, 200, 403],
    ['GET', 'variables/all', undefined, 403, 403, 200, 403],
    ['GET', 'variables/none-1', undefined, 404, 403, 404, 403],
    ['GET', 'connections/blue', undefined, 403, 403, 200, 403],
    ['GET', xcom('red-1'), undefined, 200, 403, 200, 403],
    ['GET', xcom('red-2'), undefined, 200, 200, 200, 403],
    ['GET', xcom('red-1', { task: 'other' }), undefined, 403, 403, 404, 403],
    ['GET', xcom('red-2', { key: 'other' }), undefined, 403, 404, 404, 403],
  ],
  both: [
    ['GET', 'variables/red', undefined, 200, 403, 403, 403],
    ['GET', 'variables/blue', undefined, 403, 403, 200, 403],
    ['GET', 'variables/none-1', undefined, 403, 403, 403, 403],
    ['GET', xcom('red-2'), undefined, 200, 200, 403, 403],
    ['GET', xcom('blue-1'), undefined, 403, 403, 200, 403],
  ],
};
const modes = { off: {}, teams: { multiTeam: true }, declared: { predeclared: true }, both: { multiTeam: true, predeclared: true } } as const;

for (const [mode, rows] of Object.entries(reads)) {
  access(`with ${mode}: who gets what`, () =>
    withWorld(modes[mode as keyof typeof modes], async ({ tasks, records }) => {
      for (const [method, path, body, ...statuses] of rows) {
        for (const [index, dag] of dags.entries()) {
          const reply = await tasks[dag].ask(method, path, body);
          assert.is(reply.status, statuses[index], `${dag} ${method} ${path} ${JSON.stringify(reply.body)}`);
          if (reply.status === 403 && method !== 'HEAD') assert.is(reason(reply), 'access_denied');
          // Recorded, once, as it was answered.
          const record = records.pop();
          assert.equal([record?.dag_id, record?.allowed, records.length], [dag, reply.status !== 403, 0]);
        }
      }
    }));

  access(`with ${mode}: no XCom is written or deleted but the own`, () =>
    withWorld(modes[mode as keyof typeof modes], async ({ tasks, records }) => {
      for (const writer of dags) {
        for (const owner of dags) {
          for (const method of ['POST', 'DELETE']) {
            for (const path of [xcom(owner), `${xcom(owner)}?map_index=0`, xcom(owner, { task: 'other' }), xcom(owner).replace('/r/', '/r2/')]) {
              const isOwn = writer === owner && path === xcom(owner);
              const reply = await tasks[writer].ask(method, path, method === 'POST' ? 1 : undefined);
              assert.is(reply.status, isOwn ? (method === 'POST' ? 201 : 200) : 403, `${writer} ${method} ${path}`);
              if (!isOwn) assert.equal([reason(reply), records.at(-1)?.rule], ['access_denied', 'own-xcom-write']);
            }
          }
        }
      }
    }));
}

access('what is not there and what is another team\'s are told apart by nothing but the name', () =>
  withWorld({ multiTeam: true }, async ({ tasks }) => {
    for (const [method, kind] of [['GET', 'variables'], ['PUT', 'variables'], ['DELETE', 'variables'], ['GET', 'connections']] as const) {
      const of = async (name: string): Promise<unknown> => {
        const { status, headers, body } = await tasks['red-1'].ask(method, `${kind}/${name}`, method === 'PUT' ? { val: 'x' } : undefined);
        const told = [...headers].filter(([header]) => header !== 'date' && header !== 'content-length');
        return JSON.parse(JSON.stringify([status, told, body]).replaceAll(name, 'NAME'));
      };
      assert.equal(await of('blue'), await of('gone'));
      assert.not.equal(await of('blue'), await of('red')); // control
    }
    assert.is((await tasks['blue-1'].ask('GET', 'variables/blue')).status, 200); // and it is still there
  }));

access('a listing leaves out what may not be read', () =>
  withWorld({ multiTeam: true }, async ({ api, tasks }) => {
    const keys = async (task: Task): Promise<unknown> => ((await api.ask('GET', 'variables/keys', task.token, undefined, { 'airflow-api-version': '2026-06-30' })).body as { keys?: unknown }).keys;
    assert.equal(await keys(tasks['red-1']), ['all', 'red']);
    assert.equal(await keys(tasks['blue-1']), ['all', 'blue']);
    assert.equal(await keys(tasks['common']), ['all']);
  }));

access('with Airflow\'s authorization nothing is decided', () =>
  withWorld({ authorization: 'airflow' }, async ({ tasks }) => {
    for (const path of ['variables/blue', 'connections/blue', xcom('blue-1')]) assert.is((await tasks['red-1'].ask('GET', path)).status, 200);
    assert.is((await tasks['red-1'].ask('POST', xcom('blue-1'), ['forged'])).status, 201);
  }));

access('switches that Airflow\'s authorization would not ask are refused', async () => {
  for (const options of [{ multiTeam: true }, { predeclared: true }, { policy: () => true }, { onDecision: () => {} }, { overtimeSeconds: 1 }]) {
    let code: string | undefined;
    await ApiServer.start({ ...options, authorization: 'airflow' }).catch((error: NodeJS.ErrnoException) => (code = error.code));
    assert.is(code, 'ERR_OUT_OF_RANGE', Object.keys(options).join());
    await (await ApiServer.start(options)).server.close(); // control
  }
  let code: string | undefined;
  await ApiServer.start({ overtimeSeconds: -1 }).catch((error: NodeJS.ErrnoException) => (code = error.code));
  assert.is(code, 'ERR_OUT_OF_RANGE');
});

for (const [mode, options] of Object.entries({ ...modes, airflow: { authorization: 'airflow' } } as const)) {
  access(`with ${mode}: a task's state store is its own`, () =>
    withWorld(options, async ({ api, tasks }) => {
      const sibling = await api.running({ dag_id: 'red-1', run_id, task_id: 't', map_index: 3 });
      const [owner, store] = [tasks['red-1'], `store/ti/${tasks['red-1'].id}`];
      assert.is((await owner.ask('PUT', `${store}/k`, { value: 'own' })).status, 204); // control
      for (const task of [tasks['red-2'], tasks['blue-1'], sibling]) {
        for (const [method, path, body] of [['GET', `${store}/k`], ['PUT', `${store}/k`, { value: 'forged' }], ['DELETE', `${store}/k`], ['DELETE', store]] as const) {
          const reply = await task.ask(method, path, body);
          assert.equal([reply.status, reason(reply)], [403, 'subject_mismatch'], `${method} ${path}`);
        }
      }
      assert.equal((await owner.ask('GET', `${store}/k`)).body, { value: 'own' });
      assert.is((await owner.ask('DELETE', store)).status, 204);
    }));
}

/** Of the task `t` of each DAG: red-1 has `red` as an inlet or outlet, blue-1 declares all, red-2 and common neither. */
const assetSeed: Seed = {
  assets: [{ name: 'red', uri: 'red:', team: 'red' }, { name: 'blue', uri: 'blue:', team: 'blue' }, { name: 'all', uri: 'all:' }],
  dags: [
    { dag_id: 'red-1', bundle: 'reds', task_assets: { t: [{ name: 'red', uri: 'red:' }, { name: 'all', uri: 'all:' }, { name: 'blue', uri: 'blue:' }, { name: 'none', uri: 'none:' }], other: [] } },
    { dag_id: 'red-2', bundle: 'reds', task_assets: { other: [{ name: 'red', uri: 'red:' }] } },
    { dag_id: 'blue-1', bundle: 'blues', declares: { variables: ['*'], assetStates: ['*'] } },
    { dag_id: 'common', bundle: 'commons', declares: { assetStates: ['re', 'all'] } },
  ],
};
const state = (asset: string): string => `store/asset/by-${asset.endsWith(':') ? 'uri' : 'name'}/value?key=k&${asset.endsWith(':') ? 'uri' : 'name'}=${asset}`;
const assetRows = (mode: keyof typeof modes | 'airflow'): readonly Row[] => {
  const put = { value: 1 };
  if (mode === 'airflow') return ['red', 'red:', 'blue', 'all'].flatMap((asset): Row[] => [['PUT', state(asset), put, 204, 204, 204, 204], ['GET', state(asset), undefined, 200, 200, 200, 200]]);
  const teams = mode === 'teams' || mode === 'both';
  return [
    ['PUT', state('red'), put, 204, 403, teams ? 403 : 204, 403],
    ['GET', state('red'), undefined, 200, 403, teams ? 403 : 200, 403],
    ['GET', state('red:'), undefined, 200, 403, teams ? 403 : 200, 403],
    ['PUT', state('blue:'), put, teams ? 403 : 204, 403, 204, 403],
    ['GET', state('blue'), undefined, teams ? 403 : 200, 403, 200, 403],
    // What is nobody's a team's task reads and does not change.
    ['PUT', state('all'), put, teams ? 403 : 204, 403, teams ? 403 : 204, 204],
    ['GET', state('all'), undefined, 200, 403, 200, 200],
    ['GET', state('all:'), undefined, 200, 403, 200, 403],
    ['DELETE', state('all'), undefined, teams ? 403 : 204, 403, teams ? 403 : 204, 204],
    ['DELETE', state('red').replace('value', 'clear'), undefined, 204, 403, teams ? 403 : 204, 403],
    ['GET', state('none'), undefined, teams ? 403 : 404, 403, teams ? 403 : 404, 403],
    ['PUT', state('none'), put, teams ? 403 : 404, 403, teams ? 403 : 404, 403],
  ];
};
for (const [mode, options] of Object.entries({ ...modes, airflow: { authorization: 'airflow' } } as const)) {
  access(`with ${mode}: who keeps state about which asset`, () =>
    withWorld(options, async ({ api, tasks, records }) => {
      await api.server.seed(assetSeed);
      for (const [method, path, body, ...statuses] of assetRows(mode as 'off')) {
        for (const [index, dag] of dags.entries()) {
          const reply = await tasks[dag].ask(method, path, body);
          assert.is(reply.status, statuses[index], `${dag} ${method} ${path} ${JSON.stringify(reply.body)}`);
          if (reply.status === 403) assert.is(reason(reply), 'access_denied');
          const record = records.pop();
          if (mode === 'airflow') assert.is(record, undefined);
          else assert.equal([record?.dag_id, record?.kind, record?.allowed, records.length], [dag, 'asset_state', reply.status !== 403, 0]);
        }
      }
    }));
}

access("an asset that is not the task's is refused alike, there or not, and what it is told says so", () =>
  withWorld({}, async ({ api, tasks, records }) => {
    await api.server.seed(assetSeed);
    const of = async (asset: string): Promise<string> => JSON.stringify(await tasks['red-2'].ask('GET', state(asset)).then(({ status, body }) => [status, body])).replaceAll(asset, 'NAME');
    assert.is(await of('red'), await of('gone'));
    assert.equal([records[0]?.rule, records[0]?.reason], ['own-asset-state', 'not_own']);
    // What a DAG declares holds from the next request on; its tasks alone gain by it.
    await api.server.seed({ dags: [{ dag_id: 'red-2', bundle: 'reds', declares: { assetStates: ['r*'] } }] });
    assert.is((await tasks['red-2'].ask('GET', state('red'))).status, 404);
    assert.is((await tasks['common'].ask('GET', state('red'))).status, 403);
  }));

access('a policy can take the state store away, and is not asked for its keys', () =>
  withWorld({ policy: ({ action, resource }) => !(resource.kind === 'task_instance' && action === 'write') }, async ({ tasks, records }) => {
    const task = tasks['red-1'];
    assert.is((await task.ask('GET', `store/ti/${task.id}/k`)).status, 404); // control
    const reply = await task.ask('PUT', `store/ti/${task.id}/k`, { value: 1 });
    assert.equal([reply.status, reason(reply), records.at(-1)?.rule, records.at(-1)?.name], [403, 'access_denied', 'policy', `red-1/${run_id}/t`]);
  }));

access("a policy can take an asset's state store away, and gives none", () =>
  withWorld({ policy: ({ action, resource }) => resource.kind !== 'asset_state' || action === 'read' }, async ({ api, tasks, records }) => {
    await api.server.seed(assetSeed);
    assert.is((await tasks['red-1'].ask('GET', state('red'))).status, 404); // control
    assert.equal([(await tasks['red-1'].ask('PUT', state('red'), { value: 1 })).status, records.at(-1)?.rule, records.at(-1)?.name], [403, 'policy', 'red']);
    assert.equal([(await tasks['red-2'].ask('GET', state('red'))).status, records.at(-1)?.rule], [403, 'own-asset-state']);
  }));

// --- Live tries

const anything = (task: Task, dag = 'red-1'): readonly (readonly [string, string, unknown?])[] => [
  ['GET', 'variables/all'],
  ['PUT', 'variables/all', { val: 'x' }],
  ['GET', 'connections/all'],
  ['GET', xcom(dag)],
  ['POST', xcom(dag, { task: task.task_id }), 1],
  ['PUT', `store/ti/${task.id}/k`, { value: 1 }],
  ['GET', `store/ti/${task.id}/k`],
  ['DELETE', `store/ti/${task.id}/k`],
];
const ends: readonly Record<string, unknown>[] = [
  ...['success', 'failed', 'skipped', 'removed', 'up_for_retry'].map((state) => ({ state, end_date: endDate })),
  { state: 'up_for_reschedule', end_date: endDate, reschedule_date: endDate },
  { state: 'deferred', classpath: 'a.B', trigger_kwargs: {}, next_method: 'go_on' },
  { state: 'awaiting_input', next_method: 'go_on' },
];

access('a try that does not run, or not any more, is answered 409', async () => {
  await using api = await ApiServer.start({}, seed);
  for (const end of ends) {
    const task = await api.task({ dag_id: 'red-1', run_id, task_id: String(end['state']) });
    for (const [method, path, body] of anything(task)) assert.equal(conflict(await task.ask(method, path, body)), [409, 'not_running', 'queued']);
    assert.is((await task.run()).status, 200);
    for (const [method, path, body] of anything(task)) assert.ok([200, 201, 204, 404].includes((await task.ask(method, path, body)).status), path); // control
    assert.is((await task.ask('POST', `hitlDetails/${task.id}`, { ti_id: task.id, options: ['a'], subject: 's' })).status, 201); // who waits for people has asked them
    assert.is((await task.state(end)).status, 204);
    for (const [method, path, body] of anything(task)) assert.equal(conflict(await task.ask(method, path, body)), [409, 'not_running', end['state']]);
  }
});

const conflict = (reply: Reply): unknown => [reply.status, reason(reply), (reply.body as { detail?: { current_state?: string } }).detail?.current_state];

access('a try that a later one has taken the place of is gone, for its own life cycle too', async () => {
  await using api = await ApiServer.start({}, seed);
  const which = { dag_id: 'red-1', run_id, task_id: 'again' };
  const first = await api.running({ ...which, try_number: 1 });
  const all = [...anything(first), ['PUT', `task-instances/${first.id}/heartbeat`, { hostname: here.hostname, pid: here.pid }], ['PATCH', `task-instances/${first.id}/state`, { state: 'failed', end_date: endDate }]] as const;
  for (const [method, path, body] of all.slice(0, -1)) assert.ok((await first.ask(method, path, body)).status < 300 || method === 'GET', path); // control
  const mapped = await api.running({ ...which, map_index: 7, try_number: 1 });
  const second = await api.running({ ...which, try_number: 2 });
  for (const [method, path, body] of [...all, ['PATCH', `task-instances/${first.id}/run`, { state: 'running', start_date: startDate, ...here }] as const]) {
    const reply = await first.ask(method, path, body);
    assert.equal([reply.status, reason(reply)], [410, 'not_found'], path);
  }
  assert.is((await second.heartbeat()).status, 204);
  assert.is((await second.ask('GET', 'variables/all')).status, 200);
  assert.is((await mapped.ask('GET', 'variables/all')).status, 200); // another map index is another task instance
});

access('a token whose task instance is not there, or of another DAG, gets nothing', async () => {
  const records: DecisionRecord[] = [];
  await using api = await ApiServer.start({ multiTeam: true, onDecision: (record) => records.push(record) }, seed);
  const nobody = await api.issuer.issue({ sub: randomUUID(), scope: 'execution', dag_id: 'red-1' });
  const gone = await api.ask('GET', 'variables/all', nobody);
  assert.equal([gone.status, reason(gone)], [404, 'not_found']);
  const task = await api.running({ dag_id: 'red-1', run_id, task_id: 't' });
  const forged = await api.issuer.issue({ sub: task.id, scope: 'execution', dag_id: 'blue-1' });
  for (const path of ['variables/blue', 'variables/all', xcom('blue-1'), xcom('red-1')]) {
    const reply = await api.ask('GET', path, forged);
    assert.equal([reply.status, reason(reply)], [403, 'subject_mismatch']);
  }
  assert.is((await api.ask('GET', 'variables/all', await api.issuer.issue({ sub: task.id, scope: 'execution', dag_id: 'red-1' }))).status, 200); // control
  assert.equal(records.filter(({ allowed }) => !allowed).map((record) => record.reason), ['unknown', ...Array<string>(4).fill('other_dag')]);
});

access('overtime lets a try have its last words, by the server\'s clock, and renews no token', async () => {
  let clock = Date.now();
  await using api = await ApiServer.start({ overtimeSeconds: 20, now: () => clock }, seed);
  const task = await api.running({ dag_id: 'red-1', run_id, task_id: 't' });
  assert.is((await task.heartbeat()).status, 204);
  assert.is((await task.state({ state: 'success', end_date: '2099-01-01T00:00:00Z' })).status, 204);
  clock += 19_000;
  assert.is((await task.ask('POST', xcom('red-1'), 1)).status, 201);
  clock += 2_000;
  assert.equal(conflict(await task.ask('POST', xcom('red-1'), 1)), [409, 'not_running', 'success']);
  const late = await api.running({ dag_id: 'red-1', run_id, task_id: 'late' });
  clock += 1_000_000;
  assert.is((await late.heartbeat()).headers.get('refreshed-api-token') === null, false); // control
  assert.is((await late.state({ state: 'success', end_date: endDate })).status, 204);
  const reply = await late.ask('GET', 'variables/all');
  assert.equal([reply.status, reply.headers.get('refreshed-api-token')], [200, null]);
});

// --- Policies and records

access('a policy decides over HTTP, and its failure is the operator\'s to see', async () => {
  const told: string[] = [];
  const onError = (error: Error, route: string): number => told.push(`${route}: ${error.message}`);
  const policy = async ({ resource, action }: { readonly resource: { readonly kind: string; readonly key?: string }; readonly action: string }): Promise<boolean> => {
    if (resource.kind === 'connection') throw new Error('no directory');
    return resource.kind === 'xcom' || (action === 'read' && resource.key === 'red');
  };
  await withWorld({ policy: policy as NonNullable<ServerOptions['policy']>, onError }, async ({ tasks, records }) => {
    const task = tasks['red-1'];
    assert.is((await task.ask('GET', 'variables/red')).status, 200);
    for (const [method, path, body] of [['PUT', 'variables/red', { val: 'x' }], ['GET', 'variables/all'], ['GET', 'connections/red']] as const) {
      const reply = await task.ask(method, path, body);
      assert.equal([reply.status, reason(reply)], [403, 'access_denied']);
      assert.not.match(JSON.stringify(reply.body), 'policy');
    }
    assert.is((await task.heartbeat()).status, 204); // not asked about a try's own life
    assert.equal(records.map(({ rule, reason: why }) => `${rule} ${why}`), ['policy policy', 'policy policy_denied', 'policy policy_denied', 'policy policy_failed', 'live-try live']);
    assert.equal(told, ['the policy: no directory']);
  });
});

access('a policy in Rego decides over HTTP, in this process and in one of the server\'s own', async () => {
  const file = new URL('fixtures/authorization.wasm', import.meta.url);
  const rego = { variables: { 'prod/key': 'p', plain: 'q' } };
  const answers: unknown[] = [];
  {
    await using api = await ApiServer.start({ policy: await opaPolicy(readFileSync(file), { data: { production: ['red-1'] } }) }, rego);
    for (const dag_id of ['red-1', 'red-2']) {
      const task = await api.running({ dag_id, run_id, task_id: 't' });
      for (const key of ['plain', 'prod/key']) answers.push((await task.ask('GET', `variables/${encodeURIComponent(key)}`)).status);
    }
  }
  assert.equal(answers, [200, 200, 200, 403]);
  await using server = await spawnServer({ opa: { file: file.pathname, data: { production: ['red-1'] } }, multiTeam: true, seed: { ...rego, teams: ['red'] } });
  for (const dag_id of ['red-1', 'red-2']) {
    const id = randomUUID();
    await server.seed({ taskInstances: [{ id, dag_id, run_id, task_id: 't' }] });
    await using api = new ExecutionApi({ baseUrl: server.url, token: await server.issueWorkloadToken(id) });
    await api.run(id, { ...here, start_date: startDate });
    answers.push(await api.getVariable('prod/key').then(({ value }) => value, ({ status }: { status: number }) => status));
  }
  assert.equal(answers.slice(4), ['p', 403]);
});

access('what cannot be recorded is not done', async () => {
  let full = false;
  const told: string[] = [];
  const onDecision = (): void => {
    if (full) throw new Error('the disk is full');
  };
  await using api = await ApiServer.start({ onDecision, onError: (error) => told.push(error.message) }, seed);
  const task = await api.running({ dag_id: 'red-1', run_id, task_id: 't' });
  assert.is((await task.ask('POST', xcom('red-1'), ['before'])).status, 201);
  full = true;
  for (const [method, path, body] of anything(task)) assert.is((await task.ask(method, path, body)).status, 500);
  full = false;
  assert.equal((await task.ask('GET', xcom('red-1'))).body, { key: 'k', value: ['before'] });
  assert.equal(new Set(told), new Set(['the disk is full']));
});

access('no token, value or body is in a record', () =>
  withWorld({ multiTeam: true }, async ({ tasks, records }) => {
    for (const [method, path, body] of anything(tasks['red-1'])) await tasks['red-1'].ask(method, path, typeof body === 'object' ? { val: 'a secret value' } : body);
    const text = JSON.stringify(records);
    assert.match(text, tasks['red-1'].id); // control
    for (const secret of ['a secret value', ...tasks['red-1'].token.split('.')]) assert.not.ok(text.includes(secret));
  }));

access('a route that does not say what it is about cannot be added, and one that does not ask answers nobody', async () => {
  const key = Secret.fromBytes(randomBytes(64));
  const database = await openDatabase(':memory:');
  const tokens = new Tokens({ database, keys: { issuers: { execution: new TokenIssuer({ key }), workload: new TokenIssuer({ key }) }, verifier: new TokenVerifier({ key }), jwks: { keys: [] } }, registered: true, now: Date.now });
  const errors: string[] = [];
  const app = await createApp({ maxBodyBytes: 1000, onError: (error) => errors.push(error.message) });
  guard(app, { database, memo: new Memo(database), tokens, authorization: 'own', authorizer: new Authorizer(), overtimeSeconds: 0, maxXComKeys: 1, now: Date.now });
  assert.throws(() => app.get('/forgotten', () => 'secret'), /does not say who may use it/);
  assert.throws(() => app.get('/vague', { config: { access: 'task' } }, () => 'secret'), /does not say what it is about/);
  const config = { access: 'task', resource: { kind: 'variable', action: 'read' } } as const;
  const granted = (request: FastifyRequest): Promise<object> => Promise.all([has_variable_access(request, 'k'), has_connection_access(request, 'c'), has_xcom_access(request, { dag_id: 'red-2', run_id, task_id: 't', map_index: -1, key: 'k' })]);
  app.get('/silent', { config }, () => 'secret');
  app.get('/mistaken', { config }, async (request) => (await authorize(request, { kind: 'connection', conn_id: 'k' }), 'secret'));
  app.get('/asking', { config }, async (request) => (await authorize(request, { kind: 'variable', key: 'k' }), 'secret'));
  app.get('/has', { config }, granted);
  await database.transaction(seedAll({ ...seed, taskInstances: [{ id: oneId, dag_id: 'red-1', run_id, task_id: 't' }] }, Date.now()));
  await database.run(run("UPDATE task_instances SET state = 'running'"));
  const headers = { authorization: `Bearer ${await tokens.issue({ sub: oneId, scope: 'execution' })}` };
  const get = async (url: string): Promise<unknown> => Object.values(await app.inject({ url, headers }).then(({ statusCode, body }) => ({ statusCode, body: statusCode === 500 ? '' : body })));
  assert.equal([await get('/silent'), await get('/mistaken')], [[500, ''], [500, '']]);
  assert.equal(await get('/asking'), [200, 'secret']); // control
  assert.equal(errors.length, 2);
  assert.equal(await get('/has'), [200, '[true,true,true]']);
  await database.run(run("UPDATE task_instances SET state = 'failed'"));
  assert.equal(await get('/has'), [200, '[false,false,false]']);
  await app.close();
  await database.close();
});

access('ids with metacharacters are decided on as themselves', async () => {
  const evil = ["' OR '1'='1", '%', '_', '*', '?', 'a/b', '\\', '%2F', ':owned', '$2', '\n', 'é\u{1F512}'];
  const variables = Object.fromEntries(evil.map((key) => [key, { value: key, team: 'red' }]));
  await withWorld({ multiTeam: true }, async ({ api, tasks }) => {
    await api.server.seed({ variables });
    for (const key of evil) {
      const path = `variables/${encodeURIComponent(key)}`;
      assert.equal((await tasks['red-1'].ask('GET', path)).body, { key, value: key });
      assert.is((await tasks['blue-1'].ask('GET', path)).status, 403);
    }
  });
});

access('a team that is changed holds from the next request on', () =>
  withWorld({ multiTeam: true, predeclared: true }, async ({ api, tasks }) => {
    const task = tasks['red-1'];
    assert.is((await task.ask('GET', 'variables/red')).status, 200);
    await api.server.seed({ variables: { red: { value: 'r', team: 'blue' } } });
    assert.is((await task.ask('GET', 'variables/red')).status, 403);
    await api.server.seed({ bundles: [{ name: 'reds', team: 'blue' }] });
    assert.is((await task.ask('GET', 'variables/red')).status, 200);
    await api.server.seed({ dags: [{ dag_id: 'red-1', bundle: 'reds', declares: { variables: ['nothing'] } }] });
    assert.is((await task.ask('GET', 'variables/red')).status, 403);
  }));

access.run();
