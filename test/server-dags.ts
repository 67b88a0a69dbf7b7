// Runs, DAGs and assets: what their routes answer, and what success and clearing do to them.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ApiServer, dagRun, expectRefusal as refused, expectReply as expect, type Task } from './helpers/api-server.js';

const dags = suite('server-dags');

const now = '2026-04-06T12:00:00Z';
const fixed = { now: () => Date.parse(now) };
const endDate = '2026-04-06T12:01:00Z';
const table = { name: 'table', uri: 's3://table' };
const url = (run_id: string, dag_id = 'etl'): string => `dag-runs/${dag_id}/${encodeURIComponent(run_id)}`;

dags('a run is triggered, and told with all its fields', async () => {
  await using api = await ApiServer.start(fixed, { dags: [{ dag_id: 'etl' }], dagRuns: [{ ...dagRun, triggering_user_name: 'ada' }] });
  const task = await api.running();
  expect(await task.ask('POST', url('made'), { logical_date: '2026-04-05T02:00:00+02:00', conf: { a: [1] }, note: 'why', partition_key: 'p', reset_dag_run: true }), 204);
  const run = {
    dag_id: 'etl', run_id: 'made', logical_date: '2026-04-05T00:00:00Z', data_interval_start: '2026-04-05T00:00:00Z', data_interval_end: '2026-04-05T00:00:00Z', run_after: now, start_date: null, end_date: null,
    clear_number: 0, run_type: 'manual', state: 'queued', conf: { a: [1] }, triggering_user_name: 'ada', consumed_asset_events: [], partition_key: 'p', note: 'why',
  }; // prettier-ignore
  expect(await task.ask('GET', url('made')), 200, run);
  expect(await task.ask('GET', `${url('made')}/state`), 200, { state: 'queued' });
  expect(await task.ask('POST', url('bare'), {}), 204);
  expect(await task.ask('GET', url('bare')), 200, { ...run, run_id: 'bare', logical_date: null, data_interval_start: null, data_interval_end: null, conf: {}, partition_key: null, note: null });
});

dags('a run that cannot be triggered is not, and why is said', async () => {
  await using api = await ApiServer.start({}, { dags: [{ dag_id: 'etl' }, { dag_id: 'broken', has_import_errors: true }] });
  const task = await api.running();
  refused(await task.ask('POST', url('r', 'none'), {}), 404, 'not_found');
  refused(await task.ask('POST', url('r', 'broken'), {}), 400, 'import_errors');
  refused(await task.ask('POST', `${url('r', 'broken')}/clear`), 400, 'import_errors');
  for (const body of [undefined, [], { conf: 1 }, { logical_date: 'x' }, { run_after: now }, { note: 'x'.repeat(1001) }]) expect(await task.ask('POST', url('r'), body), 422);
  refused(await task.ask('GET', url('r')), 404, 'not_found');
  refused(await task.ask('GET', `${url('r')}/state`), 404, 'not_found');
  refused(await task.ask('POST', `${url('r')}/clear`), 404, 'not_found');
  expect(await task.ask('POST', url('r'), { logical_date: now }), 204);
  refused(await task.ask('POST', url('r'), {}), 409, 'already_exists');
  refused(await task.ask('POST', url('other'), { logical_date: now }), 409, 'already_exists'); // one run a date
  expect(await task.ask('POST', url('other'), {}), 204);
});

dags('of those who trigger the same run at once, one does', async () => {
  await using api = await ApiServer.start({}, { dags: [{ dag_id: 'etl' }] });
  const task = await api.running();
  const replies = await Promise.all(Array.from({ length: 20 }, () => task.ask('POST', url('r'), {})));
  assert.equal(replies.map(({ status }) => status).sort(), [204, ...Array.from({ length: 19 }, () => 409)]);
});

dags('runs are counted, and the one before is found', async () => {
  const day = (n: number, state: 'success' | 'failed') => ({ dag_id: 'etl', run_id: `day ${n}`, logical_date: `2026-04-0${n}T00:00:00Z`, state });
  await using api = await ApiServer.start({}, { dagRuns: [day(1, 'success'), day(2, 'failed'), day(3, 'success'), { dag_id: 'etl', run_id: 'manual' }] });
  const task = await api.running();
  for (const [query, count] of [['', 4], ['&states=success', 2], ['&states=success&states=failed', 3], ['&run_ids=day%201&run_ids=manual', 2], ['&logical_dates=2026-04-02T00:00:00Z', 1], ['&states=success&run_ids=day%202', 0]] as const) {
    expect(await task.ask('GET', `dag-runs/count?dag_id=etl${query}`), 200, count);
  }
  const previous = async (query: string): Promise<unknown> => ((await task.ask('GET', `dag-runs/previous?dag_id=etl&${query}`)).body as { run_id?: string } | null)?.run_id ?? null;
  assert.is(await previous('logical_date=2026-04-03T00:00:00Z'), 'day 2');
  assert.is(await previous('logical_date=2026-04-03T00:00:00Z&state=success'), 'day 1');
  assert.is(await previous('logical_date=2026-04-03T00:00:00.000001Z'), 'day 3');
  expect(await task.ask('GET', 'dag-runs/previous?dag_id=etl&logical_date=2026-04-01T00:00:00Z'), 200, null);
  for (const query of ['', 'logical_date=x', 'logical_date=2026-04-01T00:00:00Z&state=x']) expect(await task.ask('GET', `dag-runs/previous?dag_id=etl&${query}`), 422);

  const today = await api.running({ dag_id: 'etl', run_id: 'day 3' });
  const start = ((await task.ask('GET', url('day 1'))).body as { start_date: string }).start_date;
  expect(await today.ask('GET', `task-instances/${today.id}/previous-successful-dagrun`), 200, { data_interval_start: null, data_interval_end: null, start_date: start, end_date: null });
  expect(await task.ask('GET', `task-instances/${task.id}/previous-successful-dagrun`), 200, { data_interval_start: null, data_interval_end: null, start_date: null, end_date: null });
});

dags('clearing a run gives each task that began another try, and tells the old one at its next heartbeat', async () => {
  await using api = await ApiServer.start(fixed, { dagRuns: [{ dag_id: 'etl', run_id: 'r', state: 'success', end_date: now }] });
  const of = { dag_id: 'etl', run_id: 'r' };
  const [done, running, fresh] = [await api.task({ ...of, task_id: 'done' }), await api.task({ ...of, task_id: 'running', max_tries: 3 }), await api.running()];
  for (const task of [done, running]) expect(await task.run(), 200);
  expect(await done.state({ state: 'success', end_date: endDate }), 204);
  expect(await running.heartbeat(), 204); // control
  expect(await fresh.ask('POST', `${url('r')}/clear`), 204);
  for (const reply of [await running.heartbeat(), await running.run(), await running.state({ state: 'success', end_date: endDate })]) refused(reply, 410, 'not_found');
  expect(await fresh.ask('GET', 'task-instances/states?dag_id=etl'), 200, { task_states: { r: { done: null, running: 'restarting' } } });
  const { state, clear_number, start_date, end_date } = (await fresh.ask('GET', url('r'))).body as Record<string, unknown>;
  assert.equal([state, clear_number, start_date, end_date], ['queued', 1, null, null]);
  expect(await fresh.ask('GET', 'task-instances/count?dag_id=etl&states=null'), 200, 1);
  // One that never began has no other try, and a run that was not over stays what it was.
  expect(await fresh.ask('POST', `${url('r')}/clear`), 204);
  const again = (await fresh.ask('GET', url('r'))).body as Record<string, unknown>;
  assert.equal([again['state'], again['clear_number']], ['queued', 2]);
  expect(await fresh.ask('GET', 'task-instances/previous/etl/done'), 200);
  const { try_number } = (await fresh.ask('GET', 'task-instances/previous/etl/done')).body as { try_number: number };
  assert.is(try_number, 2);
});

dags('a run that is cleared while its tasks end, beat and skip each other is answered without a fault', async () => {
  await using api = await ApiServer.start({}, { assets: [table] });
  const of = { dag_id: 'etl', run_id: 'r' };
  const tasks = await Promise.all(Array.from({ length: 12 }, (_, n) => api.task({ ...of, task_id: `t${n}` })));
  for (const task of tasks.slice(6)) expect(await task.run(), 200);
  const asker = await api.running();
  const names = tasks.map(({ task_id }) => task_id);
  const replies = await Promise.all(tasks.flatMap((task, n) => [
    task.state({ state: 'success', end_date: endDate, task_outlets: [{ ...table, type: 'Asset' }] }),
    task.ask('PATCH', `task-instances/${task.id}/skip-downstream`, { tasks: n % 2 === 0 ? names : names.toReversed() }),
    task.heartbeat(),
    ...(n % 4 === 0 ? [asker.ask('POST', `${url('r')}/clear`)] : []),
  ])); // prettier-ignore
  for (const { status, body } of replies) assert.ok([204, 409, 410].includes(status), JSON.stringify(body));
  assert.is(((await asker.ask('GET', url('r'))).body as { clear_number: number }).clear_number, 3);
  expect(await asker.ask('GET', 'task-instances/count?dag_id=etl'), 200, 12); // each has one latest try
});

dags('a DAG is told', async () => {
  const dag = { dag_id: 'etl', bundle: 'main', bundle_version: 'v1', is_paused: true, relative_fileloc: 'a/etl.py', owners: 'ada', tags: ['z', 'a'], next_dagrun: '2026-04-07T00:00:00+02:00' };
  await using api = await ApiServer.start({}, { bundles: [{ name: 'main' }], dags: [dag] });
  const task = await api.running();
  expect(await task.ask('GET', 'dags/etl'), 200, { dag_id: 'etl', is_paused: true, bundle_name: 'main', bundle_version: 'v1', relative_fileloc: 'a/etl.py', owners: 'ada', tags: ['a', 'z'], next_dagrun: '2026-04-06T22:00:00Z' });
  expect(await task.ask('GET', 'dags/etl/state'), 200, { is_paused: true });
  expect(await task.ask('GET', `dags/${dagRun.dag_id}/state`), 200, { is_paused: false });
  for (const path of ['dags/none', 'dags/none/state']) refused(await task.ask('GET', path), 404, 'not_found');
});

const seed = {
  assets: [{ ...table, group: 'g', extra: { of: 'the asset' } }, { name: 'old', uri: 's3://old', is_active: false }],
  dags: [{ dag_id: dagRun.dag_id, task_assets: { t: [table, { name: 'old', uri: 's3://old' }, { name: 'none', uri: 'x' }] } }],
};

dags('an asset is found by its name and by its URI while it is active', async () => {
  await using api = await ApiServer.start({}, seed);
  const task = await api.running({ task_id: 't' });
  const asset = { ...table, group: 'g', extra: { of: 'the asset' } };
  expect(await task.ask('GET', 'assets/by-name?name=table'), 200, asset);
  expect(await task.ask('GET', 'assets/by-uri?uri=s3://table'), 200, asset);
  for (const path of ['assets/by-name?name=old', 'assets/by-uri?uri=s3://old', 'assets/by-name?name=%25']) refused(await task.ask('GET', path), 404, 'not_found');
  for (const path of ['assets/by-name', 'assets/by-uri?name=table', 'assets/by-alias']) expect(await task.ask('GET', path), 422);
  expect(await task.ask('GET', `task-instances/${task.id}/validate-inlets-and-outlets`), 200, { inactive_assets: [{ name: 'old', uri: 's3://old', type: 'Asset' }, { name: 'none', uri: 'x', type: 'Asset' }] });
  const other = await api.running({ task_id: '__proto__' });
  expect(await other.ask('GET', `task-instances/${other.id}/validate-inlets-and-outlets`), 200, { inactive_assets: [] });
});

interface Event {
  readonly extra: object;
  readonly asset: { readonly name: string };
  readonly timestamp: string;
}
const events = async (task: Task, query: string): Promise<readonly Event[]> => {
  const reply = await task.ask('GET', `asset-events/${query}`);
  expect(reply, 200);
  return (reply.body as { asset_events: Event[] }).asset_events;
};
async function succeed(task: Task, task_outlets: readonly object[], outlet_events: readonly object[] = []): Promise<void> {
  expect(await task.run(), 200);
  expect(await task.state({ state: 'success', end_date: endDate, task_outlets, outlet_events }), 204);
}

dags('success with outlets makes an event of each active asset, once, with what the task said of it', async () => {
  await using api = await ApiServer.start(fixed, { ...seed, dagRuns: [{ ...dagRun, partition_key: 'p' }] });
  const [asker, task] = [await api.running(), await api.task({ task_id: 'producer', map_index: 2 })];
  const outlet = { ...table, type: 'Asset' };
  await succeed(task, [outlet, outlet, { name: 'old', uri: 's3://old', type: 'Asset' }, { name: 'unknown', type: 'AssetNameRef' }, { type: 'Asset' }], [{ dest_asset_key: table, extra: { rows: 3 } }, {}]);
  const event = { id: 1, timestamp: now, extra: { rows: 3 }, asset: { ...table, group: 'g', extra: { of: 'the asset' } }, created_dagruns: [], source_task_id: 'producer', source_dag_id: dagRun.dag_id, source_run_id: dagRun.run_id, source_map_index: 2, partition_key: 'p' };
  for (const query of ['name=table', 'uri=s3://table', 'name=table&uri=s3://table', 'name=table&uri=']) assert.equal(await events(asker, `by-asset?${query}`), [event]);
  for (const query of ['name=old&uri=s3://old', 'name=unknown']) assert.equal(await events(asker, `by-asset?${query}`), []);
  refused(await task.state({ state: 'success', end_date: endDate, task_outlets: [outlet] }), 409, 'invalid_state');
  assert.is((await events(asker, 'by-asset?name=table')).length, 1); // a second word makes no second event
  refused(await asker.ask('GET', 'asset-events/by-asset'), 400, 'Missing parameter');
});

dags('so many events are answered as memory allows', async () => {
  await using api = await ApiServer.start({}, seed);
  const asker = await api.running();
  const outlet = [{ ...table, type: 'Asset' }, { name: 'all', type: 'AssetAlias' }];
  for (let left = 20; left > 0; left--) {
    const extra = { of: left === 20 ? 'first' : 'others', x: 'x'.repeat(450_000) };
    await succeed(await api.task(), outlet, [{ dest_asset_key: table, extra }, { dest_asset_key: table, source_alias_name: 'all', extra }]);
  }
  for (const path of ['by-asset?name=table', 'by-asset?uri=s3://table&extra=of%3Dfirst&limit=1', 'by-asset?name=table&limit=40']) refused(await asker.ask('GET', `asset-events/${path}`), 413, 'too_large');
  for (const path of ['by-asset?name=table&limit=20', 'by-asset?name=table&ascending=false&limit=20', 'by-asset-alias?name=all']) assert.is((await events(asker, path)).length, 20); // control
});

dags('events are narrowed by partition and by texts of their extra, before they are counted', async () => {
  await using api = await ApiServer.start({}, { ...seed, dagRuns: [{ ...dagRun, partition_key: 'p=1' }, { dag_id: 'daily', run_id: 'other', partition_key: 'P=1' }] });
  const asker = await api.running();
  const outlet = [{ ...table, type: 'Asset' }, { name: 'all', type: 'AssetAlias' }];
  const extras: readonly (readonly [run_id: string, extra: object])[] = [[dagRun.run_id, { region: 'north', env: 'a=b' }], ['other', { region: 'north' }], [dagRun.run_id, { region: 3 }], [dagRun.run_id, { region: 'south', '"é': 'x' }], [dagRun.run_id, {}]];
  for (const [run_id, extra] of extras) await succeed(await api.task({ run_id }), outlet, [{ dest_asset_key: table, extra }, { dest_asset_key: table, source_alias_name: 'all', extra }]);
  const seen = async (query: string): Promise<unknown[]> => (await events(asker, `by-asset?name=table&uri=s3://table${query}`)).filter((_event, index) => index % 2 === 0).map(({ extra }) => extra);
  const by = (number: number) => extras[number]?.[1];
  assert.is((await seen('')).length, 5); // control
  assert.equal(await seen('&partition_key=P%3D1'), [by(1)]);
  assert.equal(await seen('&partition_key=p'), []);
  assert.equal(await seen('&extra=region%3Dnorth'), [by(0), by(1)]);
  assert.equal(await seen('&extra=region%3Dnorth&extra=env%3Da%3Db'), [by(0)]);
  assert.equal(await seen('&extra=region%3Dnorth&partition_key=p%3D1&ascending=false'), [by(0)]);
  assert.equal([await seen('&extra=region%3D3'), await seen('&extra=__proto__%3Dx'), await seen(`&extra=${encodeURIComponent('"é=x')}`)], [[], [], [by(3)]]);
  // What is left is counted, and not what was looked at.
  assert.equal((await events(asker, 'by-asset?name=table&extra=region%3Dsouth&limit=1')).map(({ extra }) => extra), [by(3)]);
  assert.equal((await events(asker, 'by-asset-alias?name=all&extra=region%3Dsouth')).map(({ extra }) => extra), [by(3)]);
  for (const query of ['&extra=north', '&extra=%3Dx', Array(17).fill('&extra=a%3Db').join(''), `&partition_key=${'k'.repeat(251)}`]) expect(await asker.ask('GET', `asset-events/by-asset?name=table${query}`), 422);
  for (const path of ['by-asset?name=table', 'by-asset-alias?name=all']) refused(await asker.ask('GET', `asset-events/${path}&partition_key_regexp_pattern=(a%2B)%2B$`), 400, 'regexp_not_available');
});

dags('outlets that are named by one half, or by an alias, come to the asset', async () => {
  await using api = await ApiServer.start({}, seed);
  const [first, second, asker] = [await api.task(), await api.task(), await api.running()];
  await succeed(first, [{ name: 'table', uri: null, type: 'AssetNameRef' }, { uri: 's3://table', type: 'AssetUriRef' }], [{ dest_asset_key: table, extra: { said: 1 } }]);
  assert.equal((await events(asker, 'by-asset?name=table')).map(({ extra }) => extra), [{ said: 1 }, { said: 1 }]);
  const made = { name: 'made', uri: 's3://made' };
  const aliased = { source_alias_name: 'a1', dest_asset_key: made, dest_asset_extra: { new: true }, extra: { n: 1 } };
  await succeed(second, [{ name: 'a1', type: 'AssetAlias' }, { name: 'a2', type: 'AssetAlias' }], [aliased, { ...aliased, source_alias_name: 'a2' }, { ...aliased, extra: { n: 2 } }, { ...aliased, source_alias_name: 'not an outlet' }]);
  expect(await asker.ask('GET', 'assets/by-name?name=made'), 200, { ...made, group: 'asset', extra: { new: true } });
  assert.equal((await events(asker, 'by-asset-alias?name=a1')).map(({ extra }) => extra), [{ n: 1 }, { n: 2 }]);
  assert.equal((await events(asker, 'by-asset-alias?name=a2')).map(({ extra }) => extra), [{ n: 1 }]);
  assert.equal(await events(asker, 'by-asset-alias?name=not%20an%20outlet'), []);
  assert.equal((await events(asker, 'by-asset?name=made')).length, 2);
  expect(await asker.ask('GET', 'assets/by-alias?alias_name=a2'), 200, [{ ...made, group: 'asset', extra: { new: true } }]);
});

dags('with teams, a task makes events of its own team\'s assets and of no others', async () => {
  const assets = [{ ...table, team: 'a' }, { name: 'theirs', uri: 's3://theirs', team: 'b' }, { name: 'shared', uri: 's3://shared' }];
  const own = { dag_id: dagRun.dag_id, bundle: 'a' };
  const teams = { teams: ['a', 'b'], bundles: [{ name: 'a', team: 'a' }], dags: [own], assets };
  const outlets = assets.map(({ name, uri }) => ({ name, uri, type: 'Asset' }));
  for (const multiTeam of [true, false]) {
    await using api = await ApiServer.start({ multiTeam }, teams);
    await succeed(await api.task(), outlets);
    const told = await Promise.all(assets.map(async ({ name }) => (await scheduled(api, name)).length));
    assert.equal(told, multiTeam ? [1, 0, 0] : [1, 1, 1]);
  }
});

dags('with teams, what comes by an alias makes no asset and no alias that of two teams', async () => {
  const theirs = { name: 'theirs', uri: 's3://theirs' };
  const other = { name: 'other', uri: 's3://other' };
  const assets = [{ ...table, team: 'a' }, { ...other, team: 'a' }, { ...theirs, team: 'b' }];
  const teams = { teams: ['a', 'b'], bundles: [{ name: 'a', team: 'a' }, { name: 'b', team: 'b' }], dags: [{ dag_id: dagRun.dag_id, bundle: 'a' }, { dag_id: 'of b', bundle: 'b' }], assets };
  const by = (alias: string, key: object): object => ({ source_alias_name: alias, dest_asset_key: key });
  for (const multiTeam of [true, false]) {
    await using api = await ApiServer.start({ multiTeam }, teams);
    await succeed(await api.task({ dag_id: 'of b', run_id: 'r' }), [{ name: 'b1', type: 'AssetAlias' }], [by('b1', theirs)]);
    await succeed(await api.task(), ['b1', 'a1', 'a2'].map((name) => ({ name, type: 'AssetAlias' })), [by('b1', table), by('a1', { ...table, uri: theirs.uri }), by('a2', { ...table, uri: other.uri })]);
    const [a, b] = [await api.running(), await api.running({ dag_id: 'of b', run_id: 'r' })];
    const told = async (task: typeof a, query: string): Promise<readonly unknown[]> => {
      const { status, body } = await task.ask('GET', `assets/${query}`);
      return [status, ...[body].flat().map((asset) => (asset as { name?: string }).name)];
    };
    const [byAlias, byUri, byName] = await Promise.all([told(b, 'by-alias?alias_name=b1'), told(b, 'by-uri?uri=s3://theirs'), told(a, 'by-name?name=table')]);
    // Control: without teams any task may make them.
    assert.equal([byAlias, byUri, byName], [multiTeam ? [200, 'theirs'] : [200, 'table', 'theirs'], [200, multiTeam ? 'theirs' : 'table'], [200, 'table']]);
    assert.equal(await told(a, 'by-alias?alias_name=a2'), [200, 'table']);
  }
});

/** Events as a task of the asset's own team sees them. */
async function scheduled(api: ApiServer, name: string): Promise<readonly Event[]> {
  await api.server.seed({ bundles: [{ name, ...(name !== 'shared' && { team: name === 'theirs' ? 'b' : 'a' }) }], dags: [{ dag_id: name, bundle: name }] });
  return events(await api.running({ dag_id: name }), `by-asset?name=${name}`);
}

dags('events are told by time, in either order and as many as asked for', async () => {
  let clock = Date.parse(now);
  await using api = await ApiServer.start({ now: () => clock }, seed);
  for (let n = 0; n < 3; n++) {
    await succeed(await api.task(), [{ ...table, type: 'Asset' }], [{ dest_asset_key: table, extra: { n } }]);
    clock += 60_000;
  }
  const task = await api.running();
  const told = async (query: string): Promise<unknown> => (await events(task, `by-asset?name=table${query}`)).map(({ extra }) => (extra as { n: number }).n);
  assert.equal(await told(''), [0, 1, 2]);
  assert.equal(await told('&ascending=false'), [2, 1, 0]);
  assert.equal(await told('&ascending=False&limit=1'), [2]);
  assert.equal(await told('&limit=2'), [0, 1]);
  assert.equal(await told('&after=2026-04-06T12:01:00Z'), [1, 2]);
  assert.equal(await told('&before=2026-04-06T12:01:00Z&after=2026-04-06T12:00:00.000001Z'), [1]);
  for (const query of ['&after=x', '&limit=-1', '&limit=x', '&ascending=perhaps']) expect(await task.ask('GET', `asset-events/by-asset?name=table${query}`), 422);
});

dags('a run that was started for events is told with them, and they with it', async () => {
  await using api = await ApiServer.start(fixed, seed);
  const [task, asker] = [await api.task(), await api.running()];
  await succeed(task, [{ ...table, type: 'Asset' }, { name: 'a1', type: 'AssetAlias' }], [{ source_alias_name: 'a1', dest_asset_key: table, extra: { by: 'alias' } }]);
  const consumer = { dag_id: 'consumer', run_id: 'asset 1', run_type: 'asset_triggered' as const, consumes: [table] };
  await api.server.seed({ dagRuns: [consumer] });
  const consuming = await api.task({ dag_id: 'consumer', run_id: 'asset 1' });
  const { dag_run } = (await consuming.run()).body as { dag_run: { run_type: string; consumed_asset_events: unknown[] } };
  assert.is(dag_run.run_type, 'asset_triggered');
  const source = { source_task_id: task.task_id, source_dag_id: dagRun.dag_id, source_run_id: dagRun.run_id, source_map_index: -1, timestamp: now };
  const asset = { ...table, extra: { of: 'the asset' } };
  assert.equal(dag_run.consumed_asset_events, [{ asset, extra: {}, ...source, source_aliases: [] }, { asset, extra: { by: 'alias' }, ...source, source_aliases: [{ name: 'a1' }] }]);
  const created = (await events(asker, 'by-asset?name=table')) as unknown as { created_dagruns: { run_id: string; dag_id: string; state: string }[] }[];
  assert.equal(created.map(({ created_dagruns }) => created_dagruns.map(({ dag_id, run_id, state }) => [dag_id, run_id, state])), [[['consumer', 'asset 1', 'running']], [['consumer', 'asset 1', 'running']]]);
  // What one run was started for, the next is not.
  await api.server.seed({ dagRuns: [{ ...consumer, run_id: 'asset 2' }] });
  assert.equal(((await asker.ask('GET', url('asset 2', 'consumer'))).body as { consumed_asset_events: unknown[] }).consumed_asset_events, []);
});

dags('whatever producers say, a run that was started for it starts, and has the newest of it', async () => {
  let clock = Date.parse(now);
  await using api = await ApiServer.start({ now: () => clock }, seed);
  const extras = [10, 500_000, 500_000, 500_000].map((length, n) => ({ n, text: 'x'.repeat(length) })); // control: 1 MiB has room for two of them
  for (const extra of extras) {
    await succeed(await api.task(), [{ ...table, type: 'Asset' }], [{ dest_asset_key: table, extra }]);
    clock += 60_000;
  }
  await api.server.seed({ dagRuns: [{ dag_id: 'consumer', run_id: 'asset 1', run_type: 'asset_triggered', consumes: [table] }] });
  const { dag_run } = (await (await api.task({ dag_id: 'consumer', run_id: 'asset 1' })).run()).body as { dag_run: { consumed_asset_events: { extra: unknown; asset: { extra: unknown } }[] } };
  assert.equal(dag_run.consumed_asset_events.map(({ extra }) => (extra as { n?: number }).n), [undefined, undefined, 2, 3]);
  assert.equal(dag_run.consumed_asset_events.map(({ asset }) => asset.extra), [{}, {}, { of: 'the asset' }, { of: 'the asset' }]);
});

dags.run();
