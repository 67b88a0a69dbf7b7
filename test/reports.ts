// Final reports that the server could not be told: kept, sent again, and nothing of a token for others to find.
import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Outcome, policies, type ReportResult, type ReportsOptions, type RunOptions, Secret, type Supervisor, type SupervisorOptions } from '../lib/index.js';
import { ReportFolder } from '../lib/supervisor/report-folder.js';
import type { Asked, Fault } from './helpers/failing-proxy.js';
import { Life, until } from './helpers/life.js';

const reports = suite('reports');
let world: Life;
let folders = 0;
reports.before(async () => {
  world = await Life.start();
});
reports.after(() => world[Symbol.asyncDispose]());
reports.before.each(() => {
  world.proxy.fault = () => 'none';
});

const newFolder = (): string => join(world.folder, `reports-${++folders}`);
const keyBytes = randomBytes(32);
const newKey = (bytes: Uint8Array = keyBytes): Secret => Secret.fromBytes(Buffer.from(bytes));
const files = (folder: string): string[] => readdirSync(folder).filter((name) => name.endsWith('.json')).sort();
const textOf = (folder: string): string => files(folder).map((name) => readFileSync(join(folder, name), 'utf8')).join('');
const onReports = (fault: Fault) => ({ path }: Asked): Fault => (path.endsWith('/state') ? fault : 'none');
const codeOf = (error: unknown): unknown => (error as { code?: unknown } | undefined)?.code;

interface Subject {
  readonly supervisor: Supervisor;
  readonly results: ReportResult[];
  readonly run: (source: string, options?: RunOptions & { readonly max_tries?: number }) => Promise<{ readonly id: string; readonly outcome: Outcome }>;
}

function subject(options: ReportsOptions, more: Partial<SupervisorOptions> = {}): Subject {
  const results: ReportResult[] = [];
  const supervisor = world.supervisor({ reports: { retryDelayMs: 30, onReport: (result) => results.push(result), ...options }, ...more });
  return {
    supervisor,
    results,
    async run(source, { max_tries = 0, ...runOptions } = {}) {
      const workload = await world.queued(world.file(source), { max_tries });
      return { id: workload.ti.id, outcome: await supervisor.run(workload, { token: await world.token(workload.ti.id), ...runOptions }) };
    },
  };
}

const succeeds = 'export default () => 0 || undefined;';
const kept = (outcome: Outcome): unknown[] => [outcome.state, outcome.reported, outcome.kept];

for (const fault of ['unavailable', 'dropped', 'lost', 'page'] as const) {
  reports(`a report is kept while answers are ${fault}, and taken afterwards`, async () => {
    const folder = newFolder();
    const { supervisor, results, run } = subject({ folder });
    await using _ = supervisor;
    assert.equal(kept((await run(succeeds)).outcome), ['success', true, undefined]); // control
    assert.equal([files(folder), results], [[], []]);
    world.proxy.fault = onReports(fault);
    const { id, outcome } = await run(succeeds);
    assert.equal([kept(outcome), supervisor.reportsWaiting, files(folder).length], [['success', false, true], 1, 1]);
    assert.is(await world.state(id), fault === 'lost' ? 'success' : 'running');
    const asked = world.proxy.counts[fault];
    await until(() => world.proxy.counts[fault] > asked); // it is sent again, to no avail
    world.proxy.fault = () => 'none';
    await until(() => results.length > 0);
    assert.equal([results.map(({ ti: _, ...told }) => told), supervisor.reportsWaiting, files(folder)], [[{ task: id, state: 'success', result: 'taken' }], 0, []]);
    assert.is(await world.state(id), 'success');
  });
}

reports('what waits is sent as soon as the server has taken another one', async () => {
  const { supervisor, results, run } = subject({ folder: newFolder(), retryDelayMs: 600_000 }); // by itself much later
  await using _ = supervisor;
  world.proxy.fault = onReports('unavailable');
  const { id } = await run(succeeds);
  world.proxy.fault = () => 'none';
  assert.equal([results.length, supervisor.reportsWaiting], [0, 1]); // control
  await run(succeeds);
  await until(() => results.length > 0);
  assert.equal([results.map(({ ti: _, ...told }) => told), await world.state(id)], [[{ task: id, state: 'success', result: 'taken' }], 'success']);
});

reports('the word of a task is taken though nobody could be told, and stands whatever comes after it', async () => {
  const folder = newFolder();
  const { supervisor, results, run } = subject({ folder });
  await using _ = supervisor;
  const speaks = (state: string, rest: string): string => `
    const request = (type, fields) => globalThis[Symbol.for('sallyport.task.client')].request(type, fields);
    export default async () => { await request('${state}', {}); console.log('told'); ${rest} };
  `;
  world.proxy.fault = onReports('unavailable');
  const first = await run(speaks('SucceedTask', 'process.exit(1);'));
  const second = await run(speaks('RetryTask', 'process.kill(process.pid, "SIGKILL"); await new Promise((resolve) => setTimeout(resolve, 60_000));'), { max_tries: 1 });
  const silent = await run('export default () => process.exit(1);'); // control
  assert.equal([first, second, silent].map(({ outcome }) => kept(outcome)), [['success', false, true], ['up_for_retry', false, true], ['failed', false, true]]);
  world.proxy.fault = () => 'none';
  await until(() => results.length === 3);
  assert.equal(await Promise.all([first, second, silent].map(({ id }) => world.state(id))), ['success', 'up_for_retry', 'failed']);
});

reports('what a process left is reported by the next one, with the key and with nothing else', async () => {
  const folder = newFolder();
  const { supervisor, run } = subject({ folder, key: newKey() });
  const ids: string[] = [];
  {
    await using _ = supervisor;
    world.proxy.fault = onReports('unavailable');
    for (let i = 0; i < 3; i++) ids.push((await run(succeeds)).id);
  }
  assert.is(files(folder).length, 3);
  assert.ok(files(folder).every((name) => (lstatSync(join(folder, name)).mode & 0o777) === 0o600));
  assert.not.match(textOf(folder), /eyJhbGci/); // how every token begins
  const [first = ''] = files(folder);
  // One is changed on the way: another task's outcome must not be had by editing a file.
  writeFileSync(join(folder, first), readFileSync(join(folder, first), 'utf8').replace('"task_id":"', '"task_id":"other-'));
  world.proxy.fault = () => 'none';
  const { supervisor: next, results } = subject({ folder, key: newKey() });
  assert.is(next.reportsWaiting, 3);
  await until(() => results.length === 3);
  await next[Symbol.asyncDispose]();
  assert.equal(results.map(({ task, result, error }) => [task, result, codeOf(error)]).sort(), [
    [ids[0], 'refused', 'ERR_SECRET_REFUSED'], [ids[1], 'taken', undefined], [ids[2], 'taken', undefined],
  ].sort());
  assert.equal(await Promise.all(ids.map((id) => world.state(id))), ['running', 'success', 'success']);
  assert.equal(files(folder), []);
  assert.equal(files(join(folder, 'refused')), [first]);
  assert.not.match(textOf(join(folder, 'refused')), /"sealed"|eyJhbGci/);
});

for (const [what, key] of [['no key', undefined], ['another key', randomBytes(32)]] as const) {
  reports(`with ${what} what a process left is a record for a person`, async () => {
    const folder = newFolder();
    world.proxy.fault = onReports('unavailable');
    const before = subject({ folder, key: newKey() });
    const { id } = await before.run(succeeds);
    await before.supervisor[Symbol.asyncDispose]();
    world.proxy.fault = () => 'none';
    const { supervisor, results } = subject({ folder, ...(key && { key: newKey(key) }) });
    await until(() => results.length > 0);
    await supervisor[Symbol.asyncDispose]();
    assert.equal(results.map(({ task, state, result, error }) => [task, state, result, codeOf(error)]), [[id, 'success', 'refused', 'ERR_SECRET_REFUSED']]);
    assert.match(textOf(join(folder, 'refused')), id);
    assert.is(await world.state(id), 'running');
  });
}

reports('a report on a try that was taken away meanwhile is refused, and changes no other try', async () => {
  const folder = newFolder();
  const { supervisor, results, run } = subject({ folder, key: newKey() });
  await using _ = supervisor;
  world.proxy.fault = onReports('unavailable');
  const { id } = await run(succeeds);
  const { dag_id, run_id, task_id } = await world.admin('GET', `task-instances/${id}`);
  const later = await world.admin('POST', 'task-instances', { dag_id, run_id, task_id, try_number: 2 });
  world.proxy.fault = () => 'none';
  await until(() => results.length > 0);
  assert.equal(results.map(({ result, error }) => [result, (error as { status?: number } | undefined)?.status]), [['refused', 410]]);
  assert.is(await world.state(later.id), 'queued');
  assert.equal(files(join(folder, 'refused')).length, 1);
});

reports('a token that has ended is not replaced, and the outcome is on record', async () => {
  const folder = newFolder();
  const { supervisor, results, run } = subject({ folder });
  await using _ = supervisor;
  world.proxy.fault = onReports('unavailable');
  const { id } = await run(succeeds);
  await world.server.revokeTokens({ taskInstanceId: id });
  world.proxy.fault = () => 'none';
  await until(() => results.length > 0);
  assert.equal(results.map(({ result, error }) => [result, (error as { status?: number } | undefined)?.status]), [['refused', 403]]);
  assert.match(textOf(join(folder, 'refused')), '"state":"success"');
});

// --- Bounds

reports('no more reports are kept than may be', async () => {
  const folder = newFolder();
  const { supervisor, results, run } = subject({ folder, maxReports: 2 });
  await using _ = supervisor;
  world.proxy.fault = onReports('unavailable');
  const all = [];
  for (let i = 0; i < 3; i++) all.push(await run(succeeds));
  assert.equal(all.map(({ outcome }) => outcome.kept), [true, true, undefined]);
  assert.equal([supervisor.reportsWaiting, files(folder).length], [2, 2]);
  world.proxy.fault = () => 'none';
  await until(() => results.length === 2);
  assert.equal(await Promise.all(all.map(({ id }) => world.state(id))), ['success', 'success', 'running']);
  assert.equal(kept((await run(succeeds)).outcome), ['success', true, undefined]);
});

reports('a report that nobody takes for long is set aside', async () => {
  const folder = newFolder();
  const { supervisor, results, run } = subject({ folder, maxAgeMs: 200, maxReports: 1 });
  await using _ = supervisor;
  world.proxy.fault = onReports('unavailable');
  for (const round of [1, 2]) {
    await run(succeeds);
    await until(() => results.length === round);
  }
  assert.equal(results.map(({ result }) => result), ['expired', 'expired']);
  assert.equal([supervisor.reportsWaiting, files(folder), files(join(folder, 'refused')).length], [0, [], 1]);
});

// --- The folder

reports('a folder that is not this supervisor\'s alone is refused', async () => {
  const [open, linked, good] = [newFolder(), newFolder(), newFolder()];
  mkdirSync(open, { mode: 0o755 });
  mkdirSync(good, { mode: 0o700 });
  symlinkSync(open, linked);
  const code = (options: unknown): unknown => {
    try {
      subject(options as ReportsOptions);
      return 'made';
    } catch (error) {
      return codeOf(error);
    }
  };
  for (const folder of [open, linked]) assert.is(code({ folder }), 'ERR_OUT_OF_RANGE', folder);
  for (const options of [{}, { folder: 1 }, { folder: good, key: 'text' }]) assert.is(code(options), 'ERR_INVALID_ARG_TYPE');
  for (const options of [{ folder: good, key: newKey(randomBytes(31)) }, { folder: good, maxReports: 0 }, { folder: good, other: 1 }]) assert.is(code(options), 'ERR_OUT_OF_RANGE');
  {
    const { supervisor } = subject({ folder: good });
    await using _ = supervisor;
    assert.is(code({ folder: good }), 'ERR_OUT_OF_RANGE'); // another one has it
  }
  // One that is dead had it: a pid that no process has, and ours with another start.
  for (const holder of ['4194304 1', `${process.pid} 1`]) {
    writeFileSync(join(good, 'lock'), holder);
    const { supervisor } = subject({ folder: good });
    await supervisor[Symbol.asyncDispose]();
    assert.not.ok(existsSync(join(good, 'lock')));
  }
});

reports('no task is granted the folder', async () => {
  const folder = newFolder();
  const { supervisor, run } = subject({ folder });
  await using _ = supervisor;
  const other = newFolder();
  mkdirSync(other);
  assert.is((await run(succeeds, { policy: policies.node({ read: [other] }) })).outcome.state, 'success'); // control
  for (const policy of [policies.node({ read: [folder] }), policies.node({ read: [world.folder] }), policies.node({ write: [join(folder, 'refused')] })]) {
    assert.is(await run(succeeds, { policy }).then(() => 'ran', codeOf), 'ERR_POLICY_INVALID');
  }
});

reports('what is no report is set aside with a warning, and a file that a crash left by half is removed', async () => {
  const folder = newFolder();
  mkdirSync(folder, { mode: 0o700 });
  const target = join(world.folder, 'elsewhere');
  writeFileSync(target, '{}');
  symlinkSync(target, join(folder, '1-link.json'));
  writeFileSync(join(folder, '2-garbage.json'), '\0\xff not JSON');
  writeFileSync(join(folder, '3-other.json'), JSON.stringify({ version: 2 }));
  writeFileSync(join(folder, '4-half.json.new'), '{"version":1');
  const warnings: string[] = [];
  const listen = ({ message }: Error): unknown => warnings.push(message);
  process.on('warning', listen);
  const { supervisor, results } = subject({ folder });
  await until(() => supervisor.reportsWaiting === 0 && warnings.length === 3);
  process.off('warning', listen);
  await supervisor[Symbol.asyncDispose]();
  assert.equal([results, readdirSync(folder), files(join(folder, 'refused'))], [[], ['refused'], ['1-link.json', '2-garbage.json', '3-other.json']]);
  assert.is(readFileSync(target, 'utf8'), '{}');
});

reports('a report that is replaced is there as a whole at every moment, and so after a crash at any', async () => {
  const path = newFolder();
  const folder = new ReportFolder(path);
  const texts = ['a', 'b'].map((letter) => letter.repeat(8 << 20));
  const parts = texts.map((text) => [Buffer.from(text)]);
  for (const write of [folder.note, folder.write]) {
    await write.call(folder, '1.json', parts[0] ?? []);
    let done = false;
    let seen = 0;
    const writing = write.call(folder, '1.json', parts[1] ?? []).finally(() => (done = true));
    for (; !done; seen++) {
      assert.ok(texts.includes(readFileSync(join(path, '1.json'), 'latin1')), 'half of it');
      await new Promise((resolve) => setImmediate(resolve));
    }
    await writing;
    assert.ok(seen > 1); // control: it was looked at meanwhile
  }
  folder.close();
});

reports.run();
