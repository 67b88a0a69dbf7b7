import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Guarantee } from '../guarantees.js';
import { hostFacts } from '../kernel/host.js';
import { commandLine } from './command-line.js';
import { checks } from './doctor-checks.js';
import type { Check, Examined, Status } from './doctor-row.js';
import { columnsOf, paintFor, wrappedRow, type Paint, type Style } from './table.js';

const usage = `usage: sallyport doctor [--all] [--json]

Looks at this host: what the guarantees rest on, what is missing, and what to
do. It hardens a process of its own to see, and changes nothing.

  --all    say of each row what it means, not of those alone that want something
  --json   print only {"host","verdict","checks":[{"name","value","status",
           "guarantees","meaning","advice"}]}

Exit code 0: level standard holds here. 1: it does not.
`;

export async function run(args: string[]): Promise<number> {
  const given = commandLine(args, usage, { all: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } });
  if (given === undefined) return 0;
  const { values } = given;
  const facts: Examined = { ...hostFacts(), guarantees: hardenedElsewhere() };
  const rows = checks(facts);
  const verdict = verdictOn(facts, rows);
  process.stdout.write(values.json ? `${JSON.stringify({ host: hostLine(facts), verdict, checks: rows }, null, 2)}\n` : asText(facts, verdict, rows, values.all));
  return verdict.standard.holds ? 0 : 1;
}

/** What a supervisor started here would be told. In a process of its own, for hardening cannot be undone; undefined where it cannot run. */
function hardenedElsewhere(): readonly Guarantee[] | undefined {
  const program = fileURLToPath(new URL('harden-trial.js', import.meta.url));
  const { status, stdout } = spawnSync(process.execPath, [program], { encoding: 'utf8', timeout: 30_000, stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    return status === 0 ? (JSON.parse(stdout) as readonly Guarantee[]) : undefined;
  } catch {
    return undefined;
  }
}

interface Held {
  readonly holds: boolean;
  /** What does not, and why. */
  readonly lacks: readonly string[];
}

export interface Verdict {
  readonly standard: Held;
  readonly strict: Held;
}

/** From what was tried, where it could be; else from what was seen. Pure. */
export function verdictOn({ guarantees }: Examined, rows: readonly Check[]): Verdict {
  const missing = rows.filter(({ status }) => status === 'missing').map(({ name, value }) => `${name}: ${value}`);
  const unavailable = (guarantees ?? []).filter(({ enforcement }) => enforcement === 'unavailable').map(({ name, missing: why }) => `${name}: ${why[0] ?? 'does not hold'}`);
  const standard = guarantees === undefined && missing.length === 0 ? ['a process could not be hardened to see'] : [...new Set([...unavailable, ...(unavailable.length > 0 ? [] : missing)])];
  const strict = rows.filter(({ name, status }) => status !== 'ok' && ['namespaces', 'node binary'].includes(name)).map(({ name, value }) => `${name}: ${value}`);
  return { standard: { holds: standard.length === 0, lacks: standard }, strict: { holds: standard.length + strict.length === 0, lacks: [...standard, ...strict] } };
}

function hostLine({ platform, release, arch, nodeVersion, uid }: Examined): { platform: string; kernel: string; arch: string; node: string; uid: number | null } {
  return { platform, kernel: release, arch, node: nodeVersion, uid: uid ?? null };
}

const styles: Record<Status, Style> = { ok: 'green', warn: 'yellow', missing: 'red' };
const widths = [7, 19];

function asText(facts: Examined, { standard, strict }: Verdict, rows: readonly Check[], all: boolean): string {
  const paint = paintFor(process.stdout);
  const columns = columnsOf(process.stdout);
  const held = (level: string, { holds, lacks }: Held): string[] => [
    wrappedRow([paint('bold', level), holds ? paint('green', 'holds') : paint('red', 'does not hold'), ''], [9, 13], columns),
    ...(holds ? [] : lacks.map((what) => wrappedRow(['', what], [9], columns))),
  ];
  const lines = [
    `${paint('bold', 'Sallyport')}  ${facts.platform === 'linux' ? 'Linux' : facts.platform} ${facts.release}, ${facts.arch}, Node ${facts.nodeVersion}, as ${facts.uid === 0 ? 'root' : `uid ${facts.uid ?? '?'}`}`,
    '',
    ...held('standard', standard),
    ...held('strict', strict),
    '',
    ...rows.flatMap((row) => checkLines(row, all, paint, columns)),
  ];
  return `${lines.join('\n')}\n`;
}

function checkLines({ name, value, status, guarantees, meaning, advice }: Check, all: boolean, paint: Paint, columns: number): string[] {
  const more = (label: string, text: string): string => wrappedRow(['', paint('dim', label), text], widths, columns);
  const said = all || status !== 'ok';
  return [
    wrappedRow([paint(styles[status], status), name, value], widths, columns),
    ...(said && meaning !== '' ? [more(guarantees.join(', ').length <= 19 ? guarantees.join(', ') : `${guarantees[0]} ...`, meaning)] : []),
    ...(said && advice !== '' ? [more('what to do', advice)] : []),
  ];
}
