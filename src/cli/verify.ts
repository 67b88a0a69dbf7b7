import { cursorTo, clearLine } from 'node:readline';
import { guaranteeNames, type Guarantee, type GuaranteeName, type Level } from '../guarantees.js';
import { ApiProcess } from '../proof/api-process.js';
import type { Attack } from '../proof/attack.js';
import { catalogue } from '../proof/catalogue.js';
import { whyNot } from '../proof/needs.js';
import { claims, defaultJobs, exitCodeOfProof, exploitReport, isShown, proofReport, prove, unavailable, type ProofReport, type Word } from '../proof/verification.js';
import type { AttackResult } from '../proof/runner.js';
import { commandLine, usageError } from './command-line.js';
import { fit, paintFor, row, type Paint, type Style } from './table.js';

const usage = `usage: sallyport verify [options]

Proves each guarantee on this host: runs every exploit against a live supervisor
without the protections (off) and against one with them (on).

  --guarantee NAME   only this guarantee's exploits; may be repeated
  --exploit NAME     only this exploit; may be repeated
  --level LEVEL      standard (the default) or strict
  --jobs N           exploits tried at once (default: ${defaultJobs} here)
  --evidence         also say what each verdict rests on
  --list             only list the exploits
  --json             print only {"host","level","guarantees":[{"name","status",
                     "mechanisms","exploits":[{"name","off","on"}]}]}

Words: leaked (a secret was printed), disrupted (the supervisor or another task
was harmed), blocked; error and skipped where it did not run, with a reason.

Exit code 0: everything worked with the protections off and was blocked with
them on. 1: a guarantee that is claimed here was broken, or an exploit did not
work with them off. 130, 143: interrupted.
`;

const widths = [30, 9, 9];
const styles: Record<Word, Style> = { leaked: 'red', disrupted: 'yellow', blocked: 'green', error: 'red', skipped: 'dim' };
const statusStyles = { enforced: 'green', partial: 'yellow', unavailable: 'red' } as const;

interface Wanted {
  readonly attacks: readonly Attack[];
  readonly level: Level;
  readonly jobs: number;
  readonly evidence: boolean;
}

export async function run(args: string[], signal: AbortSignal): Promise<number> {
  const flag = { type: 'boolean', default: false } as const;
  const given = commandLine(args, usage, {
    guarantee: { type: 'string', multiple: true, default: [] },
    exploit: { type: 'string', multiple: true, default: [] },
    level: { type: 'string', default: 'standard' },
    jobs: { type: 'string', default: String(defaultJobs) },
    evidence: flag,
    list: flag,
    json: flag,
  });
  if (given === undefined) return 0;
  const { values } = given;
  const { level } = values;
  if (level !== 'standard' && level !== 'strict') throw wrong('level', level, 'standard or strict');
  const jobs = Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > 64) throw wrong('jobs', values.jobs, 'a number from 1 to 64');
  const wanted: Wanted = { attacks: chosen(values.guarantee, values.exploit), level, jobs, evidence: values.evidence };
  if (values.list) return list(wanted.attacks, paintFor(process.stdout));

  const api = await ApiProcess.start().catch((error: Error) => error.message);
  if (typeof api === 'string') {
    if (!signal.aborted) process.stderr.write(`sallyport verify: ${api}\n`);
    return 1;
  }
  try {
    return values.json ? await asJson(api, wanted, signal) : await asTable(api, wanted, signal, paintFor(process.stdout));
  } catch (error) {
    if (!signal.aborted) process.stderr.write(`sallyport verify: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    await api.end();
  }
}

function chosen(guarantees: readonly string[], exploits: readonly string[]): readonly Attack[] {
  for (const name of guarantees) if (!guaranteeNames.includes(name as GuaranteeName)) throw wrong('guarantee', name, `one of ${guaranteeNames.join(', ')}`);
  for (const name of exploits) if (!catalogue.some((attack) => attack.name === name)) throw wrong('exploit', name, 'a name that `sallyport verify --list` shows');
  if (guarantees.length + exploits.length === 0) return catalogue;
  return catalogue.filter(({ name, guarantee }) => guarantees.includes(guarantee) || exploits.includes(name));
}

const wrong = (option: string, value: string, expected: string): TypeError => usageError(`--${option} ${value}: expected ${expected}`);

function list(attacks: readonly Attack[], paint: Paint): number {
  for (const name of guaranteeNames) {
    const own = attacks.filter(({ guarantee }) => guarantee === name);
    if (own.length > 0) console.log(paint('bold', name));
    for (const attack of own) console.log(row([attack.name, paint('dim', whyNot(attack) ?? attack.how)], [24]));
  }
  return 0;
}

async function asJson(api: ApiProcess, { attacks, level, jobs }: Wanted, signal: AbortSignal): Promise<number> {
  const status = await claims(level, signal);
  const progress = new Progress(attacks);
  const results = await prove(attacks, api, { level, without: unavailable(status), jobs, signal, ...progress.listeners }).finally(() => progress.clear());
  const report = proofReport(level, status, attacks, results);
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  return exitCodeOfProof(report);
}

async function asTable(api: ApiProcess, wanted: Wanted, signal: AbortSignal, paint: Paint): Promise<number> {
  const startedMs = Date.now();
  const { attacks, level, jobs } = wanted;
  const status = await claims(level, signal);
  const { host } = proofReport(level, status, [], []);
  const who = host['uid'] === 0 ? 'root' : `uid ${host['uid']}`;
  console.log(`${paint('bold', 'Sallyport')}  Linux ${host['kernel']} ${host['arch']}, Landlock ABI ${host['landlockAbi']}, Node ${host['node']}, as ${who}, level ${level}\n`);
  console.log(paint('dim', row(['exploit', 'off', 'on', fit('what the task does', widths, process.stdout.columns)], widths)));

  const progress = new Progress(attacks);
  const seen: AttackResult[] = [];
  const pages = status.map((guarantee) => ({ guarantee, attacks: attacks.filter((attack) => attack.guarantee === guarantee.name) })).filter((page) => page.attacks.length > 0);
  /** A guarantee is printed when all its exploits have been tried, and in order. */
  const printReady = (): void => {
    for (let page = pages[0]; page !== undefined && page.attacks.every((attack) => whyNot(attack) !== undefined || seen.some((result) => result.attack === attack)); page = pages[0]) {
      progress.clear();
      printGuarantee(page.guarantee, page.attacks, seen, wanted.evidence, paint);
      pages.shift();
    }
  };
  printReady();
  const results = await prove(attacks, api, {
    level,
    without: unavailable(status),
    jobs,
    signal,
    onStart: (attack) => progress.listeners.onStart(attack),
    onResult: (result) => {
      seen.push(result);
      progress.listeners.onResult();
      printReady();
    },
  }).finally(() => progress.clear());
  const report = proofReport(level, status, attacks, results);
  console.log(`\n${summary(report, (Date.now() - startedMs) / 1000, paint)}`);
  return exitCodeOfProof(report);
}

function printGuarantee({ name, enforcement, mechanisms, missing, notes }: Guarantee, attacks: readonly Attack[], seen: readonly AttackResult[], evidence: boolean, paint: Paint): void {
  console.log(`\n${paint('bold', name)}  ${paint(statusStyles[enforcement], enforcement)}  ${paint('dim', mechanisms.join('; '))}`);
  for (const what of missing) console.log(paint('dim', `  not: ${what}`));
  for (const what of notes) console.log(paint('dim', `  note: ${what}`));
  for (const attack of attacks) {
    const result = seen.find((candidate) => candidate.attack === attack);
    const report = exploitReport(attack, result);
    const word = (which: Word): string => paint(styles[which], which);
    console.log(row([attack.title, word(report.off), word(report.on), paint('dim', fit(attack.how, widths, process.stdout.columns))], widths));
    if (result === undefined) console.log(paint('dim', `    ${report.reason ?? ''}`));
    else if (evidence || !isShown(report)) {
      console.log(paint('dim', `    off: ${result.unprotected.evidence}`));
      console.log(paint('dim', `    on: ${result.protected.evidence}`));
    }
  }
}

function summary({ guarantees }: ProofReport, seconds: number, paint: Paint): string {
  const rows = guarantees.flatMap(({ exploits }) => exploits);
  const tried = rows.filter(({ off }) => off !== 'skipped');
  const through = tried.filter(({ on }) => on !== 'blocked').length;
  const withoutControl = tried.filter(({ off }) => off !== 'leaked' && off !== 'disrupted').length;
  const facts = [`${tried.length} exploits in ${Math.round(seconds)} s`, ...(rows.length > tried.length ? [`${rows.length - tried.length} skipped`] : [])];
  const verdicts = [
    ...(through > 0 ? [paint('red', `${through} got through or did not run.`)] : []),
    ...(withoutControl > 0 ? [paint('red', `${withoutControl} did not work with the protections off, which shows nothing.`)] : []),
  ];
  return `${facts.join(', ')}. ${verdicts.length === 0 ? paint('green', 'Each worked with the protections off, and none with them on.') : verdicts.join(' ')}`;
}

/** One line on standard error, where that is a terminal. */
class Progress {
  readonly #total: number;
  #done = 0;
  readonly listeners = {
    onStart: (attack: Attack): void => this.#show(attack.name),
    onResult: (): void => void this.#done++,
  };

  constructor(attacks: readonly Attack[]) {
    this.#total = attacks.filter((attack) => whyNot(attack) === undefined).length;
  }

  clear(): void {
    if (!process.stderr.isTTY) return;
    cursorTo(process.stderr, 0);
    clearLine(process.stderr, 0);
  }

  #show(name: string): void {
    if (!process.stderr.isTTY) return;
    this.clear();
    process.stderr.write(`  ${this.#done} of ${this.#total}  ${name}`);
  }
}
