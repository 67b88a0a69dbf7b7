// What a supervisor shows of itself, and `sallyport top`.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { clip, widthOf } from '../lib/cli/table.js';
import { renderStatus, type View } from '../lib/cli/top-view.js';
import type { Status } from '../lib/index.js';
import { policies } from '../lib/policy/presets.js';
import { usageOf } from '../lib/supervisor/usage.js';
import { asWeAre, cli } from './helpers/cli.js';
import { Supervised } from './helpers/supervised.js';

const top = suite('top');

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-top-')));
chmodSync(folder, 0o700);
let supervised: Supervised;
top.before(async () => {
  supervised = await Supervised.start();
});
top.after(async () => {
  await supervised[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const codeOf = (run: () => unknown): string | undefined => {
  try {
    run();
    return undefined;
  } catch (error) {
    return (error as { code: string }).code;
  }
};

/** What a supervisor shows, look by look. */
async function* looks(path: string): AsyncGenerator<Status, void, undefined> {
  const socket = connect(path).setEncoding('utf8'); // a hang is the runner's to end
  let text = '';
  try {
    for await (const chunk of socket) {
      const lines = (text + (chunk as string)).split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) yield JSON.parse(line) as Status;
    }
  } finally {
    socket.destroy();
  }
}

/** The first look that is as wanted. */
async function seen(path: string, wanted: (status: Status) => boolean): Promise<Status> {
  for await (const look of looks(path)) if (wanted(look)) return look;
  return assert.unreachable('the supervisor went away') as never;
}

// --- What is shown

top('a running task is shown with its limits, its requests and what it and its children use; an ended one with its state', async () => {
  const path = join(folder, 'shown', 'x.sock');
  await using supervisor = supervised.supervisor({ status: { path }, hostname: 'worker' });
  assert.equal([statSync(join(folder, 'shown')).mode & 0o777, statSync(path).isSocket()], [0o700, true]);
  const stop = new AbortController();
  const running = supervised.run(supervisor, `
    import { spawn } from 'node:child_process';
    import { once } from 'node:events';
    import { variables, xcom } from 'sallyport/task';
    export default async () => {
      const child = spawn(process.execPath, ['-e', 'globalThis.kept = Buffer.alloc(40e6, 1); console.log("up"); setInterval(() => {}, 1000);'], { stdio: ['ignore', 'pipe', 'inherit'] });
      await once(child.stdout, 'data');
      await xcom.push('k', 1);
      await variables.get('no').catch(() => {});
      await new Promise(() => setInterval(() => {}, 1000));
    };
  `, { ti: { task_id: 'seen', map_index: 7 }, wallTimeMs: 60_000, signal: stop.signal, policy: policies.node({ limits: { memoryBytes: 1e9, processes: 99 } }) });
  const look = await seen(path, (status) => status.running[0]?.requests === 2 && (status.running[0].usage?.memoryBytes ?? 0) > 60e6);
  assert.is(statSync(path).mode & 0o777, 0o600);
  const [row] = look.running;
  assert.equal([row?.task.task_id, row?.task.map_index, row?.state, row?.requests, row?.denied, row?.lastMethod], ['seen', 7, 'running', 2, 1, 'GetVariable']);
  assert.equal(row?.limits, { memoryBytes: 1e9, processes: 99, wallTimeMs: 60_000 });
  assert.ok((row?.usage?.processes ?? 0) > 12, 'two Nodes with their threads');
  assert.equal([look.supervisor.pid, look.supervisor.hostname, look.supervisor.closed, look.totals.requests, look.totals.denied], [process.pid, 'worker', null, 2, 1]);
  stop.abort(new Error('enough'));
  await running;
  const after = await seen(path, (status) => status.running.length === 0);
  assert.equal(after.totals.states, { failed: 1 });
  assert.equal(after.ended.map(({ task, state, reported }) => [task.task_id, state, reported]), [['seen', 'failed', true]]);
});

top('usage is that of a whole tree, and of nobody else', async () => {
  const source = "const { spawn } = require('node:child_process'); globalThis.kept = Buffer.alloc(30e6, 1); if (process.argv[1]) console.log('up'); else spawn(process.execPath, ['-e', process.env.SOURCE, 'child'], { stdio: 'inherit' }); setInterval(() => {}, 1000);";
  const child = spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, SOURCE: source }, detached: true });
  try {
    await once(child.stdout, 'data');
    const pid = child.pid as number;
    const usage = (await usageOf([pid, 2 ** 22 + 1])).get(pid);
    assert.ok((usage?.memoryBytes ?? 0) > 60e6 && (usage?.memoryBytes ?? 0) < 400e6, `${usage?.memoryBytes}`);
    assert.ok((usage?.processes ?? 0) > 12 && (usage?.cpuSeconds ?? 0) > 0);
    assert.equal((await usageOf([2 ** 22 + 1])).get(2 ** 22 + 1), { memoryBytes: 0, processes: 0, cpuSeconds: 0 });
  } finally {
    process.kill(-(child.pid as number), 'SIGKILL');
  }
});

// --- Who may look

top('a task cannot look at its supervisor, nor be given the folder', async () => {
  const path = join(folder, 'closed', 'x.sock');
  await using supervisor = supervised.supervisor({ status: { path } });
  const lines: string[] = [];
  await using watched = supervised.supervisor({ onLog: ({ line }) => lines.push(line) });
  const source = `import { connect } from 'node:net'; export default () => new Promise((resolve) => connect(${JSON.stringify(path)}).on('error', (error) => resolve(console.log(error.code))).on('connect', () => resolve(console.log('connected'))));`;
  await supervised.run(watched, source);
  assert.match(lines[0] ?? '', /^(EPERM|EACCES)$/);
  for await (const look of looks(path)) { assert.is(look.supervisor.pid, process.pid); break; } // control: there is somebody to talk to
  const grants = [{ read: [join(folder, 'closed')] }, { write: [path] }, { read: [folder] }];
  for (const each of grants) assert.is(await supervised.run(supervisor, 'export default () => 1;', { policy: policies.node(each) }).then(() => 'ran', (error: { code: string }) => error.code), 'ERR_POLICY_INVALID');
});

top('who does not read, and who comes too many, costs the supervisor nothing', async () => {
  const path = join(folder, 'many', 'x.sock');
  await using supervisor = supervised.supervisor({ status: { path } });
  await seen(path, () => true);
  const sockets: Socket[] = [];
  const closed = new Set<Socket>();
  for (let number = 0; number < 12; number++) {
    const socket = connect(path);
    await once(socket, 'connect');
    socket.on('close', () => closed.add(socket)).on('error', () => {});
    sockets.push(socket);
    if (number >= 8) socket.resume();
  }
  while (closed.size < 4) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(sockets.map((socket) => closed.has(socket)), [...Array<boolean>(8).fill(false), ...Array<boolean>(4).fill(true)]);
  sockets[0]?.destroy();
  let again: Status | undefined; // there is room when the supervisor has seen that one go
  while (again === undefined) for await (const look of looks(path)) { again = look; break; }
  assert.is(again.supervisor.pid, process.pid);
  sockets.forEach((socket) => socket.destroy());
  assert.is((await supervised.run(supervisor, 'export default () => 1;')).state, 'success');
});

top('what is in the way is refused, an old socket is replaced, and nothing stays', async () => {
  const own = join(folder, 'own');
  mkdirSync(own, { mode: 0o700 });
  writeFileSync(join(own, 'file.sock'), '');
  const old = createServer().listen(join(own, 'old.sock'));
  await once(old, 'listening');
  mkdirSync(join(own, 'open'));
  chmodSync(join(own, 'open'), 0o755);
  const code = (path: unknown): string | undefined => codeOf(() => supervised.supervisor({ status: { path: path as string } }));
  assert.equal([code(join(own, 'file.sock')), code(join(own, 'open', 'x.sock')), code(join(own, 'x'.repeat(120))), code(3), code('')], ['ERR_LOG_REFUSED', 'ERR_LOG_REFUSED', 'ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_TYPE', 'ERR_INVALID_ARG_TYPE']);
  assert.is(codeOf(() => supervised.supervisor({ status: { colour: 1 } as never })), 'ERR_OUT_OF_RANGE');
  const supervisor = supervised.supervisor({ status: { path: join(own, 'old.sock') } });
  assert.is((await seen(join(own, 'old.sock'), () => true)).supervisor.pid, process.pid);
  await supervisor[Symbol.asyncDispose]();
  while (existsSync(join(own, 'old.sock'))) await new Promise((resolve) => setTimeout(resolve, 10));
  old.close();
});

// --- The view

const at = '2026-01-01T12:00:00.000Z';
const task = (task_id: string, more: object = {}) => ({ id: task_id, dag_id: 'etl', run_id: 'r1', task_id, map_index: -1, try_number: 1, ...more });
const row = (task_id: string, more: object = {}): Status['running'][number] => ({
  task: task(task_id), state: 'running', pid: 9, since: '2026-01-01T11:58:56.000Z', limits: { memoryBytes: 512 * 2 ** 20, processes: 64, wallTimeMs: 600_000 },
  requests: 1234, denied: 0, lastMethod: null, failedHeartbeats: 0, usage: { memoryBytes: 128 * 2 ** 20, processes: 12, cpuSeconds: 32 }, ...more,
});
const status: Status = {
  at,
  supervisor: { pid: 4711, hostname: 'worker-1', since: '2026-01-01T09:47:00.000Z', memoryBytes: 84 * 2 ** 20, cpuSeconds: 80, closed: null, reportsWaiting: 0 },
  totals: { states: { success: 1204, failed: 3 }, requests: 5000, denied: 0 },
  running: [row('load'), row('a_task_whose_name_is_longer_than_its_column', { denied: 7, state: 'ending' }), row('free', { limits: { memoryBytes: null, processes: null, wallTimeMs: null }, usage: null, failedHeartbeats: 2 })],
  ended: [{ task: task('extract'), state: 'failed', at: '2026-01-01T11:59:48.000Z', durationMs: 65_000, reported: false, kept: false }, { task: task('check'), state: 'success', at: '2026-01-01T11:59:40.000Z', durationMs: 640, reported: true, kept: false }, { task: task('late'), state: 'success', at: '2026-01-01T11:59:30.000Z', durationMs: 640, reported: false, kept: true }],
};
const plain: View = { paint: (_style, text) => text, columns: 110, rows: 24, sort: 'time' };

top('a look is a table that a person can read', () => {
  assert.is(`\n${renderStatus(status, undefined, plain).join('\n')}\n`, `
 worker-1  supervisor 4711, up 2h13, 84M, 1 % cpu
 3 running   3 failed   1,204 success   5,000 requests

 TASK                              STATE     TIME         CPU            MEMORY     PROC     REQUESTS  DENIED
 etl.load r1                       running   1m04/10m    50 %  ██······  128M/512M  12/64       1,234
 etl.a_task_whose_name_is_longer…  ending    1m04/10m    50 %  ██······  128M/512M  12/64       1,234       7
 etl.free r1                       unheard   1m04         0 %            0M         0           1,234

  12s ago  etl.extract r1                            failed after 1m05, the server does not know
  20s ago  etl.check r1                              success after 0.6s
  30s ago  etl.late r1                               success after 0.6s, the server is told later
`);
  const busy: Status = {
    ...status,
    supervisor: { ...status.supervisor, hostname: 'worker-1.example.org', closed: 'takes no more: it drains', reportsWaiting: 3 },
    totals: { states: { success: 1204, up_for_retry: 12, up_for_reschedule: 3, failed: 3, server_terminated: 1 }, requests: 5000, denied: 17 },
  };
  assert.is(`\n${renderStatus(busy, undefined, { ...plain, columns: 80 }).join('\n')}\n`, `
 worker-1.example.org  takes no more: it drains  supervisor 4711, up 2h13, 84M,…
 3 running   3 reports wait for the server   17 denied   3 failed
 1 server_terminated   1,204 success   12 up_for_retry   3 up_for_reschedule
 5,000 requests

 TASK                             STATE     TIME         CPU  MEMORY     DENIED
 etl.load r1                      running   1m04/10m    50 %  128M/512M
 etl.a_task_whose_name_is_longe…  ending    1m04/10m    50 %  128M/512M       7
 etl.free r1                      unheard   1m04         0 %  0M

  12s ago  etl.extract r1           failed after 1m05, the server does not know
  20s ago  etl.check r1             success after 0.6s
  30s ago  etl.late r1              success after 0.6s, the server is told later
`);
  // Where nothing is denied there is room for what was asked; where there are few lines, the counts have one.
  const quiet = { ...busy, running: [row('load')] };
  assert.match(renderStatus(quiet, undefined, { ...plain, columns: 80 }).join('\n'), 'MEMORY     REQUESTS\n');
  assert.is(renderStatus(quiet, undefined, { ...plain, columns: 80, rows: 11 })[2], '');
  const before: Status = { ...status, at: '2026-01-01T11:59:58.000Z', totals: { ...status.totals, requests: 4000 }, running: [row('load', { usage: { memoryBytes: 0, processes: 1, cpuSeconds: 30.5 } })] };
  const [, second, , , load] = renderStatus(status, before, plain);
  assert.match(second ?? '', '500 requests/s');
  assert.match(load ?? '', '75 %');
});

top('whatever is in it, and however small the terminal, no line is too long, none too many, and nothing is obeyed', () => {
  const word = fc.string({ unit: 'binary', maxLength: 60 });
  const many = fc.array(fc.record({ name: word, used: fc.double({ min: 0, max: 1e12, noNaN: true }), limit: fc.option(fc.integer({ min: 1, max: 1e9 })) }), { maxLength: 40 });
  const paint: View['paint'] = (_style, text) => `\x1b[31m${text}\x1b[0m`;
  fc.assert(fc.property(many, word, fc.integer({ min: 40, max: 200 }), fc.integer({ min: 6, max: 50 }), (tasks, host, columns, rows) => {
    const running = tasks.map(({ name, used, limit }) => row(name, { task: task(name, { run_id: name }), usage: { memoryBytes: used, processes: 1, cpuSeconds: used }, limits: { memoryBytes: limit, processes: limit, wallTimeMs: limit } }));
    const ended = running.map((each) => ({ task: each.task, state: host, at, durationMs: 1, reported: true, kept: false }));
    const lines = renderStatus({ ...status, supervisor: { ...status.supervisor, hostname: host, closed: host }, running, ended }, undefined, { paint, columns, rows, sort: 'memory' });
    assert.ok(lines.length <= rows, `${lines.length} lines of ${rows}`);
    for (const line of lines) {
      assert.ok(widthOf(line) <= columns, `${widthOf(line)}: ${line}`);
      assert.not.match(line.replaceAll('\x1b[31m', '').replaceAll('\x1b[0m', ''), /[\x00-\x1f\x7f-\x9f\u202a-\u202e]/);
    }
  }), { numRuns: 200 });
});

top('names in wide characters, marks and emoji keep the columns, and are cut between characters', () => {
  const widths: [text: string, width: number][] = [['plain', 5], ['漢字', 4], ['한국', 4], ['ｆｕｌｌ', 8], ['e\u0301te\u0301', 3], ['👩x', 3], ['\x1b[31mred\x1b[0m', 3], ['ключ é ß', 8], ['a\u200bb', 2], ['', 0]];
  for (const [text, width] of widths) assert.is(widthOf(text), width, text);
  assert.equal(['漢字漢字', '👩👩👩', 'plain', 'abc漢', '\x1b[31m漢字漢字\x1b[0m'].map((text) => clip(text, 4)), ['漢…', '👩…', 'pla…', 'abc…', '\x1b[31m漢…\x1b[0m'.replace('…\x1b[0m', '\x1b[0m…')]);
  assert.is(clip('漢字', 4), '漢字'); // control: it fits
  const names = ['load', '\u6f22'.repeat(8), '\u6f22'.repeat(60), '👩'.repeat(60)];
  const running = names.map((name) => row(name, { task: task(name, { run_id: 'r' }) }));
  const lines = renderStatus({ ...status, running }, undefined, { paint: (_style, text) => text, columns: 80, rows: 20, sort: 'time' }).filter((line) => line.startsWith(' etl.'));
  assert.equal(new Set(lines.map((line) => widthOf(line.slice(0, line.indexOf(' running '))))).size, 1, lines.join('\n'));
  assert.is(lines.length, names.length);
});

// --- The command

top('top finds supervisors by itself, or by name; --once, --json, and mistakes', async () => {
  const runtime = join(folder, 'runtime');
  mkdirSync(runtime, { mode: 0o700 });
  const env = { XDG_RUNTIME_DIR: runtime, NO_COLOR: '1' };
  const none = await cli(asWeAre, ['top'], { env });
  assert.equal([none.code, none.stdout, /no supervisor/.test(none.stderr)], [1, '', true]);
  const before = process.env['XDG_RUNTIME_DIR'];
  process.env['XDG_RUNTIME_DIR'] = runtime;
  const supervisor = supervised.supervisor({ status: {}, hostname: 'found' });
  if (before === undefined) delete process.env['XDG_RUNTIME_DIR'];
  else process.env['XDG_RUNTIME_DIR'] = before;
  const path = join(runtime, 'sallyport', `${process.pid}.sock`);
  await seen(path, () => true);
  const once_ = await cli(asWeAre, ['top', '--once'], { env });
  assert.equal([once_.code, once_.stderr], [0, '']);
  assert.match(once_.stdout, `found  supervisor ${process.pid}`);
  assert.match(once_.stdout, 'nothing runs');
  const json = JSON.parse((await cli(asWeAre, ['top', '--json', path])).stdout) as Status[];
  assert.is(json[0]?.supervisor.pid, process.pid);
  assert.is((await cli(asWeAre, ['top', '--sort', 'colour'], { env })).code, 2);
  process.env['XDG_RUNTIME_DIR'] = runtime;
  const second = supervised.supervisor({ status: {}, hostname: 'second' }); // of the same process
  if (before === undefined) delete process.env['XDG_RUNTIME_DIR'];
  else process.env['XDG_RUNTIME_DIR'] = before;
  await seen(join(runtime, 'sallyport', `${process.pid}-2.sock`), () => true);
  const widest = async (columns: string): Promise<number> => Math.max(...(await cli(asWeAre, ['top', '--once'], { env: { ...env, COLUMNS: columns } })).stdout.split('\n').map(widthOf));
  assert.ok((await widest('60')) <= 60 && (await widest('')) > 60); // the second is the control
  const both = await cli(asWeAre, ['top', '--once'], { env });
  assert.ok(both.stdout.includes('found  supervisor') && both.stdout.includes('second  supervisor'), both.stdout);
  assert.is(codeOf(() => supervised.supervisor({ status: { path } })), 'ERR_LOG_REFUSED');
  await second[Symbol.asyncDispose]();
  await seen(path, () => true); // the first one still is
  const absent = await cli(asWeAre, ['top', join(folder, 'absent.sock')]);
  assert.equal([absent.code, absent.stderr.includes('absent.sock')], [1, true]);
  await supervisor[Symbol.asyncDispose]();
});

top('what a supervisor that was killed has left is not shown, and goes', async () => {
  const runtime = join(folder, 'left');
  const places = join(runtime, 'sallyport');
  mkdirSync(places, { recursive: true, mode: 0o700 });
  chmodSync(runtime, 0o700);
  const source = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
  for (const name of ['old.sock', 'new.sock']) await once(spawn(process.execPath, ['-e', source, join(places, name)]), 'close');
  utimesSync(join(places, 'old.sock'), 1, 1);
  const env = { XDG_RUNTIME_DIR: runtime };
  assert.equal(readdirSync(places).sort(), ['new.sock', 'old.sock']); // control
  assert.equal(await cli(asWeAre, ['top'], { env }).then(({ code, stdout }) => [code, stdout]), [1, '']);
  assert.equal(readdirSync(places), ['new.sock']);
});

/** Runs a command on a terminal of its own, which Python makes. */
function onTerminal(args: readonly string[]) {
  const script = "import os, pty, sys; os.environ['TERM'] = 'xterm-256color'; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
  const child = spawn('python3', ['-c', script, ...asWeAre, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (shown += chunk));
  return {
    child,
    shown: () => shown,
    async until(text: string): Promise<void> {
      while (!shown.includes(text)) {
        if (child.exitCode !== null || child.signalCode !== null) throw new Error(`it ended without ${JSON.stringify(text)}: ${JSON.stringify(shown)}`);
        await Promise.race([once(child.stdout, 'data'), once(child, 'close')]);
      }
    },
  };
}

top('on a terminal it goes on, obeys its keys, and leaves the terminal as it was', async () => {
  const path = join(folder, 'live', 'x.sock');
  await using supervisor = supervised.supervisor({ status: { path }, hostname: 'live-one' });
  await seen(path, () => true);
  const terminal = onTerminal(['top', path]);
  await terminal.until('live-one');
  await terminal.until('nothing runs');
  const controller = new AbortController();
  const running = supervised.run(supervisor, 'export default () => new Promise((resolve) => setTimeout(resolve, 60_000));', { ti: { task_id: 'appears' }, signal: controller.signal });
  await terminal.until('d.appears');
  terminal.child.stdin.write('m');
  terminal.child.stdin.write('q');
  assert.equal(await once(terminal.child, 'close'), [0, null]);
  assert.ok(terminal.shown().startsWith('\x1b[?1049h\x1b[?25l\x1b[?7l'));
  assert.ok(terminal.shown().trimEnd().endsWith('\x1b[?7h\x1b[?25h\x1b[?1049l'));
  controller.abort(new Error('enough'));
  await running;
});

top('it ends with the last supervisor that it watches, and says so', async () => {
  const path = join(folder, 'ends', 'x.sock');
  const supervisor = supervised.supervisor({ status: { path }, hostname: 'ends-soon' });
  await seen(path, () => true);
  const terminal = onTerminal(['top', path]);
  await terminal.until('ends-soon');
  const closed = once(terminal.child, 'close');
  await supervisor[Symbol.asyncDispose]();
  assert.equal(await closed, [0, null]);
  assert.match(terminal.shown(), 'the supervisor has gone');
});

top.run();
