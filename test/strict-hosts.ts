// What runs users' code in processes of its own, each with level `strict`: hosts, warm pools and supervised tasks.
import { spawnSync } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readlinkSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ParseHost } from '../lib/hosts/index.js';
import { ExecutionApi, policies, Secret, Supervisor, type Policy, type SupervisorOptions } from '../lib/index.js';
import { strictProbe } from '../lib/kernel/probe.js';
import { createServer } from '../lib/server/index.js';
import { running, until } from './helpers/processes.js';
import { Bundles, Watched } from './helpers/triggers.js';
import { where } from './helpers/where.js';

const hosts = suite('strict-hosts');
const bundles = new Bundles();
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-strict-hosts-')));
hosts.after(() => {
  bundles.remove();
  rmSync(folder, { recursive: true, force: true });
});

const here = strictProbe().namespaces;
const withNamespaces = where(hosts, here?.by !== 'none', 'namespaces', here?.missing);
const levels = ['standard', 'strict'] as const;
const policyOf = (level: (typeof levels)[number]): Policy => policies.node({ level });

const pidNamespace = (pid: number | 'self'): string => readlinkSync(`/proc/${pid}/ns/pid`);
/** What a process is in a PID namespace of its own, behind the one that has set it up. */
const first = 2;

for (const level of levels) {
  withNamespaces(`a file is parsed; ${level}`, async () => {
    const bundle_path = join(folder, `bundle-${level}`);
    mkdirSync(bundle_path);
    writeFileSync(join(bundle_path, 't.mjs'), '');
    writeFileSync(join(bundle_path, 'dags.mjs'), `import { dag } from 'sallyport/dag'; export default dag({ dag_id: 'd', description: String(process.pid), tasks: { t: { file: 't.mjs' } } });`);
    writeFileSync(join(bundle_path, 'loops.mjs'), 'for (;;);');
    await using host = new ParseHost({ policy: policyOf(level) });
    const { serialized_dags: [parsed], import_errors } = await host.parse({ file: 'dags.mjs', bundle_path, bundle_name: 'b' });
    assert.equal(import_errors, {});
    assert.is(Number(parsed?.description) === first, level === 'strict', parsed?.description ?? 'nothing');
    await using hasty = new ParseHost({ policy: { ...policyOf(level), limits: { wallTimeMs: 2_000 } } });
    const { import_errors: late } = await hasty.parse({ file: 'loops.mjs', bundle_path, bundle_name: 'b' });
    assert.match(Object.values(late).join(), /wallTimeMs/);
    await until(() => running(bundle_path).length === 0);
  });

  withNamespaces(`triggers fire, fail where they do not compile, and one that blocks is parted from the others; ${level}`, async () => {
    const teams = { red: { bundles: { b: join(bundles.folder, 'red') }, policy: policyOf(level) } };
    await using watched = new Watched({ teams, pollMs: 200, blockedMs: 3_000 });
    const beside = bundles.waiting(level);
    const looks = bundles.trigger({ source: 'export default async () => process.pid;' });
    const broken = bundles.trigger({ source: '\nexport default (' });
    await watched.create(beside, looks, broken);
    await watched.over(looks, broken);
    assert.is((watched.outcomes(looks)[0] as [number])[0] === first, level === 'strict');
    assert.match(watched.failures.get(broken.id) ?? '', /^SyntaxError: .*\n {4}at \S*\/trigger-\d+\.mjs:2$/);
    const [pid = 0] = watched.host.pids('red');
    assert.is(pidNamespace(pid) === pidNamespace('self'), level === 'standard');
    const blocks = bundles.trigger({ source: 'export default async () => { await null; for (;;); };' });
    await watched.create(blocks);
    await watched.over(blocks);
    assert.match(watched.failures.get(blocks.id) ?? '', /blocked the process that it shares/);
    bundles.go(level);
    await watched.over(beside);
    assert.equal(watched.outcomes(beside), [['went']]);
  });

  for (const warm of [false, true]) withNamespaces(`a task of a supervisor runs, and asks for what it was granted; ${level}${warm ? ', from a warm pool' : ''}`, async () => {
    await using server = await createServer({ signingKey: Secret.fromBytes(randomBytes(64)) });
    await using api = new ExecutionApi({ baseUrl: await server.listen() });
    await server.seed({ variables: { colour: 'green' } });
    const root = join(folder, `tasks-${level}-${warm}`);
    mkdirSync(root);
    writeFileSync(join(root, 'task.mjs'), `import { variables } from 'sallyport/task'; export default async () => { console.log(await variables.get('colour'), process.pid); };`);
    const lines: string[] = [];
    const options: SupervisorOptions = { api, bundles: { b: root }, onLog: ({ line }) => lines.push(line), ...(warm && { warm: { size: 1 } }) };
    await using supervisor = new Supervisor(options);
    const policy = policyOf(level);
    if (warm) await supervisor.warmUp('b', policy);
    const hasStarted = (): boolean => {
      const waiting = running(root);
      return waiting.length > 0 && waiting.some((pid) => pidNamespace(pid) !== pidNamespace('self')) === (level === 'strict');
    };
    if (warm) await until(hasStarted); // a moment after its execve its command line is still empty
    const ti = { id: randomUUID(), dag_id: 'd', run_id: 'r', task_id: 't', try_number: 1, map_index: -1 };
    await server.seed({ taskInstances: [ti] });
    const token = Secret.fromBytes(Buffer.from(await server.issueWorkloadToken(ti.id)));
    const { state } = await supervisor.run({ type: 'ExecuteTask', ti, dag_rel_path: 'task.mjs', bundle_info: { name: 'b' } }, { token, policy, declares: { variables: ['colour'] } });
    assert.is(state, 'success', lines.join('\n'));
    const [, colour, pid] = /^(\w+) (\d+)$/.exec(lines.at(-1) ?? '') ?? [];
    assert.equal([colour, Number(pid) === first], ['green', level === 'strict']);
  });
}

hosts('where the host gives none, nothing is run that was to have them, and says so', () => {
  const root = join(folder, 'refused');
  mkdirSync(root);
  writeFileSync(join(root, 't.mjs'), '');
  writeFileSync(join(root, 'dags.mjs'), "import { dag } from 'sallyport/dag'; export default dag({ dag_id: 'd', tasks: { t: { file: 't.mjs' } } });");
  writeFileSync(join(root, 'trigger.mjs'), 'export default async () => 1;');
  const at = (path: string): string => new URL(`../lib/${path}`, import.meta.url).href;
  const script = `import { ParseHost, TriggerHost } from '${at('hosts/index.js')}'; import { ExecutionApi, policies, Supervisor } from '${at('index.js')}';
    const root = ${JSON.stringify(root)}; const bundles = { b: root };
    for (const level of ['standard', 'strict']) {
      const policy = policies.node({ level });
      const parse = new ParseHost({ policy });
      const parsed = await parse.parse({ file: 'dags.mjs', bundle_path: root, bundle_name: 'b' }).then(({ serialized_dags, import_errors }) => serialized_dags[0]?.dag_id ?? Object.values(import_errors).join(), ({ code, missing }) => code + ' ' + missing);
      const fired = await new Promise((resolve) => {
        const host = new TriggerHost({ teams: { red: { bundles, policy } }, onChanges: ({ events, failures }) => { if (events.length + failures.length > 0) resolve(JSON.stringify([events, failures])); } });
        void host.sync({ to_create: [{ id: 1, team_name: 'red', bundle_info: { name: 'b' }, classpath: 'trigger.mjs' }] });
      });
      const supervisor = new Supervisor({ api: new ExecutionApi({ baseUrl: 'http://127.0.0.1:1/' }), bundles, warm: { size: 1 } });
      const warmed = await supervisor.warmUp('b', policy).then(() => 'warm', ({ code, missing }) => code + ' ' + missing);
      console.log(JSON.stringify([level, parsed, fired, warmed]));
    }
    process.exit(0);`;
  const without = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all "$@"';
  const { stdout, stderr } = spawnSync('unshare', ['--user', '--map-root-user', 'sh', '-c', without, 'sh', process.execPath, '--input-type=module', '-e', script], { encoding: 'utf8' });
  if (here?.by === 'none') return; // it gives us none to take away
  const [standard = [], strict = []] = stdout.trim().split('\n').map((line) => JSON.parse(line) as string[]);
  assert.equal(standard, ['standard', 'd', JSON.stringify([[[1, { payload: 1 }]], []]), 'warm'], stderr);
  for (const [index, what] of strict.entries()) assert.match(what, index === 0 ? /^strict$/ : /max_user_namespaces is 0/);
  assert.is(strict.length, 4);
});

hosts.run();
