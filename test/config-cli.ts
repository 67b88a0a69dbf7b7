// `sallyport config`, as a shell has it: this environment's variables, a file, an exit code.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { asEachUser, asWeAre, cli } from './helpers/cli.js';

const commands = suite('config-cli');

interface Checked {
  role: string;
  file: string | null;
  ok: boolean;
  securityIsolation: boolean;
  findings: { rule: string; severity: string; option?: string; place: string; problem: string; remedy: string; role: string }[];
  secrets: string[];
}

/** A home that whoever runs the command owns, for both users: each makes it for itself. */
const inHome = ['sh', '-c', 'home=$(mktemp -d) && trap \'rm -rf "$home"\' EXIT && cd "$home" && umask 077 && printf %s "$CFG" > airflow.cfg && HOME=$home "$@"', 'sh'] as const;

commands('check: what may start does, what must not says all there is to say, and no value', async () => {
  await asEachUser(async (words, who) => {
    // The words that become uid 65534 come first, so that the home is that user's.
    const split = words.indexOf(process.execPath);
    const check = (environment: Record<string, string>, cfg: string, ...args: string[]) =>
      cli([...words.slice(0, split), ...inHome, ...words.slice(split)] as unknown as typeof words, ['config', 'check', '--config', 'airflow.cfg', '--json', ...args], { env: { CFG: cfg, AIRFLOW_HOME: '', ...environment } });

    const good = await check({ AIRFLOW__API_AUTH__JWT_SECRET: 'hunter2' }, '[scheduler]\ntask_queued_timeout = 600.0\n', '--role', 'scheduler');
    const may = JSON.parse(good.stdout) as Checked;
    assert.equal([good.code, may.ok, may.secrets, may.findings], [0, true, ['api_auth.jwt_secret'], []], `${who}: ${good.stderr}`);

    const bad = await check({ AIRFLOW__API_AUTH__JWT_SECRET: 'hunter2', AIRFLOW__CORE__FERNET_KEY_CMD: 'echo hunter2' }, '[database]\nsql_alchemy_conn = hunter2\n', '--role', 'worker');
    const mayNot = JSON.parse(bad.stdout) as Checked;
    assert.equal([bad.code, mayNot.ok, mayNot.secrets], [1, false, []], who);
    assert.equal(mayNot.findings.map(({ rule, option }) => `${rule} ${option}`).sort(), ['command core.fernet_key_cmd', 'secret-in-file database.sql_alchemy_conn', 'wrong-role api_auth.jwt_secret', 'wrong-role database.sql_alchemy_conn'], who);
    assert.ok(mayNot.findings.every(({ severity, role, place, remedy }) => severity === 'refused' && role === 'worker' && place !== '' && remedy !== ''));
    assert.not.match(bad.stdout + bad.stderr, /hunter2/);

    const off = await check({ AIRFLOW__API_AUTH__JWT_SECRET: 'hunter2', AIRFLOW__SALLYPORT__SECURITY_ISOLATION: 'False' }, '', '--role', 'worker');
    const warned = JSON.parse(off.stdout) as Checked;
    assert.equal([off.code, warned.ok, warned.securityIsolation, warned.findings.map(({ severity }) => severity)], [0, true, false, ['warning']], who);
  });
});

commands('as text it names option, place and remedy, and the home directory that is too open', async () => {
  const home = mkdtempSync(join(tmpdir(), 'sallyport-home-'));
  try {
    mkdirSync(join(home, 'airflow'), { mode: 0o755 });
    writeFileSync(join(home, 'airflow/airflow.cfg'), '[core]\nfernet_key = hunter2\n', { mode: 0o600 });
    const env = { HOME: home, AIRFLOW_HOME: '', AIRFLOW_CONFIG: '', NO_COLOR: '1' };
    const { code, stdout } = await cli(asWeAre, ['config', 'check', '--role', 'worker'], { env });
    assert.is(code, 1);
    for (const text of ['worker: must not start: 1 refused', 'core.fernet_key', 'airflow.cfg:2', 'AIRFLOW__CORE__FERNET_KEY']) assert.ok(stdout.includes(text), stdout);
    assert.not.match(stdout, /hunter2/);
    const plain = await cli(asWeAre, ['config', 'check', '--role', 'worker', '--config', '/dev/null'], { env });
    assert.is(plain.code, 1, 'no regular file');
    rmSync(join(home, 'airflow'), { recursive: true });
    const control = await cli(asWeAre, ['config', 'check', '--role', 'worker'], { env });
    assert.is(control.code, 0, control.stdout);
    chmodSync(home, 0o770);
    const open = await cli(asWeAre, ['config', 'check', '--role', 'worker'], { env });
    assert.is(open.code, 1);
    assert.ok(open.stdout.includes(`refused  ${home}`) && open.stdout.includes('chmod go-w'), open.stdout);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});

commands('a secret that `sallyport exec` hands over is the role\'s, or refused, and comes before a variable', async () => {
  const home = mkdtempSync(join(tmpdir(), 'sallyport-home-'));
  try {
    const names = ['AIRFLOW__API_AUTH__JWT_SECRET', 'AIRFLOW__CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS__SENTINEL_KWARGS', 'OTHER'];
    writeFileSync(join(home, 'secret'), 'hunter2', { mode: 0o600 });
    const check = async (role: string, environment: Record<string, string> = {}): Promise<Checked & { code: number | null }> => {
      const args = ['exec', ...names.flatMap((name) => ['--secret', `${name}=file:${join(home, 'secret')}`]), '--', ...asWeAre, 'config', 'check', '--role', role, '--json'];
      const { code, stdout, stderr } = await cli(asWeAre, args, { env: { HOME: home, AIRFLOW_HOME: '', AIRFLOW_CONFIG: '', ...environment } });
      assert.not.match(stdout + stderr, /hunter2/);
      assert.not.equal(stdout, '', stderr);
      return { code, ...(JSON.parse(stdout) as Checked) };
    };
    const both = ['api_auth.jwt_secret', 'celery_result_backend_transport_options.sentinel_kwargs'];
    const may = await check('scheduler', { AIRFLOW__API_AUTH__JWT_SECRET: 'x' });
    assert.equal([may.code, may.secrets, may.findings], [0, both, []]);
    const mayNot = await check('worker');
    assert.equal([mayNot.code, mayNot.findings.map(({ rule, option, place }) => `${rule} ${option}, ${place}`)], [1, [`wrong-role api_auth.jwt_secret, sallyport exec --secret ${names[0]}`]]);
    const garbage = await cli(asWeAre, ['config', 'check', '--role', 'worker', '--json'], { env: { HOME: home, AIRFLOW_HOME: '', AIRFLOW_CONFIG: '', SALLYPORT_SECRETS: 'nonsense' } });
    assert.equal([garbage.code, (JSON.parse(garbage.stdout) as Checked).findings.map(({ rule, place }) => `${rule} ${place}`)], [1, ['value SALLYPORT_SECRETS']]);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});

commands('defaults: the same as a file and as JSON', async () => {
  const text = await cli(asWeAre, ['config', 'defaults', '--role', 'triggerer']);
  assert.is(text.code, 0);
  assert.match(text.stdout, /^\[triggerer\]$/m);
  assert.not.match(text.stdout, /jwt_secret|sql_alchemy_conn/);
  const json = await cli(asWeAre, ['config', 'defaults', '--role', 'triggerer', '--json']);
  const rows = JSON.parse(json.stdout) as { section: string; key: string; value?: string; variable?: string }[];
  for (const { key, value, variable } of rows) assert.ok(text.stdout.includes(variable ?? (value === undefined ? `# ${key} =` : `${key} = ${value}`.trimEnd())), key);
});

commands('wrong arguments are exit code 2', async () => {
  for (const args of [[], ['check'], ['check', '--role', 'flower'], ['defaults', '--role', 'worker', '--config', 'x'], ['what', '--role', 'worker'], ['check', 'defaults', '--role', 'worker'], ['check', '--role', 'worker', '--what']]) {
    const { code, stderr } = await cli(asWeAre, ['config', ...args]);
    assert.is(code, 2, args.join(' '));
    assert.match(stderr, /^sallyport config: /);
  }
});

commands.run();
