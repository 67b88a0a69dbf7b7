// A supervisor whose processes have started before there is a task for them.
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ExecutionApi, policies, Secret, Supervisor, type LogLine, type Outcome, type RunOptions, type SupervisorOptions } from '../lib/index.js';
import { createServer, type Server } from '../lib/server/index.js';
import { running, until } from './helpers/processes.js';

const warm = suite('warm');

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-warm-')));
let server: Server;
let api: ExecutionApi;
warm.before(async () => {
  server = await createServer({ signingKey: Secret.fromBytes(randomBytes(64)) });
  await server.listen();
  await server.seed({ variables: { colour: 'green' } });
  api = new ExecutionApi({ baseUrl: server.url ?? '' });
});
warm.after(async () => {
  await api.close();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

let bundles = 0;
/** A bundle of its own, so that its processes can be told from all others. */
function bundleOf(files: Readonly<Record<string, string>>): string {
  const root = join(folder, `bundle-${++bundles}`);
  mkdirSync(root);
  for (const [name, source] of Object.entries(files)) writeFileSync(join(root, name), source);
  return root;
}

interface Ran { readonly outcome: Outcome; readonly lines: readonly LogLine[] }

class Subject implements AsyncDisposable {
  readonly supervisor: Supervisor;
  readonly #lines: LogLine[] = [];

  constructor(root: string, options: Partial<SupervisorOptions> = {}) {
    this.supervisor = new Supervisor({ api, bundles: { b: root }, warm: { size: 2 }, onLog: (line) => this.#lines.push(line), ...options });
  }

  async run(dag_rel_path: string, options: RunOptions & { readonly token?: undefined; readonly task_id?: string } = {}): Promise<Ran> {
    const { task_id = randomUUID(), token: _, ...rest } = options;
    const ti = { id: randomUUID(), dag_id: 'd', run_id: 'r', task_id, try_number: 1, map_index: -1 };
    await server.seed({ taskInstances: [{ ...ti, state: 'queued' }] });
    const token = Secret.fromBytes(Buffer.from(await server.issueWorkloadToken(ti.id)));
    const outcome = await this.supervisor.run({ type: 'ExecuteTask', ti, dag_rel_path, bundle_info: { name: 'b' } }, { token, ...rest });
    return { outcome, lines: this.#lines.filter(({ task }) => task === ti.id) };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.supervisor[Symbol.asyncDispose]();
  }
}

/** Who waits, once that can be seen: a program's command line is there a moment after it runs. */
async function waitingFor(root: string, count: number): Promise<number[]> {
  await until(() => running(root).length === count);
  return running(root).sort();
}

const printed = ({ lines }: Ran): string[] => lines.filter(({ source }) => source === 'stdout').map(({ line }) => line);

warm('a task runs in a process that waited, and another one takes its place', async () => {
  const root = bundleOf({ 'pid.mjs': 'export default () => console.log(process.pid);' });
  await using subject = new Subject(root);
  const seen = new Set<number>();
  for (let round = 0; round < 4; round++) {
    await subject.supervisor.warmUp('b');
    const before = await waitingFor(root, 2);
    const ran = await subject.run('pid.mjs');
    assert.equal(ran.outcome, { state: 'success', exit: { kind: 'exited', exitCode: 0 }, reported: true });
    const pid = Number(printed(ran)[0]);
    assert.ok(before.includes(pid) && !seen.has(pid));
    seen.add(pid);
  }
});

/** What a task of each kind comes to, warm and cold. */
const tasks: Readonly<Record<string, string>> = {
  'returns.mjs': "import { context, variables, xcom } from 'sallyport/task'; export default async ({ ti }) => { console.log(await variables.get('colour'), context.ti.task_id === ti.task_id); return [1]; };",
  'plain.cjs': "module.exports = async ({ ti }) => { console.log(typeof ti.id, process.stdin.readable); };",
  'imports.mjs': "import { name } from './name.mjs'; import { readFileSync } from 'node:fs'; export default () => console.log(name, readFileSync(new URL('name.mjs', import.meta.url), 'utf8').length, process.argv.length);",
  'name.mjs': "export const name = 'n';",
  'fails.mjs': "import { log } from 'sallyport/task'; export default () => { log.info('before'); throw new TypeError('odd'); };",
  'exits.mjs': 'export default () => process.exit(3);',
  'no-function.mjs': 'export default 3;',
  'asks-too-much.mjs': "import { variables } from 'sallyport/task'; export default () => variables.get('other');",
  'breaks.mjs': "import { writeSync } from 'node:fs'; export default () => { writeSync(0, Buffer.alloc(8, 255)); return new Promise(() => setTimeout(() => {}, 1e6)); };",
};

warm('whatever a task does comes to the same as in a process that was launched for it', async () => {
  const root = bundleOf(tasks);
  await using hot = new Subject(root);
  await using cold = new Subject(root, { warm: { size: 1, maxPools: 1 } });
  const grants = { variables: ['colour'] };
  const told = ({ outcome: { error, exit, ...outcome }, lines }: Ran) => ({
    ...outcome,
    exit: exit.kind === 'ended' ? exit.kind : exit,
    error: (error as NodeJS.ErrnoException | undefined)?.code,
    lines: lines.map(({ source, line, cut }) => [source, source === 'log' ? (JSON.parse(line) as { event: string }).event : line, cut]).sort(),
  });
  for (const name of Object.keys(tasks)) {
    await hot.supervisor.warmUp('b');
    // A policy that could change is launched each time.
    const [a, b] = [await hot.run(name, { grants }), await cold.run(name, { grants, policy: { ...policies.node() } })];
    assert.equal(told(a), told(b), name);
  }
  const states = await Promise.all(['returns.mjs', 'exits.mjs', 'breaks.mjs'].map((name) => hot.run(name, { grants })));
  assert.equal(states.map(({ outcome }) => outcome.state), ['success', 'failed', 'failed']); // control: they are not all the same
});

warm('another policy has processes of its own, and what is too many ends', async () => {
  const root = bundleOf({ 'reads.mjs': "import { readFileSync } from 'node:fs'; export default () => { try { console.log(readFileSync(process.env.FILE, 'utf8')); } catch ({ code }) { console.log(code); } };" });
  const file = join(folder, 'granted');
  writeFileSync(file, 'granted');
  await using subject = new Subject(root, { warm: { size: 2, maxPools: 1 } });
  const closed = policies.node({ environment: { FILE: file } });
  const open = policies.node({ environment: { FILE: file }, read: [file] });
  for (const [policy, expected] of [[closed, 'EACCES'], [open, 'granted'], [closed, 'EACCES']] as const) {
    await subject.supervisor.warmUp('b', policy);
    assert.equal(printed(await subject.run('reads.mjs', { policy })), [expected]);
    await until(() => running(root).length <= 2);
  }
});

warm('a bundle that is put in the place of another is the one that runs', async () => {
  const one = bundleOf({ 'task.mjs': "export default () => console.log('one');" });
  const two = bundleOf({ 'task.mjs': "export default () => console.log('two');" });
  const link = join(folder, 'current');
  symlinkSync(one, link);
  await using linked = new Subject(link);
  await linked.supervisor.warmUp('b');
  assert.equal(printed(await linked.run('task.mjs')), ['one']);
  await linked.supervisor.warmUp('b');
  unlinkSync(link);
  symlinkSync(two, link);
  assert.equal(printed(await linked.run('task.mjs')), ['two']);

  await using renamed = new Subject(one);
  await renamed.supervisor.warmUp('b');
  renameSync(one, `${one}-old`);
  renameSync(two, one);
  assert.equal(printed(await renamed.run('task.mjs')), ['two']);
});

warm('a file that leads out of its bundle is refused before a process is taken', async () => {
  const root = bundleOf({ 'task.mjs': 'export default () => {};' });
  writeFileSync(join(folder, 'outside.mjs'), 'export default () => {};');
  symlinkSync(join(folder, 'outside.mjs'), join(root, 'link.mjs'));
  await using subject = new Subject(root);
  await subject.supervisor.warmUp('b');
  const before = await waitingFor(root, 2);
  for (const path of ['link.mjs', '../outside.mjs', 'absent.mjs', '.']) {
    assert.is(await subject.run(path).then(() => 'ran', ({ code }: { code: string }) => code), 'ERR_WORKLOAD_INVALID', path);
  }
  assert.equal(running(root).sort(), before);
  assert.is((await subject.run('task.mjs')).outcome.state, 'success'); // control
});

warm('one that the server does not let run has ended, and is not taken again', async () => {
  const root = bundleOf({ 'task.mjs': 'export default () => console.log(process.pid);' });
  await using subject = new Subject(root, { warm: { size: 1 } });
  await subject.supervisor.warmUp('b');
  const [waiting = 0] = await waitingFor(root, 1);
  const ti = { id: randomUUID(), dag_id: 'd', run_id: 'r', task_id: 'refused', try_number: 1 };
  const refused = subject.supervisor.run({ type: 'ExecuteTask', ti, dag_rel_path: 'task.mjs', bundle_info: { name: 'b' } }, { token: Secret.fromBytes(Buffer.from('no.such.token')) });
  assert.is(await refused.then(() => 'ran', ({ code }: { code: string }) => code), 'ERR_UPSTREAM_FAILED');
  await until(() => !running(root).includes(waiting));
  assert.is.not(Number(printed(await subject.run('task.mjs'))[0]), waiting);
});

warm('disposed, nothing waits any more', async () => {
  const root = bundleOf({ 'task.mjs': 'export default () => {};' });
  const subject = new Subject(root);
  await subject.supervisor.warmUp('b');
  assert.is((await subject.run('task.mjs')).outcome.state, 'success');
  await subject[Symbol.asyncDispose]();
  await until(() => running(root).length === 0);
  assert.is(await subject.supervisor.warmUp('b').then(() => 'warm', ({ code }: { code: string }) => code), 'ERR_SUPERVISOR_CLOSED');
});

warm('options that are none are refused', () => {
  for (const options of [{}, { size: 0 }, { size: 1, maxPools: 0 }, { size: 1, maxWaitMs: 0.5 }, { size: 1, spare: 1 }, 3]) {
    assert.throws(() => new Supervisor({ api, bundles: {}, warm: options as never }), (error: NodeJS.ErrnoException) => /^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/.test(error.code ?? ''));
  }
});

warm.run();
