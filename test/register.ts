import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const register = suite('register');
const url = new URL('../lib/register.js', import.meta.url).href;
const fixture = fileURLToPath(new URL('fixtures/registered.js', import.meta.url));

function run(node: readonly string[], env: Record<string, string> = {}) {
  return spawnSync(process.execPath, [...node, fixture], { encoding: 'utf8', env: { ...process.env, ...env } });
}

register('hardens before anything of the program loads, worker threads included', () => {
  const control = run([]);
  assert.equal(JSON.parse(control.stdout), { whileLoading: 1, environ: 'leaked', worker: 'works' });
  const hardened = run(['--import', url], { SALLYPORT_CANARY: 'x' });
  assert.equal([hardened.status, hardened.stderr], [0, '']);
  const { whileLoading, environ, worker } = JSON.parse(hardened.stdout) as Record<string, unknown>;
  assert.equal([whileLoading, worker], [0, 'works']);
  assert.is.not(environ, 'leaked');
});

register('what does not hold ends the process, with the cause, before the program runs', () => {
  const refused = run(['--import', url, '--inspect=127.0.0.1:0']);
  assert.is(refused.status, 1);
  assert.is(refused.stdout, '');
  assert.match(refused.stderr, /sallyport: .*"debugger".*ERR_ENFORCEMENT_PARTIAL/);
});

register.run();
