import { checkOptions, invalidArgument, outOfRange } from '../errors.js';
import type { Identity } from './identity.js';
import { askPolicy, type PolicyFunction } from './policy.js';
import { decisionChannel, type DecisionListener, type DecisionRecord } from './record.js';
import { type Action, dagOf, nameOf, type Owner, type Resource } from './resource.js';
import { rules, type Question, type Verdict } from './rules.js';

type Awaitable<T> = T | Promise<T>;

export interface AuthorizerOptions {
  /** Airflow's `[core] multi_team`: teams bound what a task reads and writes. @default false */
  readonly multiTeam?: boolean;
  /** A DAG gets the variables, connections and XComs that it declares, and no other. @default false */
  readonly predeclared?: boolean;
  /** Asked when every rule has said yes; not about a try's own `run`, `heartbeat` and `state`. @default none */
  readonly policy?: PolicyFunction;
  /** No answer of the policy within this time is a no. @default 5000 */
  readonly policyTimeoutMs?: number;
  /** Told what the policy threw. @default nobody */
  readonly onPolicyError?: (error: unknown) => void;
  /** Whose a resource is, where `decide` is not told: in a supervisor, which sees no database. Throwing is a no. @default nobody knows, and so a no with `multiTeam` */
  readonly ownerOf?: (resource: Resource) => Awaitable<Owner>;
  /** Gets every decision; also published on `diagnostics_channel` 'sallyport:decision'. */
  readonly onDecision?: DecisionListener;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

export interface Decision {
  readonly allowed: boolean;
  /** The rule that said no, or the last that said yes. */
  readonly rule: string;
  readonly reason: string;
}

/** The rules of one deployment. The same in the embedded server and in a supervisor's broker. */
export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly multiTeam: boolean;
  readonly predeclared: boolean;

  /** @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`. */
  constructor(options: AuthorizerOptions = {}) {
    checkOptions('options', options, ['multiTeam', 'predeclared', 'policy', 'policyTimeoutMs', 'onPolicyError', 'ownerOf', 'onDecision', 'now']);
    for (const name of ['multiTeam', 'predeclared'] as const) check(name, 'a boolean', options[name], 'boolean');
    for (const name of ['policy', 'onPolicyError', 'ownerOf', 'onDecision', 'now'] as const) check(name, 'a function', options[name], 'function');
    const { policyTimeoutMs = 5_000 } = options;
    if (!Number.isSafeInteger(policyTimeoutMs) || policyTimeoutMs < 1 || policyTimeoutMs > 2 ** 31 - 1) throw outOfRange('options.policyTimeoutMs', 'a whole number of milliseconds');
    this.#options = { ...options, policyTimeoutMs };
    this.multiTeam = options.multiTeam === true;
    this.predeclared = options.predeclared === true;
  }

  /**
   * Decides and records. Synchronous unless the policy, or `ownerOf`, is not.
   *
   * @param owner Whose the resource is; leave it out to have `ownerOf` asked. Looked at with `multiTeam`, and not for what is of the task's own DAG.
   * @throws What `onDecision` throws: the request must not go on.
   */
  decide(identity: Identity, action: Action, resource: Resource, owner?: Owner): Awaitable<Decision> {
    const { ownerOf } = this.#options;
    if (owner !== undefined || ownerOf === undefined || !this.needsOwner(identity, resource)) return this.#decide({ identity, action, resource, owner });
    return this.#ask(() => ownerOf(resource), (found) => this.#decide({ identity, action, resource, owner: found }));
  }

  /** Whether a decision looks at whose it is. */
  needsOwner({ dag_id }: Pick<Identity, 'dag_id'>, resource: Resource): boolean {
    return this.multiTeam && dagOf(resource) !== dag_id && !('prefix' in resource);
  }

  /** Records a refusal that came before there was anything to decide about. */
  refuse(identity: Pick<Identity, 'id'> & Partial<Identity>, action: Action, resource: Resource, rule: string, reason: string): Decision {
    return this.#record(identity, action, resource, { allowed: false, rule, reason });
  }

  /** Records what was decided about a worker that asked for a task instance. */
  recordFor(worker: string, identity: Pick<Identity, 'id'> & Partial<Identity>, action: Action, resource: Resource, decision: Decision): Decision {
    return this.#record(identity, action, resource, decision, worker);
  }

  #decide(question: Question): Awaitable<Decision> {
    const { identity, action, resource } = question;
    let decision: Decision | undefined;
    for (const { name, ask } of rules) {
      const verdict = ask(question, this);
      if (verdict === undefined) continue;
      decision = { allowed: verdict.allowed, rule: name, reason: verdict.reason };
      if (!verdict.allowed) return this.#record(identity, action, resource, decision);
    }
    const { policy, policyTimeoutMs = 5_000, onPolicyError } = this.#options;
    if (policy === undefined || action === 'transition') return this.#record(identity, action, resource, decision as Decision);
    const verdict = askPolicy(policy, question, { timeoutMs: policyTimeoutMs, onError: onPolicyError });
    const conclude = ({ allowed, reason }: Verdict): Decision => this.#record(identity, action, resource, { allowed, rule: 'policy', reason });
    return verdict instanceof Promise ? verdict.then(conclude) : conclude(verdict);
  }

  /** An owner that cannot be found out is one that nobody knows. */
  #ask(find: () => Awaitable<Owner>, next: (owner: Owner) => Awaitable<Decision>): Awaitable<Decision> {
    let found: Awaitable<Owner>;
    try {
      found = find();
    } catch {
      found = undefined;
    }
    if (!(found instanceof Promise)) return next(found);
    return found.catch(() => undefined).then(next);
  }

  #record({ id, dag_id = null, run_id = null, task_id = null, map_index = null, try_number = null, team = null }: Pick<Identity, 'id'> & { readonly [Field in keyof Identity]?: Identity[Field] | null }, action: Action, resource: Resource, decision: Decision, worker?: string): Decision {
    const { onDecision, now = Date.now } = this.#options;
    if (onDecision === undefined && !decisionChannel.hasSubscribers) return decision;
    const record: DecisionRecord = Object.freeze({
      at: new Date(now()).toISOString(), task_instance_id: id, dag_id, run_id, task_id, map_index, try_number, team, action, kind: resource.kind, name: nameOf(resource), ...decision, ...(worker !== undefined && { worker }),
    }); // prettier-ignore
    onDecision?.(record);
    decisionChannel.publish(record);
    return decision;
  }
}

function check(name: string, expected: string, value: unknown, type: string): void {
  if (value !== undefined && typeof value !== type) throw invalidArgument(`options.${name}`, expected, value);
}
