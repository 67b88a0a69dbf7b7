import { defaults, defaultsAsFile } from '../config/defaults.js';
import { loadConfig, roles, type Role } from '../config/index.js';
import { ConfigRefused, type ConfigFinding } from '../errors.js';
import { commandLine, usageError } from './command-line.js';
import { columnsOf, paintFor, wrappedRow } from './table.js';

const usage = `usage: sallyport config check --role ROLE [--config FILE] [--json]
       sallyport config defaults --role ROLE [--json]

check: says all that is wrong with what a role would be started with: this
environment's AIRFLOW__SECTION__KEY variables, and the file that Airflow would
read. Values are not printed.
defaults: prints an airflow.cfg for that role alone, without secrets, and where
those come from.

  --role ROLE      ${roles.join(', ')}
  --config FILE    AIRFLOW_CONFIG by default, else airflow.cfg in AIRFLOW_HOME,
                   else ~/airflow
  --json           check: {"role","file","ok","securityIsolation","findings":[{
                   "rule","severity","option","place","problem","remedy"}],
                   "secrets"}
                   defaults: [{"section","key","value","variable","what"}]

Exit code of check 0: the role may start with it, perhaps with warnings. 1: it
may not.
`;

export async function run(args: string[]): Promise<number> {
  const given = commandLine(args, usage, { role: { type: 'string' }, config: { type: 'string' }, json: { type: 'boolean', default: false } }, { allowPositionals: true });
  if (given === undefined) return 0;
  const { values, positionals } = given;
  const [action, ...more] = positionals;
  if ((action !== 'check' && action !== 'defaults') || more.length > 0) throw usageError('what is wanted is check or defaults; --help says more');
  const role = values.role as Role | undefined;
  if (role === undefined || !roles.includes(role)) throw usageError(`--role is one of ${roles.join(', ')}`);
  if (action === 'check') return check(role, values.config, values.json);
  if (values.config !== undefined) throw usageError('--config is for check');
  process.stdout.write(values.json ? `${JSON.stringify(defaults(role), null, 2)}\n` : defaultsAsFile(role));
  return 0;
}

interface Checked {
  readonly role: Role;
  readonly file: string | null;
  readonly ok: boolean;
  readonly securityIsolation: boolean;
  readonly findings: readonly ConfigFinding[];
  /** Names of the secrets that the role would have. */
  readonly secrets: readonly string[];
}

function check(role: Role, file: string | undefined, json: boolean): number {
  const checked = looked(role, file);
  process.stdout.write(json ? `${JSON.stringify({ ...checked, findings: checked.findings.map((finding) => ({ ...finding, option: finding.option ?? null })) }, null, 2)}\n` : asText(checked));
  return checked.ok ? 0 : 1;
}

function looked(role: Role, file: string | undefined): Checked {
  try {
    using config = loadConfig({ role, ...(file !== undefined && { file }) });
    return { role, file: config.file ?? null, ok: true, securityIsolation: config.securityIsolation, findings: config.warnings, secrets: config.secretNames };
  } catch (error) {
    if (!(error instanceof ConfigRefused)) throw error;
    return { role, file: error.file ?? null, ok: false, securityIsolation: error.securityIsolation, findings: error.findings, secrets: [] };
  }
}

function asText({ role, file, ok, securityIsolation, findings, secrets }: Checked): string {
  const paint = paintFor(process.stdout);
  const columns = columnsOf(process.stdout);
  const refused = findings.filter(({ severity }) => severity === 'refused').length;
  const lines = [
    `${paint('bold', role)}: ${ok ? paint('green', 'may start') : paint('red', `must not start: ${refused} refused`)}${securityIsolation ? '' : `, ${paint('yellow', 'security isolation is off')}`}`,
    `  ${file === null ? 'variables alone, no file' : `variables and ${file}`}`,
    ...(secrets.length === 0 ? [] : [wrappedRow(['secrets:', secrets.join(', ')], [8], columns)]),
    ...findings.flatMap(({ severity, option, place, problem, remedy }) => [
      '',
      `  ${paint(severity === 'refused' ? 'red' : 'yellow', severity)}  ${option === undefined ? place : `${paint('bold', option)}, ${place}`}`,
      wrappedRow(['', `${problem};`], [7], columns),
      wrappedRow(['', `${remedy}.`], [7], columns),
    ]),
  ];
  return `${lines.join('\n')}\n`;
}
