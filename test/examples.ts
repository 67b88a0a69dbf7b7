// Each example as its first line says to run it, from a folder that has nothing to do with it;
// and what README quotes of it.

import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const examples = suite('examples');
const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

function run(path: string, environment: NodeJS.ProcessEnv = {}): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [join(root, path)], { cwd: tmpdir(), encoding: 'utf8', env: { ...process.env, ...environment } });
}

examples('signer: the task gets a signature, and not the key', () => {
  const { status, stdout, stderr } = run('examples/signer/supervisor.mjs', { SIGNING_KEY: 'abc' });
  assert.is(status, 0, stderr);
  // echo -n 'an invoice' | openssl dgst -sha256 -hmac abc
  assert.match(stdout, /^signed: 6d89ba49351cf7934a306b31950a7d8ee900f894df72b0c65ce04a6b957e9f25$/m);
  assert.match(stdout, /^the supervisor's environment: EACCES$/m);
  assert.match(stdout, /^\{ kind: 'exited', exitCode: 0 \}$/m);
});

examples('signer: without the key in its environment it does not start the task', () => {
  const { status, stdout, stderr } = run('examples/signer/supervisor.mjs', { SIGNING_KEY: undefined });
  assert.is(status, 1);
  assert.is(stdout, '');
  assert.match(stderr, /SIGNING_KEY/);
});

examples('airflow: the task succeeds, its lines arrive, its result is stored', () => {
  const { status, stdout, stderr } = run('examples/airflow/supervisor.mjs');
  assert.is(status, 0, stderr);
  assert.equal(stdout.trim().split('\n'), [
    'stdout: connecting to warehouse.example',
    "success { kind: 'exited', exitCode: 0 }",
    'return_value: Good morning, warehouse.example',
  ]);
});

examples('workflows: what a file defines is run in order, each task with what it declares', () => {
  const { status, stdout, stderr } = run('examples/workflows/run.mjs');
  assert.is(status, 0, stderr);
  assert.equal(stdout.trim().split('\n'), ['daily_sales.extract: success', '  12 sold in the north', '  salaries: ERR_BROKER_DENIED', 'daily_sales.report: success']);
});

examples('deferral: a file is waited for without a process, and the task goes on with the event', () => {
  const { status, stdout, stderr } = run('examples/deferral/run.mjs');
  assert.is(status, 0, stderr);
  const lines = stdout.trim().split('\n');
  assert.equal(lines.toSorted(), ['  2 rows in today.csv', 'task load: deferred', 'task load: success', 'trigger triggers/file.mjs#arrives: begun', 'trigger triggers/file.mjs#arrives: fired']);
  assert.is(lines.at(-1), 'task load: success');
});

examples('job queue: results arrive, an endless job ends, a curious one finds nothing', () => {
  const { status, stdout, stderr } = run('examples/job-queue/worker.mjs');
  assert.is(status, 0, stderr);
  const [counted, endless, curious, ...found] = stdout.trimEnd().split('\n');
  assert.is(counted, '1 count-words.mjs: done {"words":6}');
  assert.match(endless ?? '', /^2 endless\.mjs: failed: the task ran longer than wallTimeMs allows/);
  assert.is(curious, '3 curious.mjs: done "nothing found"');
  assert.is(found.length, 6, stdout);
  for (const line of found) assert.match(line, /^ {2}[^:]+: (EACCES|EPERM|ERR_BROKER_DENIED)$/);
});

examples('plug-in host: one answers, one looks around in vain, one crashes, and the host goes on', () => {
  const { status, stdout, stderr } = run('examples/plugin-host/host.mjs');
  assert.is(status, 0, stderr);
  const lines = stdout.trimEnd().split('\n');
  const spied = (call: string): RegExp => new RegExp(`^spy\\(${call}\\) = \\{("[^"]+":"(EACCES|ERR_BROKER_DENIED|ignored)",?){5}\\}$`);
  assert.is(lines[0], 'shout(one) = hello ONE!');
  assert.match(lines[1] ?? '', spied('one'));
  assert.is(lines[2], 'crash(one) = (the plug-in ended: SIGABRT)');
  assert.is(lines[3], 'shout(two) = hello TWO!');
  assert.match(lines[4] ?? '', spied('two'));
  assert.is(lines[5], 'crash(two) = (the plug-in ended before)');
});

examples("an agent's tool runner: ordinary commands work, the others are told about and harm nobody", () => {
  const { status, stdout, stderr } = run('examples/tool-runner/agent.mjs');
  assert.is(status, 0, stderr);
  const [sums, commits, floods, sleeps, steals, calls, leaves] = stdout.trim().split('\n\n');
  assert.match(sums ?? '', /\n {2}6\n {2}\[exit code 0\]$/);
  assert.match(commits ?? '', /\n {2}one\n {2}\[exit code 0\]$/);
  assert.match(floods ?? '', /\[ended: the task went past its limit of outputBytes\]$/);
  assert.match(sleeps ?? '', /\[ended: the task ran longer than wallTimeMs allows/);
  assert.match(steals ?? '', /environ: Permission denied[^]*kill: [^]*not permitted[^]*home[^]*Permission denied/);
  assert.match(calls ?? '', /\n {2}no network\n/);
  assert.match(leaves ?? '', /\n {2}left behind\n {2}\[exit code 0\]$/);
  assert.is(spawnSync('pgrep', ['-xf', 'sleep 86399']).status, 1);
});

examples('each says on its first line how to run it', () => {
  for (const path of ['examples/signer/supervisor.mjs', 'examples/airflow/supervisor.mjs', 'examples/job-queue/worker.mjs', 'examples/plugin-host/host.mjs', 'examples/tool-runner/agent.mjs', 'examples/bullmq/worker.mjs']) {
    const [first = ''] = read(path).split('\n');
    assert.ok(first.startsWith('// ') && first.endsWith(`node ${path}`), first);
  }
});

examples('what README quotes of airflow stands in its files', () => {
  const section = read('README.md').split("**Run Airflow's task instances.**")[1]?.split('\n## ')[0] ?? '';
  const quoted = [...section.matchAll(/```js\n([^]*?)```/g)].map((match) => match[1] ?? '');
  assert.is(quoted.length, 2);
  assert.ok(read('examples/airflow/supervisor.mjs').includes(quoted[0] ?? ''), quoted[0]);
  assert.is(read('examples/airflow/tasks/greet.mjs'), quoted[1]);
});

examples.run();
