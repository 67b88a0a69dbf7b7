import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, linkSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { LogLine } from '../lib/supervisor/index.js';
import { LogFile } from '../lib/supervisor/logs/file.js';
import { logFolder, OpenFolder } from '../lib/supervisor/logs/folder.js';
import { laidOut, logNames } from '../lib/supervisor/logs/path.js';
import { taskRecord } from '../lib/supervisor/logs/record.js';
import { Supervised } from './helpers/supervised.js';

const logs = suite('logs');

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-logs-')));
let supervised: Supervised;
logs.before(async () => {
  supervised = await Supervised.start();
});
logs.after(async () => {
  await supervised[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** The code of what it rejects with. */
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'no error', (error: { code: string }) => error.code);

let folders = 0;
const freshFolder = (): string => join(folder, `f${++folders}`);
type Entry = Record<string, unknown>;
const entries = (path: string): Entry[] => readFileSync(path, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as Entry);
const line = (text: string, source: LogLine['source'] = 'stdout'): LogLine => ({ task: 'ti', source, line: text, cut: false });
const limits = { maxBytes: 1 << 20, maxFiles: 3, stallMs: 10_000 };

// --- Where

const owner = { dag_id: 'etl', run_id: 'manual__2026-01-01T00:00:00+00:00', task_id: 'load', map_index: -1, try_number: 2 };

logs('the layout is Airflow\'s', () => {
  assert.is(laidOut(owner).join('/'), 'dag_id=etl/run_id=manual__2026-01-01T00:00:00+00:00/task_id=load/attempt=2.log');
  assert.is(laidOut({ ...owner, map_index: 3 }).join('/'), 'dag_id=etl/run_id=manual__2026-01-01T00:00:00+00:00/task_id=load/map_index=3/attempt=2.log');
  assert.equal(logNames({ log_path: 'a/b=c/x.log', ti: owner }), ['a', 'b=c', 'x.log']);
  assert.equal(logNames({ log_path: null, ti: owner }), laidOut(owner));
});

logs('whatever ids hold, names are those of files below the folder, and two tries never share one', () => {
  const id = fc.string({ minLength: 1, maxLength: 250, unit: 'binary' });
  fc.assert(fc.property(id, id, (a, b) => {
    const names = laidOut({ ...owner, dag_id: a });
    for (const name of names) assert.ok(name !== '..' && !/[/\0]/.test(name) && Buffer.byteLength(name) <= 240, JSON.stringify(name));
    assert.is(laidOut({ ...owner, dag_id: b })[0] === names[0], a === b);
  }), { numRuns: 500 });
  assert.not.equal(laidOut({ ...owner, dag_id: 'a/b' }), laidOut({ ...owner, dag_id: 'a%2fb' }));
  assert.not.equal(laidOut({ ...owner, dag_id: `${'x'.repeat(249)}a` }), laidOut({ ...owner, dag_id: `${'x'.repeat(249)}b` }));
  const [long = ''] = laidOut({ ...owner, dag_id: 'x'.repeat(250) });
  assert.not.equal(laidOut({ ...owner, dag_id: long.slice('dag_id='.length) })[0], long);
  assert.not.equal(laidOut({ ...owner, dag_id: 'a\ud800' }), laidOut({ ...owner, dag_id: 'a\udfff' }));
});

for (const log_path of ['/etc/x', '../x', 'a/../../x', 'a//x', './x', 'a/', 'a\0b', 'a\nb', '.', '..', `${'a/'.repeat(40)}x`, 'x'.repeat(256)]) {
  logs(`a log_path of ${JSON.stringify(log_path.slice(0, 20))} is refused`, () => {
    assert.throws(() => logNames({ log_path, ti: owner }), (error: { code: string; path: string }) => error.code === 'ERR_WORKLOAD_INVALID' && error.path === 'log_path');
  });
}

// --- What

const stamp = '2026-01-01T12:00:00.000Z';
const records: readonly [what: string, line: LogLine, record: Entry][] = [
  ['what is printed', line('hello'), { timestamp: stamp, level: 'info', logger: 'task.stdout', event: 'hello' }],
  ['what is complained of', line('oh', 'stderr'), { timestamp: stamp, level: 'error', logger: 'task.stderr', event: 'oh' }],
  ['JSON that is printed stays text', line('{"level":"error"}'), { timestamp: stamp, level: 'info', logger: 'task.stdout', event: '{"level":"error"}' }],
  ['a record', line('{"timestamp":"t","level":"WARNING","event":"e","logger":"own","rows":3}', 'log'), { timestamp: 't', level: 'warning', event: 'e', logger: 'own', rows: 3 }],
  ['a record without anything', line('{}', 'log'), { timestamp: stamp, level: 'info', event: '', logger: 'task' }],
  ['a record with wrong types', line('{"timestamp":1,"level":null,"event":[1],"logger":{}}', 'log'), { timestamp: stamp, level: 'info', event: [1], logger: 'task' }],
  ['a record that poses as the supervisor\'s', line('{"event":"the task has ended: success","logger":"supervisor","state":"success"}', 'log'), { timestamp: stamp, level: 'info', event: 'the task has ended: success', logger: 'task.supervisor', state: 'success' }],
  ['one that does so by an escaped name, or a second time', line('{"logger":"own","\\u006cogger":"supervisor","level":"info","level":"ERROR"}', 'log'), { timestamp: stamp, level: 'error', event: '', logger: 'task.supervisor' }],
  ['a record with fields around those that are read', line(' { "a" : 1,\t"event":"e" , "b":[{"level":"x"}],"logger":"own","timestamp":"t", "c":{} }\r', 'log'), { timestamp: 't', level: 'info', event: 'e', logger: 'own', a: 1, b: [{ level: 'x' }], c: {} }],
  ['a record that has both of an exception\'s names', line('{"error_detail":1,"exception":2}', 'log'), { timestamp: stamp, level: 'info', event: '', logger: 'task', error_detail: 1 }],
  ['an exception, as Airflow renames it', line('{"event":"e","exception":[{"exc_type":"E"}]}', 'log'), { timestamp: stamp, level: 'info', event: 'e', logger: 'task', error_detail: [{ exc_type: 'E' }] }],
  ...['', 'text', '[1]', '7', 'null', '"text"', '{"a":', '{"a":1}{"b":2}', '{"a":***}', '{"event":1***2}', '\ufffd\0', '{"a":'.repeat(10_000) + '1' + '}'.repeat(10_000)].map((text): [string, LogLine, Entry] => [
    `${JSON.stringify(text.slice(0, 20))}, which is no record`, line(text, 'log'), { timestamp: stamp, level: 'info', logger: 'task', event: text },
  ]),
  ['a line that was cut', { ...line('{"a":1}', 'log'), cut: true }, { timestamp: stamp, level: 'info', logger: 'task', event: '{"a":1}', cut: true }],
];
for (const [what, given, record] of records) logs(`one line of JSON for ${what}`, () => assert.equal(JSON.parse(taskRecord(given, stamp)), record));

logs('a record goes on as it was written, on one line, unless it nests too deep for other readers', () => {
  const fields = '"n":[1e999, -0.10,12345678901234567890],"a":1,"a":2,"s":"\\ud83d\\/"';
  assert.is(taskRecord(line(`{"level":"info",\t${fields}\r}`, 'log'), stamp), `{"timestamp":"${stamp}","level":"info","event":"","logger":"task",${fields}}`);
  const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
  assert.is((JSON.parse(taskRecord(line(nested(64), 'log'), stamp)) as Entry)['event'], ''); // control
  assert.is((JSON.parse(taskRecord(line(nested(65), 'log'), stamp)) as Entry)['event'], nested(65));
});

logs('a key of __proto__ is a key', () => {
  assert.match(taskRecord(line('{"__proto__":{"a":1}}', 'log'), stamp), '"__proto__":{"a":1}');
});

logs('nothing in a line is obeyed by a terminal that prints the file', () => {
  const text = '\x1b[2J\r\x7f\u009b2J\u202egpj.exe\u2028';
  for (const source of ['stdout', 'log'] as const) {
    const written = taskRecord(line(source === 'log' ? JSON.stringify({ event: text, [text]: text }) : text, source), stamp);
    assert.not.match(written, /[^\x20-\x7e]/);
    assert.is((JSON.parse(written) as Entry)['event'], text);
  }
});

// --- Files

async function openLog(root: string, names: readonly string[], more: Partial<typeof limits> = {}): Promise<LogFile> {
  const last = names.at(-1) as string;
  return LogFile.open(await OpenFolder.descend(logFolder(root), names.slice(0, -1)), last, { ...limits, ...more });
}

logs('files and folders are this user\'s alone, and a second run of a try goes on at the end', async () => {
  const root = freshFolder();
  const umask = process.umask(0);
  const log = await openLog(root, ['a', 'b', 'x.log']);
  process.umask(umask);
  log.write(line('one'));
  assert.equal(await log.close(), { path: join(root, 'a/b/x.log'), lines: 1, lost: 0 });
  assert.equal(['', 'a', 'a/b', 'a/b/x.log'].map((name) => statSync(join(root, name)).mode & 0o777), [0o700, 0o700, 0o700, 0o600]);
  chmodSync(join(root, 'a/b/x.log'), 0o644);
  const again = await openLog(root, ['a', 'b', 'x.log']);
  again.write(line('two'));
  await again.close();
  assert.equal(entries(join(root, 'a/b/x.log')).map(({ event }) => event), ['one', 'two']);
  assert.is(statSync(join(root, 'a/b/x.log')).mode & 0o777, 0o600);
});

logs('a full file makes room for another, none is larger than it may be, and the newest lines stay', async () => {
  const root = freshFolder();
  const log = await openLog(root, ['x.log']);
  const count = 6000;
  for (let number = 0; number < count; number++) {
    log.write(line(`${number} ${'x'.repeat(900)}`));
    await log.room();
  }
  assert.equal(await log.close(), { path: join(root, 'x.log'), lines: count, lost: 0 });
  const names = readdirSync(root).sort();
  assert.equal(names, ['x.log', 'x.log.1', 'x.log.2']);
  for (const name of names) assert.ok(statSync(join(root, name)).size <= limits.maxBytes);
  const numbers = names.reverse().flatMap((name) => entries(join(root, name)).map(({ event }) => parseInt(event as string)));
  assert.equal(numbers, Array.from({ length: numbers.length }, (_, index) => count - numbers.length + index));
  assert.ok(numbers.length > 1500, `${numbers.length}`);
});

const obstacles: readonly [what: string, put: (root: string) => void, names: readonly string[]][] = [
  ['a link in the place of the file', (root) => symlinkSync(join(root, 'target'), join(root, 'x.log')), ['x.log']],
  ['a link in the place of a folder', (root) => symlinkSync('/tmp', join(root, 'a')), ['a', 'x.log']],
  ['a file in the place of a folder', (root) => writeFileSync(join(root, 'a'), ''), ['a', 'x.log']],
  ['a folder in the place of the file', (root) => mkdirSync(join(root, 'x.log')), ['x.log']],
  ['a FIFO that nobody reads', (root) => void spawnSync('mkfifo', [join(root, 'x.log')]), ['x.log']],
  ['a file with a second name', (root) => { writeFileSync(join(root, 'target'), ''); linkSync(join(root, 'target'), join(root, 'x.log')); }, ['x.log']],
];
for (const [what, put, names] of obstacles) {
  logs(`${what} is refused, and nothing is written through it`, async () => {
    const free = freshFolder();
    await (await openLog(free, names)).close(); // control
    assert.ok(existsSync(join(free, ...names)));
    const root = freshFolder();
    mkdirSync(root);
    put(root);
    const before = process.getActiveResourcesInfo().length;
    assert.is(await codeOf(openLog(root, names)), 'ERR_LOG_REFUSED');
    assert.ok(!existsSync(join(root, 'target')) || statSync(join(root, 'target')).size === 0);
    assert.ok(process.getActiveResourcesInfo().length <= before);
  });
}

logs('a rotation that got half way is gone on with, and loses no file', async () => {
  const root = logFolder(freshFolder());
  for (const [name, text] of [['a.log', 'newest'], ['a.log.1', 'older'], ['a.log.2', 'oldest']]) writeFileSync(join(root, name as string), `${text}\n`, { mode: 0o600 });
  const opened = await OpenFolder.descend(root, []);
  const there = (): string[] => readdirSync(root).sort().map((name) => `${name} ${readFileSync(join(root, name), 'utf8').trim()}`);
  for (let times = 0; times < 5; times++) await opened.rotate('a.log', 3); // and each time there was no descriptor for a new one
  assert.equal(there(), ['a.log.1 newest', 'a.log.2 older', 'a.log.3 oldest']);
  writeFileSync(join(root, 'a.log'), 'new\n');
  await opened.rotate('a.log', 3); // control
  await opened.close();
  assert.equal(there(), ['a.log.1 new', 'a.log.2 newest', 'a.log.3 older']);
});

logs('half a line that a killed supervisor left does not swallow the next', async () => {
  const root = logFolder(freshFolder());
  for (const [name, text] of [['torn.log', '{"event":"whole"}\n{"event":"ha'], ['whole.log', '{"event":"whole"}\n']]) writeFileSync(join(root, name as string), text as string, { mode: 0o600 });
  for (const name of ['torn.log', 'whole.log', 'empty.log']) {
    const file = await LogFile.open(await OpenFolder.descend(root, []), name, limits);
    file.write(line('next'));
    await file.close();
  }
  const events = (name: string): unknown[] => readFileSync(join(root, name), 'utf8').trimEnd().split('\n').map((text) => (text.endsWith('}') ? (JSON.parse(text) as Entry)['event'] : text));
  assert.equal([events('torn.log'), events('whole.log'), events('empty.log')], [['whole', '{"event":"ha', 'next'], ['whole', 'next'], ['next']]);
});

logs('a folder that others could replace is refused', () => {
  const root = freshFolder();
  mkdirSync(join(root, 'logs'), { recursive: true });
  assert.is(logFolder(join(root, 'logs')), join(root, 'logs')); // control
  chmodSync(root, 0o777);
  assert.throws(() => logFolder(join(root, 'logs')), (error: { code: string; path: string }) => error.code === 'ERR_LOG_REFUSED' && error.path === root);
});

// --- A disk that fails, and one that hangs

/** A folder whose one file takes what `write` lets it take. */
function disk(write: (bytes: Buffer) => Promise<number>) {
  let written = '';
  const file = {
    write: async (bytes: Buffer, at: number) => {
      const bytesWritten = await write(bytes.subarray(at));
      written += bytes.toString('utf8', at, at + bytesWritten);
      return { bytesWritten };
    },
    close: async () => {},
  };
  const made = { path: '/nowhere', append: async () => ({ file, size: 0 }), rotate: async () => {}, close: async () => {} };
  return { folder: made as unknown as OpenFolder, text: () => written };
}

logs('a disk that fails costs lines, which are counted, and the log tells of them when it can', async () => {
  let full = false;
  let torn = false;
  const full_ = disk(async (bytes) => {
    if (!full) return bytes.length;
    if (!torn) return (torn = true), 5; // a part of a line, as where there is a little room left
    throw Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' });
  });
  const log = await LogFile.open(full_.folder, 'x.log', limits);
  const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
  log.write(line('kept'));
  while (!full_.text().includes('kept')) await new Promise(setImmediate);
  full = true;
  log.write(line('lost 1'));
  assert.is((await warned).name, 'SallyportWarning');
  for (let number = 2; number <= 100; number++) log.write(line(`lost ${number}`));
  assert.is(log.room(), undefined, 'nobody waits for a disk that is full');
  full = false;
  const { lines, lost } = await log.close();
  assert.equal([lines, lost], [1, 100]);
  const [first, broken, note, ...rest] = full_.text().trimEnd().split('\n');
  assert.is((JSON.parse(first ?? '') as Entry)['event'], 'kept');
  assert.is(broken?.length, 5);
  const { lost: told, reason, logger } = JSON.parse(note ?? '') as Entry;
  assert.equal([told, reason, logger, rest.length], [100, 'ENOSPC', 'supervisor', 0]);
});

logs('a disk that hangs holds up the task for a while, the supervisor and its end not at all', async () => {
  let resume = (): void => {};
  const resumed = new Promise<void>((resolve) => (resume = resolve));
  const hanging = disk(async (bytes) => (await resumed, bytes.length));
  const log = await LogFile.open(hanging.folder, 'x.log', { ...limits, stallMs: 300 });
  const text = 'x'.repeat(60_000);
  let taken = 0;
  while (log.room() === undefined) {
    log.write(line(text));
    taken++;
  }
  assert.ok(taken > 10 && taken < 40, `${taken} lines waited`); // bounded: the task waits from here on
  await log.room(); // until it is clear that it hangs
  assert.is(log.room(), undefined);
  log.write(line('more'));
  const { lines, lost } = await log.close();
  assert.equal([lines, lost], [0, taken + 1]); // every line is accounted for
  resume(); // for the tests after this one
});

logs('logs that hang leave threads of the pool for everything else', async () => {
  let begun = 0;
  const resume: (() => void)[] = [];
  const hanging = disk((bytes) => new Promise((resolve) => { begun++; resume.push(() => resolve(bytes.length)); }));
  const open = await Promise.all(Array.from({ length: 8 }, () => LogFile.open(hanging.folder, 'x.log', { ...limits, stallMs: 60_000 })));
  for (const log of open) log.write(line('x'));
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
  assert.is(begun, 2);
  const closed = Promise.all(open.map((log) => log.close()));
  while (begun < 8 || resume.length > 0) {
    resume.splice(0).forEach((go) => go());
    await new Promise(setImmediate);
  }
  assert.equal((await closed).map(({ lines, lost }) => [lines, lost]), Array(8).fill([1, 0]));
});

// --- A whole run

logs('a try\'s three descriptors are one file, masked, from its start to its end', async () => {
  const root = freshFolder();
  await supervised.server.seed({ connections: [{ conn_id: 'db', conn_type: 'http', host: 'h', password: 'correct horse' }] });
  await using supervisor = supervised.supervisor({ logs: { folder: root } });
  const outcome = await supervised.run(supervisor, `
    import { writeSync } from 'node:fs';
    import { connections, log } from 'sallyport/task';
    export default async () => {
      const { password } = await connections.get('db');
      log.info('connected', { password, rows: 3, url: 'http://u:' + password });
      console.log('plain', password);
      log.error('refused', { err: new Error('outer', { cause: Object.assign(new Error('for ' + password), { code: 'E' + password }) }) });
      console.error('oh');
      writeSync(3, 'not json\\n[1]\\n');
      writeSync(1, Buffer.from([0xff, 0xfe, 0, 10]));
      process.stdout.write('x'.repeat(70_000) + '\\nno end');
    };
  `, { grants: { connections: ['db'] }, ti: { task_id: 'whole', map_index: 4 } });
  const path = join(root, 'dag_id=d/run_id=r/task_id=whole/map_index=4/attempt=1.log');
  const found = entries(path);
  assert.equal(outcome.log, { path, lines: found.length, lost: 0 });
  const of = (logger: string): Entry[] => found.filter((entry) => entry['logger'] === logger);
  assert.equal(of('supervisor').map(({ event }) => event), ['the task has started', 'the task has ended: success']);
  assert.is(found.at(-1), of('supervisor')[1]);
  assert.equal(of('supervisor')[1]?.['state'], 'success');
  assert.equal(of('task').map(({ event, password, rows, url }) => [event, password, rows, url].filter((value) => value !== undefined)), [['connected', '***', 3, 'http://u:***'], ['refused'], ['not json'], ['[1]']]);
  const { cause } = of('task')[1]?.['err'] as { cause: { message: string; code: string; stack: string } };
  assert.equal([cause.message, cause.code, cause.stack.split('\n')[0]], ['for ***', 'E***', 'Error: for ***']);
  assert.equal(of('task.stdout').map(({ event, cut }) => [(event as string).slice(0, 9), cut]), [['plain ***', undefined], ['\ufffd\ufffd\0', undefined], ['xxxxxxxxx', true], ['no end', undefined]]);
  assert.equal(of('task.stderr').map(({ event }) => event), ['oh']);
  assert.not.match(readFileSync(path, 'utf8'), 'horse');
});

logs('a task that did not run, failed or was ended leaves the reason in its log', async () => {
  const root = freshFolder();
  await using supervisor = supervised.supervisor({ logs: { folder: root } });
  await supervised.run(supervisor, 'export default () => { throw new Error("no"); };', { workload: { log_path: 'failed.log' } });
  const [failed] = entries(join(root, 'failed.log')).slice(-1);
  assert.equal([failed?.['level'], failed?.['state'], failed?.['reason'], failed?.['exit_code']], ['error', 'failed', 'Error: no', 0]);

  await supervised.run(supervisor, 'export default () => process.kill(process.pid, "SIGKILL");', { workload: { log_path: 'killed.log' } });
  const [killed] = entries(join(root, 'killed.log')).slice(-1);
  assert.equal([killed?.['state'], killed?.['signal']], ['failed', 'SIGKILL']);

  const { workload, token } = await supervised.queue('export default () => 1;', { workload: { log_path: 'refused.log' } });
  const other = { ...workload, ti: { ...workload.ti, id: '00000000-0000-0000-0000-000000000000' } };
  assert.is(await codeOf(supervisor.run(other, { token })), 'ERR_UPSTREAM_FAILED');
  assert.equal(entries(join(root, 'refused.log')).map(({ event, state }) => [event, state]), [['the task was not started', null]]);
});

logs('a log_path that leads out of the folder, or into a link, lets nothing run', async () => {
  const root = freshFolder();
  await using supervisor = supervised.supervisor({ logs: { folder: root } });
  const outside = join(folder, 'outside.log');
  symlinkSync(outside, join(root, 'link.log'));
  const code = (log_path: string): Promise<string> => codeOf(supervised.run(supervisor, 'export default () => 1;', { workload: { log_path } }));
  assert.equal([await code('../outside.log'), await code(outside), await code('link.log')], ['ERR_WORKLOAD_INVALID', 'ERR_WORKLOAD_INVALID', 'ERR_LOG_REFUSED']);
  assert.not.ok(existsSync(outside));
  const outcome = await supervised.run(supervisor, 'export default () => 1;', { workload: { log_path: 'inside.log' } }); // control
  assert.is(outcome.log?.path, join(root, 'inside.log'));
});

logs('no policy gives a task the logs, to read or to write', async () => {
  const root = freshFolder();
  const beside = freshFolder();
  mkdirSync(beside);
  await using supervisor = supervised.supervisor({ logs: { folder: root } });
  const { policies } = await import('../lib/policy/presets.js');
  const code = (grants: object): Promise<string> => codeOf(supervised.run(supervisor, 'export default () => 1;', { policy: policies.node(grants) }));
  for (const grants of [{ read: [root] }, { write: [root] }, { read: [folder] }, { write: [folder] }, { execute: [root] }]) assert.is(await code(grants), 'ERR_POLICY_INVALID', JSON.stringify(grants));
  assert.is(await code({ read: [beside], write: [beside] }), 'no error'); // control
});

logs('a task reads and writes no log, not even its own', async () => {
  const root = freshFolder();
  const lines: string[] = [];
  await using supervisor = supervised.supervisor({ logs: { folder: root }, onLog: ({ line: text }) => lines.push(text) });
  const path = join(root, 'own.log');
  await supervised.run(supervisor, `
    import { appendFileSync, linkSync, readFileSync, readdirSync, renameSync, symlinkSync, unlinkSync } from 'node:fs';
    const path = ${JSON.stringify(path)};
    const ways = [() => readFileSync(path), () => appendFileSync(path, 'x'), () => unlinkSync(path), () => renameSync(path, 'x'), () => linkSync(path, 'x'), () => symlinkSync('/', path + '.1'), () => readdirSync(${JSON.stringify(root)})];
    export default () => console.log(JSON.stringify(ways.map((way) => { try { way(); return 'done'; } catch (error) { return error.code; } })));
  `, { workload: { log_path: 'own.log' } });
  const codes = JSON.parse(lines[0] ?? '') as string[];
  assert.ok(codes.length === 7 && codes.every((code) => ['EACCES', 'EPERM', 'EXDEV'].includes(code)), codes.join(' '));
  assert.is(entries(path).length, 3); // control: it is there, and can be read
});

logs('a task that prints without end waits for the disk, is bounded on it, and others run meanwhile', async () => {
  const root = freshFolder();
  await using supervisor = supervised.supervisor({ logs: { folder: root, maxBytes: 1 << 20, maxFiles: 2 } });
  const controller = new AbortController();
  const flooding = supervised.run(supervisor, `
    import { writeSync } from 'node:fs';
    const lines = Buffer.from(('y'.repeat(200) + '\\n').repeat(300));
    export default () => { for (;;) { try { writeSync(1, lines); } catch (error) { if (error.code !== 'EAGAIN') throw error; Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); } } };
  `, { signal: controller.signal, workload: { log_path: 'flood/x.log' } });
  const flood = join(root, 'flood');
  while (!existsSync(join(flood, 'x.log.1'))) await new Promise((resolve) => setTimeout(resolve, 20));
  for (let number = 0; number < 3; number++) assert.is((await supervised.run(supervisor, 'export default () => 1;')).state, 'success');
  const bytes = readdirSync(flood).map((name) => statSync(join(flood, name)).size);
  controller.abort(new Error('enough'));
  const { log, state } = await flooding;
  assert.is(state, 'failed');
  assert.ok(bytes.length <= 2 && bytes.every((size) => size <= 1 << 20), `${bytes.join(' ')}`);
  assert.ok((log?.lines ?? 0) > 5000);
  assert.is(log?.lost, 0);
});

logs('forty tries leave no descriptor open, and each its own file', async () => {
  const root = freshFolder();
  const target = (fd: string): string => { try { return readlinkSync(`/proc/self/fd/${fd}`); } catch { return ''; } };
  const open = (): number => readdirSync('/proc/self/fd').filter((fd) => target(fd).startsWith(root)).length;
  let most = 0;
  await using supervisor = supervised.supervisor({ logs: { folder: root }, onLog: () => { most = Math.max(most, open()); } });
  const ten = (): Promise<unknown> => Promise.all(Array.from({ length: 10 }, () => supervised.run(supervisor, 'export default () => console.log("x");')));
  for (let number = 0; number < 4; number++) await ten();
  assert.ok(most > 0); // control: it would be seen
  assert.is(open(), 0);
  assert.is(readdirSync(root, { recursive: true }).filter((name) => String(name).endsWith('.log')).length, 40);
});

logs('options are checked', () => {
  const root = freshFolder();
  for (const [wrong, code] of [
    [{}, 'ERR_INVALID_ARG_TYPE'], [{ folder: 3 }, 'ERR_INVALID_ARG_TYPE'], [{ folder: root, maxBytes: 10 }, 'ERR_OUT_OF_RANGE'], [{ folder: root, maxFiles: 1 }, 'ERR_OUT_OF_RANGE'],
    [{ folder: root, stallMs: 0 }, 'ERR_OUT_OF_RANGE'], [{ folder: root, colour: 1 }, 'ERR_OUT_OF_RANGE'],
  ] as const) assert.throws(() => supervised.supervisor({ logs: wrong as never }), (error: { code: string }) => error.code === code);
  supervised.supervisor({ logs: { folder: root } }); // control
});

logs.run();
