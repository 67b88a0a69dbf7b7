// A plan in words and as data. Pure: another host's plan is described on this one.

import type { Guarantee } from '../guarantees.js';
import type { Probe } from '../kernel/probe.js';
import type { SeccompAction, SyscallRule } from '../kernel/seccomp.js';
import type { SyscallName } from '../kernel/syscalls.js';
import type { PathRule, Plan } from '../policy/plan.js';
import { absent, fileModes, refused, seccompProfile } from '../policy/seccomp-profile.js';

export type Fact = readonly [name: string, text: string];

export interface Section {
  readonly title: string;
  readonly rows: readonly Fact[];
}

/** What `sallyport explain` prints as text. */
export interface DescriptionText {
  readonly who: readonly Fact[];
  readonly sections: readonly Section[];
}

/** And as data. */
export interface Description {
  readonly level: Plan['level'];
  /** Where the policy names one. */
  readonly identity: Plan['identity'];
  /** null: the scratch folder. */
  readonly cwd: string | null;
  /** Whether it has a scratch folder. */
  readonly scratch: boolean;
  /** `preset`: the preset's own, not this policy's. */
  readonly files: readonly { readonly path: string; readonly rights: Rights; readonly preset: boolean }[];
  readonly network: NonNullable<Plan['network']> | 'none';
  readonly environment: Readonly<Record<string, string>>;
  readonly limits: Readonly<Record<string, number>>;
  readonly seccomp: SeccompSummary | undefined;
  readonly guarantees: readonly Guarantee[];
}

type Rights = 'execute' | 'read' | 'write' | 'device';

export interface SeccompSummary {
  /** Of the compiled filter. */
  readonly instructions: number;
  readonly allowed: number;
  /** The supervisor makes them, for the task. */
  readonly asked: readonly string[];
  /** Their arguments decide. */
  readonly examined: readonly string[];
  readonly refused: readonly { readonly why: string; readonly answer: string; readonly calls: readonly string[] }[];
}

/** @param presetPaths What the preset grants to everyone, which text sums up. */
export function described(plan: Plan, presetPaths: ReadonlySet<string>): Description {
  return {
    level: plan.level,
    identity: plan.identity,
    cwd: plan.cwd ?? null,
    scratch: plan.scratch !== undefined,
    files: plan.landlock.rules.map((rule) => ({ path: rule.path, rights: rightsOf(rule), preset: presetPaths.has(rule.path) })),
    network: plan.network ?? 'none',
    environment: Object.fromEntries(Object.entries(plan.environment).map(([name, value]) => [name, masked(name, value)])),
    limits: limitsOf(plan),
    seccomp: plan.seccomp.length === 0 ? undefined : seccompSummary(plan),
    guarantees: plan.guarantees,
  };
}

export function asSections(plan: Plan, { files, network, environment, limits, seccomp }: Description, host: Probe): DescriptionText {
  return {
    who: whoOf(plan, host),
    sections: [
      { title: 'Files', rows: host.landlockAbi === 0 ? [['all', 'without Landlock no path is refused']] : fileRows(files, plan.scratch !== undefined) },
      { title: 'Network', rows: networkRows(network) },
      { title: 'Environment', rows: [...Object.entries(environment), ...(plan.scratch?.variables ?? []).map(([name, below]): Fact => [name, `(the scratch folder)${below}`])] },
      { title: 'Limits', rows: Object.entries(limits).map(([name, value]) => [name, withUnit(name, value)]) },
      { title: 'System calls', rows: seccomp === undefined ? [['all', 'no filter']] : callRows(seccomp) },
    ],
  };
}

function whoOf({ level, cwd, umask, identity }: Plan, { user }: Probe): Fact[] {
  const { uid, gid } = identity ?? user;
  return [
    ['level', level],
    ['runs as', `uid ${uid}, gid ${gid}, without capabilities; a session, keyring and domain of its own`],
    ['starts in', cwd ?? 'its scratch folder'],
    ...(umask === undefined ? [] : [['umask', umask.toString(8).padStart(3, '0')] as const]),
  ];
}

function rightsOf({ path, access }: PathRule): Rights {
  if (path === '/dev/null') return 'device';
  if (access.includes('write_file')) return 'write';
  return access.includes('execute') ? 'execute' : 'read';
}

function fileRows(files: Description['files'], scratch: boolean): Fact[] {
  const rows = (['execute', 'read', 'write'] as const).flatMap((rights): Fact[] => {
    const those = files.filter((file) => file.rights === rights);
    const preset = those.filter((file) => file.preset).map(({ path }) => path);
    const texts = [...(preset.length === 0 ? [] : [`${preset.slice(0, 4).join(', ')}${preset.length > 4 ? ' ...' : ''} (the preset's, ${preset.length} in all)`]), ...those.filter((file) => !file.preset).map(({ path }) => path)];
    return texts.map((text, index) => [index === 0 ? rights : '', text]);
  });
  if (scratch) rows.push(['scratch', 'a folder of its own below the temporary folder, to write, removed with the task']);
  return [...rows, ['besides', 'the program itself, its own /proc/<pid>, /dev/null']];
}

function networkRows(network: Description['network']): Fact[] {
  if (network === 'none') return [['none', 'no socket of any family, Unix sockets included; stream pairs of its own']];
  const rows = (name: 'connect' | 'listen'): Fact[] => network[name].map(({ host, port }, index) => [index === 0 ? name : '', `${host.includes(':') ? `[${host}]` : host}:${port}`]);
  return [...rows('connect'), ...rows('listen'), ['nothing else', 'no UDP, no Unix socket, no other protocol; names are resolved once, by the supervisor']];
}

const looksSecret = /TOKEN|SECRET|PASSW|CREDENTIAL|PRIVATE|API_?KEY|_KEY$|^KEY$|AUTH|COOKIE|DSN/i;

/** Policies should hold no secret, but one that does must not end in a log. Addresses with a password in them, likewise. */
export function masked(name: string, value: string): string {
  if (value !== '' && looksSecret.test(name)) return '***';
  return value.replace(/(\w:\/\/[^/:@\s]*:)[^/@\s]+@/g, '$1***@');
}

function limitsOf(plan: Plan): Record<string, number> {
  const whole = { wallTimeMs: plan.wallTimeMs, memoryBytes: plan.memoryBytes, processes: plan.processes, openFilesInAll: plan.openFiles };
  const named = Object.entries(whole).filter((entry): entry is [string, number] => entry[1] !== undefined);
  return Object.fromEntries([...named, ...plan.limits.map(({ name, value }): [string, number] => [name, value])]);
}

const scales = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function withUnit(name: string, value: number): string {
  if (/bytes$/i.test(name)) {
    const scale = value === 0 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), scales.length - 1);
    const scaled = value / 2 ** (10 * scale);
    return `${Number.isInteger(scaled) ? scaled : scaled.toFixed(1)} ${scales[scale]}`;
  }
  if (name.endsWith('Ms')) return value % 1000 === 0 ? `${value / 1000} s` : `${value} ms`;
  if (name.endsWith('Seconds')) return `${value} s of processor time, of all processes together`;
  if (name === 'core') return 'no core file, no program of core_pattern';
  return String(value);
}

const errnoNames: Readonly<Record<number, string>> = { 0: 'done, without effect', 1: 'EPERM', 13: 'EACCES', 38: 'ENOSYS', 95: 'ENOTSUP' };

function answerOf(action: SeccompAction): string {
  if (typeof action === 'string') return action;
  return errnoNames[action.errno] ?? `errno ${action.errno}`;
}

const dockers = "what Docker's default profile refuses as well: mounts, namespaces, kernel modules, bpf, perf events, keyrings ...";

function seccompSummary(plan: Plan): SeccompSummary {
  const { rules } = seccompProfile(plan);
  const isAsked = ({ clauses = [], action }: SyscallRule): boolean => [action, ...clauses.map((clause) => clause.action)].includes('notify');
  const isExamined = (rule: SyscallRule): boolean => (rule.clauses ?? []).length > 0 && !isAsked(rule);
  const those = (has: (rule: SyscallRule) => boolean): SyscallName[] => [...rules].filter(([, rule]) => has(rule)).map(([name]) => name).sort();
  const left = new Set(those((rule) => !isExamined(rule) && !isAsked(rule) && rule.action !== 'allow'));
  const groups = [
    ...refused.map(({ what, names }) => ({ why: what, names })),
    { why: 'modes, owners and times of files, which Landlock does not see', names: fileModes },
    { why: 'as by a kernel that lacks them: io_uring, a second way to make any call, and others that libraries try', names: absent },
    { why: dockers, names: [...left] },
  ].map(({ why, names }) => ({ why, calls: names.filter((name) => left.delete(name)) }));
  const answer = (name: SyscallName): string => answerOf(rules.get(name)?.action ?? 'kill');
  return {
    instructions: plan.seccomp.length / 8,
    allowed: those((rule) => !isExamined(rule) && rule.action === 'allow').length,
    asked: those(isAsked),
    examined: those(isExamined),
    refused: groups.filter(({ calls }) => calls.length > 0).map(({ why, calls }) => ({ why, answer: answer(calls[0] as SyscallName), calls })),
  };
}

function callRows({ instructions, allowed, asked, examined, refused: groups }: SeccompSummary): Fact[] {
  return [
    ['allowed', `${allowed}`],
    ['examined', `${examined.length}, by their arguments: ${examined.join(', ')}`],
    ...(asked.length === 0 ? [] : [['asked', `${asked.length}, which the supervisor answers: ${asked.join(', ')}`] as const]),
    ...groups.map(({ why, answer, calls }, index): Fact => [index === 0 ? 'refused' : '', `${calls.length}, ${answer}: ${why}`]),
    ['otherwise', `a call that the profile has no name for answers ENOSYS; x32 and i386 calls end the task (${instructions} BPF instructions)`],
  ];
}
