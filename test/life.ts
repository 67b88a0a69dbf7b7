// One task instance's life beside others: what ends it, what is kept of it, and what none of them may do to the rest.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Outcome, shutDownOnSignals } from '../lib/index.js';
import { Life, until } from './helpers/life.js';

const life = suite('life');
let world: Life;
life.before(async () => {
  world = await Life.start();
});
life.after(() => world[Symbol.asyncDispose]());
life.before.each(() => {
  world.proxy.fault = () => 'none';
});

const endless = 'export default () => { console.log("up"); return new Promise((resolve) => setTimeout(resolve, 600_000)); };';
/** Prints a line, and ends when there is a file of this name in its bundle. */
const lasting = (name: string): string => `
  import { existsSync } from 'node:fs';
  export default async () => { console.log('up'); while (!existsSync(new URL('${name}', import.meta.url))) await new Promise((resolve) => setTimeout(resolve, 20)); };
`;
/** Says so when it is told to end, and ends as `end` has it. */
const told = (end: string): string => `
  export default () => new Promise((resolve) => {
    const late = setTimeout(resolve, 600_000);
    process.on('SIGTERM', () => { console.log('term'); ${end} });
    console.log('up');
  });
`;
const codeOf = (error: unknown): unknown => (error as { code?: unknown } | undefined)?.code;

async function codeOfRejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => 'resolved', codeOf);
}

// --- What ends a task

life('a task that outlives its wall time is asked to end, and has failed whatever it then says', async () => {
  const lines: string[] = [];
  await using supervisor = world.supervisor({ onLog: ({ line }) => lines.push(line) });
  const run = async (source: string, wallTimeMs?: number): Promise<Outcome> => {
    const workload = await world.queued(world.file(source), { max_tries: 1 });
    const outcome = await supervisor.run(workload, { token: await world.token(workload.ti.id), ...(wallTimeMs !== undefined && { wallTimeMs }) });
    assert.is(await world.state(workload.ti.id), outcome.state);
    return outcome;
  };
  const soon = 'export default () => new Promise((resolve) => setTimeout(resolve, 300));';
  assert.is((await run(soon, 60_000)).state, 'success'); // control
  const outcome = await run(told('clearTimeout(late); resolve();'), 4_000); // by then it is up, on a busy machine too
  assert.equal([outcome.state, outcome.reported, codeOf(outcome.error)], ['up_for_retry', true, 'ERR_TASK_TIMEOUT']);
  assert.ok(lines.includes('term'));
  // One that has hooks fails in its own words, which nobody waits for any more.
  lines.length = 0;
  const hooked = await run("import { onKill } from 'sallyport/task'; onKill(() => console.log('cleared')); export default () => new Promise(() => setInterval(() => {}, 1000));", 4_000);
  assert.equal([hooked.state, codeOf(hooked.error)], ['up_for_retry', 'ERR_TASK_TIMEOUT']);
  assert.ok(lines.includes('cleared'));
  assert.not.ok(lines.some((line) => line.includes('could not be told')), lines.join('\n'));
});

life('a supervisor that is stopped asks tasks to end; who says so in time is believed, and nobody else', async () => {
  const lines: string[] = [];
  await using supervisor = world.supervisor({ killGraceMs: 3_000, onLog: ({ line }) => lines.push(line) });
  const start = async (source: string): Promise<readonly [string, Promise<Outcome>]> => {
    const { ti, ...workload } = await world.queued(world.file(source));
    return [ti.id, supervisor.run({ ti, ...workload }, { token: await world.token(ti.id) })];
  };
  const running = [await start(told('clearTimeout(late); resolve();')), await start(endless), await start(told(''))];
  await until(() => lines.filter((line) => line === 'up').length === 3);
  await supervisor.stop();
  const outcomes = await Promise.all(running.map(([, outcome]) => outcome));
  assert.equal(outcomes.map(({ state, exit, reported }) => [state, exit.kind === 'signaled' ? exit.signal : exit.kind, reported]), [
    ['success', 'exited', true], ['failed', 'SIGTERM', true], ['failed', 'SIGKILL', true],
  ]);
  assert.equal(outcomes.map(({ error }) => codeOf(error)), Array(3).fill('ERR_SUPERVISOR_CLOSED'));
  assert.equal(await Promise.all(running.map(([id]) => world.state(id))), ['success', 'failed', 'failed']);
  const late = await world.queued(world.file(endless));
  assert.is(await codeOfRejection(supervisor.run(late, { token: await world.token(late.ti.id) })), 'ERR_SUPERVISOR_CLOSED');
  assert.is(await world.state(late.ti.id), 'queued');
});

life("a supervisor that is stopped while the server's word is on its way waits for it, and tells what became of the try", async () => {
  await using supervisor = world.supervisor({ api: world.api({ retryDelayMs: 500, maxRetryDelayMs: 1_000, requestTimeoutMs: 60_000 }), killGraceMs: 60_000 });
  const { ti, ...workload } = await world.queued(world.file(endless));
  let asked = 0;
  world.proxy.fault = ({ path }) => (path.endsWith('/run') && asked++ === 0 ? 'lost' : 'none');
  const running = supervisor.run({ ti, ...workload }, { token: await world.token(ti.id) });
  await until(async () => (await world.state(ti.id)) === 'running'); // control: it would stay so
  await supervisor.stop();
  const { state, reported, error } = await running;
  assert.equal([state, reported, codeOf(error), await world.state(ti.id)], ['failed', true, 'ERR_SUPERVISOR_CLOSED', 'failed']);
});

life('a supervisor that drains takes no more and finishes what runs', async () => {
  let up = false;
  await using supervisor = world.supervisor({ onLog: () => (up = true) });
  const [first, second] = [await world.queued(world.file('export default () => { console.log("up"); return new Promise((resolve) => setTimeout(resolve, 500)); };')), await world.queued(world.file(endless))];
  const running = supervisor.run(first, { token: await world.token(first.ti.id) });
  await until(() => up);
  const drained = supervisor.drain();
  assert.is(supervisor.running, 1);
  const token = await world.token(second.ti.id);
  assert.is(await codeOfRejection(supervisor.run(second, { token })), 'ERR_SUPERVISOR_CLOSED');
  assert.throws(() => token.use(() => {}), (error: unknown) => codeOf(error) === 'ERR_SECRET_DESTROYED');
  await drained;
  assert.equal([supervisor.running, (await running).state], [0, 'success']);
  assert.equal([await world.state(first.ti.id), await world.state(second.ti.id)], ['success', 'queued']);
  await supervisor.drain();
});

life('one signal drains, its echo does nothing, and a later one stops', async () => {
  let up = false;
  const begun: string[] = [];
  const handlers = process.listenerCount('SIGTERM');
  await using supervisor = world.supervisor({ killGraceMs: 500, onLog: () => (up = true) });
  const { ti, ...workload } = await world.queued(world.file(endless));
  const running = supervisor.run({ ti, ...workload }, { token: await world.token(ti.id) });
  await until(() => up);
  const secondAfterMs = 2_000; // an echo that comes later than this is none
  using shutdown = shutDownOnSignals(supervisor, { secondAfterMs, onSignal: (signal, what) => begun.push(`${signal} ${what}`) });
  process.kill(process.pid, 'SIGTERM');
  await until(() => begun.length > 0);
  process.kill(process.pid, 'SIGINT');
  await sleep(secondAfterMs + 50);
  assert.equal([begun, supervisor.running], [['SIGTERM drain'], 1]);
  process.kill(process.pid, 'SIGINT');
  await shutdown.done;
  assert.equal(begun, ['SIGTERM drain', 'SIGINT stop']);
  assert.equal([(await running).state, await world.state(ti.id)], ['failed', 'failed']);
  shutdown[Symbol.dispose]();
  assert.is(process.listenerCount('SIGTERM'), handlers);
  assert.throws(() => shutDownOnSignals(supervisor, { signals: ['SIGKILL'] }));
  assert.is(process.listenerCount('SIGTERM'), handlers);
});

life("a gateway's 404 in the place of a heartbeat's answer is not the server's word", async () => {
  await using supervisor = world.supervisor();
  const { ti, ...workload } = await world.queued(world.file(lasting('pages')));
  let pages = 0;
  world.proxy.fault = ({ path }) => {
    if (!path.endsWith('/heartbeat')) return 'none';
    if (++pages > 4) writeFileSync(join(world.bundle, 'pages'), '');
    return pages <= 4 ? 'page' : 'none';
  };
  const { state, reported } = await supervisor.run({ ti, ...workload }, { token: await world.token(ti.id) });
  assert.equal([state, reported], ['success', true]);
});

// --- Nobody waits for another's slow call

life("requests that are never answered hold up no other task's heartbeat, line or end", async () => {
  const tasks = 6;
  const each = 16; // what one channel may have outstanding; together more than the connections there are
  const slow = `
    const request = (type, fields) => globalThis[Symbol.for('sallyport.task.client')].request(type, fields);
    export default () => {
      for (let i = 0; i < ${each}; i++) request('GetVariable', { key: 'slow' }).catch(() => {});
      console.log('asked');
      return new Promise((resolve) => setTimeout(resolve, 600_000));
    };
  `;
  const lines: string[] = [];
  let hanging = 0;
  world.proxy.fault = ({ path }) => (path === 'variables/slow' ? (hanging++, 'hanging') : 'none');
  await using supervisor = world.supervisor({ api: world.api({ requestTimeoutMs: 120_000 }), onLog: ({ task, line }) => lines.push(`${task} ${line}`) });
  const controller = new AbortController();
  const stuck = await Promise.all(Array.from({ length: tasks }, async () => {
    const workload = await world.queued(world.file(slow));
    return { id: workload.ti.id, ended: supervisor.run(workload, { token: await world.token(workload.ti.id), grants: { variables: ['slow'] }, signal: controller.signal }) };
  }));
  await until(() => hanging >= 64); // control: all connections of what tasks ask for are taken
  const from = world.proxy.passed.length;
  const quick = await world.queued(world.file(lasting('beaten')));
  const outcome = supervisor.run(quick, { token: await world.token(quick.ti.id) });
  await until(() => lines.some((line) => line.startsWith(quick.ti.id)));
  await until(() => [quick.ti, ...stuck].every(({ id }) => world.proxy.passed.slice(from).some(({ path }) => path === `task-instances/${id}/heartbeat`)));
  writeFileSync(join(world.bundle, 'beaten'), '');
  assert.equal([(await outcome).state, (await outcome).reported], ['success', true]);
  controller.abort(new Error('enough'));
  assert.equal(await Promise.all(stuck.map(async ({ ended }) => (await ended).state)), Array(tasks).fill('failed'));
});

life.run();
