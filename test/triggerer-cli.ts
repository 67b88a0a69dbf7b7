import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TriggererView } from '../lib/cli/triggerer-view.js';
import { asWeAre, cli, type Done } from './helpers/cli.js';
import { FailingProxy } from './helpers/failing-proxy.js';
import { until } from './helpers/processes.js';
import { arrive, bundles, command, folder, removeFolder, Scene } from './helpers/triggerers.js';

const triggerer = suite('triggerer-cli');
triggerer.after(removeFolder);

/** What a child has written so far. */
function heard(child: ChildProcess): { stdout: string; stderr: string } {
  const told = { stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (told.stdout += chunk));
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (told.stderr += chunk));
  return told;
}

triggerer('a line for each trigger that is over, a log, an audit, and an end in order', async () => {
  await using scene = await Scene.start();
  using credential = await scene.credential();
  const [log, audit] = [join(folder, 'triggers.log'), join(folder, 'audit.jsonl')];
  const child = command(scene, credential, '--log', log, '--audit', audit, '--capacity', '10');
  const told = heard(child);
  const [fired, fails, ended, reads] = [await scene.queued('arrives'), await scene.queued('fails', { map_index: 3 }), await scene.queued('arrives'), await scene.queued('reads')];
  for (const ti of [fired, fails]) {
    assert.equal(await scene.legs(ti, 1), ['deferred']);
    arrive(ti.task_id);
  }
  assert.equal([await scene.legs(fired, 2), await scene.legs(fails, 2), await scene.legs(reads, 2)].map((legs) => legs[1]), ['success', 'failed', 'success']);
  await until(() => existsSync(log) && readFileSync(log, 'utf8').includes(ended.task_id));
  renameSync(log, `${log}.1`);
  child.kill('SIGHUP');
  await until(() => existsSync(log));
  child.kill('SIGTERM');
  assert.equal(await once(child, 'close'), [0, null], told.stderr); // and all that it wrote has been read
  assert.match(told.stdout, new RegExp(`^fired +[\\d.]+ s {2}arrives\\.${fired.task_id} r {2}triggers\\.mjs#arrives$`, 'm'));
  assert.match(told.stdout, new RegExp(`^failed +[\\d.]+ s {2}fails\\.${fails.task_id}\\[3\\] r {2}triggers\\.mjs#fails {2}TypeError: no such bucket$`, 'm'));
  assert.match(told.stderr, /up to 10 triggers, from http/);
  assert.match(told.stderr, /stopping; what 1 triggers wait for is left to others\n.*2 fired, 1 failed|1 failed, 2 fired/);
  const lines = readFileSync(`${log}.1`, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.ok(lines.some(({ event, task, bundle, level, trigger_id, dag_id, task_id, run_id, ...rest }) => event === 'waiting' && task === ended.task_id && task_id === ended.task_id && dag_id === 'arrives' && run_id === 'r' && !('map_index' in rest) && bundle === 'red' && level === 'info' && typeof trigger_id === 'number'));
  assert.ok(lines.some(({ event, dag_id, task_id, map_index }) => event === 'failing soon' && dag_id === 'fails' && task_id === fails.task_id && map_index === 3));
  assert.is(statSync(log).mode & 0o777, 0o600);
  const records = readFileSync(audit, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as { method: string; outcome: string; task: string });
  assert.ok(records.some(({ method, outcome, task }) => method === 'GetVariable' && outcome === 'allowed' && /^red\/\d+$/.test(task)));
  assert.ok(records.some(({ method, outcome }) => method === 'GetVariable' && outcome === 'denied'));
  // What waited is another's at once.
  arrive(ended.task_id);
  await scene.triggerer();
  assert.equal(await scene.legs(ended, 2), ['deferred', 'success']);
  assert.not.match(told.stdout + told.stderr + readFileSync(`${log}.1`, 'utf8'), /sallyport-triggerer-/);
});

triggerer('as JSON, and ended at once by a second signal while the server does not listen', async () => {
  await using scene = await Scene.start();
  using credential = await scene.credential();
  const child = command(scene, credential, '--json');
  const told = heard(child);
  const ti = await scene.queued('arrives');
  const events = (): { kind: string; ti?: { id: string }; error?: { code: string; message: string } }[] => told.stdout.split('\n').slice(0, -1).map((line) => JSON.parse(line));
  await until(() => events().some((event) => event.kind === 'begun' && event.ti?.id === ti.id));
  await scene.server.server.close();
  arrive(ti.task_id);
  await until(() => events().some((event) => event.kind === 'trouble' && event.error?.code === 'ERR_UPSTREAM_UNREACHABLE' && event.error.message.includes('/event'))); // it has something to tell
  child.kill('SIGTERM');
  await until(() => told.stderr.includes('stopping'));
  const exited = once(child, 'exit');
  await sleep(1_100); // one counts when a second has passed; none may come once it ends, for Node gives signals back to the kernel then
  child.kill('SIGTERM');
  await until(() => told.stderr.includes('stopping at once'));
  assert.equal(await exited, [0, null], told.stderr);
});

triggerer('where no Execution API answers it says so and sends nobody its credential; once one does, it goes on', async () => {
  await using scene = await Scene.start();
  using credential = await scene.credential();
  await using proxy = await FailingProxy.start(scene.server.url);
  const before: string[] = [];
  let isThere = false;
  proxy.fault = ({ method, path }) => {
    if (!isThere) before.push(`${method} ${path}`);
    return isThere ? 'none' : 'page';
  };
  const child = command(scene, credential, '--api', proxy.url);
  const told = heard(child);
  await until(() => before.length > 2);
  assert.match(told.stderr, /^sallyport triggerer: --api \S+: no Execution API answers there \(status 404\)\. .*; no trigger is taken until it answers$/m);
  assert.equal(new Set(before), new Set(['GET health']));
  isThere = true;
  const ti = await scene.queued('arrives');
  arrive(ti.task_id);
  assert.equal(await scene.legs(ti, 2), ['deferred', 'success']); // control
  child.kill('SIGTERM');
  assert.equal(await once(child, 'exit'), [0, null], told.stderr);
});

triggerer('what is wrong with the command line is said before anything starts', async () => {
  const right = ['--api', 'http://127.0.0.1:1/execution/', '--bundle', `red=${bundles.red}`];
  const credential = join(folder, 'credential');
  writeFileSync(credential, 'x', { mode: 0o600 });
  const source = ['--credential', `file:${credential}`];
  const wrong: readonly (readonly string[])[] = [
    right, [...source, '--bundle', `red=${bundles.red}`], [...source, '--api', 'http://127.0.0.1:1/'], [...right, '--credential', 'the-credential-itself'], [...right, ...source, '--capacity', '0'], [...right, ...source, '--capacity', '10001'],
    [...right, ...source, '--grants', 'all'], [...right, ...source, '--bundle', 'b'], [...right, ...source, '--bundle', `c=${join(folder, 'absent')}`], [...right, ...source, '--api', 'example.org'], [...right, ...source, '--spare'], [...right, ...source, '--without', 'foo'],
  ];
  const run = (...words: readonly string[]): Promise<Done> => cli(asWeAre, ['triggerer', ...words], { env: { NO_COLOR: '1' } });
  for (const words of wrong) {
    const { code, stdout, stderr } = await run(...words);
    assert.equal([code, stdout], [2, ''], words.join(' '));
    assert.not.match(stderr, /the-credential-itself|\n +at /);
  }
  for (const more of [['--credential', 'env:ABSENT_CREDENTIAL'], [...source, '--policy', join(folder, 'absent.json')], [...source, '--log', join(folder, 'absent', 'log')]]) {
    const { code, stderr } = await run(...right, ...more);
    assert.is(code, 1, stderr);
    assert.not.match(stderr, /\n +at /);
  }
});

triggerer('a server that is away is told of once for each thing that cannot be asked of it, until something goes well', () => {
  let said = '';
  const stderr = Object.assign(new PassThrough().on('data', (chunk) => (said += String(chunk))), { isTTY: false }) as unknown as NodeJS.WriteStream;
  using view = new TriggererView({ json: false, stdout: Object.assign(new PassThrough(), { isTTY: false }) as unknown as NodeJS.WriteStream, stderr });
  const trouble = (message: string): void => view.show({ kind: 'trouble', error: new Error(message) });
  for (let times = 0; times < 3; times++) ['asking', 'telling\n    at x (y:1)'].forEach(trouble);
  assert.is(said, 'sallyport triggerer: asking\nsallyport triggerer: telling\n');
  const ti = { id: 'i', dag_id: 'd', run_id: 'r', task_id: 't', map_index: -1, try_number: 1 };
  view.show({ kind: 'begun', id: 1, ti, classpath: 'c', bundle: 'b', ms: 1, waiting: 1 });
  trouble('asking');
  assert.is(said.split('asking').length, 3);
});

triggerer('what a trigger says is obeyed by no terminal, as JSON either', () => {
  let shown = '';
  const stdout = Object.assign(new PassThrough().on('data', (chunk) => (shown += String(chunk))), { isTTY: false }) as unknown as NodeJS.WriteStream;
  const bad = '\u009b2J\u202egpj.exe \x1b[2J';
  const ti = { id: 'i', dag_id: bad, run_id: bad, task_id: bad, map_index: -1, try_number: 1 };
  for (const json of [true, false]) {
    using view = new TriggererView({ json, stdout });
    view.show({ kind: 'failed', id: 1, ti, classpath: bad, bundle: bad, ms: 1, waiting: 0, reasons: [bad] });
  }
  assert.not.match(shown, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  assert.is((JSON.parse(shown.split('\n')[0] ?? '') as { reasons: string[] }).reasons[0], bad); // control: it is all there
});

triggerer.run();
