import type { GuaranteeName, Level } from '../guarantees.js';
import type { Grants } from './props.js';

/** One task instance, by Airflow's words. */
export interface Identity {
  readonly id: string;
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
}

/** What a supervisor under test is told to do, as JSON in its arguments. Its tokens are in its environment. */
export interface Job {
  readonly baseUrl: string;
  /** Of the hardened supervisor and its tasks. */
  readonly level: Level;
  /** What this host cannot give them. */
  readonly without: readonly GuaranteeName[];
  readonly attack: string;
  /** Holds the file the supervisor starts from, and its tasks' files. */
  readonly folder: string;
  readonly hostile: Identity;
  readonly neighbour: Identity;
  /** A variable the supervisor can only read with its token: shows that it holds the token. */
  readonly ownVariable: string;
  /** A secret the neighbour was granted and the hostile task was not. */
  readonly neighbourVariable: string;
  /** What the hostile task tries to write under the neighbour's name. */
  readonly forgery: string;
  /** Of what is put up around this attack: for the hostile task to know, and to have. */
  readonly told: Told;
  readonly grants: Grants;
}

/** Facts about props of an attack, by their names. */
export type Told = Readonly<Record<string, string>>;

/** What the hostile task is told. An attacker finds pids and names by itself; here it need not. */
export interface Scene {
  /** Where the supervisor's code lies. */
  readonly folder: string;
  readonly supervisorPid: number;
  readonly neighbourPid: number;
  /** A path beside `folder` where there is nothing; what an attack puts there is removed. */
  readonly aside: string;
  /** The supervisor's folder for temporary files. */
  readonly temporary: string;
  readonly supervisorCode: string;
  readonly neighbourCode: string;
  readonly neighbour: Identity;
  readonly neighbourVariable: string;
  readonly forgery: string;
  readonly told: Told;
}

/** @throws {Error} No prop of this attack tells it. */
export function told(scene: Pick<Scene, 'told'>, name: string): string {
  const fact = scene.told[name];
  if (fact === undefined) throw new Error(`no prop of this attack tells ${name}`);
  return fact;
}

/** The two supervisors: what people write today, and the same job done with this package. */
export type Side = 'ordinary' | 'sallyport';

/** What is worth stealing, by what it is called. */
export const lootNames = [
  "the supervisor's token",
  "another task's token",
  "another task's secret",
  /** In its environment, and never used since: whoever finds it did not find a copy that its use had left. */
  'a key the supervisor has not used yet',
  'a password in its arguments',
] as const;
export type LootName = (typeof lootNames)[number];
export type Loot = Readonly<Record<LootName, string>>;

/** The names of a job's environment and files, shared by the runner and the supervisors. */
export const names = {
  token: 'EXECUTION_API_TOKEN',
  neighbourToken: 'NEIGHBOUR_API_TOKEN',
  unusedKey: 'SIGNING_KEY',
  supervisorCode: 'supervisor.mjs',
  lateSupervisorCode: 'late.mjs',
  neighbourCode: 'neighbour.mjs',
} as const;

/** The descriptor of a credentials file that whoever started the supervisor left open in it. */
export const credentialsFd = 20;

/** Supervisor to runner, a JSON line each, on the supervisor's descriptor 3. */
export type Report =
  | { readonly type: 'ready'; readonly neighbourPid: number }
  | { readonly type: 'started'; readonly hostilePid: number }
  | { readonly type: 'ended'; readonly how: string; readonly violation: boolean }
  | { readonly type: 'checked'; readonly answer: string }
  | { readonly type: 'failed'; readonly message: string };

/** Runner to supervisor, on the same descriptor, whose end asks the supervisor to end. */
export type Order = { readonly type: 'attack' } | { readonly type: 'another' } | { readonly type: 'check' };

/** The lines every attack's task prints around its attempt: without both, `blocked` would mean nothing. */
export const marker = {
  started: (name: string) => `attack ${name} started`,
  finished: (name: string) => `attack ${name} finished`,
  /** Of an attack that waits for a supervisor to start. */
  watching: 'watching',
  /** Of an attack that waits for its supervisor's death. */
  armed: 'armed',
};

/** The job of this process, for a supervisor or a task that was given it. */
export function jobOf(argv: readonly string[]): Job {
  return JSON.parse(argv[2] ?? '{}') as Job;
}

export const temporaryOf = (folder: string): string => `${folder}.tmp`;
export const asideOf = (folder: string): string => `${folder}.aside`;

/** What the hostile task of this supervisor needs to know. */
export function sceneOf(job: Job, supervisorPid: number, neighbourPid: number): Scene {
  const { neighbour, neighbourVariable, forgery, folder } = job;
  return {
    folder,
    aside: asideOf(folder),
    temporary: temporaryOf(folder),
    supervisorPid,
    neighbourPid,
    supervisorCode: `${folder}/${names.supervisorCode}`,
    neighbourCode: `${folder}/${names.neighbourCode}`,
    neighbour,
    neighbourVariable,
    forgery,
    told: job.told,
  };
}
