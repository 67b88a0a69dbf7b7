// `sallyport worker` as it is typed, killed at random moments, and what is left then.
import { randomBytes, randomUUID } from 'node:crypto';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Secret } from '../lib/index.js';
import { createServer, type Server } from '../lib/server/index.js';
import { asWeAre, cli, type Done } from './helpers/cli.js';
import { FailingProxy } from './helpers/failing-proxy.js';
import { running, until } from './helpers/processes.js';

const worker = suite('worker-cli');
/** How often a worker is killed. More by this variable. */
const kills = Number(process.env['SALLYPORT_WORKER_KILLS'] ?? 6);

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-worker-cli-')));
const bundle = join(folder, 'bundle');
mkdirSync(bundle);
writeFileSync(join(bundle, 'ok.mjs'), "import { setTimeout as sleep } from 'node:timers/promises'; export default async ({ ti }) => { await sleep(Math.random() * 200); return ti.task_id; };");
writeFileSync(join(bundle, 'waits.mjs'), "import { existsSync } from 'node:fs'; import { setTimeout as sleep } from 'node:timers/promises'; export default async () => { while (!existsSync(new URL('go', import.meta.url))) await sleep(20); };");
writeFileSync(join(bundle, 'exits.mjs'), 'export default () => process.exit(3);');
let server: Server;
const admin = randomBytes(32).toString('hex');
let adminUrl = '';
worker.before(async () => {
  server = await createServer({ signingKey: Secret.fromBytes(randomBytes(64)), adminCredential: Secret.fromBytes(Buffer.from(admin)) });
  await server.listen();
  adminUrl = await server.listenAdmin();
  await server.seed({ bundles: [{ name: 'b' }], dags: [{ dag_id: 'd', bundle: 'b', relative_fileloc: 'ok.mjs' }] });
});
worker.after(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

const newFolder = (): string => mkdtempSync(join(folder, 'queue-')); // of mode 0700

async function put(queue: string, name: string, dag_rel_path: string, more: object = {}): Promise<string> {
  const ti = { id: randomUUID(), dag_id: 'd', run_id: 'r', task_id: randomUUID(), try_number: 1, ...more };
  await server.seed({ taskInstances: [{ ...ti, queue: 'elsewhere' }] });
  writeFileSync(join(queue, `.${name}`), JSON.stringify({ type: 'ExecuteTask', ti, dag_rel_path, bundle_info: { name: 'b' }, token: await server.issueWorkloadToken(ti.id) }));
  renameSync(join(queue, `.${name}`), join(queue, name));
  return ti.id;
}

const words = (...more: string[]): string[] => ['worker', '--api', server.url ?? '', '--bundle', `b=${bundle}`, ...more];
const start = (...more: string[]): ChildProcess => spawn(asWeAre[0], [...asWeAre.slice(1), ...words(...more)], { stdio: ['ignore', 'pipe', 'pipe'] });
const run = (...more: string[]): Promise<Done> => cli(asWeAre, words(...more), { env: { NO_COLOR: '1' } });
const names = (...parts: string[]): string[] => readdirSync(join(...parts)).sort();

async function stateOf(id: string): Promise<string> {
  const response = await fetch(new URL(`task-instances/${id}`, adminUrl), { headers: { authorization: `Bearer ${admin}` } });
  return ((await response.json()) as { state: string }).state;
}

worker('a folder is worked off, with a line for each and a sum', async () => {
  const queue = newFolder();
  for (const name of ['a', 'b']) await put(queue, `${name}.json`, 'ok.mjs');
  await put(queue, 'c.json', 'ok.mjs', { task_id: 'red\x1b[31m', map_index: 3 }); // no colours of others
  writeFileSync(join(queue, 'd.json'), 'no JSON');
  await put(queue, 'e.json', 'exits.mjs');
  const logs = join(folder, 'logs');
  const audit = join(folder, 'audit.jsonl');
  const { code, stdout, stderr } = await run('--folder', queue, '--once', '--concurrency', '2', '--warm', '2', '--logs', logs, '--audit', audit);
  assert.is(code, 0, stderr);
  const lines = stdout.trim().split('\n');
  assert.is(lines.filter((line) => /^success +[\d.]+ s +d\.([0-9a-f-]+|red\[3\]) r$/.test(line)).length, 3, stdout);
  assert.is(lines.filter((line) => /^refused .*d\.json {2}it is not JSON$/.test(line)).length, 1, stdout);
  assert.match(stderr, /up to 2 at once/);
  assert.is(lines.filter((line) => /^failed .* r {2}exit code 3$/.test(line)).length, 1, stdout);
  for (const sum of ['3 success', '1 refused', '1 failed']) assert.match(stderr, sum);
  assert.equal(names(queue, 'done'), ['a.json', 'b.json', 'c.json', 'e.json']);
  assert.is(names(logs).length, 1);
  assert.is(readFileSync(audit, 'utf8').trim().split('\n').filter((line) => JSON.parse(line).method === 'SucceedTask').length, 3);
});

worker('as JSON, from the server, until it is told to stop', async () => {
  const ids = Array.from({ length: 4 }, () => randomUUID());
  await server.seed({ taskInstances: ids.map((id) => ({ id, dag_id: 'd', run_id: 'q', task_id: id, queue: 'q' })) });
  using credential = await server.addWorker({ name: 'w', queues: ['q'] });
  const file = join(folder, 'credential');
  writeFileSync(file, credential.use((bytes) => Buffer.from(bytes)), { mode: 0o600 });
  const child = start('--credential', `file:${file}`, '--json', '--concurrency', '2');
  let stdout = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  const events = (): { kind: string; name: string; outcome?: { state: string } }[] => stdout.split('\n').slice(0, -1).map((line) => JSON.parse(line));
  await until(() => events().filter(({ kind }) => kind === 'ended').length === 4);
  child.kill('SIGTERM');
  const [code] = (await once(child, 'exit')) as [number];
  assert.is(code, 0);
  assert.equal(new Set(events().filter(({ kind }) => kind === 'ended').map(({ name }) => name)), new Set(ids));
  for (const id of ids) assert.is(await stateOf(id), 'success');
});

worker('one signal lets what runs end, two end it; what waits is left alone', async () => {
  for (const twice of [false, true]) {
    const queue = newFolder();
    const id = await put(queue, 'a.json', 'waits.mjs');
    const child = start('--folder', queue, '--concurrency', '1');
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
    const exited = once(child, 'exit') as Promise<[number]>;
    const deadline = Date.now() + 30_000;
    while ((await stateOf(id)) !== 'running' && Date.now() < deadline) await sleep(20);
    await put(queue, 'b.json', 'ok.mjs');
    child.kill('SIGTERM');
    await until(() => stderr.includes('still to end'));
    if (twice) {
      await sleep(1_100); // a second one counts a second after the first; none may come once it ends, for Node gives signals back to the kernel then
      child.kill('SIGTERM');
      await until(() => stderr.includes('ending what runs'));
    } else writeFileSync(join(bundle, 'go'), '');
    assert.is((await exited)[0], 0, stderr);
    rmSync(join(bundle, 'go'), { force: true });
    const { state } = JSON.parse(readFileSync(join(queue, 'done', 'a.json'), 'utf8')) as { state: string };
    assert.is(state, twice ? 'failed' : 'success');
    assert.is(await stateOf(id), state);
    assert.ok(existsSync(join(queue, 'b.json')));
    assert.equal(names(queue, 'claimed'), []);
  }
});

worker('final states that the server cannot be told are kept, and each is heard of again', async () => {
  await using proxy = await FailingProxy.start(server.url ?? '');
  proxy.fault = ({ path }) => (path.endsWith('/state') ? 'unavailable' : 'none');
  const key = join(folder, 'reports-key');
  writeFileSync(key, randomBytes(32).toString('hex'), { mode: 0o600 });
  for (const [withKey, atEnd, said, state] of [
    [[], 'without --reports-key nobody can tell them', 'the server was not told: refused; its file is in refused/', 'running'],
    [['--reports-key', `file:${key}`], 'the next worker with this --reports and --reports-key tells them', 'the server has been told now', 'success'],
  ] as const) {
    const queue = newFolder();
    const id = await put(queue, 'a.json', 'ok.mjs');
    const options = ['--folder', queue, '--once', '--reports', join(queue, 'reports'), ...withKey];
    const first = await run(...options, '--api', proxy.url);
    assert.match(first.stdout, /^success .* \(kept, and told later\)/, first.stderr);
    assert.ok(first.stderr.includes(`1 final state could not be told, and is kept in ${join(queue, 'reports')}: ${atEnd}`), first.stderr);
    const { reported, kept } = JSON.parse(readFileSync(join(queue, 'done', 'a.json'), 'utf8')) as { reported: boolean; kept: boolean };
    assert.equal([reported, kept, await stateOf(id)], [false, true, 'running']);
    const next = await run(...options);
    assert.ok(next.stdout.includes(`(${said})`), next.stdout + next.stderr);
    assert.is(await stateOf(id), state);
  }
});

worker(`killed at ${kills} random moments, a worker leaves every workload in one place, and no process`, async () => {
  const queue = newFolder();
  const ids = new Map<string, string>();
  for (let index = 0; index < kills * 5; index++) ids.set(`${index}.json`, await put(queue, `${index}.json`, 'ok.mjs'));
  for (let round = 0; round < kills; round++) {
    // Two of them, so that one claims what the other leaves.
    const children = [start('--folder', queue, '--concurrency', '3', '--warm', '2'), start('--folder', queue, '--concurrency', '3')];
    await sleep(300 + Math.random() * 1200); // any moment will do
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(children.map((child) => (child.exitCode ?? child.signalCode) === null && once(child, 'exit')));
  }
  const { code, stderr } = await run('--folder', queue, '--once', '--concurrency', '4');
  assert.is(code, 0, stderr);
  assert.equal(names(queue).filter((name) => name.endsWith('.json')), []);
  assert.equal(names(queue, 'claimed'), []);
  const [done, bad] = [names(queue, 'done'), names(queue, 'bad').filter((name) => !name.endsWith('.reason.json'))];
  assert.equal([...done, ...bad].sort(), [...ids.keys()].sort());
  assert.ok(done.length > 0);
  for (const place of ['done', 'bad']) assert.not.ok(names(queue, place).some((name) => name.startsWith('.')));
  for (const name of done) {
    const { state, ti } = JSON.parse(readFileSync(join(queue, 'done', name), 'utf8')) as { state: string; ti: { id: string } };
    assert.equal([ti.id, state, await stateOf(ti.id)], [ids.get(name), 'success', 'success'], name);
  }
  // It had been started by a worker that was killed: the server lets none start it again.
  for (const name of bad) {
    const { reason } = JSON.parse(readFileSync(join(queue, 'bad', name.replace('.json', '.reason.json')), 'utf8')) as { reason: string };
    assert.match(reason, /^a worker that was killed had claimed it before.*was answered 40[39]/);
    assert.ok(['running', 'success'].includes(await stateOf(ids.get(name) ?? '')), name);
  }
  await until(() => running(bundle).length === 0);
});

worker('it goes on by itself once an Execution API answers, and only then is anything of a workload sent', async () => {
  const queue = newFolder();
  const id = await put(queue, 'a.json', 'ok.mjs');
  await using proxy = await FailingProxy.start(server.url ?? '');
  const before: string[] = [];
  let isThere = false;
  proxy.fault = ({ method, path }) => {
    if (!isThere) before.push(`${method} ${path}`);
    return isThere ? 'none' : 'page';
  };
  const stopped = start('--folder', queue, '--api', proxy.url);
  let told = '';
  stopped.stderr?.setEncoding('utf8').on('data', (chunk: string) => (told += chunk));
  await until(() => told.includes('\n'));
  stopped.kill('SIGTERM');
  assert.equal(await once(stopped, 'close'), [0, null], told);
  assert.is(told, `sallyport worker: --api ${proxy.url}: no Execution API answers there (status 404). The address has a path, as in http://127.0.0.1:8080/execution/. It is asked again; no workload is taken until it answers\nsallyport worker: nothing was run\n`);
  before.length = 0;

  const child = start('--folder', queue, '--api', proxy.url, '--once', '--json');
  let [stdout, stderr] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  await until(() => before.length > 2); // it asks again
  assert.equal([names(queue).filter((name) => name.endsWith('.json')), existsSync(join(queue, 'done', 'a.json'))], [['a.json'], false]);
  isThere = true;
  assert.equal(await once(child, 'close'), [0, null], stderr);
  assert.is(await stateOf(id), 'success'); // control: its token was not spent
  assert.equal(new Set(before), new Set(['GET health']));
  assert.match(stderr, `sallyport worker: ${proxy.url} answers\n`);
  const troubles = stdout.split('\n').filter((line) => line.includes('"failed"') && line.includes('ERR_UPSTREAM_FAILED'));
  assert.is(troubles.length, 1, stdout); // said once
});

worker('a credential that is none of this server, and a server that hands out nothing, are told of with what to do', async () => {
  const file = join(folder, 'other-credential');
  await using proxy = await FailingProxy.start(server.url ?? '');
  const said = async (url: string, word: string): Promise<void> => {
    const child = start('--credential', `file:${file}`, '--api', url);
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
    await until(() => stderr.includes(word));
    child.kill('SIGTERM');
    assert.equal(await once(child, 'close'), [0, null], stderr);
  };
  using credential = await server.addTriggerer({ name: 'not-a-worker', queues: ['q'] });
  writeFileSync(file, credential.use((bytes) => Buffer.from(bytes)), { mode: 0o600 });
  await said(server.url ?? '', '403 (invalid_token): --credential is of no worker that the server knows');
  proxy.fault = ({ path }) => (path === 'health' ? 'none' : 'page');
  await said(proxy.url, '404: it is no sallyport server');
  writeFileSync(file, 'no credential: it has blanks', { mode: 0o600 });
  await said(server.url ?? '', "has another form than a worker's credential");
});

worker('what is wrong with the command line is said before anything starts', async () => {
  const queue = newFolder();
  const shortKey = join(folder, 'short.key');
  writeFileSync(shortKey, 'short', { mode: 0o600 });
  const wrong: readonly (readonly string[])[] = [
    ['--folder', queue, '--credential', 'env:X'], [], ['--folder', queue, '--concurrency', '0'], ['--folder', queue, '--warm', 'x'], ['--folder', queue, '--bundle', 'b'],
    ['--folder', queue, '--grants', 'all'], ['--folder', queue, '--reports-key', 'env:X'], ['--credential', 'the-credential-itself'],
    ['--folder', queue, '--api', 'example.org'], ['--folder', queue, '--without', 'foo'], ['--folder', queue, '--api', 'http://u:the-credential-itself@127.0.0.1:1/'], ['--folder', queue, '--api', 'http://127.0.0.1:1/?a=b'], ['--folder', queue, '--bundle', `c=${join(folder, 'absent')}`], ['--folder', queue, '--reports', join(folder, 'reports'), '--reports-key', `file:${shortKey}`],
  ];
  for (const more of wrong) {
    const { code, stdout, stderr } = await run(...more);
    assert.equal([code, stdout], [2, ''], more.join(' '));
    assert.not.match(stderr, /the-credential-itself|\n +at /);
  }
  for (const more of [['--folder', join(folder, 'absent')], ['--credential', 'env:ABSENT_CREDENTIAL']]) assert.is((await run(...more)).code, 1);
  assert.match((await run('--folder', join(folder, 'absent'))).stderr, 'install -d -m 700');
});

worker.run();
