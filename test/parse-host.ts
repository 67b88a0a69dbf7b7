import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { encodeFrame, FrameDecoder } from '../lib/broker/frame.js';
import type { AuditRecord } from '../lib/broker/index.js';
import { Permissions } from '../lib/broker/permissions.js';
import { UpstreamFailed } from '../lib/errors.js';
import { ParseHost, type DagFileParseRequest, type DagFileParsingResult, type Lookup, type ParseHostOptions } from '../lib/hosts/index.js';
import { ParseResult } from '../lib/hosts/parse/result.js';
import { policies } from '../lib/index.js';
import { asEachUser } from './helpers/cli.js';
import { codeOf } from './helpers/code-of.js';
import { cpuMsSince } from './helpers/cpu.js';
import { running } from './helpers/processes.js';

const host = suite('parse-host');
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-parse-')));
const bundle = join(folder, 'bundle');
mkdirSync(join(bundle, 'tasks'), { recursive: true });
writeFileSync(join(bundle, 'tasks', 'one.mjs'), 'export default () => 1;');
writeFileSync(join(folder, 'outside.mjs'), '');
host.after(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function file(source: string, ending = 'mjs'): string {
  const name = `dag-${++files}.${ending}`;
  writeFileSync(join(bundle, name), source);
  return name;
}

const request = (name: string): DagFileParseRequest => ({ file: name, bundle_path: bundle, bundle_name: 'b' });

async function parse(source: string, options: ParseHostOptions & { ending?: string; request?: Partial<DagFileParseRequest> } = {}): Promise<DagFileParsingResult> {
  const { ending, request: more, ...rest } = options;
  await using subject = new ParseHost(rest);
  return await subject.parse({ ...request(file(source, ending)), ...more });
}

const errorOf = ({ fileloc, import_errors }: DagFileParsingResult): string => {
  assert.equal(Object.keys(import_errors), [fileloc]);
  return import_errors[fileloc] ?? '';
};

const good = `import { dag } from 'sallyport/dag'; export default dag({ dag_id: 'good', tasks: { one: { file: 'tasks/one.mjs' } } });`;
const simple = (dag_id: string): string => `dag({ dag_id: '${dag_id}', tasks: { one: { file: 'tasks/one.mjs' } } })`;

// --- What a file defines

const nothing = { variables: [], writableVariables: [], connections: [], xcoms: [], outlets: [], assets: [], assetStates: [], dags: [], triggers: [], skips: [], defers: [] };

host('a file defines workflows, and they come back as data', async () => {
  const result = await parse(`
    import { dag } from 'sallyport/dag';
    export default dag({
      dag_id: 'daily', schedule: '0 6 * * mon-fri', start_date: new Date('2026-01-01T00:00:00Z'), tags: ['sales'], params: { day: null },
      default_args: { retries: 2, declares: { connections: ['warehouse'] } },
      tasks: {
        extract: { file: 'tasks/one.mjs', declares: { variables: ['from_*'] } },
        load: { file: './tasks/one.mjs', after: ['extract'], retries: 0, outlets: ['sales'] },
      },
    });
  `);
  assert.equal([result.type, result.fileloc, result.import_errors, result.warnings], ['DagFileParsingResult', join(bundle, `dag-${files}.mjs`), {}, []]);
  const [dag] = result.serialized_dags;
  assert.equal(
    [dag?.dag_id, dag?.bundle_name, dag?.relative_fileloc, dag?.schedule, dag?.start_date, dag?.catchup, dag?.params],
    ['daily', 'b', `dag-${files}.mjs`, { type: 'cron', expression: '0 6 * * mon-fri' }, '2026-01-01T00:00:00.000Z', false, { day: null }],
  );
  assert.equal(dag?.tasks.map(({ task_id, file: path, retries, upstream_task_ids, downstream_task_ids, declares, outlets }) => ({ task_id, path, retries, upstream_task_ids, downstream_task_ids, declares, outlets })), [
    { task_id: 'extract', path: 'tasks/one.mjs', retries: 2, upstream_task_ids: [], downstream_task_ids: ['load'], declares: { ...nothing, variables: ['from_*'], connections: ['warehouse'] }, outlets: [] },
    { task_id: 'load', path: 'tasks/one.mjs', retries: 0, upstream_task_ids: ['extract'], downstream_task_ids: [], declares: { ...nothing, connections: ['warehouse'], xcoms: ['daily/extract/*'], outlets: ['sales'], assetStates: ['sales'] }, outlets: [{ name: 'sales', uri: 'sales' }] },
  ]);
  assert.equal(JSON.parse(JSON.stringify(result)), result);
});

const exported: readonly [how: string, source: string, ids: string[], ending?: string][] = [
  ['by name, and each once', `export const a = ${simple('a')}; export { a as b }; export default a;`, ['a']],
  ['in arrays', `export default [${simple('a')}, [${simple('b')}]]; export const c = ${simple('c')};`, ['a', 'b', 'c']],
  ['after it waited', `await new Promise((resolve) => setTimeout(resolve, 20)); export default ${simple('a')};`, ['a']],
  ['forty times', `export default Array.from({ length: 40 }, (_, index) => dag({ dag_id: 'd' + index, tasks: Object.fromEntries(Array.from({ length: 300 }, (_, task) => ['t' + task, { file: 'tasks/one.mjs' }])) }));`, Array.from({ length: 40 }, (_, index) => `d${index}`)],
];
for (const [how, source, ids, ending] of exported) {
  host(`workflows are exported ${how}`, async () => {
    const result = await parse(`import { dag } from 'sallyport/dag'; ${source}`, ending === undefined ? {} : { ending });
    assert.equal([result.import_errors, result.serialized_dags.map(({ dag_id }) => dag_id).sort()], [{}, ids.sort()]);
  });
}

host('a CommonJS file exports as others do', async () => {
  const result = await parse(`module.exports = import('sallyport/dag').then(() => 0); const made = []; exports.made = made;`, { ending: 'cjs' });
  assert.equal(result.warnings.map(({ category }) => category), ['NoDags']);
  const shared = JSON.stringify(join(realpathSync(new URL('../lib/sdk/dag/index.js', import.meta.url))));
  const policy = policies.node();
  const made = await parse(`const { dag } = require(${shared}); module.exports = { a: ${simple('a')} };`, { ending: 'cjs', policy });
  // require() of an ES module came with Node 20.19.
  assert.equal([made.import_errors, made.serialized_dags.map(({ dag_id }) => dag_id)], [{}, ['a']]);
});

host('what the author should know comes as warnings', async () => {
  const none = await parse('export default 1;');
  assert.equal(none.warnings, [{ category: 'NoDags', message: 'the file exports no DAG: export what dag() returns' }]);
  const missing = await parse(`
    import { dag } from 'sallyport/dag'; process.emitWarning('old', 'DeprecationWarning');
    export default dag({ dag_id: 'd', tasks: { there: { file: 'tasks/one.mjs' }, gone: { file: 'gone.mjs' } } });`);
  assert.equal(missing.warnings.map(({ category }) => category), ['DeprecationWarning', 'MissingFile']);
  assert.ok(missing.warnings[1]?.message.includes('"gone"'));
});

host('a TypeScript file runs where Node runs it, and its import error says so elsewhere', async () => {
  const result = await parse(`import { dag, type Dag } from 'sallyport/dag'; const made: Dag = ${simple('typed')}; export default made;`, { ending: 'ts' });
  if ((process.features as { typescript?: unknown }).typescript) assert.equal(result.serialized_dags.map(({ dag_id }) => dag_id), ['typed']);
  else assert.match(errorOf(result), /does not run TypeScript/);
});

// --- Files that go wrong cost themselves

const wrong: readonly [what: string, source: string, says: RegExp, limits?: object][] = [
  ['throws', 'const deep = () => { throw new TypeError("no good"); }; deep();', /TypeError: no good\n {4}at deep \(file:.*dag-\d+\.mjs:1:/],
  ['throws what is no error', 'throw { code: 7 };', /\{ code: 7 \}/],
  ['cannot be parsed', 'export default 1;\nexport const b = 1 +* 2;', /dag-\d+\.mjs:2\nexport const b = 1 \+\* 2;\n +\^\n\nSyntaxError: Unexpected token/],
  ['imports what is not there', 'import "./gone.mjs";', /Cannot find module/],
  ['has a wrong declaration', `import { dag } from 'sallyport/dag'; dag({ dag_id: 'd', tasks: { a: { file: 'a', after: ['b'] } } });`, /tasks\.a\.after\[0\] names no task of this DAG/],
  ['exits', 'process.exit(0);', /exited with code 0 before it had said/],
  ['exits with a code', 'process.exit(3);', /exited with code 3 before it had said/],
  ['kills itself', 'process.kill(process.pid, "SIGKILL"); await new Promise((resolve) => setTimeout(resolve, 60_000));', /ended by SIGKILL/],
  ['waits for ever', 'await new Promise(() => {});', /ERR_TASK_STALLED|can no longer happen/],
  ['loops', 'for (;;);', /ran longer than wallTimeMs.*ERR_TASK_TIMEOUT/, { wallTimeMs: 5000 }],
  ['forks', 'import { spawn } from "node:child_process"; for (;;) { spawn("sleep", ["100"]).on("error", () => {}); await new Promise((resolve) => setTimeout(resolve, 1)); }', /limit of processes.*ERR_TASK_LIMIT/, { processes: 40 }],
  ['allocates', 'const kept = []; for (;;) { kept.push(Buffer.alloc(1 << 20, 1)); await null; }', /limit of memoryBytes.*ERR_TASK_LIMIT|ended by SIG(KILL|ABRT)|exited with code 134/, { memoryBytes: 200 << 20 }],
  ['prints 1 GB', 'const text = "x".repeat(1 << 16); for (let left = 1 << 14; left > 0; left--) if (!process.stdout.write(text)) await new Promise((resolve) => process.stdout.once("drain", resolve));', /limit of outputBytes.*ERR_TASK_LIMIT/],
  ['writes garbage to its channel', 'import { writeSync } from "node:fs"; writeSync(0, Buffer.from([0, 0, 0, 1, 0xc1])); await new Promise((resolve) => setTimeout(resolve, 60_000));', /ERR_BROKER_VIOLATION/],
  ['has a DAG of too many values', `import { dag } from 'sallyport/dag'; export default dag({ dag_id: 'd', tasks: Object.fromEntries(Array.from({ length: 4000 }, (_, index) => ['t' + index, { file: 'a', retries: 1 }])) });`, /too large/],
];
for (const [what, source, says, limits] of wrong) {
  host(`a file that ${what} is an import error, and the file beside it is parsed`, async () => {
    await using subject = new ParseHost(limits === undefined ? {} : { policy: policies.node({ limits }) });
    const [bad, other] = await Promise.all([subject.parse(request(file(source))), subject.parse(request(file(good)))]);
    assert.match(errorOf(bad), says);
    assert.equal(bad.serialized_dags, []);
    assert.equal([other.import_errors, other.serialized_dags.map(({ dag_id }) => dag_id)], [{}, ['good']]);
  });
}

host('what a file leaves running ends with it', async () => {
  const mark = `${folder}-left-behind`;
  const { import_errors } = await parse(`import { spawn } from 'node:child_process'; spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', '${mark}'], { detached: true }); ${good}`);
  assert.equal([import_errors, running(mark)], [{}, []]);
});

// --- What it cannot reach

/** Tries what a parser's process must not give, and says what came of it. */
const thief = (secret: string, port: number): string => `
  import { readFileSync } from 'node:fs'; import { connect } from 'node:net'; import { dag } from 'sallyport/dag';
  const tried = (attempt) => { try { return String(attempt()).includes('hunter2') ? 'leaked' : 'nothing'; } catch (error) { return error.code; } };
  const reached = await new Promise((resolve) => connect(${port}, '127.0.0.1').on('connect', () => resolve('leaked')).on('error', (error) => resolve(error.code)));
  const found = { file: tried(() => readFileSync('${secret}')), parent: tried(() => readFileSync('/proc/' + process.ppid + '/environ')), database: reached, own: tried(() => JSON.stringify(process.env)) };
  export default dag({ dag_id: 'thief', description: JSON.stringify(found), tasks: { one: { file: 'tasks/one.mjs' } } });`;

host('a file reaches no configuration, no database, and nothing of its host; unconfined it does', async () => {
  const secret = join(folder, 'airflow.cfg');
  writeFileSync(secret, 'sql_alchemy_conn = postgresql://airflow:hunter2@db/airflow');
  const database = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
  await new Promise((resolve) => database.once('listening', resolve));
  const source = thief(secret, (database.address() as AddressInfo).port);
  const found = ({ serialized_dags, import_errors }: DagFileParsingResult): Record<string, string> => {
    assert.equal(import_errors, {});
    return JSON.parse(serialized_dags[0]?.description ?? '{}') as Record<string, string>;
  };
  const confined = found(await parse(source));
  const control = found(await parse(source, { policy: { dangerouslyUnconfined: true, environment: { PASSWORD: 'hunter2' } } }));
  database.close();
  assert.equal([control['file'], control['database'], control['own']], ['leaked', 'leaked', 'leaked']);
  assert.not.equal(control['parent'], 'EACCES'); // this test's own environment holds no secret, but it can be read
  assert.equal(confined, { file: 'EACCES', parent: 'EACCES', database: 'EACCES', own: 'nothing' });
});

// --- What it may ask for

const lookup: Lookup = {
  getVariable: async (key) => {
    if (key === 'absent') throw new UpstreamFailed('GET variables/{key}', 404, 'not_found');
    return { key, value: `value of ${key}` };
  },
  getConnection: async (conn_id) => ({ conn_id, conn_type: 'http', host: 'h' }),
  getXCom: async () => { throw new Error('no file has XComs'); },
};
const asking = `
  import { connections, variables, request } from 'sallyport/task'; import { dag } from 'sallyport/dag';
  const code = (promise) => promise.then((value) => value?.host ?? value, (error) => error.code);
  const found = [await code(variables.get('region')), await code(variables.get('other')), await code(variables.get('absent')), await code(connections.get('db')), await code(connections.get('other')),
    await code(request('GetXCom', { key: 'k' })), await code(request('PutVariable', { key: 'region', value: 'x' })), await code(request('SetXCom', { key: 'k', value: 1 }))];
  export default dag({ dag_id: 'asking', description: JSON.stringify(found), tasks: { one: { file: 'tasks/one.mjs' } } });`;

host('a file reads the variables and connections that were granted, and no others', async () => {
  const records: AuditRecord[] = [];
  const granted = await parse(asking, { lookup, grants: { variables: ['region', 'absent'], connections: ['db'] }, audit: (record) => records.push(record) });
  const denied = 'ERR_BROKER_DENIED';
  assert.equal(JSON.parse(granted.serialized_dags[0]?.description ?? ''), ['value of region', denied, 'VARIABLE_NOT_FOUND', 'h', denied, denied, denied, denied]);
  assert.equal(records.filter(({ outcome }) => outcome === 'denied').length, 5);
  assert.ok(records.every(({ task }) => task === granted.fileloc));
  for (const options of [{}, { lookup }]) {
    const nothing = await parse(asking, options);
    assert.equal(JSON.parse(nothing.serialized_dags[0]?.description ?? ''), Array<string>(8).fill(denied));
  }
});

host('secrets that a file was given are hidden in what it says', async () => {
  const secrets: Lookup = { ...lookup, getConnection: async (conn_id) => ({ conn_id, conn_type: 'http', password: 'correct horse battery' }) };
  const lines: string[] = [];
  const source = `import { connections } from 'sallyport/task'; const { password } = await connections.get('db'); console.log('it is ' + password); throw new Error(password);`;
  const shown = await parse(source, { lookup: secrets, grants: { connections: ['db'] }, onLog: ({ line }) => lines.push(line) });
  assert.match(errorOf(shown), /Error: \*\*\*/);
  assert.equal(lines, ['it is ***']);
  const control = await parse(source, { lookup: secrets, grants: { connections: ['db'] }, masking: false });
  assert.match(errorOf(control), /correct horse battery/);
});

// --- Whom it may speak for

host('a file speaks for itself alone', async () => {
  const other = join(bundle, file(good));
  const forged = `
    import { request } from 'sallyport/task';
    const code = (fields) => request('DagFileParsingResult', fields).then(() => 'said', (error) => error.code);
    const other = ${JSON.stringify(other)}; const dags = [{ dag_id: 'forged', tasks: { one: { file: 'tasks/one.mjs' } } }];
    const { fileURLToPath } = await import('node:url'); const own = fileURLToPath(import.meta.url);
    console.log(JSON.stringify([await code({ fileloc: other, serialized_dags: dags }), await code({ fileloc: own, serialized_dags: [], import_errors: { [other]: 'broken' } }),
      await code({ fileloc: own, serialized_dags: dags, more: true }), await code({ fileloc: own, serialized_dags: [{ ...dags[0], dag_id: 'wrong id' }], more: true })]));
    await code({ fileloc: own, serialized_dags: dags });`;
  const lines: string[] = [];
  const result = await parse(forged, { onLog: ({ line }) => lines.push(line) });
  assert.equal(JSON.parse(lines[0] ?? '[]'), ['ERR_BROKER_DENIED', 'ERR_BROKER_DENIED', 'said', 'said']);
  assert.equal(result.serialized_dags.map(({ dag_id, fileloc }) => [dag_id, fileloc]), [['forged', result.fileloc]]);
  assert.match(errorOf(result), /dag_id must be made of .*ERR_DAG_INVALID[^]*"forged" is defined twice/);
});

host('whatever a child says is refused, or is about its own file', async () => {
  const own = '/bundle/own.mjs';
  const mostly = <T>(right: fc.Arbitrary<T>): fc.Arbitrary<unknown> => fc.oneof({ weight: 7, arbitrary: right as fc.Arbitrary<unknown> }, { weight: 1, arbitrary: fc.anything() });
  const text = fc.oneof({ weight: 8, arbitrary: fc.constant(own) }, { weight: 1, arbitrary: fc.constant('/bundle/other.mjs') }, { weight: 1, arbitrary: fc.string() });
  const message = fc.record({
    fileloc: mostly(fc.constant(own)),
    serialized_dags: mostly(fc.array(mostly(fc.constantFrom({ dag_id: 'd', tasks: { a: { file: 'a' } } }, { dag_id: 'e', tasks: {} })))),
    warnings: mostly(fc.oneof(fc.array(fc.record({ category: fc.string(), message: fc.string() })), fc.constant(null))),
    import_errors: mostly(fc.dictionary(text, fc.string(), { maxKeys: 2 })),
    more: mostly(fc.boolean()),
  }, { requiredKeys: ['fileloc', 'serialized_dags'] });
  const outcomes = { said: 0, denied: 0 };
  await fc.assert(fc.asyncProperty(fc.array(message, { maxLength: 6 }), async (messages) => {
    const result = new ParseResult({ fileloc: own, relative_fileloc: 'own.mjs', bundle_name: 'b', dag_ids: ['*'] });
    const permissions = new Permissions();
    permissions.grant({ DagFileParsingResult: result.row });
    for (const each of messages) {
      try {
        const { row, params } = permissions.admit('DagFileParsingResult', throughFrame(each));
        await row.handler(params as never, { task: 't', signal: new AbortController().signal });
        outcomes.said++;
      } catch (error) {
        const { code } = error as { code?: string };
        assert.ok(code === 'ERR_BROKER_DENIED' || code === 'ERR_BROKER_VIOLATION', String(error)); // a key that no frame may have
        outcomes.denied++;
      }
    }
    const { fileloc, serialized_dags, import_errors } = result.result((shown) => shown);
    assert.ok([fileloc, ...serialized_dags.map((dag) => dag.fileloc), ...Object.keys(import_errors)].every((file) => file === own));
  }), { numRuns: 500 });
  assert.ok(outcomes.said > 50 && outcomes.denied > 50, JSON.stringify(outcomes));
});

/** What msgpack has a form for, as it comes out of a frame: no prototypes but Object's. */
function throughFrame(value: unknown): unknown {
  return [...new FrameDecoder().push(encodable(value))][0]?.value;
}

function encodable(value: unknown): Uint8Array {
  try {
    return encodeFrame(value);
  } catch {
    return encodeFrame({ fileloc: 1 });
  }
}

host('a file that sends definitions without end is not looked through without end', () => {
  const result = new ParseResult({ fileloc: '/b/f', relative_fileloc: 'f', bundle_name: 'b', dag_ids: ['*'] });
  const send = (...serialized_dags: object[]): number => {
    const before = process.cpuUsage();
    result.row.handler({ fileloc: '/b/f', serialized_dags, more: true } as never, { task: 't', signal: new AbortController().signal });
    return cpuMsSince(before);
  };
  const tasks = (count: number): object => Object.fromEntries(Array.from({ length: count }, (_, index) => [`t${index}`, { file: 'a' }]));
  const declares = { variables: Array.from({ length: 250 }, (_, index) => `${index}`) };
  send({ dag_id: 'dear', tasks: tasks(4_000), default_args: { declares } }); // a million names to copy
  send({ dag_id: 'cheap', tasks: tasks(1_000), default_args: { declares } }); // control
  send(...Array.from({ length: 997 }, () => ({ dag_id: 'same', tasks: tasks(1) })));
  const large = { dag_id: 'late', tasks: tasks(4_000) };
  const first = send({ ...large, dag_id: 'last' });
  let later = 0;
  for (let times = 0; times < 20; times++) later += send(large);
  assert.ok(later < first, `${later} ms for twenty, ${first} for one`);
  const { serialized_dags, import_errors } = result.result((text) => text);
  assert.equal(serialized_dags.map(({ dag_id }) => dag_id), ['cheap', 'same', 'last']);
  assert.match(import_errors['/b/f'] ?? '', /too much for so many tasks/);
});

host('files define the ids of their own bundle alone', async () => {
  const source = `import { dag } from 'sallyport/dag'; export default [${simple('sales_daily')}, ${simple('payroll')}];`;
  const result = await parse(source, { request: { dag_ids: ['sales_*'] } });
  assert.equal(result.serialized_dags.map(({ dag_id }) => dag_id), ['sales_daily']);
  assert.match(errorOf(result), /"payroll" is none that files of bundle "b" may define/);
  assert.is((await parse(source)).serialized_dags.length, 2);
});

// --- How it is used

host('a wrong request starts nothing', async () => {
  symlinkSync(join(folder, 'outside.mjs'), join(bundle, 'link.mjs'));
  await using subject = new ParseHost();
  const code = (more: object): Promise<string | undefined> => subject.parse({ ...request(file(good)), ...more } as DagFileParseRequest).then(() => undefined, (error: { code: string }) => error.code);
  assert.is(await code({}), undefined);
  assert.equal(
    await Promise.all([{ file: 'gone.mjs' }, { file: '../outside.mjs' }, { file: 'link.mjs' }, { file: 'tasks' }, { file: 7 }, { bundle_path: '' }, { callback_requests: [{}] }, { dag_ids: 'all' }, { team: 'a' }].map(code)),
    ['ENOENT', 'ERR_OUT_OF_RANGE', 'ERR_OUT_OF_RANGE', 'ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_TYPE', 'ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE'],
  );
  assert.equal([{ concurrency: 0 }, { grants: { xcoms: [] } }, { polcy: {} }].map((options) => codeOf(() => new ParseHost(options as never))), Array(3).fill('ERR_OUT_OF_RANGE'));
});

host('so many files at once, and an abort or the end of the host ends them', async () => {
  const subject = new ParseHost({ concurrency: 1 });
  const forEver = request(file('setInterval(() => {}, 1000); await new Promise(() => {});'));
  const controller = new AbortController();
  const first = subject.parse(forEver, { signal: controller.signal }).catch((error: Error) => error.message);
  const second = subject.parse(request(file(good)));
  const third = new AbortController();
  const never = subject.parse(forEver, { signal: third.signal }).catch((error: Error) => error.message);
  third.abort(new Error('not wanted'));
  assert.is(await never, 'not wanted');
  controller.abort(new Error('enough'));
  assert.is(await first, 'enough');
  assert.equal((await second).serialized_dags.map(({ dag_id }) => dag_id), ['good']);
  const last = subject.parse(forEver).catch((error: { code: string }) => error.code);
  await subject[Symbol.asyncDispose]();
  assert.is(await last, 'ERR_BROKER_CLOSED');
  assert.is(await subject.parse(forEver).catch((error: { code: string }) => error.code), 'ERR_BROKER_CLOSED');
});

host('sallyport parse says what files define, as root and as an ordinary user', async () => {
  const shared = mkdtempSync(join(tmpdir(), 'sallyport-parse-cli-'));
  try {
    writeFileSync(join(shared, 'daily.mjs'), `import { dag } from 'sallyport/dag'; export default dag({ dag_id: 'daily', schedule: '@daily', tasks: { get: { file: 'daily.mjs' }, put: { file: 'daily.mjs', after: ['get'] } } });`);
    writeFileSync(join(shared, 'endless.mjs'), 'console.log("begun"); setInterval(() => {}, 1000); await new Promise(() => {});');
    writeFileSync(join(shared, 'broken.mjs'), 'throw new Error("\\u001b[31mred");');
    const { spawnSync } = await import('node:child_process');
    spawnSync('chmod', ['-R', 'a+rX', shared]);
    const { cli } = await import('./helpers/cli.js');
    await asEachUser(async (words, who) => {
      const run = (...args: string[]) => cli(words, ['parse', ...args], { cwd: shared, env: { NO_COLOR: '1' } });
      const ok = await run('daily.mjs');
      assert.is(ok.stdout, 'daily.mjs\n  daily  @daily  2 tasks\n      get  daily.mjs\n      put  daily.mjs  after get\n\n1 file, 1 DAG, no import errors\n', who + ok.stderr);
      assert.is(ok.code, 0);
      const both = await run('daily.mjs', 'broken.mjs');
      assert.equal([both.code, both.stdout.includes('\u001b'), / {2}error\n {4}Error: \?\[31mred\n/.test(both.stdout)], [1, false, true], who);
      const json = await run('--json', '--name', 'sales', 'daily.mjs');
      assert.equal((JSON.parse(json.stdout) as DagFileParsingResult[]).map(({ serialized_dags }) => serialized_dags[0]?.bundle_name), ['sales'], who);
      assert.is((await run('gone.mjs')).code, 2);
      const interrupted = await cli(words, ['parse', '--output', 'endless.mjs'], { cwd: shared, during: (child) => child.stderr?.once('data', () => child.kill('SIGINT')) });
      assert.equal([interrupted.code, interrupted.stdout, interrupted.stderr], [130, '', 'endless.mjs stdout: begun\n'], who);
      assert.is((await run('--bundle', '/usr/bin', 'daily.mjs')).code, 2);
    });
  } finally {
    rmSync(shared, { recursive: true, force: true });
  }
});

host.run();
