// What a supervisor tells of its tasks: events, metrics, the audit.

import { spawnSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { metrics } from '@opentelemetry/api';
import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { AuditFile, type AuditRecord, observe } from '../lib/index.js';
import { policies } from '../lib/policy/presets.js';
import { taskChannels } from '../lib/supervisor/events.js';
import { ExecutionApi } from '../lib/execution-api/client.js';
import { FailingProxy } from './helpers/failing-proxy.js';
import { Supervised } from './helpers/supervised.js';

const events = suite('events');

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-events-')));
let supervised: Supervised;
events.before(async () => {
  supervised = await Supervised.start();
});
events.after(async () => {
  await supervised[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'no error', (error: { code: string }) => error.code);

/** All that is published while `run` runs. */
async function heard(run: () => Promise<unknown>): Promise<[step: string, facts: Record<string, unknown>][]> {
  const seen: [string, Record<string, unknown>][] = [];
  const listeners = Object.entries(taskChannels).map(([step, { name }]) => {
    const listener = (facts: unknown): void => { seen.push([step, facts as Record<string, unknown>]); };
    subscribe(name, listener);
    return () => unsubscribe(name, listener);
  });
  try {
    await run();
  } finally {
    listeners.forEach((stop) => stop());
  }
  return seen;
}

// --- Events

events('each step of a try is published, with whose it is', async () => {
  await using supervisor = supervised.supervisor({ heartbeatIntervalMs: 20 });
  const seen = await heard(() => supervised.run(supervisor, 'export default () => new Promise((resolve) => setTimeout(resolve, 300));', { ti: { task_id: 'stepped', map_index: 2 } }));
  const steps = seen.map(([step]) => step);
  assert.equal(steps.filter((step) => step !== 'heartbeat'), ['launch', 'start', 'final', 'end']);
  assert.ok(steps.includes('heartbeat'));
  assert.is(steps.at(-1), 'end');
  for (const [, facts] of seen) {
    assert.ok(Object.isFrozen(facts));
    const { id: _, ...task } = facts['task'] as Record<string, unknown>;
    assert.equal(task, { dag_id: 'd', run_id: 'r', task_id: 'stepped', map_index: 2, try_number: 1 });
  }
  const of = (wanted: string): Record<string, unknown> => seen.find(([step]) => step === wanted)?.[1] ?? {};
  assert.is(of('launch')['pid'], of('start')['pid']);
  assert.is(of('final')['state'], 'success');
  assert.is((of('end')['outcome'] as { state: string }).state, 'success');
  assert.ok((of('end')['durationMs'] as number) >= 300);
});

events('a try that the server refuses, and one whose bundle is missing, are refused and nothing else', async () => {
  await using supervisor = supervised.supervisor();
  const { workload, token } = await supervised.queue('export default () => 1;');
  const seen = await heard(() => codeOf(supervisor.run({ ...workload, ti: { ...workload.ti, id: '00000000-0000-0000-0000-000000000000' } }, { token })));
  assert.equal(seen.map(([step]) => step), ['launch', 'refuse']);
  assert.is((seen[1]?.[1]['error'] as { code: string }).code, 'ERR_UPSTREAM_FAILED');
  const missing = await heard(() => codeOf(supervised.run(supervisor, 'export default () => 1;', { workload: { bundle_info: { name: 'none' } } })));
  assert.equal(missing.map(([step]) => step), ['refuse']);
});

events('a server that does not answer shows in the heartbeats', async () => {
  await using proxy = await FailingProxy.start(supervised.server.url ?? '');
  await using api = new ExecutionApi({ baseUrl: proxy.url });
  await using supervisor = supervised.supervisor({ api, heartbeatIntervalMs: 20, maxFailedHeartbeats: 2, killGraceMs: 50 });
  let beats = 0;
  proxy.fault = ({ path }) => (path.endsWith('/heartbeat') && ++beats > 2 ? 'unavailable' : 'none');
  const seen = await heard(() => supervised.run(supervisor, 'export default () => new Promise((resolve) => setTimeout(resolve, 30_000));'));
  const errors = seen.filter(([step]) => step === 'heartbeat').map(([, { error }]) => (error as { status: number } | undefined)?.status);
  assert.equal(errors, [undefined, undefined, 503, 503]);
  assert.equal(seen.map(([step]) => step).filter((step) => step !== 'heartbeat'), ['launch', 'start', 'terminate', 'end']); // no final word
  assert.is((seen.find(([step]) => step === 'terminate')?.[1]['reason'] as { code?: string }).code, 'ERR_UPSTREAM_FAILED');
});

// --- Metrics

events('a meter of OpenTelemetry is told of tasks, heartbeats and requests, and no task chooses an attribute', async () => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  const provider = new MeterProvider({ readers: [reader] });
  metrics.setGlobalMeterProvider(provider);
  const watching = observe({ meter: metrics.getMeter('sallyport') });
  await using supervisor = supervised.supervisor({ heartbeatIntervalMs: 20 });
  const request = "const request = (type, fields) => globalThis[Symbol.for('sallyport.task.client')].request(type, fields).catch(() => {});";
  await supervised.run(supervisor, `
    import { xcom } from 'sallyport/task'; ${request}
    export default async () => { await xcom.pull({ key: 'x' }); await request('Invented1', {}); await request('Invented2', {}); await request('GetVariable', { key: 'x' }); await new Promise((resolve) => setTimeout(resolve, 200)); };
  `);
  await supervised.run(supervisor, 'export default () => { throw new Error("no"); };');
  await codeOf(supervised.run(supervisor, 'export default () => 1;', { workload: { bundle_info: { name: 'none' } } }));
  watching[Symbol.dispose]();
  await supervised.run(supervisor, 'export default () => 1;'); // nobody counts it any more
  await reader.forceFlush();
  const found = exporter.getMetrics().at(-1)?.scopeMetrics[0]?.metrics ?? [];
  const points = (name: string): Map<string, unknown> => new Map(found.find(({ descriptor }) => descriptor.name === `sallyport.${name}`)?.dataPoints.map(({ attributes, value }) => [Object.values(attributes).join(' '), value]));
  const count = (name: string, attributes = ''): number => { const value = points(name).get(attributes); return typeof value === 'number' ? value : ((value as { count: number } | undefined)?.count ?? 0); };
  assert.equal([...points('task.ended')], [['success', 1], ['failed', 1]]);
  assert.equal([...points('task.refused')], [['ERR_WORKLOAD_INVALID', 1]]);
  assert.equal([count('task.running'), count('task.duration', 'success'), count('task.start.duration')], [0, 1, 2]);
  assert.ok(count('heartbeat.sent', 'ok') > 0 && count('heartbeat.duration') > 0);
  assert.is(count('request.answered', 'GetXCom allowed'), 1);
  assert.is(count('request.answered', 'other denied'), 3);
  assert.not.ok([...points('request.answered').keys()].some((key) => key.includes('Invented')));
  await provider.shutdown();
  metrics.disable();
});

events('options of observe() are checked, and nothing of OpenTelemetry is loaded by this package', () => {
  for (const wrong of [undefined, {}, { meter: 3 }, { meter: metrics.getMeter('x'), more: 1 }]) assert.throws(() => observe(wrong as never), (error: { code: string }) => ['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE'].includes(error.code));
  observe({ meter: metrics.getMeter('x') })[Symbol.dispose](); // control
  const root = new URL('../lib/', import.meta.url);
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.js'));
  assert.ok(files.length > 50);
  assert.equal(files.filter((name) => /from '@opentelemetry|import\('@opentelemetry|require\('@opentelemetry/.test(readFileSync(new URL(name, root), 'utf8'))), []);
});

events('docs/observability.md has each channel and each metric', () => {
  const page = readFileSync(new URL('../docs/observability.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| `(sallyport[\w.:]+)`/gm)].map(([, name]) => name);
  const names: string[] = [];
  const made = (name: string) => (names.push(name), { add: () => {}, record: () => {} });
  observe({ meter: { createCounter: made, createUpDownCounter: made, createHistogram: made } })[Symbol.dispose]();
  assert.equal(rows.sort(), [...names, ...Object.values(taskChannels).map(({ name }) => String(name)), 'sallyport:request', 'sallyport:log'].sort());
});

// --- The audit's file

const entry = (id: number, reason?: string) => ({ at: '2026-01-01T00:00:00.000Z', task: 'ti', id, method: 'GetVariable', outcome: 'allowed' as const, ...(reason && { reason }) });
const lines = (path: string): Record<string, unknown>[] => readFileSync(path, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);

events('every request of a task is a line of the audit, before it is answered', async () => {
  const path = join(folder, 'audit.jsonl');
  using file = new AuditFile(path);
  await using supervisor = supervised.supervisor({ audit: file.record });
  await supervised.run(supervisor, `
    import { variables, xcom } from 'sallyport/task';
    export default async () => { await xcom.push('k', 1); await variables.get('secret').catch(() => {}); };
  `, { ti: { id: '00000000-0000-4000-8000-000000000001' } });
  assert.equal(lines(path).map(({ task, method, outcome }) => [task, method, outcome]), [['SetXCom', 'allowed'], ['GetVariable', 'denied'], ['SucceedTask', 'allowed']].map((row) => ['00000000-0000-4000-8000-000000000001', ...row]));
  assert.is(statSync(path).mode & 0o777, 0o600);
});

events('a request whose record cannot be written fails', async () => {
  const file = new AuditFile(join(folder, 'closed.jsonl'));
  await using supervisor = supervised.supervisor({ audit: file.record });
  const source = "import { xcom } from 'sallyport/task'; export default async () => { try { await xcom.push('k', 1); } catch (error) { console.log(error.code); throw error; } };";
  assert.is((await supervised.run(supervisor, source)).state, 'success'); // control
  file.close();
  const { state } = await supervised.run(supervisor, source);
  assert.is(state, 'failed');
});

events('while a record cannot be written nothing more is done, and it is the first that is written then', async () => {
  const records: AuditRecord[] = [];
  let isFull = true;
  const audit = (record: AuditRecord): void => {
    if (isFull) throw new Error('no room');
    records.push(record);
  };
  const lines: string[] = [];
  await using supervisor = supervised.supervisor({ audit, onLog: ({ source, line }) => source === 'stdout' && lines.push(line) });
  const source = "import { xcom } from 'sallyport/task'; export default async () => { for (const key of ['a', 'b', 'c']) await xcom.push(key, 1).catch(() => {}); process.exit(0); };";
  await supervised.run(supervisor, source, { ti: { task_id: 'pushes' } });
  isFull = false;
  await supervised.run(supervisor, source, { ti: { task_id: 'control' } });
  const reads = "import { xcom } from 'sallyport/task'; export default async () => { for (const task_id of ['pushes', 'control']) for (const key of ['a', 'b', 'c']) console.log(task_id, key, await xcom.pull({ task_id, key })); };";
  await supervised.run(supervisor, reads, { grants: 'airflow' });
  assert.equal(lines, ['pushes a 1', 'pushes b null', 'pushes c null', 'control a 1', 'control b 1', 'control c 1']);
  assert.equal(records.slice(0, 4).map(({ method }) => method), ['SetXCom', 'SetXCom', 'SetXCom', 'SetXCom']);
  assert.is.not(records[0]?.task, records[1]?.task);
});

events('an audit\'s file makes room for another; records are whole, in order, and the oldest files go', () => {
  const path = join(folder, 'rotated.jsonl');
  using file = new AuditFile(path, { maxBytes: 4096, maxFiles: 3 });
  for (let id = 0; id < 300; id++) file.record(entry(id));
  const names = readdirSync(folder).filter((name) => name.startsWith('rotated')).sort();
  assert.equal(names, ['rotated.jsonl', 'rotated.jsonl.1', 'rotated.jsonl.2']);
  for (const name of names) assert.ok(statSync(join(folder, name)).size <= 4096);
  const ids = names.reverse().flatMap((name) => lines(join(folder, name)).map(({ id }) => id as number));
  assert.equal(ids, Array.from({ length: ids.length }, (_, index) => 300 - ids.length + index));
  file.close();
  using again = new AuditFile(path, { maxBytes: 4096, maxFiles: 3 });
  again.record(entry(300));
  assert.is(lines(path).at(-1)?.['id'], 300);
});

events('an audit that finds no descriptor for its next file loses none of those it has', () => {
  const path = join(folder, 'starved.jsonl');
  const program = `
    import { closeSync, openSync } from 'node:fs';
    import { AuditFile } from ${JSON.stringify(new URL('../lib/index.js', import.meta.url).href)};
    const audit = new AuditFile(${JSON.stringify(path)}, { maxBytes: 4096, maxFiles: 4 });
    const record = (id) => audit.record({ at: '2026-01-01T00:00:00.000Z', task: 't', id, method: 'GetVariable', outcome: 'allowed' });
    let id = 0;
    for (; id < 200; id++) record(id);
    const open = [];
    try { for (;;) open.push(openSync('/dev/null')); } catch {}
    const failed = [];
    while (failed.length < 20) try { record(id); id++; } catch (error) { failed.push(error.code); }
    open.forEach((fd) => closeSync(fd));
    record(id);
    console.log(JSON.stringify([id, [...new Set(failed)]]));
  `;
  const { stdout, stderr } = spawnSync('bash', ['-c', 'ulimit -n 500; exec "$0" --input-type=module -e "$1"', process.execPath, program], { encoding: 'utf8' });
  assert.is(stderr, '');
  const [last, failed] = JSON.parse(stdout) as [number, string[]];
  assert.equal(failed, ['EMFILE']);
  const names = readdirSync(folder).filter((name) => name.startsWith('starved')).sort().reverse();
  const ids = names.flatMap((name) => lines(join(folder, name)).map(({ id }) => id as number));
  assert.equal(ids, Array.from({ length: ids.length }, (_, index) => last + 1 - ids.length + index));
  assert.equal([names.length, ids.length > 3 * 30], [4, true]);
});

events('what is no file of this user alone is refused', () => {
  const own = join(folder, 'own');
  mkdirSync(own);
  new AuditFile(join(own, 'control.jsonl')).close();
  writeFileSync(join(own, 'target'), '');
  symlinkSync(join(own, 'target'), join(own, 'link.jsonl'));
  writeFileSync(join(own, 'open.jsonl'), '');
  chmodSync(join(own, 'open.jsonl'), 0o644);
  mkdirSync(join(own, 'folder.jsonl'));
  mkdirSync(join(own, 'anyone'));
  chmodSync(join(own, 'anyone'), 0o777);
  for (const name of ['link.jsonl', 'open.jsonl', 'folder.jsonl', 'anyone/x.jsonl']) assert.throws(() => new AuditFile(join(own, name)), (error: { code: string }) => error.code === 'ERR_LOG_REFUSED', name);
  for (const wrong of [[''], [3], [join(own, 'x'), { maxBytes: 1 }], [join(own, 'x'), { maxFiles: 1 }], [join(own, 'x'), { max: 1 }]]) assert.throws(() => new AuditFile(...(wrong as [string])), (error: { code: string }) => ['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE'].includes(error.code));
});

events('no policy gives a task the audit', async () => {
  const own = join(folder, 'kept');
  mkdirSync(own);
  using file = new AuditFile(join(own, 'audit.jsonl'));
  await using supervisor = supervised.supervisor({ audit: file.record });
  const code = (grants: object): Promise<string> => codeOf(supervised.run(supervisor, 'export default () => 1;', { policy: policies.node(grants) }));
  for (const grants of [{ read: [own] }, { write: [own] }, { read: [join(own, 'audit.jsonl')] }]) assert.is(await code(grants), 'ERR_POLICY_INVALID');
  mkdirSync(join(own, 'beside'));
  assert.is(await code({ read: [join(own, 'beside')] }), 'no error'); // control
});

events.run();
