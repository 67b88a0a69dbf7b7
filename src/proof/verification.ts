import { execFile } from 'node:child_process';
import { availableParallelism, machine, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Enforcement, Guarantee, GuaranteeName, Level } from '../guarantees.js';
import { probe } from '../kernel/probe.js';
import type { ProofApi } from './api.js';
import type { Attack } from './attack.js';
import { whyNot } from './needs.js';
import { runAttack, type AttackResult, type AttemptOptions, type Verdict } from './runner.js';

/** Two supervisors with two tasks each run at once for one exploit; most of their time is Node's start. */
export const defaultJobs = Math.min(8, Math.max(1, availableParallelism()));

export interface ProveOptions extends AttemptOptions {
  /** How many exploits are tried at once. */
  readonly jobs?: number;
  readonly onStart?: (attack: Attack) => void;
  readonly onResult?: (result: AttackResult) => void;
}

/**
 * Runs exploits against both supervisors, several at once; those that must be `alone` come last. Ones that this host cannot
 * show are left out.
 *
 * @returns In the order of `attacks`.
 * @throws `signal.reason`, when everything that was started is gone.
 */
export async function prove(attacks: readonly Attack[], api: ProofApi, options: ProveOptions = {}): Promise<AttackResult[]> {
  const { jobs = defaultJobs, onStart, onResult, ...common } = options;
  const { signal } = common;
  const results = new Map<Attack, AttackResult>();
  const runnable = attacks.filter((attack) => whyNot(attack) === undefined);
  for (const alone of [false, true]) {
    const waiting = runnable.filter((attack) => (attack.alone ?? false) === alone);
    const work = async (): Promise<void> => {
      for (let attack = waiting.shift(); attack !== undefined && signal?.aborted !== true; attack = waiting.shift()) {
        onStart?.(attack);
        const result = await runAttack(attack, api, common);
        results.set(attack, result);
        onResult?.(result);
      }
    };
    const ended = await Promise.allSettled(Array.from({ length: alone ? 1 : jobs }, work)); // none is left behind by another's end
    signal?.throwIfAborted();
    for (const end of ended) if (end.status === 'rejected') throw end.reason;
  }
  return runnable.flatMap((attack) => results.get(attack) ?? []);
}

/** What a report says of one exploit on one side. */
export type Word = Verdict | 'skipped';

export interface ExploitReport {
  readonly name: string;
  readonly off: Word;
  readonly on: Word;
  /** Why it did not run, or not to its end. */
  readonly reason?: string;
}

export interface GuaranteeReport {
  readonly name: GuaranteeName;
  readonly status: Enforcement;
  readonly mechanisms: readonly string[];
  readonly exploits: readonly ExploitReport[];
}

/** The report of `sallyport verify --json`, whose words and fields others read. */
export interface ProofReport {
  readonly host: Readonly<Record<string, string | number>>;
  readonly level: Level;
  readonly guarantees: readonly GuaranteeReport[];
}

export function exploitReport(attack: Attack, result: AttackResult | undefined): ExploitReport {
  const { name } = attack;
  if (result === undefined) return { name, off: 'skipped', on: 'skipped', reason: whyNot(attack) ?? 'not tried' };
  const { unprotected, protected: guarded } = result;
  const reason = [unprotected, guarded].find(({ verdict }) => verdict === 'error')?.evidence;
  return { name, off: unprotected.verdict, on: guarded.verdict, ...(reason !== undefined && { reason }) };
}

/** All eighteen, whatever was tried. */
export function proofReport(level: Level, status: readonly Guarantee[], tried: readonly Attack[], results: readonly AttackResult[]): ProofReport {
  const guarantees = status.map(({ name, enforcement, mechanisms }) => ({
    name,
    status: enforcement,
    mechanisms,
    exploits: tried.filter(({ guarantee }) => guarantee === name).map((attack) => exploitReport(attack, results.find((result) => result.attack.name === attack.name))),
  }));
  return { host: hostFacts(), level, guarantees };
}

/** Whether a row is what it should be: it worked without the protection, and not with it. */
export const isShown = ({ off, on }: ExploitReport): boolean => off === 'skipped' || (['leaked', 'disrupted'].includes(off) && on === 'blocked');

/** 1 when something that is claimed here was broken, or a control did not succeed, or nothing was tried. */
export function exitCodeOfProof({ guarantees }: ProofReport): 0 | 1 {
  const claimed = guarantees.filter(({ status }) => status !== 'unavailable').flatMap(({ exploits }) => exploits);
  return claimed.some(({ off }) => off !== 'skipped') && claimed.every(isShown) ? 0 : 1;
}

/** What the supervisors under test have to go without here. */
export const unavailable = (status: readonly Guarantee[]): GuaranteeName[] => status.filter(({ enforcement }) => enforcement === 'unavailable').map(({ name }) => name);

/** What the same run on another machine may differ by. */
function hostFacts(): Readonly<Record<string, string | number>> {
  const { landlockAbi } = probe();
  return { kernel: release(), arch: machine(), landlockAbi, node: process.versions.node, uid: process.geteuid?.() ?? -1 };
}

/**
 * What `harden()` and `launch()` report here, each in a process of its own since neither can be undone.
 *
 * @throws {Error} That process ended without a report; says what it printed.
 */
export async function claims(level: Level, signal?: AbortSignal): Promise<readonly Guarantee[]> {
  const script = fileURLToPath(new URL('status-supervisor.js', import.meta.url));
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [script, level], { timeout: 30_000, ...(signal && { signal }) });
    return JSON.parse(stdout) as readonly Guarantee[];
  } catch (cause) {
    signal?.throwIfAborted();
    const { stderr = '' } = cause as { stderr?: string };
    const [line] = /^\w*(?:Error|Invalid|Unsupported|Partial|Failed)\b.*$/m.exec(stderr) ?? [];
    throw new Error(`what this host can give at level ${level} could not be found out: ${line ?? (stderr.trim() || String(cause))}`, { cause });
  }
}
