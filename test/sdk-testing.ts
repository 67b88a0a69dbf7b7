// sallyport/task/testing in an author's project: the package installed, Node's own test runner, ES modules and CommonJS, no supervisor.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Masker } from '../lib/index.js';
import { fakeSupervisor, type FakeOptions } from '../lib/sdk/testing.js';
import { assets, awaitInput, context, defer, log, maskSecret, request, state, TaskError, triggerDagRun, variables, xcom } from '../lib/sdk/index.js';
import { codeOf } from './helpers/code-of.js';

const testing = suite('sdk-testing');
const root = fileURLToPath(new URL('..', import.meta.url));

/** An author's project. Its tests are run, and their output given. */
function project(files: Readonly<Record<string, string>>): { status: number | null; output: string } {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-author-'));
  try {
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(root, join(folder, 'node_modules', 'sallyport'));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const env = { ...process.env };
    delete env['NODE_OPTIONS'];
    delete env['NODE_TEST_CONTEXT'];
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--test'], { cwd: folder, encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'pipe'] });
    return { status, output: stdout + stderr };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The blocks of docs/sdk.md that are files, by the name in their first line. */
const blocks = Object.fromEntries([...readFileSync(join(root, 'docs/sdk.md'), 'utf8').matchAll(/^```js\n(?:\/\/ ([\w.-]+)\n)([^]*?)^```/gm)].map(([, name = '', text = '']) => [name, text]));

testing('the task and the test that docs/sdk.md shows work as they stand, and the test can fail', () => {
  const { 'load.mjs': task = '', 'load.test.mjs': test = '' } = blocks;
  assert.ok(task !== '' && test !== '', Object.keys(blocks).join());
  const passing = project({ 'load.mjs': task, 'load.test.mjs': test });
  assert.is(passing.status, 0, passing.output);
  const failing = project({ 'load.mjs': task.replace('region', 'religion'), 'load.test.mjs': test });
  assert.is(failing.status, 1, failing.output);
  const { 'wait.mjs': waits = '', 'wait.test.mjs': goesOn = '' } = blocks;
  const resumed = project({ 'wait.mjs': waits, 'wait.test.mjs': goesOn });
  assert.is(resumed.status, 0, resumed.output);
  assert.is(project({ 'wait.mjs': waits.replace('[attempt, event]', '[event]'), 'wait.test.mjs': goesOn }).status, 1);
});

testing('in CommonJS too, with a task that requires the package and one that is loaded beside it', () => {
  const { status, output } = project({
    'task.cjs': `const { variables, skip } = require('sallyport/task');
      module.exports = async ({ ti }) => (await variables.get('on')) === 'no' ? skip('off') : ti.task_id;`,
    'task.test.cjs': `const test = require('node:test'), assert = require('node:assert');
      const { fakeSupervisor } = require('sallyport/task/testing');
      const task = require('./task.cjs');
      test('off', async () => assert.strictEqual((await fakeSupervisor({ variables: { on: 'no' } }).run(task)).reason, 'off'));
      test('on', async () => assert.strictEqual((await fakeSupervisor({ variables: { on: 'yes' }, context: { ti: { task_id: 't' } } }).run(task)).returned, 't'));`,
  });
  assert.is(status, 0, output);
});

testing('in TypeScript, strictly, and what is wrong is told', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-typed-'));
  try {
    mkdirSync(join(folder, 'node_modules', '@types'), { recursive: true });
    symlinkSync(root, join(folder, 'node_modules', 'sallyport'));
    symlinkSync(join(root, 'node_modules', '@types', 'node'), join(folder, 'node_modules', '@types', 'node'));
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { strict: true, exactOptionalPropertyTypes: true, module: 'NodeNext', target: 'ES2022', lib: ['ES2023', 'ESNext.Disposable'], types: ['node'], noEmit: true } }));
    const task = `import { assets, connections, context, defer, fail, log, onKill, reschedule, skip, TaskError, triggerDagRun, variables, xcom, type TaskFunction } from 'sallyport/task';
      import { fakeSupervisor, type FakeOutcome } from 'sallyport/task/testing';
      const task: TaskFunction = async ({ ti, dag_run, signal }) => {
        const region: string = await variables.get('region');
        const size: string | number = await variables.get('size', { default: 3 });
        const { port }: { port: number | null } = await connections.get('db');
        onKill(() => log.info('ends', { port, map_index: ti.map_index, conf: dag_run.conf?.['a'] }));
        if (region === '') skip('none');
        if (port === null) return fail();
        if (signal.aborted) reschedule(new Date());
        if (size === 0) defer({ trigger: 't', method_name: 'resume' });
        assets.updated({ name: 'a', uri: 'u' }, { extra: { rows: 1 } });
        const run_id: string = await triggerDagRun('weekly', { conf: { run: context.ti.run_id } });
        return (await xcom.pullAll<number>({ task_id: 'extract' })).length + run_id.length;
      };
      export default task;
      export const outcome: Promise<FakeOutcome> = fakeSupervisor({ variables: { region: 'n' }, xcoms: [{ task_id: 'extract', value: [1] }] }).run(task);
      export const code = (error: unknown): string => (error instanceof TaskError ? error.code : '');
    `;
    writeFileSync(join(folder, 'task.ts'), task);
    const check = (): string => spawnSync(join(root, 'node_modules', '.bin', 'tsc'), ['-p', '.', '--pretty', 'false'], { cwd: folder, encoding: 'utf8' }).stdout;
    assert.is(check(), '');
    writeFileSync(join(folder, 'wrong.ts'), `import { variables, skip, xcom } from 'sallyport/task';
      import { fakeSupervisor } from 'sallyport/task/testing';
      void variables.set('a', 1);
      skip(1);
      void xcom.push('a', 1, { map_index: 3 });
      fakeSupervisor({ variable: {} });`);
    assert.equal([...check().matchAll(/^wrong\.ts\((\d)/gm)].map(([, line]) => line), ['3', '4', '5', '6']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

testing('an option that is misspelt is refused, wherever it stands', () => {
  for (const [wrong, where] of [
    [{ xcom: [] }, 'options.xcom'],
    [{ xcoms: [{ task: 'extract', value: 1 }] }, 'options.xcoms[0].task'],
    [{ xcoms: [{ value: 1 }] }, 'options.xcoms[0].task_id'],
    [{ connections: { db: { user: 'u' } } }, 'options.connections.db.user'],
    [{ assets: [{ name: 'a', uri: 'u', event: [] }] }, 'options.assets[0].event'],
    [{ context: { retry: true } }, 'options.context.retry'],
    [{ context: { ti: { task: 't' } } }, 'options.context.ti.task'],
  ] as const) assert.throws(() => fakeSupervisor(wrong as never), (error: Error) => error.message.startsWith(`"${where}" must be `), where);
  const right: FakeOptions = {
    xcoms: [{ task_id: 'extract', value: 1, key: 'k', dag_id: 'd', run_id: 'r', map_index: 0 }], connections: { db: { login: 'u' } },
    assets: [{ name: 'a', uri: 'u', events: [{ partition: 1 }] }], context: { should_retry: true, ti: { task_id: 't' }, dag_run: { note: 'n' } },
  }; // prettier-ignore
  assert.is(fakeSupervisor(right).ti.task_id, 't'); // control
});

testing('outside of a task it is told what stands in for a supervisor', () => {
  const source = (inside: string): string => `import { variables } from '${root}lib/sdk/index.js'; import { fakeSupervisor } from '${root}lib/sdk/testing.js';
    const get = async () => variables.get('a');
    console.log(await ${inside}.catch(({ code, message }) => code + ' ' + message));`;
  const run = (inside: string): string => spawnSync(process.execPath, ['--input-type=module', '-e', source(inside)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 }).stdout;
  assert.match(run('get()'), /^ERR_TASK_OUTSIDE .*fakeSupervisor\(\) of sallyport\/task\/testing/);
  assert.is(run(`fakeSupervisor({ variables: { a: 'b' } }).within(get)`), 'b\n'); // control
  // Node's own runner gives a test a socket, which a channel is too.
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-sdk-testing-'));
  try {
    for (const [name, inside, expected] of [['outside', 'get()', /ERR_TASK_OUTSIDE/], ['within', `fakeSupervisor({ variables: { a: 'b' } }).within(get)`, /^# pass 1$/m]] as const) {
      const file = join(folder, `${name}.test.mjs`);
      writeFileSync(file, `import { test } from 'node:test'; import { fstatSync } from 'node:fs'; import { variables } from '${root}lib/sdk/index.js'; import { fakeSupervisor } from '${root}lib/sdk/testing.js';
        const get = async () => variables.get('a');
        test('one', async () => { if (!fstatSync(0).isSocket()) throw new Error('control'); await ${inside}; });`);
      assert.match(spawnSync(process.execPath, ['--test', '--test-reporter=tap', file], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 }).stdout, expected);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const using = async <T>(use: () => Promise<T> | T, options: FakeOptions = {}): Promise<T> => fakeSupervisor(options).within(use);
const code = (attempt: Promise<unknown>): Promise<string> => attempt.then(() => 'done', (error: TaskError) => error.code);

testing('what goes over the channel is a copy, and what cannot be sent is refused as there', async () => {
  const fake = fakeSupervisor();
  const value = { rows: [1], none: undefined };
  await fake.within(async () => {
    await xcom.push('v', value);
    value.rows.push(2);
    const pulled = await xcom.pull<typeof value>({ key: 'v' });
    assert.equal(pulled, { rows: [1] });
    pulled?.rows.push(3);
    assert.equal(await xcom.pull({ key: 'v' }), { rows: [1] });
    assert.is(await code(xcom.push('f', () => 1)), 'ERR_INVALID_ARG_TYPE');
    assert.is(await code(xcom.push('u', undefined)), 'ERR_BROKER_DENIED');
    assert.is(await xcom.push('d', { at: new Date() }).catch(({ code, message }: TaskError) => `${code} ${message}`), 'ERR_BROKER_DENIED method "SetXCom" has a value that is not JSON: /value/at: Date');
    assert.is(await code(xcom.push('n', Array(20_000).fill(0))), 'ERR_OUT_OF_RANGE');
    assert.is(await code(variables.set('n', 1 as never)), 'ERR_INVALID_ARG_TYPE');
  });
});

testing('of a mapped task each instance has its own, and of earlier runs theirs', async () => {
  const xcoms = [0, 1, 2].map((map_index) => ({ task_id: 'extract', map_index, value: map_index * 10 }));
  await using(async () => {
    assert.equal(await xcom.pullAll({ task_id: 'extract' }), [0, 10, 20]);
    assert.is(await xcom.pull({ task_id: 'extract', map_index: 2 }), 20);
    assert.is(await xcom.pull({ task_id: 'extract' }), null);
    assert.is(await xcom.pull({ task_id: 'old' }), null);
    assert.is(await xcom.pull({ task_id: 'old', include_prior_dates: true }), 1);
    assert.is(await code(request('GetXComSequenceItem', { key: 'return_value', dag_id: 'dag', run_id: 'manual__1', task_id: 'extract', offset: 7 })), 'XCOM_NOT_FOUND');
  }, { xcoms: [...xcoms, { task_id: 'old', run_id: 'earlier', value: 1 }] });
});

testing('what earlier tries have left is there, and what the task keeps is seen', async () => {
  const fake = fakeSupervisor({ state: { offset: 41 } });
  await fake.within(async () => {
    assert.is(await state.get<number>('offset'), 41);
    await state.set('offset', 42, { retentionMs: Infinity });
    await state.set('job', 'j1');
    assert.is(await code(state.set('job', 'j2', { retentionMs: 0 })), 'ERR_OUT_OF_RANGE');
    assert.is(await code(state.set('job', undefined)), 'ERR_BROKER_DENIED');
  });
  assert.equal(fake.state, new Map<string, unknown>([['offset', 42], ['job', 'j1']]));
  const [, forEver, month] = fake.requests;
  assert.is(forEver?.['expires_at'], null);
  const days = (Date.parse(String(month?.['expires_at'])) - Date.now()) / 86_400_000;
  assert.ok(days > 29 && days <= 30, String(days));
});

testing('events of an asset are narrowed as a server does', async () => {
  const events = [{ extra: { region: 'north' }, partition_key: 'a' }, { extra: { region: 'south' }, partition_key: 'a' }, { extra: { region: 'north' } }];
  await using(async () => {
    const regions = async (range: Parameters<typeof assets.events>[1]): Promise<unknown[]> => (await assets.events({ name: 'table' }, range)).map(({ id }) => id);
    assert.equal([await regions({}), await regions({ partition_key: 'a' }), await regions({ extra: { region: 'north' } }), await regions({ partition_key: 'a', extra: { region: 'north' } })], [[0, 1, 2], [0, 1], [0, 2], [0]]);
  }, { assets: [{ name: 'table', uri: 't', events }] });
});

testing('answers of the test come first, and what nobody answers is refused by name', async () => {
  const denied = (): never => { throw new TaskError('ERR_BROKER_DENIED', 'not yours'); };
  await using(async () => {
    assert.is(await code(variables.get('colour')), 'ERR_BROKER_DENIED');
    assert.is(await request('mail.send', { to: 'a' }), 'sent to a');
    assert.is(await code(request('mail.read')), 'ERR_BROKER_DENIED');
  }, { variables: { colour: 'green' }, answers: { GetVariable: denied, 'mail.send': ({ to }) => `sent to ${String(to)}` } });
});

testing('it remembers what was asked, logged, masked and started', async () => {
  const fake = fakeSupervisor();
  await fake.within(async () => {
    log.warning('careful', { at: 1n });
    await maskSecret('hunter2');
    assert.is(await triggerDagRun('weekly', { run_id: 'r', note: 'n' }), 'r');
  });
  assert.equal(fake.logs.map(({ timestamp: _, ...line }) => line), [{ at: '1', level: 'warning', event: 'careful', logger: 'task' }]);
  assert.equal([fake.masked, fake.triggered], [['hunter2'], [{ dag_id: 'weekly', run_id: 'r', logical_date: null, note: 'n' }]]);
  assert.equal(fake.requests.map(({ type }) => type), ['MaskSecret', 'TriggerDagRun']);
});

testing('what is masked is what a supervisor hides, and nothing that it would show', async () => {
  const asked: [value: unknown, name?: string][] = [
    ['hunter2'], ['hunter2\n'], ['hunt'], ['Airflow'], [12345], [1234], ['éééé'], ['ééééé'], [null], [['first value', 'no']],
    [{ password: 'under a name', user: 'shown', nested: { api_key: ['a key of several'], port: 65_535 } }], ['by its own name', 'my_token'], ['of no such name', 'colour'], ['two lines,\nof one value'],
  ];
  const fake = fakeSupervisor();
  await fake.within(async () => {
    for (const [value, name] of asked) await maskSecret(value, name);
  });
  using masker = new Masker();
  for (const [value, name] of asked) masker.add(value, name);
  assert.equal(fake.masked, ['hunter2', '12345', 'ééééé', 'first value', 'under a name', 'a key of several', 'by its own name', 'two lines,\nof one value']);
  const words = (value: unknown): string[] => (typeof value === 'object' && value !== null ? Object.values(value).flatMap(words) : [String(value).trimEnd()]);
  for (const word of asked.flatMap(([value]) => words(value))) assert.is(masker.redact(word) === '***', fake.masked.includes(word), word);
});

testing('to print the context is not to look at its signal', async () => {
  const fake = fakeSupervisor({ context: { max_tries: 2 } });
  await fake.within(() => {
    log.info('begins', context as never);
    assert.equal([Object.keys({ ...context }), JSON.parse(JSON.stringify(context)).max_tries], [['ti', 'dag_run', 'start_date', 'max_tries', 'task_reschedule_count'], 2]);
    assert.is(process.listenerCount('SIGTERM'), 0);
    const { signal } = context;
    assert.equal([signal.aborted, process.listenerCount('SIGTERM')], [false, 1]);
  });
  assert.equal([fake.logs[0]?.['max_tries'], process.listenerCount('SIGTERM')], [2, 0]);
});

testing('one at a time, and nothing is left of it afterwards', async () => {
  const outer = fakeSupervisor();
  await outer.within(async () => assert.is(await code(using(() => 1)), 'ERR_TASK_TESTING'));
  assert.is(await code(outer.within(() => { throw new TaskError('mine', 'm'); })), 'mine');
  assert.is(await code(variables.get('a')), 'ERR_TASK_OUTSIDE');
  assert.equal((await fakeSupervisor().run(() => 1)).returned, 1);
});

testing('options that are none are told by name, and so are wrong arguments of an end', () => {
  for (const options of [{ variable: {} }, null, 1]) assert.match(codeOf(() => fakeSupervisor(options as never)) ?? '', /^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/);
  assert.is(codeOf(() => defer({ trigger: '', method_name: 'm' })), 'ERR_INVALID_ARG_TYPE');
  assert.is(codeOf(() => defer({ trigger: 't', method_name: 'm', timeoutMs: -1 })), 'ERR_OUT_OF_RANGE');
});

testing('a question that nobody could answer is not asked', async () => {
  const fake = fakeSupervisor();
  const question = { subject: 's', options: ['a', 'b'], method_name: 'm' };
  await fake.within(async () => {
    for (const [wrong, expected] of [[{ subject: '' }, 'ERR_INVALID_ARG_TYPE'], [{ options: [1] }, 'ERR_INVALID_ARG_TYPE'], [{ options: [] }, 'ERR_OUT_OF_RANGE'], [{ options: ['a', 'a'] }, 'ERR_OUT_OF_RANGE'], [{ defaults: ['c'] }, 'ERR_OUT_OF_RANGE'], [{ defaults: ['a', 'b'] }, 'ERR_OUT_OF_RANGE'], [{ timeoutMs: 0 }, 'ERR_OUT_OF_RANGE'], [{ method_name: 1 }, 'ERR_INVALID_ARG_TYPE']] as const) {
      assert.is(await code(awaitInput({ ...question, ...wrong } as never)), expected, JSON.stringify(wrong));
    }
    assert.is(fake.questions.length, 0);
    assert.is(await code(awaitInput({ ...question, defaults: ['a', 'b'], multiple: true })), 'ERR_TASK_OUTCOME'); // control
  });
  assert.is(fake.questions.length, 1);
});

testing.run();
