import { realpathSync } from 'node:fs';
import { Authorizer } from '../../authorization/index.js';
import type { Audit } from '../../broker/index.js';
import { BrokerClosed, checkOptions, invalidArgument, outOfRange, WorkloadInvalid } from '../../errors.js';
import { copyPolicy, type Limits, type Policy } from '../../policy/policy.js';
import { policies } from '../../policy/presets.js';
import { Masker, type MaskerOptions } from '../../secrets/masker.js';
import { locate } from '../../supervisor/bundle.js';
import type { LogLine } from '../../supervisor/lines.js';
import { policyFor } from '../../supervisor/runtime.js';
import type { LookupOf } from '../lookups.js';
import type { Entry } from './cell-options.js';
import type { TriggerStateChanges } from './messages.js';
import { checkedTrigger, type RunTrigger } from './run-trigger.js';
import { Team } from './team.js';

export interface TriggerHostOptions {
  /** By name. Triggers of one team share a process; no two teams do. */
  readonly teams: Readonly<Record<string, TriggerTeam>>;
  /**
   * Told what became of triggers. What it rejects with, or throws, is tried again after a second: nothing is lost, and what was
   * heard may come again. Events come again too when a process was restarted after they were told.
   */
  readonly onChanges: (changes: TriggerStateChanges) => void | Promise<void>;
  /** Where variables, connections and XComs come from, for all triggers or for each. Its token stays here. @default nowhere */
  readonly lookup?: LookupOf<RunTrigger>;
  /** Asked about each of them, in the name of the trigger's task instance. @default none */
  readonly authorization?: Authorizer;
  /** Told of every request; `task` is `team/id`. */
  readonly audit?: Audit;
  /** As a Supervisor's. @default as Airflow's */
  readonly masking?: MaskerOptions | false;
  /** Gets every line that triggers write to descriptors 1, 2 and 3; `task` is the team. */
  readonly onLog?: (line: LogLine) => void;
  /** How often a process has to show that nothing blocks it. @default 1000 */
  readonly pollMs?: number;
  /** How long a trigger may keep the others of its process from running. @default 10000 */
  readonly blockedMs?: number;
  /** From a process's start to its first word. @default 30000 */
  readonly startMs?: number;
  /** Of one team, at most, once triggers had to be parted. @default 8 */
  readonly maxProcesses?: number;
}

export interface TriggerTeam {
  /** Where the team's code is: name to folder. All of it is readable to all of its triggers. */
  readonly bundles: Readonly<Record<string, string>>;
  /** What its processes may have besides. Limits that it leaves out are `triggerLimits`. @default `policies.node()` */
  readonly policy?: Policy;
}

/** What to do, as Airflow's triggerer is told. */
export interface TriggerStateSync {
  readonly to_create?: readonly RunTrigger[];
  readonly to_cancel?: readonly number[];
}

/** Of one process, however many triggers it has. */
export const triggerLimits = Object.freeze({ memoryBytes: 512 << 20, processes: 64, scratchBytes: 64 << 20 }) satisfies Limits;

interface OfTeam {
  readonly team: Team;
  readonly bundles: ReadonlyMap<string, string>;
}

interface Known {
  readonly of: OfTeam | undefined;
  timer?: NodeJS.Timeout;
}

const times = { pollMs: 1_000, blockedMs: 10_000, startMs: 30_000, maxProcesses: 8 } as const;

/** Runs many users' triggers: one locked process for a team. One that blocks, crashes or is crowded out costs its own team a new start, and itself. */
export class TriggerHost implements AsyncDisposable {
  readonly #options: TriggerHostOptions;
  readonly #teams: ReadonlyMap<string, OfTeam>;
  readonly #known = new Map<number, Known>();
  #warned = false;
  #disposed = false;

  /** @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`, {@link PolicyInvalid} `ERR_POLICY_INVALID`. System error: a bundle's folder is missing. */
  constructor(options: TriggerHostOptions) {
    checkOptions('options', options, ['teams', 'onChanges', 'lookup', 'authorization', 'audit', 'masking', 'onLog', ...(Object.keys(times) as (keyof typeof times)[])]);
    const { teams, onChanges, authorization, masking } = options;
    if (typeof teams !== 'object' || teams === null) throw invalidArgument('options.teams', 'an object', teams);
    if (typeof onChanges !== 'function') throw invalidArgument('options.onChanges', 'a function', onChanges);
    if (authorization !== undefined && !(authorization instanceof Authorizer)) throw invalidArgument('options.authorization', 'an Authorizer', authorization);
    if (masking !== undefined && masking !== false) new Masker(masking).destroy(); // misuse is told now
    for (const name of Object.keys(times) as (keyof typeof times)[]) {
      const value = options[name] ?? times[name];
      if (!Number.isSafeInteger(value) || value < 1 || value > 2 ** 31 - 1) throw outOfRange(`options.${name}`, 'a whole number from 1 to 2147483647');
    }
    this.#options = { ...options };
    this.#teams = new Map(Object.entries(teams).map(([name, team]) => [name, this.#team(name, team)]));
  }

  /** Ids of the triggers that it was given and that have neither ended nor been cancelled. */
  get running(): number[] {
    return [...this.#known.keys()];
  }

  /** A team's processes, as the host numbers them. None, when it has had no triggers for a while. */
  pids(team: string): number[] {
    return this.#teams.get(team)?.team.pids ?? [];
  }

  /**
   * Creates and cancels triggers. One that runs already is left alone. A trigger that cannot be run, for its team or its file is
   * not there, is a failure of its own, told as all others are.
   *
   * @returns When all are on their way.
   * @throws RangeError `ERR_OUT_OF_RANGE`, TypeError `ERR_INVALID_ARG_TYPE`: no trigger was created or cancelled. {@link BrokerClosed} `ERR_BROKER_CLOSED`.
   */
  async sync(wanted: TriggerStateSync): Promise<void> {
    if (this.#disposed) throw disposed();
    checkOptions('sync', wanted, ['to_create', 'to_cancel']);
    const { to_create = [], to_cancel = [] } = wanted;
    if (!Array.isArray(to_create)) throw invalidArgument('sync.to_create', 'an array', to_create);
    if (!Array.isArray(to_cancel) || !to_cancel.every(Number.isSafeInteger)) throw invalidArgument('sync.to_cancel', 'an array of ids', to_cancel);
    const triggers = to_create.map((trigger, index) => checkedTrigger(`sync.to_create[${index}]`, trigger));
    for (const id of to_cancel as number[]) this.#cancel(id);
    await Promise.all(triggers.map((trigger) => this.#create(trigger)));
  }

  /** Ends all triggers; nothing more is told of them. Twice is fine. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    for (const id of this.running) this.#forget(id);
    await Promise.all([...this.#teams.values()].map(({ team }) => team.close()));
  }

  #team(name: string, options: TriggerTeam): OfTeam {
    checkOptions(`options.teams.${name}`, options, ['bundles', 'policy']);
    const { bundles, policy = policies.node() } = options;
    if (typeof bundles !== 'object' || bundles === null) throw invalidArgument(`options.teams.${name}.bundles`, 'an object', bundles);
    const copy = copyPolicy(policy);
    const base: Policy = Object.freeze({ ...copy, scratch: true, limits: Object.freeze({ ...triggerLimits, ...copy.limits }) });
    const { lookup, authorization: authorizer, audit, masking = {}, onLog, pollMs = times.pollMs, blockedMs = times.blockedMs, startMs = times.startMs, maxProcesses = times.maxProcesses } = this.#options;
    const readable = Object.values(bundles).reduce((made: Policy, folder) => policyFor(realpathSync(folder), made), base);
    const deliver = (changes: TriggerStateChanges): Promise<void> => this.#deliver(changes);
    return { bundles: new Map(Object.entries(bundles)), team: new Team({ team: name, policy: readable, lookup, authorizer, audit, masking, onLog, pollMs, blockedMs, startMs, maxProcesses, deliver }) };
  }

  async #create(trigger: RunTrigger): Promise<void> {
    const { id, team_name, timeout_after } = trigger;
    if (this.#known.has(id)) return;
    const known: Known = { of: this.#teams.get(team_name) };
    this.#known.set(id, known);
    let entry: Entry;
    try {
      entry = await this.#entry(trigger, known.of);
    } catch (error) {
      return this.#fail(id, known, inItsWords(error as Error));
    }
    if (this.#known.get(id) !== known) return; // cancelled meanwhile
    if (typeof timeout_after === 'string') this.#limit(id, known, Date.parse(timeout_after));
    known.of?.team.create(entry);
  }

  async #entry(trigger: RunTrigger, of: OfTeam | undefined): Promise<Entry> {
    if (of === undefined) throw new WorkloadInvalid('team_name', 'names no team of this host');
    if (!of.bundles.has(trigger.bundle_info.name)) throw new WorkloadInvalid('bundle_info.name', 'names no bundle of its team');
    const [path = '', name = 'default'] = trigger.classpath.split('#');
    const { file } = await locate(of.bundles, { bundle_info: trigger.bundle_info, dag_rel_path: path });
    return { trigger, file, name };
  }

  /** Node's timers wait for no longer than 24 days. */
  #limit(id: number, known: Known, at: number): void {
    const left = at - Date.now();
    known.timer = setTimeout(() => {
      if (at > Date.now()) return this.#limit(id, known, at);
      known.of?.team.cancel(id);
      void this.#fail(id, known, 'its time is over (timeout_after)');
    }, Math.min(Math.max(left, 0), 2 ** 31 - 1));
  }

  #cancel(id: number): void {
    this.#known.get(id)?.of?.team.cancel(id);
    this.#forget(id);
  }

  #forget(id: number): void {
    clearTimeout(this.#known.get(id)?.timer);
    this.#known.delete(id);
  }

  /** Until it is heard, or the trigger is cancelled. */
  async #fail(id: number, known: Known, reason: string): Promise<void> {
    while (this.#known.get(id) === known && !this.#disposed) {
      try {
        return await this.#deliver({ events: [], finished: [], failures: [[id, [reason]]] });
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 1_000).unref());
      }
    }
  }

  async #deliver(told: TriggerStateChanges): Promise<void> {
    const isKnown = (id: number): boolean => this.#known.has(id); // and not cancelled meanwhile
    const changes = { events: told.events.filter(([id]) => isKnown(id)), finished: told.finished.filter(isKnown), failures: told.failures.filter(([id]) => isKnown(id)) };
    if (this.#disposed || changes.events.length + changes.finished.length + changes.failures.length === 0) return;
    try {
      await this.#options.onChanges(Object.freeze(changes));
    } catch (error) {
      if (!this.#warned) process.emitWarning('what triggers have done was not heard, and is told again', { type: 'SallyportWarning', detail: String(error) });
      this.#warned = true;
      throw error;
    }
    for (const id of [...changes.finished, ...changes.failures.map(([id]) => id)]) this.#forget(id);
  }
}

/** A trigger has no `dag_rel_path`, and is no workload. */
function inItsWords(error: Error): string {
  if (!(error instanceof WorkloadInvalid)) return error.message;
  return `the trigger's ${error.path === 'dag_rel_path' ? 'classpath' : error.path} ${error.problem}`;
}

const disposed = (): Error => new BrokerClosed('the trigger host was disposed');
