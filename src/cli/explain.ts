import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { EnforcementPartial } from '../errors.js';
import type { Guarantee } from '../guarantees.js';
import { probe, strictProbe, type Probe } from '../kernel/probe.js';
import { taskGuarantees } from '../policy/enforcement.js';
import { plan, type Plan } from '../policy/plan.js';
import type { Policy } from '../policy/policy.js';
import { fromPreset } from '../policy/policy-file.js';
import { commandLine, usageError } from './command-line.js';
import { asSections, described, type Description, type Fact } from './plan-description.js';
import { policyHelp, policyOptions, request, split, type Request } from './policy-options.js';
import { columnsOf, paintFor, wrappedRow, type Paint, type Style } from './table.js';

const usage = `usage: sallyport explain [options] [--] [COMMAND [ARGUMENT ...]]

Prints what a task may do under a policy on this host, and what each guarantee
rests on. Nothing is started and nothing is changed. The options are those of
\`sallyport run\`.

${policyHelp}
  --abi N                as if this kernel had Landlock ABI N; 0: none
  --host FILE            for another host: FILE is "host" of its
                         \`sallyport explain --json\`
  --json                 print the plan as one JSON object

  sallyport explain node job.js
  sallyport explain --policy build.json --abi 5

Values of variables whose names look like secrets are not printed. Exit code 0:
the host can carry it. 1: it cannot, or the policy is wrong.
`;

const options = { ...policyOptions, abi: { type: 'string' }, host: { type: 'string' }, json: { type: 'boolean' } } as const;

export async function run(args: string[]): Promise<number> {
  const { ours, command } = split(args, options);
  const given = commandLine(ours, usage, options);
  if (given === undefined) return 0;
  const { values } = given;
  const asked = request(values, command);
  const host = hostOf(values.host, values.abi, asked.policy.level === 'strict');
  const { made, refusal } = resolvedFor(asked.policy, host);
  const description = described(made, new Set(plan(fromPreset(asked.preset, {}, asked.python), generous).landlock.rules.map(({ path }) => path)));
  process.stdout.write(values.json === true ? asJson(asked, host, description, refusal) : asText(asked, host, made, description, refusal));
  return refusal === undefined ? 0 : 1;
}

/** A host on which any plan can be made. */
const generous: Probe = { arch: 'x64', landlockAbi: 7, landlockErrata: 0, seccomp: true, procWhole: true, notify: { available: true, lacks: [], anyUser: true }, user: { uid: 0, gid: 0, lacks: [] } };

function hostOf(file: string | undefined, abi: string | undefined, strict: boolean): Probe {
  const host = file !== undefined ? probeIn(file) : strict ? strictProbe() : probe();
  if (abi === undefined) return host;
  if (!/^\d{1,2}$/.test(abi)) throw usageError(`--abi is a number, not "${abi}"`);
  return { ...host, landlockAbi: Number(abi) };
}

function probeIn(file: string): Probe {
  let found: unknown;
  try {
    found = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw usageError(`--host ${file}: ${(error as Error).message}`);
  }
  const { host = (found ?? {}) as Partial<Probe> } = (found ?? {}) as { host?: Partial<Probe> };
  const { arch, landlockAbi, seccomp } = host;
  if (typeof arch !== 'string' || !Number.isInteger(landlockAbi) || typeof seccomp !== 'boolean') {
    throw usageError(`--host ${file}: no "host" with "arch", "landlockAbi" and "seccomp", as \`sallyport explain --json\` prints it`);
  }
  return { landlockErrata: 0, procWhole: false, notify: { available: false, lacks: ['what this host can do'], anyUser: false }, user: { uid: -1, gid: -1, lacks: ['what this host can do'] }, ...host } as Probe;
}

/** The plan; where the host lacks something, the one that would be made without it, and the refusal. */
function resolvedFor(policy: Policy, host: Probe): { made: Plan; refusal?: EnforcementPartial } {
  try {
    return { made: plan(policy, host) };
  } catch (refusal) {
    if (!(refusal instanceof EnforcementPartial)) throw refusal;
    const lacking = taskGuarantees(host).filter(({ enforcement }) => enforcement === 'unavailable').map(({ name }) => name);
    // A level cannot be waived: what is shown instead is the other one.
    const level = host.namespaces?.by === undefined || host.namespaces.by === 'none' ? 'standard' : (policy.level ?? 'standard');
    return { made: plan({ ...policy, level, without: [...(policy.without ?? []), ...lacking] }, host), refusal };
  }
}

function asJson({ preset, argv }: Request, host: Probe, description: Description, refusal?: EnforcementPartial): string {
  const refused = refusal === undefined ? undefined : { guarantee: refusal.guarantee, missing: refusal.missing };
  return `${JSON.stringify({ host, preset, command: argv, ...description, ...(refused && { refused }) }, null, 2)}\n`;
}

const styles: Record<Guarantee['enforcement'], Style> = { enforced: 'green', partial: 'yellow', unavailable: 'red' };

function asText({ preset, argv }: Request, host: Probe, made: Plan, description: Description, refusal?: EnforcementPartial): string {
  const paint = paintFor(process.stdout);
  const columns = columnsOf(process.stdout);
  const kernel = `Linux ${release()}, ${host.arch}, ${host.landlockAbi === 0 ? 'no Landlock' : `Landlock ABI ${host.landlockAbi}`}, ${host.seccomp ? 'seccomp' : 'no seccomp'}`;
  const { who, sections } = asSections(made, description, host);
  const width = Math.max(...sections.flatMap(({ rows }) => rows.map(([name]) => name.length)).filter((length) => length <= 20));
  const facts = (rows: readonly Fact[]): string => rows.map(([name, text]) => wrappedRow([paint('dim', name), text], [width], columns)).join('\n');
  const head: Fact[] = [
    ...(argv.length > 0 ? [['command', argv.join(' ')] as const] : []),
    ['preset', preset],
    ['host', kernel],
    ...who,
  ];
  const parts = [facts(head), ...sections.map(({ title, rows }) => `${paint('bold', title)}\n${facts(rows)}`), guarantees(description.guarantees, paint, columns)];
  const missing = made.landlock.rules.filter(({ path }) => !existsSync(path)).map(({ path }) => path);
  const notThere = missing.length === 0 ? '' : `\n${paint('yellow', `Not on this machine: ${missing.join(', ')}.`)}\nA launch is refused until it is there.\n`;
  const verdict = refusal === undefined ? '' : `\n${paint('red', `This host cannot carry it: ${refusal.message}.`)}\nIt would be refused. Above is what remains without what it lacks.\n`;
  return `${parts.join('\n\n')}\n${notThere}${verdict}`;
}

function guarantees(rows: readonly Guarantee[], paint: Paint, columns: number): string {
  const widths = [13, 11];
  const lines = rows.flatMap(({ name, enforcement, mechanisms, missing, notes }) => [
    wrappedRow([name, paint(styles[enforcement], enforcement), mechanisms.join('; ')], widths, columns),
    ...missing.map((what) => wrappedRow(['', paint('dim', 'missing'), what], widths, columns)),
    ...notes.map((what) => wrappedRow(['', paint('dim', 'note'), what], widths, columns)),
  ]);
  return [paint('bold', 'Guarantees, and what they rest on'), ...lines].join('\n');
}
