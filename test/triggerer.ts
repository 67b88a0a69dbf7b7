// From a deferral to the task that goes on, with all real parts: server, worker, triggerer, and files that arrive.
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Triggerer, type TriggererOptions } from '../lib/hosts/index.js';
import { ExecutionApi, Secret } from '../lib/index.js';
import { FailingProxy } from './helpers/failing-proxy.js';
import { until } from './helpers/processes.js';
import { arrive, bundles, command, folder, removeFolder, Scene } from './helpers/triggerers.js';

const joined = suite('triggerer');
joined.after(removeFolder);

joined('a task defers, its file arrives, and it goes on with the event', async () => {
  await using scene = await Scene.start();
  await scene.triggerer();
  const ti = await scene.queued('arrives', { try_number: 2 });
  assert.equal(await scene.legs(ti, 1), ['deferred']);
  await scene.told('begun', ti);
  await until(() => scene.lines.some((line) => line.includes(ti.task_id)));
  assert.is(scene.outcomes(ti).length, 1); // it waits
  arrive(ti.task_id);
  assert.equal(await scene.legs(ti, 2), ['deferred', 'success']);
  assert.equal(await scene.returned(ti, 'arrives'), { asked: 2, event: { path: ti.task_id }, try_number: 2 });
  await scene.told('fired', ti);
});

joined('many at once, each with its own', async () => {
  await using scene = await Scene.start();
  const triggerer = await scene.triggerer();
  const all = await Promise.all(Array.from({ length: 20 }, () => scene.queued('arrives')));
  for (const ti of all) await scene.told('begun', ti);
  assert.equal([triggerer.pids('red').length, triggerer.waiting], [1, 20]);
  for (const ti of all) arrive(ti.task_id);
  for (const ti of all) assert.equal(await scene.legs(ti, 2), ['deferred', 'success']);
  for (const ti of all) assert.equal(((await scene.returned(ti, 'arrives')) as { event: unknown }).event, { path: ti.task_id });
  await until(() => triggerer.waiting === 0);
});

joined('of several events the first counts, and the trigger is cancelled then', async () => {
  await using scene = await Scene.start();
  const triggerer = await scene.triggerer();
  const ti = await scene.queued('twice');
  await scene.told('begun', ti);
  arrive(ti.task_id);
  assert.equal(await scene.legs(ti, 2), ['deferred', 'success']);
  assert.is(((await scene.returned(ti, 'twice')) as { event: unknown }).event, 1);
  await until(() => triggerer.waiting === 0);
  assert.is(scene.events.filter((event) => event.kind === 'fired').length, 1);
});

joined('a trigger that fails, that says nothing, whose file is not there or is none: the task fails and says why, or is tried again', async () => {
  await using scene = await Scene.start();
  await scene.triggerer();
  const cases: readonly (readonly [string, RegExp])[] = [
    ['fails', /ERR_TRIGGER_FAILED/], ['fails', /TypeError: no such bucket\n +at .*triggers\.mjs:\d+/], ['silent', /ended without an event/],
    ['broken', /SyntaxError: Unexpected token ';'\n +at \S*broken-trigger\.mjs:2/], ['absent', /the trigger's classpath names no file of its bundle/], ['large', /kwargs.*256 KiB/], ['odd-event', /does not take its event: it was answered 413/],
  ]; // prettier-ignore
  for (const [dag_id, why] of cases) {
    const ti = await scene.queued(dag_id);
    arrive(ti.task_id);
    assert.equal(await scene.legs(ti, 2), ['deferred', 'failed'], dag_id);
    assert.match(scene.outcomes(ti).at(-1)?.reason ?? '', why);
    assert.match(scene.outcomes(ti).at(-1)?.reason ?? '', /ERR_TRIGGER_FAILED|\.\.\.$|^TaskError: the trigger/);
    await scene.told('failed', ti);
  }
  const again = await scene.queued('fails', { max_tries: 1 });
  arrive(again.task_id);
  assert.equal(await scene.legs(again, 2), ['deferred', 'up_for_retry']);
});

joined('a trigger that is waited for too long is cancelled, and its task fails', async () => {
  let clock = Date.now();
  await using scene = await Scene.start({ now: () => clock });
  const triggerer = await scene.triggerer();
  const [late, patient] = [await scene.queued('timeout'), await scene.queued('arrives')];
  for (const ti of [late, patient]) await scene.told('begun', ti);
  clock += 601_000;
  assert.equal(await scene.legs(late, 2), ['deferred', 'failed']);
  assert.match(scene.outcomes(late).at(-1)?.reason ?? '', /ERR_TRIGGER_TIMEOUT/);
  await scene.told('cancelled', late);
  assert.is(triggerer.waiting, 1);
  arrive(patient.task_id); // control
  assert.equal(await scene.legs(patient, 2), ['deferred', 'success']);
});

joined("what another team's task defers to is never handed out, whatever bundles a triggerer has", async () => {
  await using scene = await Scene.start();
  await scene.triggerer({ team: 'red' });
  const [blue, red] = [await scene.queued('blue-arrives'), await scene.queued('arrives')];
  arrive(blue.task_id, 'blue');
  assert.equal(await scene.legs(blue, 1), ['deferred']);
  arrive(red.task_id);
  assert.equal(await scene.legs(red, 2), ['deferred', 'success']);
  assert.equal(scene.outcomes(blue), [{ state: 'deferred' }]);
  assert.not.ok(scene.events.some((event) => 'ti' in event && event.ti.id === blue.id));
  await scene.triggerer({ team: 'blue' }); // control
  assert.equal(await scene.legs(blue, 2), ['deferred', 'success']);
});

joined('a trigger reads what its DAG declares and its team may; nothing else, whatever a triggerer grants', async () => {
  for (const [grants, expected] of [['declared', ['north', 'PERMISSION_DENIED', 'ERR_BROKER_DENIED', 'hunter2', { rows: 3 }]], ['airflow', ['north', 'PERMISSION_DENIED', 'x', 'hunter2', { rows: 3 }]], [{}, ['ERR_BROKER_DENIED', 'ERR_BROKER_DENIED', 'ERR_BROKER_DENIED', 'none', 'ERR_BROKER_DENIED']]] as const) {
    await using scene = await Scene.start();
    const before = await scene.server.running({ dag_id: 'reads', run_id: 'r', task_id: 'before' });
    assert.is((await before.ask('POST', 'xcoms/reads/r/before/k', { rows: 3 })).status, 201);
    await scene.triggerer({ grants });
    const ti = await scene.queued('reads');
    assert.equal(await scene.legs(ti, 2), ['deferred', 'success']);
    assert.equal(((await scene.returned(ti, 'reads')) as { event: unknown }).event, expected, JSON.stringify(grants));
  }
});

// --- Who goes away

joined('a triggerer that is killed has its triggers taken over by another, and the event comes once', async () => {
  let clock = Date.now();
  await using scene = await Scene.start({ now: () => clock });
  using credential = await scene.credential();
  const child = command(scene, credential, '--json');
  let told = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (told += chunk));
  const ti = await scene.queued('arrives');
  await until(() => told.includes(ti.id));
  child.kill('SIGKILL');
  await once(child, 'exit');
  arrive(ti.task_id);
  const other = await scene.triggerer();
  const control = await scene.queued('arrives');
  await scene.told('begun', control); // it asks, and is not given the dead one's
  assert.is(other.waiting, 1);
  clock += 31_000;
  assert.equal(await scene.legs(ti, 2), ['deferred', 'success']);
  assert.equal(await scene.returned(ti, 'arrives'), { asked: 1, event: { path: ti.task_id }, try_number: 1 });
});

joined('one that is told to stop leaves its triggers to another at once', async () => {
  await using scene = await Scene.start();
  const first = await scene.triggerer();
  const ti = await scene.queued('arrives');
  await scene.told('begun', ti);
  first.stop();
  await first.run();
  assert.equal([first.waiting, first.pids('red')], [0, []]);
  arrive(ti.task_id);
  assert.equal(await scene.legs(ti, 1), ['deferred']);
  await scene.triggerer();
  assert.equal(await scene.legs(ti, 2), ['deferred', 'success']);
});

joined('no event is lost while the server is away, its answers are, or a page stands before it', async () => {
  for (const fault of ['unavailable', 'dropped', 'lost', 'page'] as const) {
    await using scene = await Scene.start();
    await using proxy = await FailingProxy.start(scene.server.url);
    await using api = new ExecutionApi({ baseUrl: proxy.url });
    const triggerer = await scene.triggerer({ api });
    const all = await Promise.all(Array.from({ length: 5 }, () => scene.queued('arrives')));
    for (const ti of all) await scene.told('begun', ti);
    proxy.fault = () => fault;
    for (const ti of all) arrive(ti.task_id);
    const before = proxy.counts[fault];
    await until(() => proxy.counts[fault] > before + 8 && scene.events.some(({ kind }) => kind === 'trouble'));
    // What the server was told without an answer goes on; the rest waits.
    for (const ti of all) assert.ok(fault === 'lost' || scene.outcomes(ti).length === 1);
    proxy.fault = () => 'none';
    for (const ti of all) assert.equal(await scene.legs(ti, 2), ['deferred', 'success'], fault);
    for (const ti of all) assert.equal(await scene.returned(ti, 'arrives'), { asked: 1, event: { path: ti.task_id }, try_number: 1 });
    await until(() => triggerer.waiting === 0);
    for (const ti of all) assert.is(scene.outcomes(ti).length, 2);
  }
});

joined('one that stops tells first what its triggers have said, however long the server is away; told twice, it does not', async () => {
  for (const twice of [false, true]) {
    await using scene = await Scene.start();
    await using proxy = await FailingProxy.start(scene.server.url);
    await using api = new ExecutionApi({ baseUrl: proxy.url });
    const triggerer = await scene.triggerer({ api });
    const ti = await scene.queued('arrives');
    await scene.told('begun', ti);
    proxy.fault = ({ method }) => (method === 'POST' ? 'unavailable' : 'none');
    arrive(ti.task_id);
    await until(() => scene.events.some(({ kind }) => kind === 'trouble'));
    triggerer.stop();
    const over = triggerer.run();
    if (twice) triggerer.stop();
    else {
      const before = proxy.counts.unavailable;
      await until(() => proxy.counts.unavailable > before + 1);
      proxy.fault = () => 'none';
    }
    await over;
    if (twice) {
      assert.is(scene.outcomes(ti).length, 1);
      await scene.triggerer(); // from its beginning
    }
    assert.equal(await scene.legs(ti, 2), ['deferred', 'success']);
  }
});

joined('a task that is ended while it waits has its trigger cancelled', async () => {
  const admin = 'of-the-admin-alone-and-32-bytes-or-more';
  await using scene = await Scene.start({ adminCredential: Secret.fromBytes(Buffer.from(admin)) });
  const base = await scene.server.server.listenAdmin();
  const triggerer = await scene.triggerer();
  const [ended, other] = [await scene.queued('arrives'), await scene.queued('arrives')];
  for (const ti of [ended, other]) await scene.told('begun', ti);
  assert.is((await scene.server.ask('PATCH', new URL(`task-instances/${ended.id}`, base).href, admin, { state: 'failed' })).status, 200);
  await scene.told('cancelled', ended);
  assert.is(triggerer.waiting, 1);
  for (const ti of [ended, other]) arrive(ti.task_id);
  assert.equal(await scene.legs(other, 2), ['deferred', 'success']);
  assert.is(scene.outcomes(ended).length, 1);
});

joined('options that are none are refused', async () => {
  await using api = new ExecutionApi({ baseUrl: 'http://127.0.0.1:1/execution/' });
  using credential = Secret.fromBytes(Buffer.from('x'));
  const good: TriggererOptions = { api, credential, bundles };
  const wrong: readonly object[] = [{ api: {} }, { credential: 'x' }, { bundles: {} }, { bundles: { red: 1 } }, { capacity: 0 }, { capacity: 10_001 }, { pollMs: 0 }, { pollMs: 60_000 }, { grants: 'all' }, { onEvent: 1 }, { spare: 1 }, { policy: { read: 1 } }];
  for (const each of wrong) assert.throws(() => new Triggerer({ ...good, ...each } as TriggererOptions), (error: NodeJS.ErrnoException) => /^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE|POLICY_INVALID)$/.test(error.code ?? ''), JSON.stringify(each));
  assert.throws(() => new Triggerer({ ...good, bundles: { red: join(folder, 'absent') } }), (error: NodeJS.ErrnoException) => error.code === 'ENOENT');
  await new Triggerer(good)[Symbol.asyncDispose](); // control
  assert.ok(existsSync(bundles.red));
});

joined.run();
