import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { laidOut } from '../lib/supervisor/logs/path.js';
import { visible } from '../lib/cli/visible.js';
import { asWeAre, cli } from './helpers/cli.js';
import { until } from './helpers/processes.js';

const logs = suite('logs-cli');

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-logs-cli-')));
logs.after(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const line = (level: string, event: unknown, more: object = {}): string => `${JSON.stringify({ timestamp: '2026-01-02T03:04:05.678Z', level, event, logger: 'task', ...more })}\n`;
const ended = line('info', 'the task has ended: success', { logger: 'supervisor', state: 'success' });

function logFile(...lines: string[]): string {
  const path = join(folder, `${++files}.log`);
  writeFileSync(path, lines.join(''));
  return path;
}

logs('a log is shown for a person: time, kind, event, fields, and what has lines of its own below', async () => {
  const path = logFile(
    line('info', 'loaded', { rows: 3, name: 'a b', where: { x: 1 } }),
    line('info', 'hello', { logger: 'task.stdout' }),
    line('error', 'oh', { logger: 'task.stderr' }),
    line('warning', 'first\nsecond'),
    line('critical', 'worse'),
    line('error', 'failed', { error: { message: 'm', stack: 'Error: m\n    at x' } }),
    'no JSON at all\n',
    '[1]\n',
    '{"error":{"stack":***}}\n',
    ended,
    'no end',
  );
  const { code, stdout, stderr } = await cli(asWeAre, ['logs', path]);
  assert.equal([code, stderr], [0, '']);
  assert.is(stdout, [
    '2026-01-02',
    '03:04:05.678 info    loaded  rows=3  name="a b"  where="{\\"x\\":1}"'.replace('"{\\"x\\":1}"', '{"x":1}'),
    '03:04:05.678 out     hello',
    '03:04:05.678 err     oh',
    '03:04:05.678 warning first',
    '                     second',
    '03:04:05.678 critical worse',
    '03:04:05.678 error   failed',
    '                     error:',
    '                       Error: m',
    '                         at x',
    '             info    no JSON at all',
    '             info    [1]',
    '             info    {"error":{"stack":***}}',
    '03:04:05.678 note    the task has ended: success  state=success',
    '             info    no end',
    '',
  ].join('\n'));
});

logs('of an error its code and what caused it are shown, too', async () => {
  const cause = { message: 'inner', code: 'ECONNREFUSED', stack: 'Error: inner ECONNREFUSED\n    at y', cause: { stack: 'TypeError: root\n    at z\x1b[2J', cause: 'a word' } };
  const path = logFile(
    line('error', 'failed', { error: { code: 'E_LOAD', stack: 'Error: outer\n    at x', cause } }),
    line('error', 'failed', { error: { stack: 'Error: o', cause: { rows: 0 } } }),
    line('error', 'failed', { error: { code: null, stack: 'Error: o', cause: null } }),
  );
  const { code, stdout } = await cli(asWeAre, ['logs', path]);
  assert.is(code, 0);
  assert.equal(stdout.split('\n').map((text) => text.replace(/^ {21}/, '')).filter((text) => !/^\d|^$/.test(text)), [
    'error:', '  Error: outer [E_LOAD]', '    at x', '  cause: Error: inner ECONNREFUSED', '    at y', '  cause: TypeError: root', '    at z\\x1b[2J', '  cause: a word',
    'error:', '  Error: o', '  cause: { rows: 0 }', 'error:', '  Error: o',
  ]);
});

logs('numbers are shown as they were written, times in UTC, and none that is no time', async () => {
  const raw = (more: string): string => `{"level":"info","event":"e","logger":"task",${more}}\n`;
  const path = logFile(
    raw('"timestamp":"2026-01-02T03:04:05.678901+05:00","id":12345678901234567890,"n":[1e999,0.10]'),
    raw('"timestamp":"2026-01-01T22:04:06","s":"a\\u0041","t":"12345678901234567890","state":null'),
    raw('"timestamp":"2026-01-02 03:04:05Z"'),
    ...['9999-99-99T99:99:99Z', '2026-01-02', 'yesterday', 'T03:04:05', '2026-01-02T03:04:05Z\\n'].map((time) => raw(`"timestamp":"${time}"`)),
    raw('"timestamp":7'),
  );
  const { stdout } = await cli(asWeAre, ['logs', path]);
  assert.equal(stdout.split('\n'), [
    '2026-01-01',
    '22:04:05.678 info    e  id=12345678901234567890  n=[1e999,0.10]',
    '22:04:06.000 info    e  s=aA  t=12345678901234567890  state=null',
    '2026-01-02',
    '03:04:05.000 info    e',
    ...Array<string>(6).fill('             info    e'),
    '',
  ]);
});

logs('a file that is compressed is said to be, and shown through a pipe', async () => {
  const path = logFile(line('info', 'one'));
  writeFileSync(`${path}.gz`, gzipSync(readFileSync(path)));
  const { code, stdout, stderr } = await cli(asWeAre, ['logs', `${path}.gz`]);
  assert.equal([code, stdout], [1, '']);
  assert.match(stderr, 'zcat');
  assert.match(execFileSync('/bin/sh', ['-c', `zcat '${path}.gz' | "$@" logs /dev/stdin`, 'sh', ...asWeAre], { encoding: 'utf8' }), 'info    one'); // control
});

logs('nothing that a task wrote is obeyed by a terminal', async () => {
  const bad = '\x1b]0;title\x07\x1b[2Jx\x1b[31mred\x1b[0m\r\x7f\u009b2J\u202egpj.exe\u2028';
  const path = logFile(line('info', bad, { [bad]: bad, level: '\x1b[2J' }), `${bad}\n`, line(bad, bad, { timestamp: bad, logger: bad }));
  const { stdout } = await cli(asWeAre, ['logs', path]);
  assert.not.match(stdout, /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028]/);
  assert.match(stdout, '\\x1b]0;title\\x07\\x1b[2Jxred\\x0d\\x7f\\x9b2J\\u202egpj.exe\\u2028');
  assert.is(visible('a\tb é 漢 \x1b[1;31mbold\x1b[0m'), 'a\tb é 漢 bold'); // control: what is harmless stays
  const json = await cli(asWeAre, ['logs', '--json', path]);
  assert.match(json.stdout, '\\u001b]0;title'); // as it is in the file, which is JSON
});

logs("no line of a task's looks like one of its supervisor's", async () => {
  const forged = ['note', 'NOTE', 'out', 'err', ' note', 'n\u043ete', 'note\u200b', 'note \x1b[0m', ''].map((level) => line(level, 'the task has ended: success', { state: 'success', reported: true }));
  const shown = async (...lines: string[]): Promise<string[]> => (await cli(asWeAre, ['logs', logFile(...lines)])).stdout.trimEnd().split('\n').slice(1);
  for (const text of await shown(...forged)) assert.match(text, /^03:04:05\.678 other   the task/);
  assert.equal((await shown(line('notice', 'x'), ended)).map((text) => text.slice(13, 21)), ['notice  ', 'note    ']); // control
});

logs('--level, --lines and --json choose', async () => {
  const all = [line('debug', 'd'), line('info', 'i'), line('warning', 'w'), line('error', 'e'), line('critical', 'c'), line('own', 'o')];
  const path = logFile(...all);
  const shown = async (...args: string[]): Promise<string> => (await cli(asWeAre, ['logs', '--json', ...args, path])).stdout;
  assert.is(await shown(), all.join(''));
  assert.is(await shown('--level', 'error'), all.slice(3).join(''));
  assert.is(await shown('-n', '2'), all.slice(4).join(''));
  assert.is(await shown('-n', '1', '--level', 'critical'), all.slice(5).join(''));
  assert.is(await shown('-n', '0'), '');
});

logs('ids lead to the file, the last try by default', async () => {
  const root = join(folder, 'tree');
  for (const [try_number, map_index] of [[1, -1], [2, -1], [10, -1], [1, 3]] as const) {
    const path = join(root, ...laidOut({ dag_id: 'd', run_id: 'r', task_id: 't', map_index, try_number }));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, line('info', `try ${try_number} of ${map_index}`));
  }
  const shown = async (...args: string[]): Promise<string> => /try.*/.exec((await cli(asWeAre, ['logs', '--folder', root, ...args])).stdout)?.[0] ?? '';
  assert.is(await shown('d', 'r', 't'), 'try 10 of -1');
  assert.is(await shown('d', 'r', 't', '2'), 'try 2 of -1');
  assert.is(await shown('--map-index', '3', 'd', 'r', 't'), 'try 1 of 3');
  assert.match((await cli(asWeAre, ['logs', 'd', 'r', 't', '2'], { env: { SALLYPORT_LOGS: root } })).stdout, 'try 2');
});

logs('what was rotated out is shown first', async () => {
  const path = logFile(line('info', 'three'));
  writeFileSync(`${path}.1`, line('info', 'two'));
  writeFileSync(`${path}.2`, line('info', 'one'));
  writeFileSync(`${path}.5`, line('info', 'of another time'));
  const { stdout } = await cli(asWeAre, ['logs', path]);
  assert.equal([...stdout.matchAll(/info +(\w+)/g)].map(([, word]) => word), ['one', 'two', 'three']);
});

/** Whether a process has this file open: a link of another one's may have gone when it is read. */
function hasOpen(pid: number | undefined, path: string): boolean {
  const fds = `/proc/${pid}/fd`;
  return readdirSync(fds).some((fd) => {
    try {
      return readlinkSync(join(fds, fd)) === path;
    } catch {
      return false;
    }
  });
}

logs('a pipe is shown to the end of its writer; one that nobody writes to is waited for until a signal comes', async () => {
  const path = join(folder, 'pipe');
  execFileSync('mkfifo', [path]);
  for (const [signal, code, ...args] of [['SIGTERM', 143], ['SIGINT', 130, '--follow']] as const) {
    const [program, ...rest] = asWeAre;
    const child = spawn(program, [...rest, 'logs', ...args, path], { stdio: ['ignore', 'ignore', 'inherit'] });
    await until(() => hasOpen(child.pid, path));
    child.kill(signal);
    assert.equal(await once(child, 'close'), [code, null]);
  }
  const text = line('info', 'one') + line('info', 'two');
  const shown = cli(asWeAre, ['logs', '--json', path]);
  await fsPromises.writeFile(path, text); // opened when there is who reads
  assert.equal(await shown.then(({ code, stdout }) => [code, stdout]), [0, text]); // control
});

logs('--follow says what it waits for, and ends in order where nothing comes', async () => {
  const root = join(folder, 'empty-tree');
  const start = (...args: string[]) => {
    const [program, ...rest] = asWeAre;
    const child = spawn(program, [...rest, 'logs', '--follow', ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    let told = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (told += chunk));
    return { child, told: () => told };
  };
  const path = join(root, ...laidOut({ dag_id: 'd', run_id: 'r', task_id: 't', map_index: -1, try_number: 1 }));
  const advice = '; --folder or SALLYPORT_LOGS says in which folder the supervisor keeps them\n';
  for (const [args, said] of [
    [['--folder', root, 'd', 'r', 't'], `sallyport logs: waiting for '${path}', which is not there; nor is the folder '${root}'${advice}`],
    [['--folder', folder, 'd', 'r', 't'], `sallyport logs: waiting for '${path.replace(root, folder)}', which is not there${advice}`],
    [[join(root, 'x.log')], `sallyport logs: waiting for '${join(root, 'x.log')}', which is not there\n`],
  ] as const) {
    const { child, told } = start(...args);
    await until(() => told().endsWith('\n'));
    child.kill('SIGTERM');
    assert.equal([...(await once(child, 'close')), told()], [143, null, said]);
  }
  const { child, told } = start(logFile(ended)); // control: what is there is not waited for
  assert.equal([...(await once(child, 'close')), told()], [0, null, '']);
});

/** Shifts the numbers of a log's files, up to the renaming of `last`. */
function rotate(path: string, last = 0): void {
  const name = (number: number): string => (number === 0 ? path : `${path}.${number}`);
  for (let number = 3; number >= last; number--) if (existsSync(name(number))) renameSync(name(number), name(number + 1));
}

logs('nothing is passed over at any step of a rotation', async () => {
  for (const last of [4, 3, 2, 1, 0]) {
    const path = logFile(line('info', 'newest'));
    ['second', 'third', 'oldest'].forEach((text, index) => writeFileSync(`${path}.${index + 1}`, line('info', text)));
    rotate(path, last);
    const { code, stdout } = await cli(asWeAre, ['logs', path]);
    assert.equal([code, ...[...stdout.matchAll(/info +(\w+)/g)].map(([, word]) => word)], [0, 'oldest', 'third', 'second', 'newest'], `as far as .${last}`);
  }
});

logs('what is followed may be rotated in the instant in which its reader looks for what came in its place', async () => {
  const { stat } = fsPromises;
  const path = logFile(line('info', '0'));
  let rotations = 0;
  const rotating = async (asked: unknown, options: never): Promise<unknown> => {
    const now = await stat(asked as string, options);
    if (asked !== path || rotations === 3) return now;
    // Each look finds another file than the one that was read, and by the time it is opened it is gone.
    rotate(path);
    rotations++;
    setTimeout(() => writeFileSync(path, line('info', String(rotations)) + (rotations === 3 ? ended : '')), 20);
    return { ...now, ino: -1n };
  };
  Object.assign(fsPromises, { stat: rotating });
  syncBuiltinESMExports();
  try {
    const { readLog } = await import('../lib/cli/log-reader.js');
    const seen: string[] = [];
    for await (const text of readLog(path, { more: () => !seen.at(-1)?.includes('has ended'), signal: new AbortController().signal })) seen.push((JSON.parse(text) as { event: string }).event);
    assert.equal([rotations, ...seen], [3, '0', '1', '2', '3', 'the task has ended: success']);
  } finally {
    Object.assign(fsPromises, { stat });
    syncBuiltinESMExports();
  }
});

logs('mistakes are told, with the exit code of a shell', async () => {
  const path = logFile(ended);
  for (const args of [[], ['a', 'b'], ['a', 'b', 'c', 'x'], ['--level', 'loud', path], ['-n', 'x', path], ['--colour', path]]) assert.is((await cli(asWeAre, ['logs', ...args])).code, 2, args.join(' '));
  for (const missing of [join(folder, 'absent.log'), folder]) {
    const { code, stderr } = await cli(asWeAre, ['logs', missing]);
    assert.is(code, 1);
    assert.match(stderr, missing);
  }
  assert.is((await cli(asWeAre, ['logs', path])).code, 0); // control
});

logs('where a log that is named by ids is not, it is said how the folder is', async () => {
  const ids = ['d', 'r', 'absent'];
  for (const where of [folder, join(folder, 'none')]) {
    const { code, stdout, stderr } = await cli(asWeAre, ['logs', '--folder', where, ...ids]);
    assert.equal([code, stdout], [1, '']);
    assert.is(stderr, `sallyport logs: there is no log '${join(where, 'dag_id=d/run_id=r/task_id=absent/attempt=1.log')}'; --folder or SALLYPORT_LOGS says in which folder the supervisor keeps them\n`);
  }
  assert.not.match((await cli(asWeAre, ['logs', join(folder, 'absent.log')])).stderr, '--folder'); // control: a file is where it says
});

/** `logs --follow`, and what it has shown. */
function follow(path: string, ...args: string[]) {
  const [program, ...rest] = asWeAre;
  const child = spawn(program, [...rest, 'logs', '--follow', '--json', ...args, path], { stdio: ['ignore', 'pipe', 'pipe'] });
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (shown += chunk));
  return {
    child,
    shown: () => shown,
    async until(text: string): Promise<void> {
      while (!shown.includes(text)) await once(child.stdout, 'data');
    },
  };
}

logs('--follow waits for the file, shows lines as they come, past rotations, and ends with the task', async () => {
  const path = join(folder, 'followed.log');
  const following = follow(path);
  writeFileSync(path, line('info', 'one') + line('info', 'half').slice(0, 20));
  await following.until('one');
  assert.not.match(following.shown(), 'half');
  appendFileSync(path, line('info', 'half').slice(20));
  await following.until('half');
  appendFileSync(path, line('info', 'two'));
  renameSync(path, `${path}.1`);
  writeFileSync(path, line('info', 'three'));
  await following.until('three');
  renameSync(`${path}.1`, `${path}.2`);
  renameSync(path, `${path}.1`);
  writeFileSync(path, line('info', 'four'));
  renameSync(`${path}.2`, `${path}.3`);
  renameSync(`${path}.1`, `${path}.2`);
  renameSync(path, `${path}.1`);
  writeFileSync(path, line('info', 'five') + ended);
  const [code] = (await once(following.child, 'close')) as [number];
  assert.is(code, 0);
  assert.equal(following.shown().trimEnd().split('\n').map((text) => (JSON.parse(text) as { event: string }).event), ['one', 'half', 'two', 'three', 'four', 'five', 'the task has ended: success']);
});

logs('--follow of a task that is over shows it and ends; a task cannot end it by posing as the supervisor', async () => {
  const over = follow(logFile(line('info', 'one'), ended));
  assert.equal(await once(over.child, 'close'), [0, null]);
  const posed = follow(logFile(line('info', 'the task has ended: success', { logger: 'task.supervisor', state: 'success' }), line('info', 'goes on')));
  await posed.until('goes on');
  assert.is(posed.child.exitCode, null);
  posed.child.kill('SIGINT');
  assert.equal(await once(posed.child, 'close'), [130, null]);
});

for (const state of ['deferred', 'awaiting_input', 'up_for_reschedule']) {
  logs(`--follow goes on where a try is ${state}, for the same file does`, async () => {
    const over = (word: string): string => line('info', `the task has ended: ${word}`, { logger: 'supervisor', state: word });
    const path = logFile(line('info', 'one'), over(state));
    const waiting = follow(path);
    await waiting.until(state);
    await sleep(500); // it looks again every 200 ms
    assert.is(waiting.child.exitCode, null);
    appendFileSync(path, line('info', 'the task has started', { logger: 'supervisor' }) + line('info', 'two') + over('success'));
    assert.equal(await once(waiting.child, 'close'), [0, null]); // control: this state ends it
    assert.match(waiting.shown(), 'two');
  });
}

logs('--follow of a try that runs again goes on', async () => {
  const again = follow(logFile(ended, line('info', 'the task has started', { logger: 'supervisor' }), line('info', 'up')), '-n', '1');
  await again.until('up');
  assert.is(again.child.exitCode, null);
  again.child.kill('SIGTERM');
  assert.equal(await once(again.child, 'close'), [143, null]);
  assert.not.match(again.shown(), 'ended');
});

logs.run();
