import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { policies, type PolicyInvalid } from '../lib/index.js';
import { findPython } from '../lib/policy/python.js';
import { runTask } from './helpers/run-task.js';

const python = suite('python');
const folder = mkdtempSync(join(tmpdir(), 'sallyport-python-'));
python.after(() => rmSync(folder, { recursive: true, force: true }));

const system = '/usr/bin/python3';
const where = 'import sys; print(sys.prefix, sys.base_prefix)';

function program(path: string, text: string): string {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

/** With other variables; what was there before is put back. */
function within<T>(variables: Record<string, string>, act: () => T): T {
  const before = { ...process.env };
  Object.assign(process.env, variables);
  try {
    return act();
  } finally {
    process.env = before;
  }
}

python('the one that the PATH names runs, with its library, and says of itself what it says unconfined', async () => {
  const policy = policies.python();
  const locked = await runTask(['python3', '-c', `import ssl, sqlite3, json; ${where}`], { policy });
  const open = spawnSync('python3', ['-c', where], { encoding: 'utf8', env: { PATH: policy.environment?.['PATH'] ?? '' } });
  assert.is(locked.stdout, open.stdout, locked.stderr);
});

python('a virtual environment: its packages and console scripts, not its neighbours', async () => {
  const venv = join(folder, 'project', '.venv');
  const made = spawnSync(system, ['-m', 'venv', '--without-pip', venv], { encoding: 'utf8' });
  assert.is(made.status, 0, made.stderr);
  const version = spawnSync(system, ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])'], { encoding: 'utf8' }).stdout.trim();
  program(join(venv, 'lib', `python${version}`, 'site-packages', 'greeting.py'), 'word = "hello"');
  program(join(venv, 'bin', 'greet'), `#!${join(venv, 'bin', 'python3')}\nimport greeting; print(greeting.word)`);
  writeFileSync(join(folder, 'project', 'secret.py'), 'word = "secret"');
  const policy = policies.python({}, { interpreter: join(venv, 'bin', 'python3') });
  assert.is((await runTask(['python3', '-c', `import greeting; print(greeting.word); ${where}`], { policy })).stdout, `hello\n${venv} /usr\n`);
  assert.is((await runTask(['greet'], { policy })).stdout, 'hello\n');
  const stolen = await runTask(['python3', '-c', `import sys; sys.path.insert(0, ${JSON.stringify(join(folder, 'project'))}); import secret`], { policy });
  assert.match(stolen.stderr, /Permission denied|No module named/);
  const open = spawnSync(system, ['-c', `import sys; sys.path.insert(0, ${JSON.stringify(join(folder, 'project'))}); import secret; print(secret.word)`], { encoding: 'utf8' });
  assert.is(open.stdout, 'secret\n', 'control');
  within({ PATH: `${join(venv, 'bin')}:${process.env['PATH'] ?? ''}` }, () => assert.is(findPython('python3').executable, join(venv, 'bin', 'python3'), 'an activated one comes first'));
});

python("behind pyenv's shims: the version that pyenv would take, and nothing is run", () => {
  const root = join(folder, 'pyenv');
  const ran = join(folder, 'ran');
  const shim = program(join(root, 'shims', 'python3'), `#!/bin/sh\ntouch ${ran}\n`);
  for (const version of ['3.9.2', '3.10.4', '3.10.11']) {
    mkdirSync(join(root, 'versions', version, 'bin'), { recursive: true });
    symlinkSync(system, join(root, 'versions', version, 'bin', 'python3'));
  }
  const chosen = (variables: Record<string, string>): string => within({ PATH: `${join(root, 'shims')}:/usr/bin`, ...variables }, () => findPython('python3').executable);
  const at = (version: string): string => join(root, 'versions', version, 'bin', 'python3');
  assert.is(chosen({ PYENV_VERSION: '3.9.2' }), at('3.9.2'));
  assert.is(chosen({ PYENV_VERSION: '3.10' }), at('3.10.11'), 'the newest of a prefix');
  assert.is(chosen({ PYENV_VERSION: 'system' }), system);
  assert.is(chosen({ PYENV_VERSION: '../../../../tmp' }), system);
  assert.not.ok(existsSync(ran));
  spawnSync(shim);
  assert.ok(existsSync(ran), 'control');
});

python('what is missing, no program, or a script that hides one is refused by name', () => {
  const rows = ['/does/not/exist', folder, 'no-such-python', program(join(folder, 'wrapper'), '#!/bin/sh\nexec python3 "$@"\n')];
  for (const interpreter of rows) {
    try {
      within({ PATH: '/usr/bin' }, () => policies.python({}, { interpreter }));
      assert.unreachable(interpreter);
    } catch (error) {
      assert.equal([(error as PolicyInvalid).code, (error as PolicyInvalid).path], ['ERR_POLICY_INVALID', 'interpreter'], interpreter);
    }
  }
});

python('a binary outside of any installation brings no folder along', () => {
  mkdirSync(join(folder, 'home', 'bin'), { recursive: true });
  const { execute, read } = findPython(spawnSync('cp', [system, join(folder, 'home', 'bin', 'python3')]).status === 0 ? join(folder, 'home', 'bin', 'python3') : '');
  assert.equal(execute, [join(folder, 'home', 'bin', 'python3')]);
  assert.not.ok(read.some((path) => path.startsWith(folder)));
});

python.run();
