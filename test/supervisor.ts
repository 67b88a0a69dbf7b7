import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { AuditRecord } from '../lib/broker/index.js';
import { ExecutionApi } from '../lib/execution-api/client.js';
import { Secret } from '../lib/secrets/secret.js';
import { createServer, type Server } from '../lib/server/index.js';
import { settled } from './helpers/peer.js';
import { drain, lineChannel } from '../lib/supervisor/lines.js';
import { Supervisor, type LogLine, type Outcome, type RunOptions, type SupervisorOptions } from '../lib/supervisor/index.js';

const supervisor = suite('supervisor');

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-supervisor-')));
const bundle = join(folder, 'bundle');
mkdirSync(bundle);
writeFileSync(join(folder, 'outside.mjs'), 'export default () => 1;');
let server: Server;

supervisor.before(async () => {
  server = await createServer({ signingKey: Secret.fromBytes(randomBytes(64)) });
  await server.listen();
  await server.seed({
    variables: { colour: 'green', shape: 'round' },
    connections: [{ conn_id: 'db', conn_type: 'postgres', host: 'h', password: 'p', port: 5432 }],
  });
});
supervisor.after(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

let files = 0;
/** A task file of its own in the bundle. */
function taskFile(source: string): string {
  const name = `task-${++files}.mjs`;
  writeFileSync(join(bundle, name), source);
  return name;
}

const workloadOf = (dag_rel_path: string, ti: object = {}) => ({
  type: 'ExecuteTask',
  ti: { id: randomUUID(), dag_id: 'd', run_id: 'r', task_id: 't', try_number: 1, map_index: -1, ...ti },
  dag_rel_path,
  bundle_info: { name: 'b', version: null },
});

interface Ran { outcome: Outcome; records: AuditRecord[]; lines: LogLine[] }

/** Runs a task of this source against the embedded server, as a scheduler would have it run. */
async function run(source: string, options: RunOptions & { ti?: object; max_tries?: number; supervisor?: Partial<SupervisorOptions> } = {}): Promise<Ran> {
  const { ti, max_tries = 0, supervisor: more, ...runOptions } = options;
  const workload = workloadOf(taskFile(source), { task_id: `t${files}`, ...ti });
  const { try_number: _, ...row } = workload.ti;
  await server.seed({ taskInstances: [{ ...row, try_number: 1, max_tries, state: 'queued' }] });
  const token = Secret.fromBytes(Buffer.from(await server.issueWorkloadToken(workload.ti.id)));
  const records: AuditRecord[] = [];
  const lines: LogLine[] = [];
  await using api = new ExecutionApi({ baseUrl: server.url ?? '' });
  await using subject = new Supervisor({ api, bundles: { b: bundle }, audit: (entry) => records.push(entry), onLog: (line) => lines.push(line), ...more });
  const outcome = await subject.run(workload, { token, ...runOptions });
  assert.throws(() => token.use(() => {}), (error: { code: string }) => error.code === 'ERR_SECRET_DESTROYED');
  return { outcome, records, lines };
}

/** What a task returned, asked for by another one. */
async function returned(task_id: string): Promise<unknown> {
  const { lines } = await run(
    `import { xcom } from 'sallyport/task'; export default async () => console.log(JSON.stringify(await xcom.pull({ task_id: '${task_id}' })));`,
    { grants: { xcoms: [{ task_id }] } },
  );
  return JSON.parse(lines.find(({ source }) => source === 'stdout')?.line ?? 'null');
}

/** What an attacker in a task file uses: requests of any shape, past the functions of the SDK. */
const raw = `
  const request = (type, fields) => globalThis[Symbol.for('sallyport.task.client')].request(type, fields);
  const code = (promise) => promise.then(() => 'done', (error) => error.code);
`;

// --- A task's way

supervisor('a task reads what it was granted, pushes, returns, and succeeds', async () => {
  const ran = await run(`
    import { connections, context, variables, xcom } from 'sallyport/task';
    export default async ({ ti }) => {
      await xcom.push('extra', [1, 2]);
      const { password, port } = await connections.get('db');
      return { colour: await variables.get('colour'), password, port, own: await xcom.pull({ key: 'extra' }), dag: context.dag_run.dag_id, ti: ti.task_id };
    };
  `, { grants: { variables: ['colour'], connections: ['db'] }, ti: { task_id: 'reader' } });
  assert.equal(ran.outcome, { state: 'success', exit: { kind: 'exited', exitCode: 0 }, reported: true });
  assert.equal(await returned('reader'), { colour: 'green', password: 'p', port: 5432, own: [1, 2], dag: 'd', ti: 'reader' });
  assert.equal(ran.records.map(({ method, outcome }) => [method, outcome]), ['SetXCom', 'GetConnection', 'GetVariable', 'GetXCom', 'SetXCom', 'SucceedTask'].map((name) => [name, 'allowed']));
});

supervisor('nothing is granted by default, and each refusal is recorded', async () => {
  const ran = await run(`${raw}
    import { connections, variables, xcom } from 'sallyport/task';
    export default async () => console.log(JSON.stringify([
      await code(variables.get('colour')), await code(connections.get('db')), await code(xcom.pull({ task_id: 'reader' })),
      await code(xcom.pull({ include_prior_dates: true })), await code(request('PutVariable', { key: 'colour', value: 'red' })),
      await code(request('SucceedTask', { task_outlets: [{ name: 'a', uri: 'a', type: 'Asset' }] })),
      await code(xcom.pull()),
    ]));
  `);
  assert.equal(JSON.parse(ran.lines[0]?.line ?? ''), [...Array<string>(6).fill('ERR_BROKER_DENIED'), 'done']);
  assert.is(ran.records.filter(({ outcome }) => outcome === 'denied').length, 6);
  assert.is(ran.outcome.state, 'success');
});

supervisor('a missing variable or connection is not found, not refused', async () => {
  const ran = await run(`${raw}
    import { connections, variables } from 'sallyport/task';
    export default async () => console.log(await code(variables.get('absent')), await code(connections.get('absent')));
  `, { grants: { variables: 'any', connections: ['absent'] } });
  assert.is(ran.lines[0]?.line, 'VARIABLE_NOT_FOUND CONNECTION_NOT_FOUND');
});

supervisor('a task cannot push as another one, whichever field it forges', async () => {
  const own = { dag_id: 'd', run_id: 'r', task_id: 'forger', map_index: -1 };
  const ran = await run(`${raw}
    const own = ${JSON.stringify(own)};
    export default async () => console.log(JSON.stringify(await Promise.all([
      {}, own, { dag_id: null }, { dag_id: 'other' }, { run_id: 'other' }, { task_id: 'reader' }, { map_index: 3 }, { ...own, task_id: '' }, { ...own, dag_id: ['d'] },
    ].map((fields, index) => code(request('SetXCom', { key: 'k' + index, value: index, ...fields }))))));
  `, { ti: { task_id: 'forger' } });
  assert.equal(JSON.parse(ran.lines[0]?.line ?? ''), [...Array<string>(3).fill('done'), ...Array<string>(6).fill('ERR_BROKER_DENIED')]);
});

supervisor('an XCom that is not JSON is refused, not bent', async () => {
  const ran = await run(`${raw}
    import { xcom } from 'sallyport/task';
    export default async () => console.log(JSON.stringify(await Promise.all([new Date(), NaN, new Uint8Array(3), 2 ** 60].map((value) => code(xcom.push('k', [value]))))));
  `);
  assert.equal(JSON.parse(ran.lines[0]?.line ?? ''), ['ERR_BROKER_DENIED', 'ERR_BROKER_DENIED', 'ERR_BROKER_DENIED', 'done']);
});

supervisor('many tasks at once keep to themselves', async () => {
  const count = 6;
  const ran = await Promise.all(Array.from({ length: count }, (_, index) => run(
    `import { variables } from 'sallyport/task'; export default async ({ ti }) => { console.log(ti.task_id, await variables.get('colour').catch((error) => error.code)); };`,
    { ti: { task_id: `many-${index}` }, grants: index % 2 ? { variables: ['colour'] } : {} },
  )));
  assert.equal(ran.map(({ lines }) => lines.map(({ line }) => line)), Array.from({ length: count }, (_, index) => [`many-${index} ${index % 2 ? 'green' : 'ERR_BROKER_DENIED'}`]));
  assert.ok(ran.every(({ outcome }) => outcome.state === 'success' && outcome.reported));
});

// --- Ways to end

const ends: readonly [what: string, source: string, exit: object, state: string, reason?: string][] = [
  ['throws', 'export default () => { throw Object.assign(new Error("no"), { code: "ERR_OWN" }); };', { kind: 'exited', exitCode: 0 }, 'failed', 'Error: no [ERR_OWN]'],
  ['cannot be parsed', 'export default (', { kind: 'exited', exitCode: 0 }, 'failed', 'SyntaxError: Unexpected end of input'],
  ['exits with a code', 'export default () => process.exit(3);', { kind: 'exited', exitCode: 3 }, 'failed'],
  ['exits while it is loaded', 'process.exit(4);', { kind: 'exited', exitCode: 4 }, 'failed'],
  ['exits with 0 and says nothing', 'export default () => process.exit(0);', { kind: 'exited', exitCode: 0 }, 'success'],
  ['kills itself', 'export default () => process.kill(process.pid, "SIGKILL");', { kind: 'signaled', signal: 'SIGKILL' }, 'failed'],
  ['was skipped', `${raw} export default async () => { await request('TaskState', { state: 'skipped' }); process.exit(0); };`, { kind: 'exited', exitCode: 0 }, 'skipped'],
  ['says two things', `${raw} export default async () => { await request('SucceedTask', {}); console.log(await code(request('TaskState', { state: 'failed' }))); process.exit(0); };`, { kind: 'exited', exitCode: 0 }, 'success'],
];
for (const [what, source, exit, state, reason] of ends) {
  supervisor(`a task that ${what} is ${state}`, async () => {
    const { outcome } = await run(source);
    assert.equal(outcome, { state, exit, reported: true, ...(reason && { reason }) });
  });
}

for (const [what, source] of [['throws', 'export default () => { throw new Error("no"); };'], ['dies', 'export default () => process.exit(1);']] as const) {
  supervisor(`a task that ${what} with tries left is up for retry`, async () => {
    const { outcome } = await run(source, { max_tries: 2 });
    assert.is(outcome.state, 'up_for_retry');
    assert.ok(outcome.reported);
  });
}

const violations: readonly [what: string, bytes: string][] = [
  ['garbage', 'Buffer.from([0, 0, 0, 1, 0xc1])'],
  ['an announced 5 MiB', 'Buffer.from([0, 0x50, 0, 0])'],
  ['a nesting of 100', 'Buffer.concat([Buffer.from([0, 0, 0, 101]), Buffer.alloc(101, 0x91)])'],
  ['a message that is no request', 'Buffer.from([0, 0, 0, 1, 0xc0])'],
];
for (const [what, bytes] of violations) {
  supervisor(`a task that writes ${what} to its channel is ended and failed`, async () => {
    const { outcome } = await run(`import { writeSync } from 'node:fs'; export default async () => { writeSync(0, ${bytes}); await new Promise((resolve) => setTimeout(resolve, 60_000)); };`);
    assert.is(outcome.exit.kind, 'ended');
    assert.is((outcome.error as { code?: string }).code, 'ERR_BROKER_VIOLATION');
    assert.equal([outcome.state, outcome.reported], ['failed', true]);
  });
}

supervisor('a task that exits well behind garbage has failed', async () => {
  const { outcome } = await run(`import { writeSync } from 'node:fs'; export default async () => { writeSync(0, Buffer.from([0, 0, 0, 1, 0xc1])); process.exit(0); };`);
  assert.equal([outcome.state, outcome.reported, (outcome.error as { code?: string }).code], ['failed', true, 'ERR_BROKER_VIOLATION']);
});

supervisor('a task that floods its channel and reads nothing waits, costs little, and others go on', async () => {
  const controller = new AbortController();
  const flood = `
    import { writeSync } from 'node:fs';
    import { encode } from ${JSON.stringify(import.meta.resolve('@msgpack/msgpack'))};
    export default () => {
      for (let id = 1; ; id++) {
        const body = encode([id, { type: 'GetXCom', key: 'k' }]);
        const header = Buffer.alloc(4);
        header.writeUInt32BE(body.length);
        let frame = Buffer.concat([header, body]);
        while (frame.length > 0) {
          try { frame = frame.subarray(writeSync(0, frame)); } catch (error) { if (error.code !== 'EAGAIN') throw error; Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5); }
        }
      }
    };
  `;
  const records: AuditRecord[] = [];
  await using fake = await fakeApi(on('k', status(200, JSON.stringify({ key: 'k', value: 'x'.repeat(100_000) }))));
  const subject = fake.supervisor({ audit: (entry) => records.push(entry) });
  const flooding = subject.run(workloadOf(taskFile(flood)), { signal: controller.signal });
  const answered = await settledAbove0(() => records.length);
  assert.ok(answered < 200, `${answered} answers of 100 kB were made for a task that reads none`);
  assert.is((await subject.run(workloadOf(taskFile('export default () => 1;')))).state, 'success');
  controller.abort(new Error('enough'));
  const { state, exit } = await flooding;
  assert.equal([state, exit.kind], ['failed', 'ended']);
});

async function settledAbove0(count: () => number): Promise<number> {
  while (count() === 0) await settled(count);
  return settled(count);
}

supervisor('a start message that no frame can hold ends the task, and is reported', async () => {
  const dag_run = { dag_id: 'd', run_id: 'r', run_after: '2026-01-01T00:00:00Z', run_type: 'manual', consumed_asset_events: [], conf: { large: 'x'.repeat(5 << 20) } };
  await using fake = await fakeApi(on('run', status(200, JSON.stringify({ dag_run, max_tries: 0 }))));
  const outcome = await fake.supervisor().run(workloadOf(taskFile('export default () => 1;')));
  assert.equal([outcome.state, outcome.reported, (outcome.error as { code?: string }).code], ['failed', true, 'ERR_OUT_OF_RANGE']);
});

supervisor('an abort kills the task, and its end is reported', async () => {
  const controller = new AbortController();
  const reason = new Error('enough');
  const { outcome } = await run('export default () => { console.log("up"); return new Promise((resolve) => setTimeout(resolve, 60_000)); };', {
    signal: controller.signal, supervisor: { onLog: () => controller.abort(reason) },
  });
  assert.equal([outcome.exit, outcome.state, outcome.reported, outcome.error], [{ kind: 'ended', violation: reason }, 'failed', true, reason]);
});

supervisor('a task that goes on after its final message is terminated, and its word stands', async () => {
  const { outcome } = await run(`${raw} export default async () => { process.on('SIGTERM', () => {}); await request('SucceedTask', {}); await new Promise((resolve) => setTimeout(resolve, 60_000)); };`, {
    supervisor: { overtimeMs: 50, killGraceMs: 50 },
  });
  assert.equal(outcome, { state: 'success', exit: { kind: 'signaled', signal: 'SIGKILL' }, reported: true });
});

// --- Output

supervisor('lines come whole and bounded, whatever a task writes', async () => {
  const { lines, outcome } = await run(`
    import { writeSync } from 'node:fs';
    import { log } from 'sallyport/task';
    export default () => {
      log.info('structured', { rows: 3 });
      writeSync(3, 'not json\\n');
      writeSync(2, Buffer.from([0xff, 0x00, 10]));
      process.stdout.write('x'.repeat(200_000) + '\\n\\nlast');
    };
  `);
  assert.is(outcome.state, 'success');
  const of = (source: string) => lines.filter((line) => line.source === source);
  assert.is(JSON.parse(of('log')[0]?.line ?? '').rows, 3);
  assert.is(of('log')[1]?.line, 'not json');
  assert.equal(of('stderr').map(({ line }) => line), ['\ufffd\0']);
  assert.equal(of('stdout').map(({ line, cut }) => [line.length, cut]), [[65536, true], [0, false], [4, false]]);
});

supervisor('a listener that throws costs itself only', async () => {
  const warned = once(process, 'warning');
  const { outcome } = await run('export default () => { console.log(1); console.log(2); };', { supervisor: { onLog: () => { throw new Error('no'); } } });
  assert.is(outcome.state, 'success');
  assert.is(((await warned)[0] as Error).name, 'SallyportWarning');
});

supervisor('a task that floods its output loses none of it', async () => {
  const each = 100_000;
  const seen = { stdout: 0, stderr: 0, log: 0 };
  const { outcome } = await run(`
    import { writeSync } from 'node:fs';
    const newlines = Buffer.alloc(50_000, 10);
    const write = (fd, at) => {
      try { return writeSync(fd, newlines, at); } catch (error) { if (error.code !== 'EAGAIN') throw error; Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); return 0; }
    };
    export default () => { for (const fd of [1, 2, 3, 1, 2, 3]) for (let at = 0; at < newlines.length; ) at += write(fd, at); };
  `, { supervisor: { onLog: ({ source }) => seen[source]++ } });
  assert.is(outcome.state, 'success');
  assert.equal(seen, { stdout: each, stderr: each, log: each });
});

supervisor('the output of many that flood takes no more of a turn of the event loop than that of one', async () => {
  const streams = 60;
  const perStream = 1500;
  let now = 0;
  let most = 0;
  let lines = 0;
  const work = Buffer.alloc(100_000);
  let watching = true;
  const watch = (): void => {
    now = 0;
    if (watching) setImmediate(watch);
  };
  watch();
  const onLog = (): void => {
    createHash('sha256').update(work).digest(); // a listener that costs something: 30 to 300 µs
    lines++;
    most = Math.max(most, ++now);
  };
  await Promise.all(Array.from({ length: streams }, () => drain(Readable.from([Buffer.alloc(perStream, 10)]), 'ti', 'stdout', onLog)));
  watching = false;
  assert.is(lines, streams * perStream);
  // 10 ms, and a piece of 64 lines; 256 lines of each would be 15360.
  assert.ok(most <= 1000, `${most} lines in one turn of the event loop`);
});

supervisor('whoever begins to listen in the middle of a line gets whole lines only', async () => {
  for (const [early, expected] of [[true, ['lost', 'half', 'whole', 'last']], [false, ['whole', 'last']]] as const) {
    const stream = new PassThrough();
    const lines: string[] = [];
    const subscriber = (entry: unknown): void => { lines.push((entry as LogLine).line); };
    if (early) lineChannel.subscribe(subscriber); // control
    const drained = drain(stream, 'ti', 'stdout', undefined);
    for (const part of ['lost\nha', 'l']) {
      stream.write(part);
      while (stream.readableLength > 0) await nextTurn();
      await nextTurn();
    }
    if (!early) lineChannel.subscribe(subscriber);
    stream.end('f\nwhole\nlast');
    await drained;
    lineChannel.unsubscribe(subscriber);
    assert.equal(lines, expected);
  }
});

supervisor('what a task was given to keep to itself is hidden in its lines and its reason, however it prints it', async () => {
  const source = `${raw}
    import { writeSync } from 'node:fs';
    import { connections, log, maskSecret, variables } from 'sallyport/task';
    export default async () => {
      const { password, extra } = await connections.get('vault');
      const key = await variables.get('my_api_key');
      console.log(await variables.get('colour'), password, Buffer.from('user:' + password).toString('base64'));
      writeSync(2, 'in tw');
      writeSync(2, 'o ' + key.slice(0, 8));
      await new Promise((resolve) => setTimeout(resolve, 20));
      writeSync(2, key.slice(8) + '\\n');
      log.info('logged ' + JSON.parse(extra).token, { passphrase: 'x', rows: 3, url: 'http://u:' + encodeURIComponent(password) + '@h' });
      await maskSecret({ password: 'of my own making', colour: 'open' });
      console.log('of my own making', 'open', 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln');
      await request('RetryTask', { retry_reason: 'because of ' + password });
    };
  `;
  await server.seed({
    variables: { my_api_key: 'k3y-of-a-variable' },
    connections: [{ conn_id: 'vault', conn_type: 'http', host: 'h', password: 'pa ss"word', extra: '{"token": "extra-token", "region": "north"}' }],
  });
  const options = { grants: { variables: ['my_api_key', 'colour'], connections: ['vault'] } };
  const secrets = ['pa ss"word', 'pa%20ss%22word', 'k3y-of-a-variable', 'extra-token', 'of my own making', 'eyJhbGciOiJIUzI1NiJ9', '"x"', Buffer.from('user:pa ss"word').toString('base64')];

  const control = await run(source, { ...options, max_tries: 1, supervisor: { masking: false } });
  const printed = control.lines.map(({ line }) => line).join('\n');
  assert.equal(secrets.filter((text) => !printed.includes(text)), []);
  assert.is(control.outcome.reason, 'because of pa ss"word');

  const ran = await run(source, { ...options, max_tries: 1 });
  assert.is(ran.outcome.error, undefined);
  const of = (from: LogLine['source']): string[] => ran.lines.filter((line) => line.source === from).map(({ line }) => line);
  assert.equal(of('stdout'), ['green *** dXNlcj***', '*** open eyJ***']);
  assert.equal(of('stderr'), ['in two ***']);
  const { timestamp: _, ...logged } = JSON.parse(of('log')[0] ?? '') as Record<string, unknown>;
  assert.equal(logged, { passphrase: '***', rows: 3, url: 'http://u:***@h', level: 'info', event: 'logged ***', logger: 'task' });
  assert.is(ran.outcome.reason, 'because of ***');
});

supervisor('a task has no more hidden than its share of locked memory, and others run meanwhile', async () => {
  const { lines } = await run(`${raw}
    import { maskSecret } from 'sallyport/task';
    export default async () => {
      const seen = [];
      for (let i = 0; i < 200; i++) seen.push(await code(maskSecret('value number ' + i)));
      seen.push(await code(maskSecret('x'.repeat(100_000))), await code(request('MaskSecret', { value: new Date() })));
      console.log(JSON.stringify([seen[0], seen.at(-3), seen.at(-2), seen.at(-1), seen.filter((code) => code === 'done').length]));
    };
  `);
  const [first, ...rest] = JSON.parse(lines[0]?.line ?? '') as unknown[];
  const some = rest.pop() as number;
  assert.equal([first, ...rest], ['done', 'ERR_BROKER_DENIED', 'ERR_BROKER_DENIED', 'ERR_BROKER_DENIED']);
  assert.ok(some > 50 && some < 200, `${some}`);
});

// --- Bad workloads

const good = workloadOf(taskFile('export default () => 1;'));
symlinkSync(join(folder, 'outside.mjs'), join(bundle, 'link.mjs'));
symlinkSync(folder, join(bundle, 'link'));
mkdirSync(join(bundle, 'directory.mjs'));
const invalid: readonly [path: string, workload: unknown][] = [
  ['', null],
  ['', 'text'],
  ['', []],
  ['type', { ...good, type: 'ExecuteCallback' }],
  ['ti', { ...good, ti: undefined }],
  ['ti.id', { ...good, ti: { ...good.ti, id: '../../variables/colour' } }],
  ['ti.map_index', { ...good, ti: { ...good.ti, map_index: -2 } }],
  ['ti.task_id', { ...good, ti: { ...good.ti, task_id: '' } }],
  ['ti.try_number', { ...good, ti: { ...good.ti, try_number: '1' } }],
  ['bundle_info.name', { ...good, bundle_info: { name: 'other', version: null } }],
  ['bundle_info.name', { ...good, bundle_info: { name: '__proto__' } }],
  ['bundle_info.name', { ...good, bundle_info: { name: 'gone' } }],
  ['dag_rel_path', { ...good, dag_rel_path: '' }],
  ['dag_rel_path', { ...good, dag_rel_path: 'absent.mjs' }],
  ['dag_rel_path', { ...good, dag_rel_path: '../outside.mjs' }],
  ['dag_rel_path', { ...good, dag_rel_path: 'directory.mjs/../../outside.mjs' }],
  ['dag_rel_path', { ...good, dag_rel_path: join(folder, 'outside.mjs') }],
  ['dag_rel_path', { ...good, dag_rel_path: 'link.mjs' }],
  ['dag_rel_path', { ...good, dag_rel_path: 'link/outside.mjs' }],
  ['dag_rel_path', { ...good, dag_rel_path: 'directory.mjs' }],
  ['dag_rel_path', { ...good, dag_rel_path: 'a\0.mjs' }],
  ['dag_rel_path', { ...good, dag_rel_path: '.' }],
];
supervisor('what is not a workload is refused with the path of its first wrong field', async () => {
  await using fake = await fakeApi(() => {});
  const seen = [];
  for (const [, workload] of invalid) seen.push(await failure(fake.supervisor({ bundles: { b: bundle, gone: join(folder, 'gone') } }).run(withToken(workload))));
  assert.equal(seen.map(({ code, path }) => [code, path]), invalid.map(([path]) => ['ERR_WORKLOAD_INVALID', path]));
  assert.not.match(JSON.stringify(seen.map(({ message }) => message)), 'secret-token');
  assert.is(fake.requests.length, 0);
  assert.is((await fake.supervisor().run(withToken(good))).state, 'success'); // control
});

function withToken(workload: unknown): unknown {
  return typeof workload === 'object' && workload !== null && !Array.isArray(workload) ? { ...workload, token: 'secret-token' } : workload;
}

async function failure(promise: Promise<unknown>): Promise<NodeJS.ErrnoException & { status?: number }> {
  try {
    await promise;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
  return assert.unreachable() as never;
}

// --- A server that refuses

type Script = (request: IncomingMessage, response: ServerResponse, route: string) => boolean | void;

/** An API that lets everything happen but what the script answers itself, by returning true. */
async function fakeApi(script: Script, retries: { attempts?: number } = {}) {
  const requests: string[] = [];
  const bodies: unknown[] = [];
  const http = createHttpServer(async (request, response) => {
    const route = (request.url ?? '').split('/').at(-1) ?? '';
    requests.push(`${request.method} ${route}`);
    let body = '';
    for await (const chunk of request) body += chunk;
    bodies.push(body === '' ? null : JSON.parse(body));
    if (script(request, response, route) === true) return;
    if (route !== 'run') return void response.writeHead(request.method === 'POST' ? 201 : 204).end();
    const dag_run = { dag_id: 'd', run_id: 'r', run_after: '2026-01-01T00:00:00Z', run_type: 'manual', consumed_asset_events: [] };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ dag_run, max_tries: 0, should_retry: false, connections: [{ password: 'p' }] }));
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const api = new ExecutionApi({ baseUrl: `http://127.0.0.1:${(http.address() as AddressInfo).port}/`, attempts: retries.attempts ?? 1, retryDelayMs: 1, requestTimeoutMs: 2000 });
  return {
    api,
    requests,
    bodies,
    supervisor: (more: Partial<SupervisorOptions> = {}) => new Supervisor({ api, bundles: { b: bundle }, ...more }),
    async [Symbol.asyncDispose]() {
      await api.close();
      http.closeAllConnections();
      http.close();
    },
  };
}

const status = (code: number, body = '{"detail":{"reason":"because","message":"m"}}'): Script => (_, response) => {
  response.writeHead(code, { 'content-type': 'application/json' }).end(body);
  return true;
};
const on = (wanted: string, script: Script): Script => (request, response, route) => route === wanted && script(request, response, route);

const refusals: readonly (readonly [what: string, script: Script, code: string, status?: number])[] = [
  ...[401, 403, 404, 409, 422, 500].map((code) => [`answers ${code}`, status(code), 'ERR_UPSTREAM_FAILED', code] as const),
  ['answers what is not JSON', status(200, '<html>'), 'ERR_UPSTREAM_UNREACHABLE'],
  ['answers JSON of another kind', status(200, '[]'), 'ERR_UPSTREAM_UNREACHABLE'],
  ['hangs up', (request) => { request.socket.destroy(); return true; }, 'ERR_UPSTREAM_UNREACHABLE'],
  ['answers what is not HTTP', (request) => { request.socket.end('SSH-2.0-no\r\n'); return true; }, 'ERR_UPSTREAM_UNREACHABLE'],
];

/** The least of many looks: threads that measure tasks open files of /proc for a moment. */
async function descriptors(): Promise<number> {
  let least = Infinity;
  for (let looks = 0; looks < 50; looks++) {
    least = Math.min(least, readdirSync('/proc/self/fd').length);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return least;
}
/** Of a thread or process that may have ended since it was listed: then nothing. */
const readLiving = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};
/** Of this process, whichever thread started them; tsx has one of its own. */
const children = () => readdirSync('/proc/self/task')
  .flatMap((id) => readLiving(`/proc/self/task/${id}/children`).split(' ').filter(Boolean))
  .filter((pid) => readLiving(`/proc/${pid}/comm`) !== 'sweeper\n'); // one for all tasks, from the first launch on
const childrenBefore = children();

for (const [what, script, code, answered] of refusals) {
  supervisor(`a server that ${what} does not get the task run`, async () => {
    await using fake = await fakeApi(on('run', script));
    const ran = taskFile('export default () => { console.log("ran"); };');
    const lines: LogLine[] = [];
    const error = await failure(fake.supervisor({ onLog: (line) => lines.push(line) }).run({ ...workloadOf(ran), token: 'secret-token' }));
    assert.equal([error.code, error.status], [code, answered]);
    assert.not.match(`${error.message} ${error.stack} ${String(error.cause)}`, 'secret-token');
    assert.equal(lines, []);
    assert.equal(fake.requests, ['PATCH run']);
    assert.equal(children(), childrenBefore);
  });
}

supervisor('a server that is away does not get the task run, and nothing is left behind', async () => {
  const workload = workloadOf(taskFile('export default () => 1;'));
  {
    await using fake = await fakeApi(() => {});
    await fake.supervisor().run(workload); // what stays open for good is open now, and the connections are closed
  }
  await using away = new ExecutionApi({ baseUrl: 'http://127.0.0.1:1/', attempts: 1 });
  await failure(new Supervisor({ api: away, bundles: { b: bundle } }).run(workload));
  const before = await descriptors();
  for (let round = 0; round < 3; round++) {
    const error = await failure(new Supervisor({ api: away, bundles: { b: bundle } }).run(workload));
    assert.is(error.code, 'ERR_UPSTREAM_UNREACHABLE');
  }
  assert.equal(children(), childrenBefore);
  assert.ok((await descriptors()) <= before);
});

supervisor('a final report that the server refuses is an outcome that says so', async () => {
  await using fake = await fakeApi(on('state', status(409)));
  const outcome = await fake.supervisor().run(workloadOf(taskFile('export default () => process.exit(0);')));
  assert.equal([outcome.state, outcome.reported, (outcome.error as { status?: number }).status], ['success', false, 409]);
});

supervisor('a success that could not be told at once is told after the exit', async () => {
  let refusals = 1;
  await using fake = await fakeApi(on('state', (...args) => refusals-- > 0 && status(500)(...args)));
  const outcome = await fake.supervisor().run(workloadOf(taskFile(`${raw} export default async () => { await code(request('SucceedTask', {})); process.exit(0); };`)));
  assert.equal(outcome, { state: 'success', exit: { kind: 'exited', exitCode: 0 }, reported: true });
  assert.is(fake.requests.filter((request) => request === 'PATCH state').length, 2);
});

supervisor('a request that the server refuses is a typed error in the task, which goes on', async () => {
  for (const [code, expected] of [[401, 'PERMISSION_DENIED 401'], [403, 'PERMISSION_DENIED 403'], [500, 'API_SERVER_ERROR 500']] as const) {
    await using fake = await fakeApi(on('colour', status(code)));
    const lines: LogLine[] = [];
    const file = taskFile(`import { variables } from 'sallyport/task'; export default () => variables.get('colour').catch((error) => console.log(error.code, error.detail.status_code));`);
    const outcome = await fake.supervisor({ onLog: (line) => lines.push(line) }).run(workloadOf(file), { grants: { variables: ['colour'] } });
    assert.is(lines[0]?.line, expected);
    assert.is(outcome.state, 'success');
  }
});

supervisor('what the server sends along of connections does not reach the task', async () => {
  await using fake = await fakeApi(() => {});
  const lines: LogLine[] = [];
  const file = taskFile(`export default () => console.log(JSON.stringify(globalThis[Symbol.for('sallyport.task.client')].start));`);
  await fake.supervisor({ onLog: (line) => lines.push(line) }).run({ ...workloadOf(file), token: 'secret-token' });
  const start = JSON.parse(lines[0]?.line ?? '');
  assert.equal([start.type, start.dag_rel_path, start.bundle_info.name, start.ti_context.connections, start.sentry_integration], ['StartupDetails', file, 'b', [], '']);
  assert.not.match(lines[0]?.line ?? '', 'secret-token');
});

// --- Heartbeats

const forever = 'export default () => { process.on("SIGTERM", () => console.log("term")); console.log("up"); return new Promise((resolve) => setTimeout(resolve, 60_000)); };';

for (const code of [404, 409, 410]) {
  supervisor(`a heartbeat that is answered ${code} ends the task without a report`, async () => {
    let beats = 0;
    const lines: LogLine[] = [];
    await using fake = await fakeApi(on('heartbeat', (...args) => ++beats > 2 && lines.length > 0 && status(code)(...args)));
    const outcome = await fake.supervisor({ heartbeatIntervalMs: 20, killGraceMs: 2_000, onLog: (line) => lines.push(line) }).run(workloadOf(taskFile(forever)));
    assert.equal([outcome.state, outcome.exit, outcome.reported], ['server_terminated', { kind: 'signaled', signal: 'SIGKILL' }, false]);
    assert.is((outcome.error as { status?: number }).status, code);
    assert.equal(lines.map(({ line }) => line), ['up', 'term']);
    assert.ok(beats > 2); // control: the first ones were fine
    assert.not.ok(fake.requests.includes('PATCH state'));
  });
}

supervisor('heartbeats carry the owner that run named', async () => {
  await using fake = await fakeApi(() => {});
  await fake.supervisor({ heartbeatIntervalMs: 20, hostname: 'worker-1' }).run(workloadOf(taskFile('export default () => new Promise((resolve) => setTimeout(resolve, 100));')));
  const { hostname, pid } = fake.bodies[0] as { hostname: string; pid: number };
  assert.is(hostname, 'worker-1');
  assert.equal(fake.bodies[fake.requests.indexOf('PUT heartbeat')], { hostname, pid });
});

supervisor('heartbeats that fail otherwise are counted, and so many in a row end the task', async () => {
  let beats = 0;
  await using fake = await fakeApi(on('heartbeat', (...args) => ++beats !== 3 && status(500)(...args))); // the third is fine
  const outcome = await fake.supervisor({ heartbeatIntervalMs: 20, killGraceMs: 200, maxFailedHeartbeats: 3 }).run(workloadOf(taskFile(forever)));
  assert.is(beats, 6);
  assert.equal([outcome.state, outcome.reported, (outcome.error as { status?: number }).status], ['failed', true, 500]);
});

supervisor('heartbeats that the server refuses are no outage: twenty in a row end the task', async () => {
  for (const [code, expected] of [[403, 20], [503, 40]] as const) {
    let beats = 0;
    await using fake = await fakeApi(on('heartbeat', (...args) => (beats++, status(code)(...args))));
    const outcome = await fake.supervisor({ heartbeatIntervalMs: 10, killGraceMs: 200, maxFailedHeartbeats: 40 }).run(workloadOf(taskFile(forever)));
    assert.is(beats, expected); // 503: control
    assert.equal([outcome.state, (outcome.error as { status?: number }).status], ['failed', code]);
  }
});

// --- The supervisor itself

supervisor('disposing ends what runs and refuses what comes later', async () => {
  await using fake = await fakeApi(() => {});
  let up = (): void => {};
  const isUp = new Promise<void>((resolve) => { up = resolve; });
  const subject = fake.supervisor({ onLog: () => up() });
  const running = subject.run(workloadOf(taskFile(forever)));
  await isUp;
  await subject[Symbol.asyncDispose]();
  assert.is((await running).exit.kind, 'ended');
  assert.is((await failure(subject.run(good))).code, 'ERR_SUPERVISOR_CLOSED');
  await subject[Symbol.asyncDispose]();
  assert.equal(children(), childrenBefore);
});

supervisor('a token is taken over by a run that is refused too', async () => {
  await using fake = await fakeApi(() => {});
  const disposed = fake.supervisor();
  await disposed[Symbol.asyncDispose]();
  const reason = new Error('early');
  const refused: readonly (readonly [Supervisor, unknown, RunOptions, string | Error])[] = [
    [fake.supervisor(), good, { signal: AbortSignal.abort(reason) }, reason],
    [disposed, good, {}, 'ERR_SUPERVISOR_CLOSED'],
    [fake.supervisor(), null, {}, 'ERR_WORKLOAD_INVALID'],
    [fake.supervisor(), good, { grants: 1 as never }, 'ERR_INVALID_ARG_TYPE'],
  ];
  for (const [subject, workload, options, expected] of refused) {
    const token = Secret.fromBytes(Buffer.from('own-token'));
    assert.is(token.use(({ length }) => length), 9); // control
    const error = await failure(subject.run(workload, { ...options, token }));
    if (typeof expected === 'string') assert.is(error.code, expected);
    else assert.is(error, expected);
    assert.throws(() => token.use(() => {}), (thrown: { code: string }) => thrown.code === 'ERR_SECRET_DESTROYED');
  }
  assert.equal(fake.requests, []);
});

supervisor('misuse is told at once', async () => {
  const code = (options: unknown) => {
    try {
      new Supervisor(options as SupervisorOptions);
      return undefined;
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  await using api = new ExecutionApi({ baseUrl: 'http://127.0.0.1:1/' });
  assert.is(code(undefined), 'ERR_INVALID_ARG_TYPE');
  assert.is(code({ api: {}, bundles: {} }), 'ERR_INVALID_ARG_TYPE');
  assert.is(code({ api }), 'ERR_INVALID_ARG_TYPE');
  assert.is(code({ api, bundles: {}, heartbeatIntervalMs: 0 }), 'ERR_OUT_OF_RANGE');
  assert.is(code({ api, bundles: {} }), undefined);
  for (const wrong of [{ bundles: { a: 5 } }, { audit: '/var/log/audit' }, { audit: {} }, { onLog: 5 }, { hostname: '' }]) assert.is(code({ api, bundles: {}, ...wrong }), 'ERR_INVALID_ARG_TYPE', JSON.stringify(wrong));
  assert.is((await failure(new Supervisor({ api, bundles: {} }).run(good, { policy: 'node' as never }))).code, 'ERR_INVALID_ARG_TYPE');
  const reason = new Error('early');
  assert.is(await failure(new Supervisor({ api, bundles: {} }).run(good, { signal: AbortSignal.abort(reason) })), reason);
});

supervisor.run();
