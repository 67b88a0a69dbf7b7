import type { Declares } from '../authorization/index.js';
import { declared, Patterns } from '../authorization/pattern.js';
import { checkOptions, invalidArgument, outOfRange } from '../errors.js';
import type { XComName } from './client.js';
import type { Identity } from './methods/self.js';

/** What is granted by name. */
const kinds = ['variables', 'writableVariables', 'connections', 'outlets', 'assets', 'assetStates', 'dags', 'triggers', 'skips', 'defers'] as const;
type Kind = (typeof kinds)[number];

/** What a task may ask for beyond what is its own: its XComs, its run, its own life. Nothing that is not named. */
export interface Grants {
  /** Keys of variables it may read, or any. @default [] */
  readonly variables?: readonly string[] | 'any';
  /** Keys of variables it may set and delete; to read them takes `variables`. @default [] */
  readonly writableVariables?: readonly string[] | 'any';
  /** Ids of connections it may read, or any. @default [] */
  readonly connections?: readonly string[] | 'any';
  /** XComs of others it may read. @default [] */
  readonly xcoms?: readonly XComGrant[] | 'any';
  /** Names of assets it may report as updated, and of aliases it may do that by; the URI of one it knows no name of. @default [] */
  readonly outlets?: readonly string[] | 'any';
  /** Names, URIs and aliases of assets it may look up, their events too. @default [] */
  readonly assets?: readonly string[] | 'any';
  /** Names and URIs of assets whose state store it may read and change; neither is granted by the other, nor by `outlets`. @default [] */
  readonly assetStates?: readonly string[] | 'any';
  /** DAGs whose runs and task instances it may look at, its own DAG's other runs as well. @default [] */
  readonly dags?: readonly string[] | 'any';
  /** DAGs it may start runs of, or have done again. @default [] */
  readonly triggers?: readonly string[] | 'any';
  /** Tasks of its run that it may have skipped. @default [] */
  readonly skips?: readonly string[] | 'any';
  /** Class paths of triggers it may wait for. They run in the triggerer, with arguments that the task chooses. @default [] */
  readonly defers?: readonly string[] | 'any';
}

/** XComs that one task pushed. */
export interface XComGrant {
  readonly task_id: string;
  /** @default the task's own */
  readonly dag_id?: string;
  /** @default the task's own */
  readonly run_id?: string;
  /** @default every key */
  readonly key?: string;
  /** Also those of earlier runs, which the task asks for by `include_prior_dates`. @default false */
  readonly priorRuns?: boolean;
}

/**
 * What a task's workload says that it needs: names, or patterns in which `*` stands for any characters. The fields are those
 * of {@link Grants}; `xcoms` are `dag_id/task_id/key`, of any run.
 */
export interface Declaration extends Declares {
  readonly writableVariables?: readonly string[];
  readonly outlets?: readonly string[];
  readonly assets?: readonly string[];
  readonly dags?: readonly string[];
  readonly triggers?: readonly string[];
  readonly skips?: readonly string[];
  readonly defers?: readonly string[];
}

/**
 * `declared`: what the workload's declaration lists. `airflow`: what Airflow's own supervisor lets every task do, which is
 * everything; but not in the name of another task.
 */
export type GrantPreset = 'declared' | 'airflow';

/** What one task may ask for, whichever way that was said. */
export interface Reach {
  has(kind: Kind, name: string): boolean;
  /** All of those that one message names. */
  hasAllOf(kind: Kind, names: readonly string[]): boolean;
  hasXCom(name: XComName, priorRuns: boolean): boolean;
  /** Nothing of this kind is refused. */
  hasAll(kind: Kind): boolean;
}

export function reachOf(grants: Grants | GrantPreset, declaration: Declaration, identity: Identity): Reach {
  if (grants === 'airflow') return { has: () => true, hasAllOf: () => true, hasXCom: () => true, hasAll: () => true };
  if (grants === 'declared') return ofDeclaration(declaration);
  return ofGrants(grants, identity);
}

function ofDeclaration(declaration: Declaration): Reach {
  const made = new Map<Kind, Patterns>();
  const patterns = (kind: Kind): Patterns => {
    const known = made.get(kind) ?? new Patterns(declaration[kind] ?? []);
    made.set(kind, known);
    return known;
  };
  return {
    has: (kind, name) => patterns(kind).cover(name),
    hasAllOf: (kind, names) => patterns(kind).coverAll(names),
    hasXCom: (name) => declared(declaration, { kind: 'xcom', ...name, map_index: -1 }),
    hasAll: (kind) => (declaration[kind] ?? []).includes('*'),
  };
}

function ofGrants(grants: Grants, identity: Identity): Reach {
  const named = new Map(kinds.map((kind) => [kind, grants[kind] === 'any' ? ('any' as const) : new Set(grants[kind])]));
  const { xcoms = [] } = grants;
  const has = (kind: Kind, name: string): boolean => {
    const names = named.get(kind);
    return names === 'any' || names?.has(name) === true;
  };
  return {
    has,
    hasAllOf: (kind, names) => names.every((name) => has(kind, name)),
    hasXCom: (name, priorRuns) => xcoms === 'any' || xcoms.some((grant) => coversXCom(grant, identity, name, priorRuns)),
    hasAll: (kind) => named.get(kind) === 'any',
  };
}

function coversXCom(grant: XComGrant, own: Identity, { dag_id, run_id, task_id, key }: XComName, priorRuns: boolean): boolean {
  return grant.task_id === task_id
    && (grant.dag_id ?? own.dag_id) === dag_id
    && (grant.run_id ?? own.run_id) === run_id
    && (grant.key ?? key) === key
    && (grant.priorRuns === true || !priorRuns);
}

/** @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`. */
export function checkGrants(name: string, grants: unknown): void {
  if (typeof grants === 'string') {
    if (grants !== 'declared' && grants !== 'airflow') throw outOfRange(name, "'declared', 'airflow' or an object");
    return;
  }
  checkOptions(name, grants, [...kinds, 'xcoms']);
  for (const [kind, given] of Object.entries(grants)) {
    if (given === undefined || given === 'any') continue;
    if (kind === 'xcoms') checkXComs(`${name}.xcoms`, given);
    else if (!isNames(given)) throw invalidArgument(`${name}.${kind}`, "an array of names, or 'any'", given);
  }
}

function checkXComs(name: string, grants: unknown): void {
  if (!Array.isArray(grants)) throw invalidArgument(name, "an array, or 'any'", grants);
  for (const [index, grant] of grants.entries()) {
    checkOptions(`${name}[${index}]`, grant, ['task_id', 'dag_id', 'run_id', 'key', 'priorRuns']);
    const { task_id, priorRuns, ...others } = grant as XComGrant;
    if (typeof task_id !== 'string') throw invalidArgument(`${name}[${index}].task_id`, 'a string', task_id);
    if (priorRuns !== undefined && typeof priorRuns !== 'boolean') throw invalidArgument(`${name}[${index}].priorRuns`, 'a boolean', priorRuns);
    for (const [field, value] of Object.entries(others)) if (value !== undefined && typeof value !== 'string') throw invalidArgument(`${name}[${index}].${field}`, 'a string', value);
  }
}

/** @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`. */
export function checkDeclaration(name: string, declaration: unknown): void {
  checkOptions(name, declaration, [...kinds, 'xcoms']);
  for (const [kind, given] of Object.entries(declaration)) if (given !== undefined && !isNames(given)) throw invalidArgument(`${name}.${kind}`, 'an array of names', given);
}

const isNames = (given: unknown): boolean => Array.isArray(given) && given.every((each) => typeof each === 'string');
