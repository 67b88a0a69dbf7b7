import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadPolicy, policies, PolicyInvalid } from '../lib/index.js';

const files = suite('policy-file');
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-policy-')));
const path = join(folder, 'policy.json');
files.after(() => rmSync(folder, { recursive: true, force: true }));

function load(text: unknown): ReturnType<typeof loadPolicy> {
  writeFileSync(path, typeof text === 'string' ? text : JSON.stringify(text));
  return loadPolicy(path);
}

function refusal(text: unknown): PolicyInvalid {
  try {
    load(text);
  } catch (error) {
    return error as PolicyInvalid;
  }
  throw new Error('it was accepted');
}

files('a file is a preset and what is added to it; paths start at its folder', () => {
  const made = load({ preset: 'command', read: ['data', '/abs', '..'], write: ['out'], cwd: '.', environment: { A: 'b' }, limits: { processes: 9 } });
  const same = policies.command({ read: [join(folder, 'data'), '/abs', tmpdir()], write: [join(folder, 'out')], cwd: folder, environment: { A: 'b' }, limits: { processes: 9 } });
  assert.equal(made, same);
  assert.ok(Object.isFrozen(made));
  assert.equal(load({}), policies.command());
  assert.equal(load({ preset: 'node' }), policies.node());
  assert.equal(load({ preset: 'none', read: ['/usr'] }), { read: ['/usr'] });
  assert.equal(loadPolicy(path, { preset: 'node' }), { read: ['/usr'] }, 'the file says which');
  load('\uFEFF{ "level": "standard" }');
  assert.is(loadPolicy(path, { preset: 'none' }).level, 'standard');
});

files('through a symbolic link the folder is the file\'s own', () => {
  mkdirSync(join(folder, 'links'), { recursive: true });
  load({ preset: 'none', read: ['x'] });
  symlinkSync(path, join(folder, 'links', 'policy.json'));
  assert.equal(loadPolicy(join(folder, 'links', 'policy.json')).read, [join(folder, 'x')]);
});

files('a wrong field is refused with its path and the file\'s name', () => {
  const rows: [unknown, string][] = [
    [{ reed: [] }, 'reed'],
    [{ read: 'x' }, 'read'],
    [{ read: ['x', 1] }, 'read[1]'],
    [{ limits: { memory: 1 } }, 'limits.memory'],
    [{ preset: 'nope' }, 'preset'],
    [{ preset: 1 }, 'preset'],
    [{ preset: 'constructor' }, 'preset'],
    [{ interpreter: 'python3' }, 'interpreter'],
    [{ preset: 'python', interpreter: './no/python3' }, 'interpreter'],
    [{ dangerouslyUnconfined: true }, 'dangerouslyUnconfined'],
    ['{"__proto__": {"read": ["/"]}}', '__proto__'],
    [[], ''],
    ['null', ''],
    ['', ''],
    ['{"read": [}', ''],
  ];
  for (const [text, field] of rows) {
    const error = refusal(text);
    assert.equal([error.code, error.path, error.file], ['ERR_POLICY_INVALID', field, path], JSON.stringify(text));
    assert.ok(error.message.startsWith(`${path}: `), error.message);
  }
  assert.match(refusal('{\n  "read": ["x"],\n  oops\n}').message, /line 3, column 3/);
});

files('neither the parser\'s message nor a refusal shows a value of the environment', () => {
  for (const text of ['{"environment": {"KEY": "hunter2"', '{"environment": {"KEY": hunter2}}', '{"environment": {"KEY": "hunter2\\u0000"}}']) {
    const error = refusal(text);
    assert.not.match(`${error.message} ${error.stack} ${String(error.cause)}`, /hunter2/);
  }
});

files('a grant to write the file itself is refused, whatever it is spelt as', () => {
  symlinkSync(folder, join(folder, 'again'));
  for (const write of ['.', 'policy.json', folder, '/', 'again', 'missing/../policy.json']) {
    assert.is(refusal({ write: ['fine', write] }).path, 'write[1]', write);
  }
  load({ write: ['fine', 'policy.json.d'] });
});

files('a file that cannot be read is a system error with its path', () => {
  for (const [name, code] of [['missing', 'ENOENT'], ['.', 'EISDIR']] as const) {
    try {
      loadPolicy(join(folder, name));
      assert.unreachable();
    } catch (error) {
      assert.is((error as NodeJS.ErrnoException).code, code);
    }
  }
  writeFileSync(path, ' '.repeat(2 ** 20 + 1));
  assert.throws(() => loadPolicy(path), /most/);
});

files.run();
