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

examples('each says on its first line how to run it', () => {
  for (const path of ['examples/signer/supervisor.mjs', 'examples/airflow/supervisor.mjs']) {
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
