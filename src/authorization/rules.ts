import type { Identity } from './identity.js';
import { declared } from './pattern.js';
import { type Action, dagOf, type Owner, type Resource } from './resource.js';

export interface Question {
  readonly identity: Identity;
  readonly action: Action;
  readonly resource: Resource;
  readonly owner: Owner;
}

/** What is asked of a question besides what is always asked. */
export interface RuleSwitches {
  readonly multiTeam: boolean;
  readonly predeclared: boolean;
}

/** A stable word for why. */
export interface Verdict {
  readonly allowed: boolean;
  readonly reason: string;
}

export interface Rule {
  readonly name: string;
  /** undefined: the rule has nothing to say. */
  readonly ask: (question: Question, switches: RuleSwitches) => Verdict | undefined;
}

const yes = (reason: string): Verdict => Object.freeze({ allowed: true, reason });
const no = (reason: string): Verdict => Object.freeze({ allowed: false, reason });

const verdicts = {
  own: yes('own'),
  notOwn: no('not_own'),
  live: yes('live'),
  replaced: no('replaced'),
  ended: no('ended'),
  ownTeam: yes('own_team'),
  global: yes('global'),
  notOfTeam: no('not_of_team'),
  listing: yes('listing'),
  declared: yes('declared'),
  notDeclared: no('not_declared'),
} as const;

/** A task writes and deletes the XComs of its own task instance, whatever else is allowed. */
function ownXComWrite({ identity, action, resource }: Question): Verdict | undefined {
  if (resource.kind !== 'xcom' || action === 'read') return undefined;
  return isOwnXCom(identity, resource) ? verdicts.own : verdicts.notOwn;
}

/** A task keeps state of its own inlets and outlets, and of what its DAG declares: Airflow lets whoever has a token read and change that of every asset. */
function ownAssetState({ resource }: Question): Verdict | undefined {
  if (resource.kind !== 'asset_state') return undefined;
  return resource.own ? verdicts.own : verdicts.notOwn;
}

function isOwnXCom(identity: Identity, { dag_id, run_id, task_id, map_index }: Resource & { kind: 'xcom' }): boolean {
  return identity.dag_id === dag_id && identity.run_id === run_id && identity.task_id === task_id && identity.map_index === map_index;
}

/** The latest try speaks, while it runs. Which state may follow which is not for this rule to say. */
function liveTry({ identity: { standing }, action }: Question): Verdict {
  if (standing === 'replaced') return verdicts.replaced;
  return standing === 'live' || action === 'transition' ? verdicts.live : verdicts.ended;
}

/**
 * What is of one's own team, and reading what is nobody's; a task of no team is at home in what is nobody's.
 * What is not there is answered as what is another team's.
 */
function team({ identity, action, resource, owner }: Question, { multiTeam }: RuleSwitches): Verdict | undefined {
  if (!multiTeam) return undefined;
  if (dagOf(resource) === identity.dag_id) return verdicts.ownTeam;
  if ('prefix' in resource) return verdicts.listing;
  if (owner === undefined) return verdicts.notOfTeam;
  if (owner === (identity.team ?? null)) return verdicts.ownTeam;
  return owner === null && action === 'read' ? verdicts.global : verdicts.notOfTeam;
}

/** What its DAG has declared, and the task's own XComs. */
function predeclared({ identity, resource }: Question, { predeclared: wanted }: RuleSwitches): Verdict | undefined {
  if (!wanted || (resource.kind !== 'variable' && resource.kind !== 'connection' && resource.kind !== 'xcom')) return undefined;
  if (resource.kind === 'xcom' && isOwnXCom(identity, resource)) return verdicts.own;
  if ('prefix' in resource) return verdicts.listing;
  return declared(identity.declares ?? {}, resource) ? verdicts.declared : verdicts.notDeclared;
}

/** Asked from the first to the last; the first no is the answer. After these comes the deployment's own policy. docs/authorization.md */
export const rules: readonly Rule[] = [
  { name: 'own-xcom-write', ask: ownXComWrite },
  { name: 'own-asset-state', ask: ownAssetState },
  { name: 'live-try', ask: liveTry },
  { name: 'team', ask: team },
  { name: 'declared', ask: predeclared },
];
