import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { GuaranteeName, Level } from '../guarantees.js';
import type { Admission, ProofApi } from './api.js';
import type { Attack } from './attack.js';
import { attemptAtBirth } from './birth.js';
import { harm, healthOf } from './health.js';
import { Props, type Sighting } from './props.js';
import { asideOf, marker, names, temporaryOf, type Job, type Side } from './scene.js';
import { changed, setStage, treeOf } from './stage.js';
import { SupervisorProcess } from './supervisor-process.js';

/** `error`: the attack did not run to its end, so nothing was shown. */
export type Verdict = 'leaked' | 'disrupted' | 'blocked' | 'error';

export interface Attempt {
  readonly verdict: Verdict;
  /** What the verdict rests on, in one line. Never holds what was stolen. */
  readonly evidence: string;
}

export interface AttemptOptions {
  /** Of the hardened supervisor. @default 'standard' */
  readonly level?: Level;
  /** What it goes without, since this host cannot give it. @default nothing */
  readonly without?: readonly GuaranteeName[];
  readonly signal?: AbortSignal;
}

export interface AttackResult {
  readonly attack: Attack;
  readonly unprotected: Attempt;
  readonly protected: Attempt;
}

// Bounds, not expectations: what takes longer is a failure.
const startMs = 20_000;
const attackMs = 20_000;
const answerMs = 10_000;

/**
 * Runs one attack against a fresh supervisor of each kind.
 *
 * @throws `signal.reason`, when everything that was started is gone.
 */
export async function runAttack(attack: Attack, api: ProofApi, options: AttemptOptions = {}): Promise<AttackResult> {
  const control = attempt(attack, 'ordinary', api, options);
  if (attack.alone === true) await control; // not beside its own control either
  const [unprotected, guarded] = await Promise.all([control, attempt(attack, 'sallyport', api, options)]);
  options.signal?.throwIfAborted(); // what was seen then may be the work of the signal
  return { attack, unprotected, protected: guarded };
}

/** Runs one attack against one fresh supervisor; that, its tasks and its files are gone when this returns. Aborting cuts it short. */
export async function attempt(attack: Attack, side: Side, api: ProofApi, options: AttemptOptions = {}): Promise<Attempt> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-proof-'));
  try {
    if (attack.from === 'birth') return await attemptAtBirth(attack, side, options.signal);
    return await attemptIn(folder, attack, side, api, options);
  } catch (error) {
    return { verdict: 'error', evidence: oneLine(error instanceof Error ? error.message : String(error)) };
  } finally {
    remove(folder);
  }
}

async function attemptIn(folder: string, attack: Attack, side: Side, api: ProofApi, { level = 'standard', without = [], signal }: AttemptOptions): Promise<Attempt> {
  signal?.throwIfAborted();
  const admission = await api.admit();
  await using props = await Props.putUp(attack.props ?? []);
  const { hostile, neighbour, ownVariable, neighbourVariable } = admission;
  const job: Job = {
    baseUrl: api.baseUrl,
    level,
    without,
    attack: attack.name,
    folder,
    hostile,
    neighbour,
    ownVariable: ownVariable.key,
    neighbourVariable: neighbourVariable.key,
    forgery: randomBytes(16).toString('hex'),
    told: props.told,
    grants: props.grants,
  };
  setStage(folder, side);
  const supervisor = await SupervisorProcess.start(side, job, admission, names.supervisorCode, props);
  let disruption: string | undefined;
  try {
    const code = treeOf(folder);
    disruption = await provoke(supervisor, attack, props, side, job, admission, signal);
    disruption ??= changed(code, treeOf(folder));
    if ((await api.result(neighbour)) === job.forgery) disruption ??= "the server stored the forged result as the other task's";
  } finally {
    await supervisor.end(); // only then is its output complete
  }
  const { verdict, evidence } = judge(supervisor, attack, props.seen(), disruption);
  return { verdict, evidence: oneLine(supervisor.redact(evidence)) };
}

/** Lets the attack loose, waits until it is done, and says what that did to the supervisor. */
async function provoke(supervisor: SupervisorProcess, attack: Attack, props: Props, side: Side, job: Job, admission: Admission, signal: AbortSignal | undefined): Promise<string | undefined> {
  const until = (condition: () => boolean, boundMs: number): Promise<boolean> => supervisor.until(condition, boundMs, signal);
  const failed = () => supervisor.report('failed') !== undefined;
  await until(() => supervisor.report('ready') !== undefined || supervisor.exited || failed(), startMs);
  const before = healthOf(supervisor.pid);
  const neighbourPid = supervisor.report('ready')?.neighbourPid ?? 0;
  const neighbourBefore = healthOf(neighbourPid);
  if (supervisor.report('ready') === undefined || before === undefined || neighbourBefore === undefined) {
    throw new Error(`the supervisor did not start: ${supervisor.report('failed')?.message ?? supervisor.redact(supervisor.output)}`);
  }

  const outside = attack.from === 'outside';
  // Who attacks from outside goes on when the supervisor is dead.
  const over = () => supervisor.report('ended') !== undefined || (!outside && (supervisor.exited || failed()));
  props.watch(supervisor.pid);
  if (outside) supervisor.attackFromOutside(job);
  else supervisor.order('attack');
  if (attack.starts !== undefined) {
    await until(() => supervisor.output.includes(marker.watching) || supervisor.report('ended') !== undefined || supervisor.exited, startMs);
    const failure = await startAnother(supervisor, attack, side, job, admission, signal);
    if (failure !== undefined) return failure;
  }
  if (attack.supervisorDies === true) return outliving(supervisor, attack, over, signal);
  const finished = () => supervisor.output.includes(marker.finished(attack.name));
  await until(() => over() || finished(), attackMs);
  // A stopped supervisor does not say that its task has ended; another one may take a while.
  if (!(await until(over, 500)) && healthOf(supervisor.pid)?.stopped !== true) await until(over, answerMs);
  if (supervisor.report('started') === undefined && failed()) throw new Error(`the task did not start: ${supervisor.report('failed')?.message ?? ''}`);
  if (outside) return undefined; // with those rights it may well do harm: what it got is what counts
  if (attack.lingersMs !== undefined && (await linger(supervisor, attack.lingersMs, signal))) return 'a process of the task outlived it';

  const harmed = () => harm('the supervisor', before, healthOf(supervisor.pid)) ?? harm('another task', neighbourBefore, healthOf(neighbourPid));
  if (!supervisor.exited) {
    const seen = harmed();
    if (seen !== undefined) return seen;
    supervisor.order('check');
    await until(() => supervisor.report('checked') !== undefined || supervisor.exited || failed(), answerMs);
  }
  if (supervisor.exited) return 'the supervisor is dead';
  const { message } = supervisor.report('failed') ?? {};
  if (message !== undefined) return `the supervisor fails: ${message}`;
  // It still opens files, and still holds the token: the server has just answered to it.
  if (supervisor.report('checked')?.answer !== admission.ownVariable.value) return 'the supervisor does not answer';
  return harmed(); // once more: on a busy host a signal takes its time
}

/** Starts a task, or a second supervisor from the same folder, that lives for a while: an attack that waited for it has it then. */
async function startAnother(first: SupervisorProcess, attack: Attack, side: Side, job: Job, admission: Admission, signal: AbortSignal | undefined): Promise<string | undefined> {
  if (attack.starts === 'another task') {
    first.order('another');
    return undefined;
  }
  const second = await SupervisorProcess.start(side, job, admission, side === 'ordinary' ? names.lateSupervisorCode : names.supervisorCode);
  try {
    const over = () => first.output.includes(marker.finished(job.attack)) || first.report('ended') !== undefined || first.exited || signal?.aborted === true;
    await second.until(() => second.report('ready') !== undefined || second.exited || second.report('failed') !== undefined, startMs, signal);
    const failure = second.report('ready') === undefined ? `the second supervisor did not start: ${second.redact(second.report('failed')?.message ?? second.output)}` : undefined;
    await first.until(over, attackMs, signal);
    if (attack.lingersMs !== undefined) await wait(attack.lingersMs, undefined, signal && { signal });
    return failure;
  } finally {
    await second.end();
    first.include(second);
  }
}

/** Kills the supervisor in the middle of the attack, and says whether anything of its task lived on. */
async function outliving(supervisor: SupervisorProcess, attack: Attack, over: () => boolean, signal: AbortSignal | undefined): Promise<string | undefined> {
  await supervisor.until(() => supervisor.output.includes(marker.armed) || over(), attackMs, signal);
  if (over()) return undefined; // not what was meant to happen, as the verdict will say
  process.kill(supervisor.pid, 'SIGKILL');
  await supervisor.until(() => supervisor.exited, answerMs, signal);
  return (await linger(supervisor, attack.lingersMs ?? 0, signal)) ? 'a process of the task outlived its supervisor' : undefined;
}

/** Whether anything more was printed when the task had been gone for a while. */
async function linger(supervisor: SupervisorProcess, lingersMs: number, signal: AbortSignal | undefined): Promise<boolean> {
  await wait(lingersMs / 5, undefined, signal && { signal }); // for what was on its way
  const { length } = supervisor.output;
  await wait(lingersMs, undefined, signal && { signal });
  return supervisor.output.length > length;
}

/** The word for an attempt, by what is seen and never by what the attack claims. */
function judge(supervisor: SupervisorProcess, attack: Attack, sighting: Sighting | undefined, disruption: string | undefined): Attempt {
  const { output } = supervisor;
  const stolen = supervisor.stolen(attack.loot);
  if (stolen.length > 0) return { verdict: 'leaked', evidence: `it printed ${stolen.join(', ')}` };
  if (sighting?.verdict === 'leaked') return sighting;
  if (disruption !== undefined) return { verdict: 'disrupted', evidence: disruption };
  if (sighting !== undefined) return sighting;
  const ended = supervisor.report('ended');
  const done = attack.supervisorDies === true ? marker.armed : marker.finished(attack.name);
  const ran = output.includes(marker.started(attack.name)) && (output.includes(done) || ended?.violation === true);
  if (!ran) return { verdict: 'error', evidence: `the attack did not run to its end (${ended?.how ?? 'no exit was seen'}): ${output}` };
  if (ended?.violation === true) return { verdict: 'blocked', evidence: `the task was ended: ${ended.how}` };
  const refusals = new Set([...output.matchAll(/^refused: (.*)$/gm)].map((match) => match[1]));
  const nothing = attack.loot === undefined ? 'it found nothing' : `it did not find ${attack.loot}`;
  return { verdict: 'blocked', evidence: refusals.size === 0 ? nothing : [...refusals].join('; ') };
}

/** A folder that an attack may have moved or closed. */
function remove(folder: string): void {
  for (const path of [folder, asideOf(folder), temporaryOf(folder)]) {
    try {
      chmodSync(path, 0o700);
    } catch {
      continue; // it is not there
    }
    rmSync(path, { recursive: true, force: true });
  }
}

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 200 ? `${line.slice(0, 199)}…` : line;
}
