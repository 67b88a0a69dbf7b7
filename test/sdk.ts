import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Type } from '@sinclair/typebox';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errorResponse, method, serve } from '../lib/broker/index.js';
import { BrokerDenied, UpstreamFailed, UpstreamUnreachable } from '../lib/errors.js';
import { socketPair } from './helpers/socket-pair.js';

const sdk = suite('sdk');

const root = fileURLToPath(new URL('..', import.meta.url));
const here = join(root, 'lib/sdk/main.js');
const any = Type.Record(Type.String(), Type.Unknown());
const ti = { id: '01', dag_id: 'd', run_id: 'r', task_id: 't', try_number: 1, map_index: -1 };

interface Ran { code: number | null; seen: Record<string, unknown>[]; stdout: string; stderr: string; logs: Record<string, unknown>[] }

/** Runs a task file in a process of its own, against a broker that remembers what it was asked. */
async function run(source: string, options: { name?: string; shouldRetry?: boolean; logs?: boolean; succeed?: Error; beside?: boolean } = {}): Promise<Ran> {
  const base = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-sdk-')));
  const folder = join(base, 'bundle');
  mkdirSync(folder);
  try {
    const main = options.beside === true ? installed(base, folder) : here;
    const file = join(folder, options.name ?? 'task.mjs');
    writeFileSync(file, source);
    const { near, far } = await socketPair();
    const seen: Record<string, unknown>[] = [];
    const row = (type: string, answer: (params: Record<string, unknown>) => unknown) =>
      method({ params: any, handler: (params) => { seen.push({ type, ...params }); return answer(params); } });
    const child = spawn(process.execPath, [main, folder], { stdio: [far, 'pipe', 'pipe', ...(options.logs === false ? [] : ['pipe' as const])], env: {} });
    far.destroy();
    const served = serve(near, {
      onViolation: () => child.kill('SIGKILL'),
      methods: {
        GetVariable: row('GetVariable', ({ key }) => (key === 'absent' ? errorResponse('VARIABLE_NOT_FOUND', { key }) : { type: 'VariableResult', key, value: 'green' })),
        GetConnection: row('GetConnection', ({ conn_id }) => {
          if (conn_id === 'broken') throw new UpstreamFailed('GET', 500);
          return { type: 'ConnectionResult', conn_id, conn_type: 'http', host: 'h', schema: 's', port: 1 };
        }),
        GetXCom: row('GetXCom', ({ key }) => ({ type: 'XComResult', key, value: { rows: 3 } })),
        SetXCom: row('SetXCom', () => null),
        SucceedTask: row('SucceedTask', () => {
          if (options.succeed !== undefined) throw options.succeed;
          return null;
        }),
        TaskState: row('TaskState', () => null),
        RetryTask: row('RetryTask', () => null),
      },
    });
    served.send(0, { type: 'StartupDetails', ti, dag_rel_path: options.name ?? 'task.mjs', start_date: '2026-01-01T00:00:00Z', ti_context: { dag_run: { dag_id: 'd', run_id: 'r', conf: { a: 1 } }, max_tries: 2, should_retry: options.shouldRetry ?? false } });
    const logged = child.stdio[3] ? text(child.stdio[3] as NodeJS.ReadableStream) : '';
    const [stdout, stderr, lines, [code]] = await Promise.all([text(child.stdout as NodeJS.ReadableStream), text(child.stderr as NodeJS.ReadableStream), logged, once(child, 'exit')]);
    await served.closed;
    return { code, seen, stdout, stderr, logs: lines.split('\n').filter(Boolean).map((line) => JSON.parse(line)) };
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}

/** A copy of the package, to which the bundle's node_modules leads by a link, as package managers have it. @returns Its main.js. */
function installed(base: string, bundle: string): string {
  const copy = join(base, 'package');
  for (const part of ['package.json', 'lib', 'node_modules/@msgpack']) cpSync(join(root, part), join(copy, part), { recursive: true });
  mkdirSync(join(bundle, 'node_modules'));
  symlinkSync(copy, join(bundle, 'node_modules', 'sallyport'));
  return join(copy, 'lib/sdk/main.js');
}

const terminal = ({ seen }: Ran) => seen.filter(({ type }) => ['SucceedTask', 'TaskState', 'RetryTask'].includes(type as string)).map(({ type, state }) => [type, state]);

sdk('a task that waits for what can no longer happen has failed, though nothing threw', async () => {
  const control = await run('export default () => new Promise((resolve) => setTimeout(resolve, 10));');
  assert.equal(terminal(control), [['SucceedTask', 'success']]);
  const ran = await run('export default () => new Promise(() => {});');
  assert.equal(terminal(ran), [['TaskState', 'failed']]);
  assert.is((ran.logs[0]?.['error'] as { code?: string }).code, 'ERR_TASK_STALLED');
});

sdk('a task reads, pushes, logs, prints and returns', async () => {
  const ran = await run(`
    import { connections, context, log, variables, xcom } from 'sallyport/task';
    export default async (given) => {
      if (given !== context) throw new Error('another context');
      const colour = await variables.get('colour');
      const { host, login, schema } = await connections.get('db');
      const pulled = await xcom.pull({ task_id: 'extract' });
      await xcom.push('seen', { colour, host, login, schema, pulled });
      log.info('half way', { rows: 1n, error: new TypeError('odd') });
      console.log('to stdout');
      console.error('to stderr');
      return { conf: given.dag_run.conf, task: given.ti.task_id, max_tries: given.max_tries };
    };
  `);
  assert.is(ran.code, 0);
  const own = { dag_id: 'd', run_id: 'r', task_id: 't', map_index: -1 };
  assert.equal(ran.seen.map(({ end_date, ...rest }) => rest), [
    { type: 'GetVariable', key: 'colour' },
    { type: 'GetConnection', conn_id: 'db' },
    { type: 'GetXCom', key: 'return_value', dag_id: 'd', run_id: 'r', task_id: 'extract', map_index: null, include_prior_dates: false },
    { type: 'SetXCom', key: 'seen', value: { colour: 'green', host: 'h', login: null, schema: 's', pulled: { rows: 3 } }, ...own },
    { type: 'SetXCom', key: 'return_value', value: { conf: { a: 1 }, task: 't', max_tries: 2 }, ...own },
    { type: 'SucceedTask', state: 'success', task_outlets: [], outlet_events: [] },
  ]);
  assert.is(ran.stdout, 'to stdout\n');
  assert.is(ran.stderr, 'to stderr\n');
  const { timestamp: _, ...line } = ran.logs[0] ?? {};
  assert.is((line['error'] as { message: string }).message, 'odd');
  assert.equal({ ...line, error: 0 }, { rows: '1', error: 0, level: 'info', event: 'half way', logger: 'task' });
});

sdk('requests that were answered leave nothing in the task', async () => {
  const ran = await run(`
    import v8 from 'node:v8'; import vm from 'node:vm'; import { variables } from 'sallyport/task';
    v8.setFlagsFromString('--expose-gc');
    const gc = vm.runInNewContext('gc');
    const ask = async (count) => { for (let left = count; left > 0; left -= 16) await Promise.all(Array.from({ length: 16 }, () => variables.get('colour'))); };
    const used = async () => { for (let times = 0; times < 3; times++) { gc(); await new Promise(setImmediate); } return process.memoryUsage().heapUsed; };
    export default async () => { await ask(1600); const before = await used(); await ask(4800); console.log((await used()) - before); };
  `);
  assert.ok(Number(ran.stdout) < 1 << 20, ran.stdout); // 200 bytes for each would be as much
});

sdk('a package that a link in the bundle leads to is loaded once, also where both are in one folder', async () => {
  const { stdout, stderr } = await run("import 'sallyport/task'; export default () => console.log(import.meta.resolve('sallyport/task'));", { beside: true });
  assert.match(stdout, /^file:.*\/package\/lib\/sdk\/index\.js\n$/, stderr);
});

sdk('a task that returns nothing pushes nothing', async () => {
  assert.equal((await run('export default () => {};')).seen.map(({ type }) => type), ['SucceedTask']);
});

sdk('plain CommonJS works, compiled default exports too', async () => {
  assert.equal(terminal(await run('module.exports = async () => 1;', { name: 'task.cjs' })), [['SucceedTask', 'success']]);
  assert.equal(terminal(await run('exports.__esModule = true; exports.default = () => 1;', { name: 'task.cjs' })), [['SucceedTask', 'success']]);
});

sdk('of what does not compile it is told where it is', async () => {
  const ran = await run('\nexport default () => {\n  let a b;\n};');
  assert.equal([ran.code, terminal(ran)], [0, [['TaskState', 'failed']]]);
  assert.match(ran.stderr, /task\.mjs:3\n {2}let a b;\n {8}\^\n\n\[?SyntaxError: Unexpected identifier 'b'/);
  assert.not.match(ran.stderr, / at /);
  const parsed = await run('JSON.parse("{"); export default () => {};'); // its stack says where
  assert.equal([parsed.code, terminal(parsed), parsed.stderr], [0, [['TaskState', 'failed']], '']);
});

sdk('an option that is misspelt is refused, and nothing is asked', async () => {
  const { seen, stdout } = await run(`
    import { state, triggerDagRun, variables, xcom } from 'sallyport/task';
    const wrong = [() => xcom.pull({ taskId: 'extract' }), () => xcom.pull('extract'), () => xcom.pullAll({ task: 'extract' }), () => variables.get('a', { defaults: 1 }),
      () => variables.keys('a'), () => triggerDagRun('d', { runId: 'r' }), () => state.set('k', 1, { retention: 1 })];
    export default async () => {
      for (const call of wrong) console.log(await call().catch(({ code }) => code));
      await xcom.pull({ task_id: 'extract', key: 'k', dag_id: 'd', run_id: 'r', map_index: 0, include_prior_dates: true });
    };`);
  assert.equal(stdout.trim().split('\n'), ['OUT_OF_RANGE', 'INVALID_ARG_TYPE', 'OUT_OF_RANGE', 'OUT_OF_RANGE', 'INVALID_ARG_TYPE', 'OUT_OF_RANGE', 'OUT_OF_RANGE'].map((code) => `ERR_${code}`));
  assert.equal(seen.map(({ type }) => type), ['GetXCom', 'SucceedTask']); // control
});

sdk('a request that is refused throws an error with a code', async () => {
  const ran = await run(`
    import { variables, connections, xcom, TaskError } from 'sallyport/task';
    const code = async (promise) => { try { await promise; return 'none'; } catch (error) { return [error instanceof TaskError, error.code, error.detail?.status_code, error.message]; } };
    export default async () => [
      await code(variables.get('absent')),
      await code(connections.get('broken')),
      await code(xcom.push('f', () => 1)),
      await code(variables.get('colour')),
    ];
  `);
  assert.equal(ran.seen.find(({ key }) => key === 'return_value')?.['value'], [
    [true, 'VARIABLE_NOT_FOUND', null, 'GetVariable failed: VARIABLE_NOT_FOUND "absent"'], [true, 'API_SERVER_ERROR', 500, 'GetConnection failed: API_SERVER_ERROR (500)'], [false, 'ERR_INVALID_ARG_TYPE', null, '"SetXCom" must be made of values that msgpack has a form for, and has a Function'], 'none',
  ]);
});

sdk('of an error the log keeps name, message, code, stack and what caused it', async () => {
  const { logs } = await run(`
    import { log } from 'sallyport/task';
    class Coded extends Error { get code() { return 'E_CLASS'; } }
    export default () => {
      const root = Object.assign(new TypeError('root'), { errno: -2 });
      const err = new Coded('outer', { cause: new Error('inner', { cause: root }) });
      log.info('fields', { err });
      const loop = new Error('loop', { cause: new Error('back') });
      loop.cause.cause = loop;
      log.info('loop', { err: loop });
      let deep = new Error('0');
      for (let n = 1; n < 9; n++) deep = new Error(String(n), { cause: deep });
      log.info('deep', { err: deep });
      log.info('no error', { err: new Error('x', { cause: { rows: 1n } }), none: new Error('y') });
      throw err;
    };
  `);
  interface Logged { readonly name: string; readonly message: string; readonly code?: string; readonly stack: string; readonly errno?: number; readonly cause?: Logged }
  const [fields, loop, deep, other, failed] = logs as { event: string; err: Logged; none: Logged; error: Logged }[];
  for (const error of [fields?.err, failed?.error]) {
    assert.equal([error?.name, error?.message, error?.code], ['Error', 'outer', 'E_CLASS']);
    assert.match(error?.stack ?? '', /^Error: outer\n {4}at /);
    assert.equal([error?.cause?.message, error?.cause?.code], ['inner', undefined]);
    const root = error?.cause?.cause;
    assert.equal([root?.name, root?.message, root?.errno, root?.cause], ['TypeError', 'root', -2, undefined]);
    assert.match(root?.stack ?? '', /^TypeError: root\n {4}at /);
  }
  assert.is(failed?.event, 'the task failed');
  assert.equal([loop?.err.message, loop?.err.cause?.message, loop?.err.cause?.cause], ['loop', 'back', '[circular]']);
  const messages: unknown[] = [];
  for (let error: Logged | undefined = deep?.err; error !== undefined; error = error.cause) messages.push(error.message ?? error);
  assert.equal(messages, ['8', '7', '6', '5', '4', '3', 'Error: 2']);
  assert.equal([other?.err.cause, 'cause' in (other?.none ?? {})], [{ rows: '1' }, false]);
});

for (const [what, source] of [
  ['throws', 'export default () => { throw new Error("no"); };'],
  ['rejects', 'export default async () => { await null; throw new Error("no"); };'],
  ['cannot be parsed', 'export default ('],
  ['has no default export', 'export const a = 1;'],
  ['returns what cannot be sent', 'export default () => () => 1;'],
  ['returns a Map, which is no object of fields', 'export default () => ({ rows: [new Map([["a", 1]])] });'],
] as const) {
  sdk(`a task file that ${what} is a failed task, reported and handled`, async () => {
    const ran = await run(source);
    assert.equal(terminal(ran), [['TaskState', 'failed']]);
    assert.is(ran.code, 0);
    assert.is(ran.logs.at(-1)?.['event'], 'the task failed');
  });
}

sdk('what a task throws where nobody catches it is its failure, unless it listens itself', async () => {
  const late = (what: string): string => `setTimeout(() => { ${what} }, 10); return new Promise((resolve) => setTimeout(resolve, 60_000));`;
  for (const [what, reason] of [['throw new TypeError("later");', 'TypeError: later'], ['Promise.reject(new Error("unseen"));', 'Error: unseen'], ['throw undefined;', 'undefined']] as const) {
    const ran = await run(`export default () => { ${late(what)} };`);
    assert.equal([ran.code, terminal(ran), ran.seen.at(-1)?.['retry_reason']], [0, [['TaskState', 'failed']], reason]);
  }
  const listening = await run(`process.on('uncaughtException', ({ message }) => console.log(message));
    export default async () => { setTimeout(() => { throw new Error('mine'); }, 10); await new Promise((resolve) => setTimeout(resolve, 100)); };`);
  assert.equal([terminal(listening), listening.stdout], [[['SucceedTask', 'success']], 'mine\n']);
});

sdk('a worker thread of a task has no channel, and leaves that of the task alone', async () => {
  const ran = await run(`
    import { Worker } from 'node:worker_threads';
    import { once } from 'node:events';
    import { variables } from 'sallyport/task';
    const sdk = ${JSON.stringify(new URL('../lib/sdk/index.js', import.meta.url).href)};
    export default async () => {
      const worker = new Worker('import(' + JSON.stringify(sdk) + ').then(({ variables }) => variables.get("colour")).catch(({ code }) => require("worker_threads").parentPort.postMessage(code))', { eval: true });
      const [code] = await once(worker, 'message');
      return [code, await variables.get('colour')];
    };
  `);
  assert.equal(ran.seen.find(({ key }) => key === 'return_value')?.['value'], ['ERR_TASK_OUTSIDE', 'green']);
});

sdk('a failure that may be tried again asks for that', async () => {
  assert.equal(terminal(await run('export default () => { throw new Error("no"); };', { shouldRetry: true })), [['RetryTask', 'up_for_retry']]);
});

sdk('a server that cannot be told now is the supervisor\'s business: the task has given its word, and ends well', async () => {
  for (const succeed of [new UpstreamFailed('PATCH', 503), new UpstreamUnreachable('PATCH', 'ECONNREFUSED')]) {
    const ran = await run('export default () => 1;', { succeed });
    assert.equal([ran.code, terminal(ran)], [0, [['SucceedTask', 'success']]]);
  }
  const refused = await run('export default () => 1;', { succeed: new BrokerDenied('SucceedTask', 'reports an asset that is not granted') });
  assert.equal([refused.code, terminal(refused)], [0, [['SucceedTask', 'success'], ['TaskState', 'failed']]]);
});

sdk('a task that leaves without a report says so by its exit code', async () => {
  const ran = await run('export default () => process.exit(3);');
  assert.is(ran.code, 3);
  assert.equal(terminal(ran), []);
});

sdk('what a task left running does not keep its process', async () => {
  const ran = await run('export default () => { setInterval(() => {}, 1000); };');
  assert.is(ran.code, 0);
});

sdk('what is larger than a supervisor accepts is an error of the call, and the task goes on', async () => {
  const ran = await run(`
    import { xcom } from 'sallyport/task';
    const wide = (keys) => Object.fromEntries(Array.from({ length: keys }, (_, at) => ['k' + at, at]));
    const code = (value) => xcom.push('a', value).then(() => 'sent', (error) => [error.code, error.message]);
    export default async () => [await code(wide(4096)), await code(wide(5000)), await code(Array(20_000).fill(0)), await code('x'.repeat(1 << 22))];
  `);
  assert.is(ran.code, 0);
  const refused = (why: string): [string, string] => ['ERR_OUT_OF_RANGE', `"SetXCom" must be ${why}`];
  assert.equal(ran.seen.find(({ key }) => key === 'return_value')?.['value'], [
    'sent',
    refused('a request that a supervisor accepts, not one with more than 4096 keys in a map'),
    refused('a request that a supervisor accepts, not one with more than 16384 values in a frame'),
    refused('at most 4194304 bytes when encoded'),
  ]);
});

sdk('a lot of output is whole', async () => {
  const ran = await run('export default () => { console.log("x".repeat(1_000_000)); };');
  assert.is(ran.stdout.length, 1_000_001);
});

sdk('without a log channel the lines go to stderr', async () => {
  const ran = await run(`import { log } from 'sallyport/task'; export default () => log.warning('here');`, { logs: false });
  assert.is(JSON.parse(ran.stderr).event, 'here');
});

sdk('reading standard input finds nothing, and leaves the channel alone', async () => {
  const ran = await run(`
    import { text } from 'node:stream/consumers';
    import { variables } from 'sallyport/task';
    export default async () => [await text(process.stdin), await variables.get('colour')];
  `);
  assert.equal(ran.seen.find(({ key }) => key === 'return_value')?.['value'], ['', 'green']);
});

sdk('outside of a task every call says so', async () => {
  const { variables } = await import('../lib/sdk/index.js');
  try {
    await variables.get('colour');
    assert.unreachable();
  } catch (error) {
    assert.is((error as { code: string }).code, 'ERR_TASK_OUTSIDE');
  }
});

sdk('a supervisor that goes away before the start ends the process', async () => {
  const { near, far } = await socketPair();
  const child = spawn(process.execPath, [here, 'task.mjs'], { stdio: [far, 'ignore', 'pipe'], env: {} });
  far.destroy();
  near.destroy();
  const [stderr, [code]] = await Promise.all([text(child.stderr as NodeJS.ReadableStream), once(child, 'exit')]);
  assert.is(code, 1);
  assert.is(JSON.parse(stderr).error.code, 'ERR_BROKER_CLOSED');
});

sdk.run();
