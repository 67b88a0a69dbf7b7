import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ConfigRefused, launch, loadConfig, policies, type LoadConfigOptions } from '../lib/index.js';
import { defaults, defaultsAsFile } from '../lib/config/defaults.js';
import { keyFileOptions, roles, sensitiveOptions } from '../lib/config/options.js';
import { sallyportOptions } from '../lib/config/sallyport.js';
import { withReadableCopy } from './helpers/unprivileged.js';

const config = suite('config');
const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const fixtures = fileURLToPath(new URL('fixtures', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'sallyport-config-'));
config.after(() => rmSync(folder, { recursive: true, force: true }));

interface Case {
  name: string;
  told: string[];
  found: string[];
  refused?: true;
  whole?: boolean;
  lines?: number;
  severities?: string[];
  has?: string[];
  secret?: string[];
  none?: string[];
  expected?: { has: string[]; secret: string[]; none: string[] };
  printed: string;
}

/** Every case of a folder, in one process of its own: as we are, or as uid 65534 in a copy. */
function run(words: readonly string[], lib: string, cases: string): Case[] {
  const [program = '', ...rest] = words;
  const { stdout, stderr } = spawnSync(program, [...rest, join(cases, 'config-cases.js'), lib, join(cases, 'config'), join(cases, 'run')], { encoding: 'utf8' });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as Case[];
}

/** As each user: once, and for root as uid 65534 too. */
async function asEachUser(kind: 'good' | 'bad', use: (cases: Case[], who: string) => void): Promise<void> {
  const copies = mkdtempSync(join(tmpdir(), 'sallyport-cases-'));
  const copy = (): string => {
    const cases = mkdtempSync(join(copies, 'of-'));
    cpSync(join(fixtures, 'config', kind), join(cases, 'config'), { recursive: true });
    for (const name of ['config-cases.js', 'say.js']) cpSync(join(fixtures, name), join(cases, name));
    mkdirSync(join(cases, 'run'));
    writeFileSync(join(cases, 'package.json'), '{ "type": "module" }');
    return cases;
  };
  try {
    use(run([process.execPath], join(root, 'lib'), copy()), process.getuid?.() === 0 ? 'root' : `uid ${process.getuid?.()}`);
    if (process.getuid?.() !== 0) return;
    await withReadableCopy(root, async (installed, unprivileged) => {
      const cases = copy();
      spawnSync('chown', ['-R', '65534:65534', copies]);
      use(run([...unprivileged, process.execPath], join(installed, 'lib'), cases), 'uid 65534');
    });
  } finally {
    rmSync(copies, { recursive: true, force: true });
  }
}

config('good configurations load, with their values and secrets, as root and as an ordinary user', async () => {
  await asEachUser('good', (cases, who) => {
    assert.is(cases.length, readdirSync(join(fixtures, 'config/good')).length);
    for (const { name, told, found, refused, severities, has, secret, none, expected, printed } of cases) {
      assert.is(refused, undefined, `${who}, ${name}: ${printed}`);
      assert.equal(found.sort(), told.sort(), `${who}, ${name}`);
      assert.ok(severities?.every((severity) => severity === 'warning'), name);
      assert.equal({ has, secret, none }, expected, `${who}, ${name}`);
      assert.not.match(printed, /hunter2/, name);
    }
  });
});

config('bad ones are refused for each of their mistakes at once, and none of their values is told', async () => {
  await asEachUser('bad', (cases, who) => {
    assert.is(cases.length, readdirSync(join(fixtures, 'config/bad')).length);
    for (const { name, told, found, refused, whole, lines, printed } of cases) {
      assert.is(refused, true, `${who}, ${name} was accepted`);
      assert.equal(found.sort(), told.sort(), `${who}, ${name}`);
      assert.ok(whole, `${name}: each says option, place, role and remedy`);
      assert.ok((lines ?? 0) >= 1 && (lines ?? 0) <= told.length, name);
      assert.not.match(printed, /hunter2/, name);
    }
  });
});

const load = (options: Partial<LoadConfigOptions>): ReturnType<typeof loadConfig> => loadConfig({ role: 'worker', file: false, environment: { HOME: folder }, ...options });

function rules(options: Partial<LoadConfigOptions>): string[] {
  try {
    load(options)[Symbol.dispose]();
    return [];
  } catch (error) {
    if (!(error instanceof ConfigRefused)) throw error;
    return error.findings.map(({ rule, option }) => `${rule} ${option}`);
  }
}

config('each role may have what the table says, and nothing else of it', () => {
  for (const role of roles) {
    for (const { section, key, roles: those, database } of sensitiveOptions) {
      for (const throughApi of ['True', 'False']) {
        const variable = `AIRFLOW__${section.toUpperCase()}__${key.toUpperCase()}`;
        const found = rules({ role, environment: { HOME: folder, [variable]: 'x', AIRFLOW__SALLYPORT__THROUGH_API: throughApi } });
        const may = those.includes(role) && !(database === true && throughApi === 'True' && ['dag-processor', 'triggerer'].includes(role));
        assert.equal(found, may ? [] : [`wrong-role ${section}.${key}`], `${role} ${variable} ${throughApi}`);
      }
    }
  }
});

config("a role's defaults are a configuration that it may start with, hold no secret, and say where each comes from", () => {
  for (const role of roles) {
    const file = join(folder, `${role}.cfg`);
    const text = defaultsAsFile(role);
    writeFileSync(file, text, { mode: 0o600 });
    const loaded = load({ role, file });
    assert.equal(loaded.warnings, [], role);
    assert.equal(loaded.secretNames, [], role);
    assert.is(loaded.sallyport.throughApi, true);
    for (const { section, key, value, variable } of defaults(role)) {
      if (variable !== undefined) assert.ok(value === undefined && text.includes(`# ${key}: `) && text.includes(variable), `${role}: ${key}`);
      else assert.is(loaded.get(section, key), value, `${role}: ${section}.${key}`);
    }
    const set = text.split('\n').filter((line) => /^[a-z]/.test(line)).map((line) => line.split(' =')[0]);
    assert.equal(set.filter((key) => sensitiveOptions.some((option) => option.key === key)), [], role);
  }
  assert.ok(defaults('scheduler').some(({ variable }) => variable === 'AIRFLOW__API_AUTH__JWT_SECRET'));
  assert.not.ok(defaults('worker').some(({ key }) => key === 'jwt_secret'));
});

config('the file is the one that Airflow would read', () => {
  const home = mkdtempSync(join(folder, 'home-'));
  const at = (path: string, port: string): string => {
    const file = join(home, path);
    spawnSync('mkdir', ['-p', '-m', '755', join(file, '..')]);
    writeFileSync(file, `[api]\nport = ${port}\n`, { mode: 0o600 });
    return file;
  };
  const port = (environment: Record<string, string>, file?: string | false): string | undefined => loadConfig({ role: 'worker', ...(file !== undefined && { file }), environment: { HOME: home, ...environment } }).get('api', 'port');
  assert.is(port({}), undefined);
  at('airflow/airflow.cfg', '1');
  assert.is(port({}), '1');
  at('elsewhere/airflow.cfg', '2');
  assert.is(port({ AIRFLOW_HOME: '~/elsewhere' }), '2');
  const third = at('third.cfg', '3');
  assert.is(port({ AIRFLOW_HOME: '~/elsewhere', AIRFLOW_CONFIG: '$HOME/third.cfg' }), '3');
  assert.is(port({ AIRFLOW_CONFIG: '/nowhere' }, third), '3');
  assert.is(port({ AIRFLOW_CONFIG: third }, false), undefined);
  assert.equal(rules({ file: join(home, 'missing.cfg'), securityIsolation: false }), ['missing undefined']);
  assert.equal(rules({ file: home }), ['missing undefined']);
  spawnSync('mkfifo', ['-m', '600', join(home, 'pipe')]);
  assert.equal(rules({ file: join(home, 'pipe') }), ['missing undefined']);
  writeFileSync(join(home, 'large.cfg'), '#'.repeat(2 ** 20 + 1), { mode: 0o600 });
  assert.equal(rules({ file: join(home, 'large.cfg') }), ['missing undefined']);
});

config('values are text, booleans and numbers as Airflow reads them; a secret is not got as text', () => {
  const made = load({ environment: { HOME: folder, AIRFLOW__A__YES: 'T', AIRFLOW__A__NO: '0', AIRFLOW__A__ODD: 'on', AIRFLOW__A__N: ' 1.5e3', AIRFLOW__A__INF: 'Infinity', AIRFLOW__CORE__FERNET_KEY: 'x', AIRFLOW__A_B__C: 'd' } });
  assert.equal([made.getBoolean('a', 'yes'), made.getBoolean('A', 'NO'), made.getBoolean('a', 'none')], [true, false, undefined]);
  assert.equal([made.getNumber('a', 'n'), made.getNumber('a', 'none'), made.get('a.b', 'c')], [1500, undefined, 'd']);
  const code = (use: () => unknown): string | undefined => {
    try {
      use();
      return undefined;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code;
    }
  };
  for (const use of [() => made.getBoolean('a', 'odd'), () => made.getNumber('a', 'inf'), () => made.getNumber('a', 'yes'), () => made.get('core', 'fernet_key'), () => made.get('x', 'password')]) assert.is(code(use), 'ERR_OUT_OF_RANGE');
  const secret = made.getSecret('core', 'fernet_key');
  assert.is(secret?.byteLength, 1);
  assert.is(made.getSecret('core', 'executor'), undefined);
  made[Symbol.dispose]();
  assert.is(code(() => secret?.use(() => 1)), 'ERR_SECRET_DESTROYED');
  for (const wrong of [undefined, {}, { role: 'flower' }, { role: 'worker', fil: 'x' }, { role: 'worker', file: '' }]) assert.ok(['ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_TYPE'].includes(code(() => loadConfig(wrong as never)) ?? ''), JSON.stringify(wrong));
  for (const wrong of [{ securityIsolation: 'yes' }, { file: 7 }, { environment: { A: 1 } }, { environment: 'x' }]) assert.is(code(() => load(wrong as never)), 'ERR_INVALID_ARG_TYPE', JSON.stringify(wrong));
});

config('docs/configuration.md has each option with its roles, each rule, and the options of our own', () => {
  const page = readFileSync(join(root, 'docs/configuration.md'), 'utf8');
  const cells = (pattern: RegExp): string[][] => [...page.matchAll(pattern)].map(([line]) => line.split('|').slice(1, -1).map((cell) => cell.trim()));
  const rows = [...sensitiveOptions, ...keyFileOptions].map((option) => [
    `\`${option.section}.${option.key}\``,
    option.what,
    ...roles.map((role) => (!option.roles.includes(role) ? '' : 'database' in option && (role === 'dag-processor' || role === 'triggerer') ? 'db' : 'yes')),
  ]);
  assert.equal(cells(/^\| `\w+\.\w+`.*$/gm), rows);
  const own = Object.entries(sallyportOptions).map(([key, { fallback, what }]) => [`\`${key}\``, fallback === '' ? 'none' : `\`${fallback}\``, what]);
  assert.equal(cells(/^\| `\w+` \| (`\w+`|none) \|.*$/gm), own);
  const told = new Set(readdirSync(join(fixtures, 'config/bad')).flatMap((name) => [...readFileSync(join(fixtures, 'config/bad', name), 'latin1').matchAll(/^# finds: (\S+)/gm)].map(([, rule]) => rule ?? '')));
  const documented = cells(/^\| `[\w-]+` \| .* \| (refused|warning.*) \|$/gm).map(([rule]) => rule?.replaceAll('`', '') ?? '');
  assert.equal(documented.sort(), [...told].sort(), 'each rule has a case in which it refuses');
});

config('a file that was read is not for tasks to change', async () => {
  const home = mkdtempSync(join(folder, 'guarded-'));
  const file = join(home, 'airflow.cfg');
  writeFileSync(file, '[core]\nexecutor = CeleryExecutor\n', { mode: 0o600 });
  const policy = policies.command({ write: [home] });
  const task = await launch(['true'], { policy });
  assert.equal(await task.exited, { kind: 'exited', exitCode: 0 }); // control
  load({ file });
  try {
    await launch(['true'], { policy });
    assert.unreachable();
  } catch (error) {
    assert.equal([(error as NodeJS.ErrnoException).code, (error as { path: string }).path], ['ERR_POLICY_INVALID', 'write[0]']);
    assert.match((error as Error).message, /configuration .*'code'/);
  }
  const reads = await launch(['cat', file], { policy: policies.command({ read: [file] }) });
  assert.equal(await reads.exited, { kind: 'exited', exitCode: 0 });
});

config.run();
