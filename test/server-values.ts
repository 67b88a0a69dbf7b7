// Variables and XComs: what their routes answer, in which words, and what they change.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ApiServer, expectRefusal as refused, expectReply as expect, type Reply, type Task } from './helpers/api-server.js';

const routes = suite('server-values');

routes('a variable is made, changed, read and deleted', async () => {
  await using api = await ApiServer.start();
  const task = await api.running();
  const url = `variables/${encodeURIComponent('a/b c')}`;
  refused(await task.ask('GET', url), 404, 'not_found');
  expect(await task.ask('PUT', url, { val: 'one', description: 'first' }), 201, { message: 'Variable successfully set' });
  expect(await task.ask('GET', url), 200, { key: 'a/b c', value: 'one' });
  expect(await task.ask('PUT', url, { val: null }), 201);
  expect(await task.ask('GET', url), 200, { key: 'a/b c', value: null });
  expect(await task.ask('DELETE', url), 204);
  expect(await task.ask('DELETE', url), 204);
  expect(await task.ask('GET', url), 404, { detail: { reason: 'not_found', message: "Variable with key 'a/b c' not found" } });
});

routes("every answer with a body is of FastAPI's type, for Airflow's client reads no other error", async () => {
  await using api = await ApiServer.start();
  const task = await api.running();
  const asked = [['GET', 'health'], ['GET', 'nowhere'], ['GET', 'variables/none'], ['PUT', 'variables/k', {}], ['PUT', 'variables/k', { val: 'x' }], ['POST', task.xcom('k'), 1], ['GET', task.xcom('k')], ['GET', `${task.xcom('k')}/slice`], ['GET', 'task-instances/previous/a/b'], ['GET', 'task-instances/count?dag_id=a']] as const;
  for (const [method, path, body] of asked) assert.is((await task.ask(method, path, body)).headers.get('content-type'), 'application/json', `${method} ${path}`);
  assert.is((await api.ask('GET', 'variables/k')).headers.get('content-type'), 'application/json');
});

routes('a variable with a wrong body, or without a key, is not written', async () => {
  await using api = await ApiServer.start();
  const task = await api.running();
  for (const body of [undefined, {}, { val: 1 }, { val: 'x', team: 'a' }, { value: 'x' }, [], 'x'.repeat(3)]) expect(await task.ask('PUT', 'variables/k', body), 422);
  expect(await task.ask('PUT', 'variables/', { val: 'x' }), 404);
  expect(await task.ask('PUT', `variables/${'k'.repeat(251)}`, { val: 'x' }), 422);
  refused(await task.ask('GET', 'variables/k'), 404, 'not_found');
  expect(await task.ask('PUT', `variables/${'k'.repeat(250)}`, { val: 'x' }), 201); // control
});

routes('keys of variables are listed for who knows that version, and "keys" is a key for others', async () => {
  await using api = await ApiServer.start({}, { variables: { keys: 'mine', a_1: '', a_2: '', 'a%': '', b: '' } });
  const task = await api.running();
  expect(await task.ask('GET', 'variables/keys?prefix=a'), 200, { key: 'keys', value: 'mine' });
  const list = async (query: string): Promise<unknown> => (await api.ask('GET', `variables/keys${query}`, task.token, undefined, { 'airflow-api-version': '2026-06-30' })).body;
  assert.equal(await list(''), { keys: ['a%', 'a_1', 'a_2', 'b', 'keys'], total_entries: 5 });
  assert.equal(await list('?prefix=a_'), { keys: ['a_1', 'a_2'], total_entries: 2 });
  assert.equal(await list('?prefix=a%25'), { keys: ['a%'], total_entries: 1 });
  assert.equal(await list('?limit=2&offset=1'), { keys: ['a_1', 'a_2'], total_entries: 5 });
  expect(await api.ask('GET', 'variables/keys?limit=0', task.token, undefined, { 'airflow-api-version': '2026-06-30' }), 422);
});

/** A mapped task that pushed 0, 10, 20 …, each by the instance that has the index. */
async function pushMapped(api: ApiServer, count: number): Promise<Task> {
  let last: Task | undefined;
  for (let map_index = 0; map_index < count; map_index++) {
    last = await api.running({ task_id: 'mapped', map_index });
    expect(await last.ask('POST', `${last.xcom('k', 'mapped')}?map_index=${map_index}`, map_index * 10), 201);
  }
  return last as Task;
}

routes("XComs of a mapped task are counted, read by place and sliced as Python's lists", async () => {
  await using api = await ApiServer.start();
  const task = await pushMapped(api, 5);
  const url = task.xcom('k', 'mapped');
  const head = await task.ask('HEAD', url);
  assert.equal([head.status, head.headers.get('content-range')], [200, 'map_indexes 5']);
  assert.is((await task.ask('HEAD', task.xcom('none'))).headers.get('content-range'), 'map_indexes 0');
  assert.is((await task.ask('HEAD', `${url}?map_index=1`)).status, 400);

  for (const [offset, value] of [[0, 0], [4, 40], [-1, 40], [-5, 0]] as const) {
    expect(await task.ask('GET', `${url}/item/${offset}`), 200, value);
    expect(await task.ask('GET', `${url}?offset=${offset}`), 200, { key: 'k', value });
  }
  for (const offset of [5, -6]) {
    refused(await task.ask('GET', `${url}/item/${offset}`), 404, 'not_found');
    refused(await task.ask('GET', `${url}?offset=${offset}`), 404, 'not_found');
  }
  const slices = [['', [0, 10, 20, 30, 40]], ['start=1&stop=3', [10, 20]], ['start=-2', [30, 40]], ['stop=-2', [0, 10, 20]], ['step=2', [0, 20, 40]], ['step=-2', [40, 20, 0]], ['start=3&stop=0&step=-1', [30, 20, 10]], ['start=4&stop=1', []], ['step=0', [0, 10, 20, 30, 40]]] as const;
  for (const [query, values] of slices) expect(await task.ask('GET', `${url}/slice?${query}`), 200, values);
  expect(await task.ask('GET', `${url}/slice?start=x`), 422);
  expect(await task.ask('GET', `${task.xcom('none')}/slice`), 200, []);
});

routes('a task instance has so many XCom keys and no more; each map index counts for itself, and what is there may be pushed again', async () => {
  for (const [maxXComKeys, most] of [[3, 3], [undefined, 1000]] as const) {
    await using api = await ApiServer.start(maxXComKeys === undefined ? {} : { maxXComKeys });
    const [task, mapped] = [await api.running({ task_id: 't' }), await api.running({ task_id: 't', map_index: 4 })];
    const key = (n: number): string => `k${n}`.padEnd(512, '\u6f22'); // none takes more bytes
    const push = (of: Task, name: string): Promise<Reply> => of.ask('POST', `${of.xcom(name, 't')}?map_index=${of === mapped ? 4 : -1}`, 1);
    for (let at = 0; at < most; at += 50) await Promise.all(Array.from({ length: Math.min(50, most - at) }, async (_, n) => expect(await push(task, key(at + n)), 201)));
    refused(await push(task, 'one more'), 409, 'xcoms_full');
    for (const [of, name] of [[mapped, 'one more'], [task, key(0)]] as const) expect(await push(of, name), 201);
    expect(await task.ask('DELETE', task.xcom(key(1), 't')), 200);
    expect(await push(task, 'one more'), 201);
    refused(await push(task, key(1)), 409, 'xcoms_full');
    const { xcom_keys_to_clear } = (await task.run()).body as { xcom_keys_to_clear: string[] };
    assert.is(xcom_keys_to_clear.length, most);
    assert.ok(Buffer.byteLength(JSON.stringify(xcom_keys_to_clear)) < 2 << 20); // of a start message, which has 4 MiB
  }
  for (const maxXComKeys of [0, 2001, 1.5, Number.NaN]) {
    try {
      await ApiServer.start({ maxXComKeys });
      assert.unreachable();
    } catch (error) {
      assert.is((error as NodeJS.ErrnoException).code, 'ERR_OUT_OF_RANGE');
    }
  }
});

routes('a key that ends like an item or a slice is itself where its slash is encoded', async () => {
  await using api = await ApiServer.start();
  const task = await api.running();
  for (const key of ['a/slice', 'a/item/0', 'a', 'a/slice/slice']) expect(await api.ask('POST', task.xcom(key), task.token, key, { 'content-type': 'text/plain' }), 415);
  for (const key of ['a/slice', 'a/item/0', 'a', 'a/slice/slice']) {
    expect(await task.ask('POST', task.xcom(key), JSON.stringify(key)), 201);
    expect(await task.ask('GET', task.xcom(key)), 200, { key, value: key });
    expect(await task.ask('GET', `${task.xcom(key)}/slice`), 200, [key]);
    expect(await task.ask('GET', `${task.xcom(key)}/item/0`), 200, key);
  }
});

routes('an XCom is deleted by its own task alone', async () => {
  await using api = await ApiServer.start();
  const [mine, theirs] = [await api.running(), await api.running()];
  for (const task of [mine, theirs]) expect(await task.ask('POST', task.xcom('k'), 1), 201);
  refused(await mine.ask('DELETE', theirs.xcom('k')), 403, 'access_denied');
  expect(await mine.ask('DELETE', mine.xcom('k')), 200, { message: 'XCom with key: k successfully deleted.' });
  refused(await mine.ask('GET', mine.xcom('k')), 404, 'not_found');
  expect(await mine.ask('GET', theirs.xcom('k')), 200, { key: 'k', value: 1 });
});

routes('an XCom of a run that is not there, or too long to map, is not written', async () => {
  await using api = await ApiServer.start({ authorization: 'airflow' });
  const task = await api.running();
  refused(await task.ask('POST', 'xcoms/daily/none/t/k', 1), 404, 'not_found');
  refused(await task.ask('POST', `${task.xcom('k')}?mapped_length=1025`, 1), 400, 'unmappable_return_value_length');
  refused(await task.ask('GET', task.xcom('k')), 404, 'not_found');
  expect(await task.ask('POST', `${task.xcom('k')}?mapped_length=1024`, 1), 201);
});

// --- What a task keeps for its own later tries

const states = (task: Task, key?: string): string => `store/ti/${task.id}${key === undefined ? '' : `/${encodeURIComponent(key)}`}`;

routes("a task's state store is that of its tries in one run, and of no other task instance", async () => {
  await using api = await ApiServer.start();
  const which = { task_id: 'load', map_index: 0 };
  const first = await api.running({ ...which, try_number: 1 });
  refused(await first.ask('GET', states(first, 'a/b c')), 404, 'not_found');
  expect(await first.ask('PUT', states(first, 'a/b c'), { value: 1 }), 204);
  for (const value of [0, false, '', [], {}, { at: [1, null, 'é\u{1F512}'] }, -1.5, Number.MAX_SAFE_INTEGER]) {
    expect(await first.ask('PUT', states(first, 'a/b c'), { value, expires_at: null }), 204);
    expect(await first.ask('GET', states(first, 'a/b c')), 200, { value });
  }
  const mapped = await api.running({ ...which, map_index: 1 });
  const other = await api.running();
  for (const task of [mapped, other]) refused(await task.ask('GET', states(task, 'a/b c')), 404, 'not_found');
  const second = await api.running({ ...which, try_number: 2 });
  expect(await second.ask('GET', states(second, 'a/b c')), 200, { value: Number.MAX_SAFE_INTEGER });
  expect(await second.ask('PUT', states(second, 'k'), { value: 'kept' }), 204);
  expect(await mapped.ask('PUT', states(mapped, 'k'), { value: 'theirs' }), 204);
  refused(await first.ask('GET', states(first, 'k')), 410, 'not_found');
  expect(await second.ask('DELETE', states(second, 'a/b c')), 204);
  expect(await second.ask('DELETE', states(second, 'a/b c')), 204);
  refused(await second.ask('GET', states(second, 'a/b c')), 404, 'not_found');
  expect(await second.ask('DELETE', `${states(second)}/`), 422); // an empty key is not all of them
  expect(await second.ask('GET', states(second, 'k')), 200, { value: 'kept' });
  expect(await second.ask('DELETE', states(second)), 204);
  refused(await second.ask('GET', states(second, 'k')), 404, 'not_found');
  expect(await mapped.ask('GET', states(mapped, 'k')), 200, { value: 'theirs' });
});

routes('a state that has expired is gone, is forgotten, and makes room', async () => {
  let clock = Date.parse('2026-04-06T00:00:00Z');
  await using api = await ApiServer.start({ now: () => clock, tokenLifetimeSeconds: 3600 });
  const task = await api.running();
  expect(await task.ask('PUT', states(task, 'short'), { value: 1, expires_at: '2026-04-06T01:00:10+01:00' }), 204);
  expect(await task.ask('PUT', states(task, 'long'), { value: 2 }), 204);
  clock += 9_999;
  expect(await task.ask('GET', states(task, 'short')), 200, { value: 1 });
  clock += 1;
  refused(await task.ask('GET', states(task, 'short')), 404, 'not_found');
  expect(await task.ask('PUT', states(task, 'short'), { value: 3, expires_at: '2026-04-06T00:00:20Z' }), 204);
  expect(await task.ask('GET', states(task, 'short')), 200, { value: 3 });
  clock += 60_000;
  expect(await task.ask('PUT', states(task, 'other'), { value: 4 }), 204); // cleans up
  clock -= 60_000; // control: what is not there any more does not come back
  refused(await task.ask('GET', states(task, 'short')), 404, 'not_found');
  expect(await task.ask('GET', states(task, 'long')), 200, { value: 2 });
});

routes('a state of the wrong kind, or too large, or one too many is not kept', async () => {
  await using api = await ApiServer.start();
  const task = await api.running();
  for (const body of [undefined, {}, [], 'x', { value: null }, { value: 1, state: 1 }, { value: 1, expires_at: 'tomorrow' }, { value: 1, expires_at: '2026-02-31T00:00:00Z' }, '{"value":9007199254740993}', '{"value":{"a":[1e400]}}', '{"value":{"__proto__":1}}', { value: 'x'.repeat(65_534) }]) {
    expect(await task.ask('PUT', states(task, 'k'), body), 422);
  }
  expect(await task.ask('PUT', states(task, 'k'.repeat(513)), { value: 1 }), 422);
  refused(await task.ask('GET', states(task, 'k')), 404, 'not_found');
  expect(await task.ask('PUT', states(task, 'k'.repeat(512)), { value: 'x'.repeat(65_533) }), 204); // control
  expect(await task.ask('PUT', states(task, 'gone'), { value: 1, expires_at: '2020-01-01T00:00:00Z' }), 204);
  for (let n = 1; n < 1000; n++) expect(await task.ask('PUT', states(task, `k${n}`), { value: n }), 204);
  refused(await task.ask('PUT', states(task, 'one more'), { value: 1 }), 409, 'state_store_full');
  expect(await task.ask('PUT', states(task, 'k7'), { value: 'changed' }), 204);
  const other = await api.running();
  expect(await other.ask('PUT', states(other, 'one more'), { value: 1 }), 204);
  expect(await task.ask('DELETE', states(task, 'k7')), 204);
  expect(await task.ask('PUT', states(task, 'one more'), { value: 1 }), 204);
});

routes('what has expired takes room until it is forgotten, and then no more', async () => {
  const database = join(mkdtempSync(join(tmpdir(), 'sallyport-states-')), 'database');
  try {
    await using api = await ApiServer.start({ database });
    const task = await api.running();
    expect(await task.ask('PUT', states(task, 'stays'), { value: 'here' }), 204);
    const kept = (): number => {
      const reader = new DatabaseSync(database);
      try {
        return (reader.prepare('SELECT count(*) AS count FROM task_state_store').get() as { count: number }).count;
      } finally {
        reader.close();
      }
    };
    // A task may write what has expired as often as it likes: it takes no more of the disk than what has not.
    for (let n = 0; n < 1100; n++) expect(await task.ask('PUT', states(task, `gone${n}`), { value: n, expires_at: '2020-01-01T00:00:00Z' }), 204);
    assert.ok(kept() <= 1000, `${kept()} are kept`);
    expect(await task.ask('GET', states(task, 'stays')), 200, { value: 'here' });
    for (let n = 0; n < 999; n++) expect(await task.ask('PUT', states(task, `k${n}`), { value: n }), 204);
    refused(await task.ask('PUT', states(task, 'one more'), { value: 1 }), 409, 'state_store_full');
    assert.is(kept(), 1000);
  } finally {
    rmSync(dirname(database), { recursive: true, force: true });
  }
});

routes('a slice of XComs is as long as memory allows, and one XCom is always one', async () => {
  await using api = await ApiServer.start();
  const value = 'x'.repeat(1_000_000);
  const tasks: Task[] = [];
  for (let map_index = 0; map_index < 20; map_index++) {
    const task = await api.running({ task_id: 'mapped', map_index });
    expect(await task.ask('POST', `${task.xcom('k', 'mapped')}?map_index=${map_index}`, JSON.stringify(value)), 201);
    tasks.push(task);
  }
  const [task] = tasks as [Task];
  const slice = (query: string): Promise<Reply> => task.ask('GET', `${task.xcom('k', 'mapped')}/slice${query}`);
  for (const all of ['', '?include_prior_dates=true', '?step=-1', '?start=2']) refused(await slice(all), 413, 'too_large');
  expect(await slice('?stop=16'), 200, Array(16).fill(value)); // control
  expect(await slice('?start=-1'), 200, [value]);
  expect(await slice('?start=20'), 200, []);
});

// --- What tasks keep about an asset

const about = (by: 'name' | 'uri', asset: string, key?: string): string => `store/asset/by-${by}/${key === undefined ? 'clear' : 'value'}?${new URLSearchParams({ [by]: asset, ...(key !== undefined && { key }) })}`;

routes("an asset's state store is one, by its name and its URI, for all tasks that it belongs to, and outlives runs", async () => {
  const table = { name: 'a table', uri: 's3://table?x=1&y' };
  await using api = await ApiServer.start({}, { assets: [table, { name: 'other', uri: 'o' }], dags: [{ dag_id: 'daily', task_assets: { load: [table], clean: [{ name: 'other', uri: 'o' }, table] } }] });
  const load = await api.running({ task_id: 'load' });
  const clean = await api.running({ task_id: 'clean', run_id: 'another' });
  refused(await load.ask('GET', about('name', table.name, 'a/b c')), 404, 'not_found');
  for (const value of [0, false, '', [], { at: [1, null, 'é\u{1F512}'] }]) {
    expect(await load.ask('PUT', about('name', table.name, 'a/b c'), { value }), 204);
    expect(await clean.ask('GET', about('uri', table.uri, 'a/b c')), 200, { value });
  }
  expect(await clean.ask('PUT', about('uri', table.uri, 'k'), { value: 1 }), 204);
  expect(await clean.ask('PUT', about('uri', 'o', 'k'), { value: 'kept' }), 204);
  expect(await load.ask('DELETE', about('name', table.name, 'k')), 204);
  expect(await load.ask('DELETE', about('name', table.name, 'k')), 204);
  refused(await clean.ask('GET', about('name', table.name, 'k')), 404, 'not_found');
  for (const query of ['', '?name=', '?name=a%20table&key=', '?uri=o']) expect(await load.ask('DELETE', `store/asset/by-name/value${query}`), 422);
  expect(await clean.ask('GET', about('name', table.name, 'a/b c')), 200, { value: { at: [1, null, 'é\u{1F512}'] } });
  expect(await clean.ask('DELETE', about('uri', table.uri)), 204);
  refused(await load.ask('GET', about('name', table.name, 'a/b c')), 404, 'not_found');
  expect(await clean.ask('GET', about('name', 'other', 'k')), 200, { value: 'kept' });
});

routes('an asset that is not there, or not active, has no state store, and its name leads to no namesake', async () => {
  const [gone, active] = [{ name: 'table', uri: 's3://a-gone' }, { name: 'table', uri: 's3://b' }];
  await using api = await ApiServer.start({}, { assets: [{ ...gone, is_active: false }, active], dags: [{ dag_id: 'daily', task_assets: { old: [gone], new: [active], none: [{ name: 'none', uri: 'none' }] } }] });
  const tasks = { old: await api.running({ task_id: 'old' }), new: await api.running({ task_id: 'new' }), none: await api.running({ task_id: 'none' }) };
  for (const [method, key, body] of [['GET', 'k'], ['PUT', 'k', { value: 1 }], ['DELETE', 'k'], ['DELETE']] as const) {
    refused(await tasks.old.ask(method, about('name', 'table', key), body), 404, 'not_found');
    refused(await tasks.none.ask(method, about('name', 'none', key), body), 404, 'not_found');
  }
  expect(await tasks.new.ask('PUT', about('name', 'table', 'k'), { value: 1 }), 204); // control
  refused(await tasks.old.ask('GET', about('name', 'table', 'k')), 404, 'not_found');
});

routes("a state of an asset of the wrong kind, or too large, or one too many is not kept", async () => {
  const table = { name: 'table', uri: 's3://table' };
  await using api = await ApiServer.start({}, { assets: [table], dags: [{ dag_id: 'daily', task_assets: { load: [table] } }] });
  const task = await api.running({ task_id: 'load' });
  for (const body of [undefined, {}, { value: null }, { value: 1, expires_at: null }, '{"value":9007199254740993}', { value: 'x'.repeat(65_534) }]) expect(await task.ask('PUT', about('name', 'table', 'k'), body), 422);
  refused(await task.ask('GET', about('name', 'table', 'k')), 404, 'not_found');
  expect(await task.ask('PUT', about('name', 'table', 'k'), { value: 'x'.repeat(65_533) }), 204); // control
  for (let n = 1; n < 1000; n++) expect(await task.ask('PUT', about('uri', 's3://table', `k${n}`), { value: n }), 204);
  refused(await task.ask('PUT', about('name', 'table', 'one more'), { value: 1 }), 409, 'state_store_full');
  expect(await task.ask('PUT', about('name', 'table', 'k7'), { value: 'changed' }), 204);
  expect(await task.ask('DELETE', about('name', 'table', 'k7')), 204);
  expect(await task.ask('PUT', about('name', 'table', 'one more'), { value: 1 }), 204);
});

routes.run();
