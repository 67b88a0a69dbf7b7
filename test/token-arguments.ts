// A token that reaches a supervisor by its arguments is refused; one that comes another way is not.
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Secret } from '../lib/index.js';
import { TokenIssuer } from '../lib/tokens/index.js';

const handed = suite('token-arguments');
const token = await new TokenIssuer({ key: Secret.fromBytes(randomBytes(64)) }).issue({ sub: '6f9619ff-8b86-4011-b42d-00c04fc964ff', scope: 'workload' });
const credential = `sallyport-worker-${randomBytes(32).toString('base64url')}`;

/** What using it comes to, in a process with these arguments; the token itself comes by the environment. */
function use(value: string, expression: string, args: readonly string[], nodeOptions: readonly string[] = []): string {
  const script = `import { ExecutionApi, Secret, Supervisor } from ${JSON.stringify(new URL('../lib/index.js', import.meta.url).href)};
    const secret = Secret.fromBytes(Buffer.from(process.env.VALUE));
    const baseUrl = 'http://127.0.0.1:1/execution/';
    try { ${expression}; console.log('taken'); } catch (error) { console.log(error.code, error.source ?? ''); if (error.message.includes(process.env.VALUE)) console.log('repeated'); }`;
  const { stdout, stderr } = spawnSync(process.execPath, [...nodeOptions, '--input-type=module', '-e', script, '--', ...args], { env: { VALUE: value }, encoding: 'utf8' });
  return stdout.trim() || stderr;
}
const refused = "ERR_SECRET_REFUSED this process's arguments";
const client = 'new ExecutionApi({ baseUrl, token: secret })';
const exchanged = 'await new ExecutionApi({ baseUrl, attempts: 1 }).firstToken("6f9619ff-8b86-4011-b42d-00c04fc964ff", secret)';

handed('a client takes no token from the arguments, alone or within a workload', () => {
  assert.is(use(token, client, ['--port', '80']), 'taken'); // control
  for (const args of [[token], ['--token', token], [`--token=${token}`], ['--json-string', JSON.stringify({ type: 'ExecuteTask', token })]]) assert.is(use(token, client, args), refused);
  assert.is(use(token, client, [token.slice(0, -1)]), 'taken'); // another one's is none of its business
});

handed('nor does one made of another, or an option of Node', () => {
  const derived = 'new ExecutionApi({ baseUrl }).withToken(secret)';
  assert.is(use(token, derived, []), 'taken');
  assert.is(use(token, derived, [token]), refused);
  assert.is(use(token, client, [], [`--title=${token}`]), refused);
});

handed('nor does a supervisor', () => {
  const workload = { ti: { id: '6f9619ff-8b86-4011-b42d-00c04fc964ff', dag_id: 'd', run_id: 'r', task_id: 't', try_number: 1 }, dag_rel_path: 'x.js', bundle_info: { name: 'dags' } };
  const run = `await new Supervisor({ api: new ExecutionApi({ baseUrl }), bundles: {} }).run(${JSON.stringify(workload)}, { token: secret })`;
  assert.is(use(token, run, [token]), refused);
  assert.is.not(use(token, run, []), refused); // control: it fails later, for there is no such bundle
});

handed("nor is a worker's credential", () => {
  assert.is(use(credential, exchanged, ['--credential', credential]), refused);
  assert.match(use(credential, exchanged, []), 'ERR_UPSTREAM_UNREACHABLE'); // control
});

handed('every user does see them: the control of it all', () => {
  assert.match(execFileSync(process.execPath, ['-e', 'process.stdout.write(require("fs").readFileSync("/proc/self/cmdline"))', token], { encoding: 'utf8' }), token);
});

handed.run();
