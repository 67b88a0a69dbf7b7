import { spawn, spawnSync } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ExecutionApi, FolderQueue, policies, Secret, ServerQueue, Supervisor, Worker, type SupervisorOptions, type WorkerEvent, type WorkerOptions, type WorkQueue } from '../lib/index.js';
import { createServer, type Server } from '../lib/server/index.js';
import { WorkerView } from '../lib/cli/worker-view.js';
import { hasEnded, ownName } from '../lib/worker/owner.js';
import { until } from './helpers/processes.js';
import { cli } from './helpers/cli.js';
import { FailingProxy } from './helpers/failing-proxy.js';
import { where } from './helpers/where.js';

const worker = suite('worker');

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-worker-')));
const bundle = join(folder, 'bundle');
mkdirSync(bundle);
const files: Readonly<Record<string, string>> = {
  'ok.mjs': 'export default ({ ti }) => ti.task_id;',
  'says.mjs': "export default () => console.log('here');",
  'fails.mjs': "export default () => { throw new Error('odd'); };",
  'variable.mjs': "import { variables } from 'sallyport/task'; export default async () => [await variables.get('colour'), await variables.get('secret').catch(({ code }) => code)];",
  'waits.mjs': "import { existsSync } from 'node:fs'; import { setTimeout as sleep } from 'node:timers/promises'; export default async () => { while (!existsSync(new URL('go', import.meta.url))) await sleep(20); };",
};
for (const [name, source] of Object.entries(files)) writeFileSync(join(bundle, name), source);

const key = randomBytes(64);
const newServer = (options: object = {}): Promise<Server> => createServer({ signingKey: Secret.fromBytes(Buffer.from(key)), ...options });
let server: Server;
let api: ExecutionApi;
worker.before(async () => {
  server = await newServer();
  await server.listen();
  await server.seed({ bundles: [{ name: 'b' }], dags: [{ dag_id: 'd', bundle: 'b', relative_fileloc: 'variable.mjs', declares: { variables: ['col*'] } }, { dag_id: 'lost', bundle: 'b' }], variables: { colour: 'green', secret: 'hidden' } });
  api = new ExecutionApi({ baseUrl: server.url ?? '' });
});
worker.after(async () => {
  await api.close();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

const newFolder = (): string => mkdtempSync(join(folder, 'queue-')); // of mode 0700

/** A task instance that is queued, and a workload for it. */
async function workloadOf(dag_rel_path: string, more: object = {}, at = server): Promise<{ readonly id: string; readonly workload: object }> {
  const ti = { id: randomUUID(), dag_id: 'd', run_id: 'r', task_id: randomUUID(), try_number: 1, map_index: -1 };
  await at.seed({ taskInstances: [{ ...ti, queue: 'elsewhere' }] });
  return { id: ti.id, workload: { type: 'ExecuteTask', ti, dag_rel_path, bundle_info: { name: 'b', version: null }, token: await at.issueWorkloadToken(ti.id), ...more } };
}

/** As whoever hands out work has to. */
function put(queue: string, name: string, content: object | string): void {
  writeFileSync(join(queue, `.${name}`), typeof content === 'string' ? content : JSON.stringify(content));
  renameSync(join(queue, `.${name}`), join(queue, name));
}

const json = (path: string): Record<string, unknown> => JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
const names = (...parts: string[]): string[] => readdirSync(join(...parts)).sort();
const waiting = (queue: string): string[] => names(queue).filter((name) => name.endsWith('.json'));

/** A worker with a supervisor of its own, and what it told. */
class Subject implements AsyncDisposable {
  readonly supervisor: Supervisor;
  readonly worker: Worker;
  readonly events: WorkerEvent[] = [];
  readonly #queue: WorkQueue;

  constructor(queue: WorkQueue, { supervisor, ...options }: Omit<Partial<WorkerOptions>, 'supervisor'> & { readonly supervisor?: Partial<SupervisorOptions> } = {}) {
    this.#queue = queue;
    this.supervisor = new Supervisor({ api, bundles: { b: bundle }, ...supervisor });
    this.worker = new Worker({ supervisor: this.supervisor, queue, concurrency: 2, once: true, onEvent: (event) => this.events.push(event), ...options });
  }

  kinds(kind: WorkerEvent['kind']): WorkerEvent[] {
    return this.events.filter((event) => event.kind === kind);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.worker.drain();
    await this.supervisor[Symbol.asyncDispose]();
    await this.#queue[Symbol.asyncDispose]();
  }
}

// --- A folder

worker('workloads run in the order of their names, so many at once, and leave what became of them', async () => {
  const queue = newFolder();
  const tokens: string[] = [];
  for (const name of ['c', 'a', 'e', 'b', 'd']) {
    const { workload } = await workloadOf(name === 'd' ? 'fails.mjs' : 'ok.mjs');
    tokens.push((workload as { token: string }).token);
    put(queue, `${name}.json`, workload);
  }
  await using subject = new Subject(await FolderQueue.open(queue));
  await subject.worker.run();
  assert.equal(subject.kinds('started').map((event) => 'name' in event && event.name), ['a', 'b', 'c', 'd', 'e'].map((name) => `${name}.json`));
  assert.is(Math.max(...subject.events.map((event) => ('running' in event ? event.running : 0))), 2);
  assert.equal(waiting(queue), []);
  assert.equal(names(queue, 'done'), ['a', 'b', 'c', 'd', 'e'].map((name) => `${name}.json`));
  assert.equal(names(queue, 'bad'), []);
  const { ti, started_at, ended_at, worker: who, ...rest } = json(join(queue, 'done', 'a.json'));
  assert.equal(rest, { dag_rel_path: 'ok.mjs', bundle_info: { name: 'b', version: null }, state: 'success', exit: { kind: 'exited', exitCode: 0 }, reported: true });
  assert.equal(json(join(queue, 'done', 'd.json'))['state'], 'failed');
  assert.is(json(join(queue, 'done', 'd.json'))['reason'], 'Error: odd');
  const all = names(queue, 'done').map((name) => readFileSync(join(queue, 'done', name), 'utf8')).join('') + JSON.stringify(subject.events);
  assert.not.ok(tokens.some((token) => all.includes(token)));
});

worker('what nobody can run is set aside with the reason, and the rest runs', async () => {
  const queue = newFolder();
  put(queue, 'cut.json', '{"type": "ExecuteTask", "ti"');
  put(queue, 'large.json', JSON.stringify('x'.repeat(2 << 20)));
  put(queue, 'other.json', { type: 'ExecuteTask', ti: {} });
  put(queue, 'null.json', 'null');
  mkdirSync(join(queue, 'folder.json'));
  writeFileSync(join(queue, 'folder.json', 'x'), '');
  symlinkSync('/etc/passwd', join(queue, 'link.json'));
  assert.is(spawnSync('mkfifo', [join(queue, 'pipe.json')]).status, 0);
  put(queue, 'bundle.json', (await workloadOf('ok.mjs', { bundle_info: { name: 'unknown' } })).workload);
  put(queue, 'outside.json', (await workloadOf('../ok.mjs')).workload);
  put(queue, 'token.json', (await workloadOf('ok.mjs', { token: 'no.such.token' })).workload);
  put(queue, 'declares.json', (await workloadOf('ok.mjs', { declares: { everything: ['*'] } })).workload);
  const { workload } = await workloadOf('ok.mjs');
  put(queue, 'z1.json', workload);
  put(queue, 'z2.json', workload); // the same again: the server lets it run once
  writeFileSync(join(queue, '.hidden.json'), '{');
  writeFileSync(join(queue, 'note.txt'), 'no workload');

  await using subject = new Subject(await FolderQueue.open(queue), { concurrency: 1 });
  await subject.worker.run();
  const reasons: Readonly<Record<string, RegExp>> = {
    bundle: /names no bundle.*ERR_WORKLOAD_INVALID/, cut: /not JSON/, declares: /ERR_OUT_OF_RANGE/, folder: /not a regular file/, large: /larger than/, link: /symbolic link/, null: /ERR_WORKLOAD_INVALID/,
    other: /ERR_WORKLOAD_INVALID/, outside: /path below the bundle/, pipe: /not a regular file/, token: /was answered 403/, z2: /was answered 40[39]/,
  };
  assert.equal(names(queue, 'bad'), Object.keys(reasons).flatMap((name) => [`${name}.json`, `${name}.reason.json`]).sort());
  for (const [name, expected] of Object.entries(reasons)) assert.match(String(json(join(queue, 'bad', `${name}.reason.json`))['reason']), expected, name);
  assert.equal(names(queue, 'done'), ['z1.json']); // control
  assert.equal(names(queue).filter((name) => name.includes('hidden') || name.includes('note')), ['.hidden.json', 'note.txt']);
  assert.is(subject.kinds('refused').length, Object.keys(reasons).length);
  assert.is(readFileSync('/etc/passwd', 'utf8').length > 0, true);
});

worker('a name that is too long to be moved keeps nobody else from running', async () => {
  const queue = newFolder();
  const long = 'm'.repeat(248);
  put(queue, 'a.json', (await workloadOf('ok.mjs')).workload);
  writeFileSync(join(queue, `${long}.json`), JSON.stringify((await workloadOf('ok.mjs')).workload));
  put(queue, `${'n'.repeat(190)}.json`, (await workloadOf('ok.mjs')).workload); // control: long, and well
  put(queue, 'z.json', (await workloadOf('ok.mjs')).workload);
  await using subject = new Subject(await FolderQueue.open(queue), { concurrency: 4 });
  await subject.worker.run();
  assert.equal(names(queue, 'done'), ['a.json', `${'n'.repeat(190)}.json`, 'z.json']);
  const [file, reason, ...rest] = names(queue, 'bad');
  assert.match(file ?? '', /^m{168}~[0-9a-f]{16}\.json$/);
  assert.match(String(json(join(queue, 'bad', reason ?? ''))['reason']), /name is longer than 200 bytes/);
  assert.equal([rest, waiting(queue), subject.kinds('failed')], [[], [], []]);
});

worker('what this host has no room for waits, and is not set aside', async () => {
  const queue = newFolder();
  for (const name of ['full', 'gone']) put(queue, `${name}.json`, (await workloadOf('ok.mjs')).workload);
  const troubles = [Object.assign(new Error('no room'), { code: 'ENOSPC', syscall: 'mkdir' }), Object.assign(new Error('no such file'), { code: 'ENOENT', syscall: 'open' })];
  await using subject = new Subject(await FolderQueue.open(queue), { concurrency: 1 });
  const run = subject.supervisor.run.bind(subject.supervisor);
  subject.supervisor.run = async (...args) => {
    const trouble = troubles.shift();
    if (trouble !== undefined) throw trouble;
    return run(...args);
  };
  await subject.worker.run();
  assert.equal([names(queue, 'done'), names(queue, 'bad')], [['full.json'], ['gone.json', 'gone.reason.json']]); // the latter: control
});

worker('several workers share a folder, and each workload is one of them\'s', async () => {
  const queue = newFolder();
  const ids = new Set<string>();
  for (let index = 0; index < 12; index++) {
    const { id, workload } = await workloadOf('ok.mjs');
    ids.add(id);
    put(queue, `${index}.json`, workload);
  }
  // Two loops share one queue, and a third has its own in the same process; processes of their own are in test/worker-cli.ts.
  await using shared = await FolderQueue.open(queue);
  await using one = new Subject(shared);
  await using other = new Subject(shared);
  await using third = new Subject(await FolderQueue.open(queue));
  await Promise.all([one, other, third].map(({ worker }) => worker.run()));
  const done = names(queue, 'done').map((name) => (json(join(queue, 'done', name))['ti'] as { id: string }).id);
  assert.equal(new Set(done), ids);
  for (const [kind, count] of [['started', 12], ['ended', 12], ['refused', 0], ['failed', 0]] as const) assert.is([one, other, third].flatMap((each) => each.kinds(kind)).length, count, kind);
});

worker('two queues of one process on one folder keep what they claim apart, and one takes over what the other leaves', async () => {
  const queue = newFolder();
  const [one, other] = [await FolderQueue.open(queue), await FolderQueue.open(queue)];
  assert.is.not(one.name, other.name);
  // The same name given twice, each the first that its queue claims.
  const ids: string[] = [];
  const claims = [];
  for (const each of [one, other]) {
    const { id, workload } = await workloadOf('ok.mjs');
    ids.push(id);
    put(queue, 'same.json', workload);
    claims.push(...(await each.claim(1)));
  }
  assert.equal(claims.map(({ workload }) => (workload as { ti: { id: string } }).ti.id), ids);
  assert.equal(names(queue, 'claimed').map((name) => names(queue, 'claimed', name)), [['1-same.json'], ['1-same.json']]);
  assert.equal(await other.claim(1), []); // control: what a living queue has claimed is its own
  await one[Symbol.asyncDispose]();
  await claims[1]?.release();
  const next = await other.claim(2);
  assert.equal(next.map(({ workload }) => (workload as { ti: { id: string } }).ti.id).sort(), ids.sort());
  for (const claim of next) await claim.release();
  await other[Symbol.asyncDispose]();
  assert.equal([names(queue, 'claimed'), waiting(queue)], [[], ['same.1.json', 'same.json']]);
});

/** A disk of 64 KiB. */
const tmpfs = mkdtempSync(join(tmpdir(), 'sallyport-worker-disk-'));
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=0700', 'none', tmpfs], { encoding: 'utf8' });
worker.after(() => {
  if (mounted.status === 0) spawnSync('umount', ['-l', tmpfs]);
  rmSync(tmpfs, { recursive: true, force: true });
});

where(worker, mounted.status === 0, 'a full disk', (mounted.error?.message ?? mounted.stderr).trim())('what became of a workload is kept when its disk has room again, and nothing else is begun meanwhile', async () => {
  const queue = tmpfs;
  const filler = join(queue, 'filler');
  const fill = (): void => {
    try {
      for (;;) appendFileSync(filler, Buffer.alloc(1024));
    } catch (error) {
      assert.is((error as NodeJS.ErrnoException).code, 'ENOSPC');
    }
  };
  const began: string[] = [];
  const { id, workload } = await workloadOf('ok.mjs');
  put(queue, '1.json', workload);
  put(queue, '2.json', (await workloadOf('ok.mjs')).workload);
  await using subject = new Subject(await FolderQueue.open(queue), { concurrency: 1, onEvent: (event) => {
    subject.events.push(event);
    if (event.kind === 'started') began.push(event.name);
    if (event.kind === 'started' && event.name === '1.json') fill();
  } }); // prettier-ignore
  const running = subject.worker.run();
  await until(() => subject.kinds('failed').length > 0);
  assert.match(subject.events.map((event) => (event.kind === 'failed' ? event.error.message : '')).join(''), /^1\.json: success, which cannot be kept now and is tried again: ENOSPC/);
  assert.equal([began, names(queue, 'done'), waiting(queue), subject.kinds('ended').length], [['1.json'], [], ['2.json'], 0]);
  rmSync(filler);
  await running;
  assert.equal([names(queue, 'done'), names(queue, 'bad'), subject.kinds('failed').length], [['1.json', '2.json'], [], 1]);
  assert.equal([json(join(queue, 'done', '1.json'))['state'], (json(join(queue, 'done', '1.json'))['ti'] as { id: string }).id], ['success', id]);

  // One that is to end does not wait for ever; the next one finds what it left.
  put(queue, '3.json', (await workloadOf('ok.mjs')).workload);
  {
    await using last = new Subject(await FolderQueue.open(queue), { onEvent: (event) => {
      last.events.push(event);
      if (event.kind === 'started') fill();
      if (event.kind === 'failed') last.worker.drain();
    } }); // prettier-ignore
    await last.worker.run();
    assert.equal([last.kinds('failed').length, last.kinds('ended').length, names(queue, 'done')], [2, 1, ['1.json', '2.json']]);
  }
  rmSync(filler);
  await using next = new Subject(await FolderQueue.open(queue));
  await next.worker.run();
  assert.equal(names(queue, 'bad'), ['3.json', '3.reason.json']);
  assert.match(String(json(join(queue, 'bad', '3.reason.json'))['reason']), /may have run it/);
});

worker('a process that may write no more keeps what became of a workload until it may', async () => {
  const queue = newFolder();
  put(queue, '1.json', (await workloadOf('says.mjs')).workload);
  // Of its own, so that no other file of this process is concerned; prlimit(1), for the limit is a process's, and may be raised again from outside.
  const program = `
    import { execFileSync } from 'node:child_process';
    import { ExecutionApi, FolderQueue, Supervisor, Worker } from ${JSON.stringify(new URL('../lib/index.js', import.meta.url).href)};
    const limit = (size) => execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=' + size + ':']);
    const api = new ExecutionApi({ baseUrl: ${JSON.stringify(server.url)} });
    const supervisor = new Supervisor({ api, bundles: { b: ${JSON.stringify(bundle)} }, onLog: () => limit(0) }); // its memory for secrets is a file too
    const queue = await FolderQueue.open(${JSON.stringify(queue)});
    const onEvent = (event) => {
      console.log(...[event.kind, event.error?.code, event.outcome?.state, event.reason].filter((each) => each !== undefined));
      if (event.kind === 'failed') limit('unlimited');
    };
    await new Worker({ supervisor, queue, concurrency: 1, once: true, onEvent }).run();
    for (const each of [supervisor, queue, api]) await each[Symbol.asyncDispose]();
  `;
  const { stdout } = await cli([process.execPath, '--input-type=module', '-e', program], []);
  assert.equal(stdout.trim().split('\n'), ['started', 'failed EFBIG', 'ended success']);
  assert.equal([json(join(queue, 'done', '1.json'))['state'], names(queue, 'done'), names(queue, 'bad')], ['success', ['1.json'], []]);
});

worker('a file that comes while it waits is run at once; drained, it finishes what runs and leaves the rest', async () => {
  const queue = newFolder();
  await using subject = new Subject(await FolderQueue.open(queue), { once: false, concurrency: 1 });
  const running = subject.worker.run();
  put(queue, 'first.json', (await workloadOf('ok.mjs')).workload);
  await until(() => existsSync(join(queue, 'done', 'first.json')));
  put(queue, 'second.json', (await workloadOf('waits.mjs')).workload);
  await until(() => subject.kinds('started').length === 2);
  put(queue, 'third.json', (await workloadOf('ok.mjs')).workload);
  subject.worker.drain();
  subject.worker.drain();
  writeFileSync(join(bundle, 'go'), '');
  await running;
  rmSync(join(bundle, 'go'));
  assert.equal([names(queue, 'done'), waiting(queue), names(queue, 'bad')], [['first.json', 'second.json'], ['third.json'], []]);
});

worker('while the server is away workloads wait, and then they run', async () => {
  const queue = newFolder();
  const database = join(folder, 'away.db');
  const first = await newServer({ database });
  await using proxy = await FailingProxy.start(await first.listen()); // which keeps the port, for another could take it
  put(queue, 'a.json', (await workloadOf('ok.mjs', {}, first)).workload);
  await first.close();
  await using away = new ExecutionApi({ baseUrl: proxy.url });
  await using subject = new Subject(await FolderQueue.open(queue), { supervisor: { api: away }, once: false });
  const running = subject.worker.run();
  await until(() => subject.kinds('released').length > 0);
  assert.equal(names(queue, 'done').concat(names(queue, 'bad')), []);
  await using second = await newServer({ database });
  proxy.moveTo(await second.listen());
  await until(() => existsSync(join(queue, 'done', 'a.json')));
  assert.is(json(join(queue, 'done', 'a.json'))['state'], 'success');
  subject.worker.drain();
  await running;
});

worker("a page of what stands before the server is nobody's refusal: the workload waits for the server's own word", async () => {
  const queue = newFolder();
  const { workload } = await workloadOf('ok.mjs');
  put(queue, 'a.json', workload);
  put(queue, 'b.json', { ...workload, ti: { ...(workload as { ti: object }).ti, id: randomUUID() } }); // of nobody
  await using proxy = await FailingProxy.start(server.url ?? '');
  proxy.fault = () => 'page';
  await using behind = new ExecutionApi({ baseUrl: proxy.url });
  await using subject = new Subject(await FolderQueue.open(queue), { supervisor: { api: behind } });
  const running = subject.worker.run();
  await until(() => new Set(subject.kinds('released').map((event) => 'name' in event && event.name)).size === 2);
  assert.equal([names(queue, 'done'), names(queue, 'bad')], [[], []]);
  proxy.fault = () => 'none';
  await running;
  assert.equal([names(queue, 'done'), names(queue, 'bad')], [['a.json'], ['b.json', 'b.reason.json']]); // control: the server itself knows b not
});

worker('what a worker had claimed that was killed is run by the next one, but for what it had finished', async () => {
  const queue = newFolder();
  await using open = await FolderQueue.open(queue);
  const child = spawn('sleep', ['1000']);
  const [host, boot, namespace] = ownName().split('~');
  const start = readFileSync(`/proc/${child.pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ')[19];
  const owner = [host, boot, namespace, child.pid, start].join('~');
  assert.not.ok(hasEnded(owner)); // control
  const claimed = join(queue, 'claimed', owner);
  mkdirSync(claimed);
  const [begun, finished] = [await workloadOf('ok.mjs'), await workloadOf('ok.mjs')];
  writeFileSync(join(claimed, '1-begun.json'), JSON.stringify(begun.workload));
  writeFileSync(join(claimed, '2-finished.json'), JSON.stringify(finished.workload));
  writeFileSync(join(queue, 'done', 'finished.json'), JSON.stringify({ ti: { id: finished.id }, worker: owner, state: 'success' }));
  assert.equal(await open.claim(10), []);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.ok(hasEnded(owner));
  await using subject = new Subject(open);
  await subject.worker.run();
  assert.equal(subject.kinds('started').map((event) => 'name' in event && event.name), ['begun.json']);
  assert.equal(names(queue, 'done'), ['begun.json', 'finished.json']);
  assert.equal(names(queue, 'claimed'), [open.name]);
  for (const other of ['elsewhere~0~0~1~1', [host, boot, '0', '1', '1'].join('~'), 'x', '~~~~~']) assert.not.ok(hasEnded(other), other);
  assert.ok(hasEnded([host, 'other', namespace, process.pid, '1'].join('~'))); // before the host was started again
});

worker('a folder that others may read is refused, and one of workloads is granted to no task', async () => {
  const queue = newFolder();
  spawnSync('chmod', ['0750', queue]);
  assert.is(await FolderQueue.open(queue).then(() => 'open', ({ code }: { code: string }) => code), 'ERR_SECRET_REFUSED');
  spawnSync('chmod', ['0700', queue]);
  await using open = await FolderQueue.open(queue);
  put(queue, 'a.json', (await workloadOf('ok.mjs')).workload);
  put(queue, 'b.json', (await workloadOf('ok.mjs')).workload);
  {
    await using greedy = new Subject(open, { run: { policy: policies.node({ read: [queue] }) } });
    await greedy.worker.run();
  }
  assert.match(String(json(join(queue, 'bad', 'a.reason.json'))['reason']), /ERR_POLICY_INVALID/);
  assert.equal([names(queue, 'done'), names(queue, 'bad').length], [[], 4]);
});

// --- The server

worker('what waits at the server is run, each once, with what its DAG declares', async () => {
  const ids = new Map<string, string>();
  const taskInstances = Array.from({ length: 6 }, () => ({ id: randomUUID(), dag_id: 'd', run_id: 'queue', task_id: randomUUID(), queue: 'q' }));
  for (const { id, task_id } of taskInstances) ids.set(id, task_id);
  const strangers = [{ id: randomUUID(), dag_id: 'd', run_id: 'queue', task_id: 'stranger', queue: 'other' }, { id: randomUUID(), dag_id: 'lost', run_id: 'queue', task_id: 'no-file', queue: 'q' }];
  await server.seed({ taskInstances: [...taskInstances, ...strangers] });
  using first = await server.addWorker({ name: 'first', queues: ['q'] });
  using second = await server.addWorker({ name: 'second', queues: ['q'] });
  const subjects = [first, second].map((credential) => new Subject(new ServerQueue({ api, credential, pollMs: 50 }), { once: false }));
  const running = subjects.map((subject) => subject.worker.run());
  const ended = (): WorkerEvent[] => subjects.flatMap((subject) => subject.kinds('ended'));
  await until(() => ended().length === 6);
  for (const subject of subjects) subject.worker.drain();
  await Promise.all(running);
  assert.equal(new Set(ended().map((event) => 'name' in event && event.name)), new Set(ids.keys()));
  assert.equal(new Set(ended().map((event) => event.kind === 'ended' && event.outcome.state)), new Set(['success']));
  const reader = await workloadOf('ok.mjs');
  await using asReader = api.withToken(Secret.fromBytes(Buffer.from((reader.workload as { token: string }).token)));
  await asReader.run(reader.id, { hostname: 'h', unixname: 'u', pid: 1, start_date: new Date().toISOString() });
  for (const task_id of ids.values()) {
    const { value } = await asReader.getXCom({ dag_id: 'd', run_id: 'queue', task_id, key: 'return_value' }).catch(() => ({ value: 'refused' }));
    assert.equal(value, ['green', 'ERR_BROKER_DENIED']);
  }
  for (const subject of subjects) await subject[Symbol.asyncDispose]();
});

worker('a credential that is none, and a bundle that is not here, keep nobody from the rest', async () => {
  using wrong = Secret.fromBytes(Buffer.from('sallyport-worker-none'));
  await using unknown = new Subject(new ServerQueue({ api, credential: wrong, pollMs: 20 }), { once: false });
  const failing = unknown.worker.run();
  await until(() => unknown.kinds('failed').length > 0);
  unknown.worker.drain();
  await failing;
  assert.is(unknown.kinds('started').length, 0);

  await server.seed({ bundles: [{ name: 'b' }, { name: 'elsewhere' }], dags: [{ dag_id: 'away', bundle: 'elsewhere', relative_fileloc: 'ok.mjs' }, { dag_id: 'here', bundle: 'b', relative_fileloc: 'ok.mjs' }] });
  // More than a worker is told of at once.
  const [away, here] = [Array.from({ length: 120 }, () => randomUUID()), randomUUID()];
  await server.seed({ taskInstances: [...away.map((id, map_index) => ({ id, dag_id: 'away', run_id: 'a', task_id: 't', map_index, queue: 'mixed' })), { id: here, dag_id: 'here', run_id: 'b', task_id: 't', queue: 'mixed' }] });
  using credential = await server.addWorker({ name: 'mixed', queues: ['mixed'] });
  await using subject = new Subject(new ServerQueue({ api, credential, pollMs: 20 }), { concurrency: 2 });
  await subject.worker.run();
  const told = (kind: WorkerEvent['kind']): unknown[] => subject.kinds(kind).map((event) => 'name' in event && event.name);
  assert.equal([new Set(told('refused')), told('ended')], [new Set(away), [here]]);
  // Nobody asked for its token, so that who has its bundle sees it at once.
  using other = await server.addWorker({ name: 'other', queues: ['mixed'] });
  assert.equal((await api.waitingWork(other, { limit: 2, offset: 1 })).map(({ ti }) => ti.id), away.slice(1, 3));
});

worker('a workload is looked at before anybody is asked', async () => {
  await using supervisor = new Supervisor({ api, bundles: { b: bundle } });
  const { workload } = await workloadOf('ok.mjs');
  await supervisor.check(workload);
  for (const more of [{ dag_rel_path: 'absent.mjs' }, { dag_rel_path: '../x' }, { bundle_info: { name: 'x' } }, { ti: {} }]) {
    assert.is(await supervisor.check({ ...workload, ...more }).then(() => 'fine', ({ code }: { code: string }) => code), 'ERR_WORKLOAD_INVALID');
  }
});

worker('what a task says is obeyed by no terminal, as JSON either', () => {
  let shown = '';
  const stdout = Object.assign(new PassThrough().on('data', (chunk) => (shown += String(chunk))), { isTTY: false }) as unknown as NodeJS.WriteStream;
  const bad = '\u009b2J\u202egpj.exe \x1b[2J';
  const outcome = { state: 'failed', exit: { kind: 'exited', exitCode: 1 }, reported: true, reason: bad } as const;
  for (const json of [true, false]) {
    using view = new WorkerView({ json, stdout });
    view.show({ kind: 'ended', name: 'n', ti: undefined, running: 0, outcome, ms: 1 });
  }
  assert.not.match(shown, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  assert.is((JSON.parse(shown.split('\n')[0] ?? '') as { outcome: { reason: string } }).outcome.reason, bad); // control: it is all there
});

worker('for a person each end is one line, aligned, whatever its state is called and however long its error', () => {
  let shown = '';
  const stream = (): NodeJS.WriteStream => Object.assign(new PassThrough().on('data', (chunk) => (shown += String(chunk))), { isTTY: false }) as unknown as NodeJS.WriteStream;
  using view = new WorkerView({ json: false, stdout: stream(), stderr: stream() });
  const states = ['success', 'failed', 'awaiting_input', 'up_for_reschedule', 'server_terminated'] as const;
  for (const state of states) view.show({ kind: 'ended', name: 'name', ti: undefined, running: 0, ms: 1200, outcome: { state, exit: { kind: 'exited', exitCode: 0 }, reported: true, reason: '\nError: no\r\n    at x (y:1)' } });
  view.show({ kind: 'refused', name: 'name', ti: undefined, running: 0, reason: 'refused\n    at z' });
  view.show({ kind: 'failed', error: new Error('away\n    at z') });
  const lines = shown.trimEnd().split('\n');
  assert.is(lines.pop(), 'sallyport worker: away');
  assert.is(lines.pop(), `${'refused'.padEnd(27)}name  refused`);
  assert.equal(lines, states.map((state) => `${state.padEnd(17)}   1.2 s  name  Error: no`));
});

worker('options that are none are refused', async () => {
  await using supervisor = new Supervisor({ api, bundles: {} });
  using credential = Secret.fromBytes(Buffer.from('x'));
  const queue = new ServerQueue({ api, credential });
  const tries: readonly (() => unknown)[] = [
    () => new Worker({ supervisor, queue, concurrency: 0 }),
    () => new Worker({ supervisor: {} as Supervisor, queue, concurrency: 1 }),
    () => new Worker({ supervisor, queue, concurrency: 1, spare: 1 } as never),
    () => new ServerQueue({ api, credential, pollMs: 0 }),
    () => new ServerQueue({ api: {} as ExecutionApi, credential }),
    () => new ServerQueue({ api, credential: 'x' as never }),
  ];
  for (const attempt of tries) assert.throws(attempt, (error: NodeJS.ErrnoException) => /^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/.test(error.code ?? ''));
});

worker.run();
