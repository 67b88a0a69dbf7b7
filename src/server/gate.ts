import type { FastifyRequest } from 'fastify';
import type { Action, Decision, Identity, Owner, Resource } from '../authorization/index.js';
import type { TokenClaims } from '../tokens/index.js';
import type { AccessOptions } from './access.js';
import { Memo } from './memo.js';
import { invalidToken, notFound, Problem } from './problem.js';
import { toStored } from './store/time.js';
import { findIdentity, findOwner, ownerName, type Found, type FoundIdentity, type IdentityParts } from './store/identities.js';
import { getTokenStanding } from './store/tokens.js';

type GateOptions = Pick<AccessOptions, 'database' | 'authorization' | 'authorizer' | 'overtimeSeconds' | 'now'>;

/** What is known of who asks, for as long as a request lasts. */
interface Asker {
  readonly identity: Identity;
  readonly state: FoundIdentity['state'];
}

const unasked: Decision = Object.freeze({ allowed: true, rule: 'airflow', reason: 'not_asked' });

/** States into which a try goes by itself. */
const ended: ReadonlySet<FoundIdentity['state']> = new Set(['success', 'failed', 'skipped', 'up_for_retry', 'up_for_reschedule', 'deferred'] as const);

/** Where a request's claims, the database and the rules meet, and a decision becomes an answer. */
export class Gate {
  readonly #options: GateOptions;
  readonly #parts: IdentityParts;
  readonly #askers = new WeakMap<FastifyRequest, Asker>();
  readonly #asked = new WeakSet<FastifyRequest>();
  readonly #memo: Memo;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#memo = new Memo(options.database);
    this.#parts = { team: options.authorizer.multiTeam, declares: options.authorizer.predeclared };
  }

  /** @throws {Problem} 403, 404, 409 or 410. */
  async pass(request: FastifyRequest, claims: TokenClaims, action: Action, resource: Resource): Promise<void> {
    const decision = await this.decide(request, claims, action, resource);
    if (!decision.allowed) throw answer(decision, resource, this.#askers.get(request));
  }

  /** The same about the task instance that asks, on a route that is its own. */
  async passSelf(request: FastifyRequest, claims: TokenClaims, action: Action): Promise<void> {
    if (this.#options.authorization === 'airflow') return;
    const { dag_id, run_id, task_id } = (await this.#find(request, claims, action, undefined)).asker.identity;
    await this.pass(request, claims, action, { kind: 'task_instance', dag_id, run_id, task_id });
  }

  async decide(request: FastifyRequest, claims: TokenClaims, action: Action, resource: Resource): Promise<Decision> {
    this.#asked.add(request);
    const { authorization, authorizer } = this.#options;
    if (authorization === 'airflow') return unasked;
    const { asker, owner } = await this.#find(request, claims, action, resource);
    return authorizer.decide(asker.identity, action, resource, owner);
  }

  /** Whether a token may be renewed: overtime is for last words. */
  async isRunning(request: FastifyRequest, claims: TokenClaims): Promise<boolean> {
    const { asker } = await this.#find(request, claims, 'transition', undefined);
    return asker.state === 'running' && asker.identity.standing === 'live';
  }

  wasAsked(request: FastifyRequest): boolean {
    return this.#asked.has(request);
  }

  /** Loads who asks once for each request, and with it, in the same statement, whose the resource is where that matters. */
  async #find(request: FastifyRequest, claims: TokenClaims, action: Action, resource: Resource | undefined): Promise<{ readonly asker: Asker; readonly owner: Owner }> {
    const { database, authorizer } = this.#options;
    const known = this.#askers.get(request);
    // What is of the DAG that the claim names needs no looking up: that it is the task instance's own DAG is checked below.
    const owned = resource !== undefined && authorizer.needsOwner({ dag_id: claims.dag_id ?? '' }, resource) ? resource : undefined;
    if (known !== undefined) return { asker: known, owner: owned && (await database.run(findOwner(owned))) };
    const row = await this.#look(claims, owned);
    const standing = row === undefined ? await database.run(getTokenStanding(claims)) : row.token;
    if (standing !== 'good') {
      authorizer.refuse({ id: claims.sub }, action, resource ?? ownTaskInstance(claims), 'token', standing);
      throw invalidToken(standing);
    }
    const { identity: found, owner } = this.#checked(row, claims, action, resource);
    const { id, dag_id, run_id, task_id, map_index, try_number, team, declares, state } = found;
    const asker = { identity: { id, dag_id, run_id, task_id, map_index, try_number, team, standing: this.#standing(found), declares }, state };
    this.#askers.set(request, asker);
    return { asker, owner };
  }

  /** Reads it, unless it has been read and nothing was written since. */
  async #look(claims: TokenClaims, owned: Resource | undefined): Promise<Found | undefined> {
    const { database } = this.#options;
    // All that a registered token is: another one with its jti is another token.
    const [who, what] = [`${claims.sub} ${claims.scope} ${claims.jti} ${claims.exp}`, owned && ownerName(owned)];
    const generation = this.#memo.generation();
    const found = this.#memo.get<Found>(who);
    if (found === undefined) {
      const row = await database.run(findIdentity(claims, this.#parts, owned));
      if (row?.token === 'good') {
        this.#memo.keep(who, row, generation);
        if (what !== undefined) this.#memo.keep(what, { owner: row.owner }, generation);
      }
      return row;
    }
    if (owned === undefined || what === undefined) return found;
    let of = this.#memo.get<{ readonly owner: Owner }>(what);
    if (of === undefined) this.#memo.keep(what, (of = { owner: await database.run(findOwner(owned)) }), generation);
    return { ...found, owner: of.owner };
  }

  #checked(found: Found | undefined, claims: TokenClaims, action: Action, resource = ownTaskInstance(claims)): Found {
    const { authorizer } = this.#options;
    const { sub, dag_id } = claims;
    if (found === undefined) {
      authorizer.refuse({ id: sub }, action, resource, 'live-try', 'unknown');
      throw notFound('Task Instance');
    }
    if (dag_id !== undefined && dag_id !== found.identity.dag_id) {
      authorizer.refuse({ ...found.identity, standing: 'ended' }, action, resource, 'live-try', 'other_dag');
      throw new Problem(403, { reason: 'subject_mismatch', message: 'Token DAG does not match the task instance' });
    }
    return found;
  }

  #standing({ replaced, state, last_heartbeat_at }: FoundIdentity): Identity['standing'] {
    if (replaced) return 'replaced';
    if (state === 'running') return 'live';
    const { overtimeSeconds, now } = this.#options;
    if (overtimeSeconds === 0 || !ended.has(state) || last_heartbeat_at === null) return 'ended';
    // By the server's own clock: the end that a try reports is its own word.
    return last_heartbeat_at >= toStored(new Date(now() - overtimeSeconds * 1000).toISOString()) ? 'live' : 'ended';
  }
}

const ownTaskInstance = ({ dag_id = '' }: TokenClaims): Resource => ({ kind: 'task_instance', dag_id });

/** Airflow's statuses and words. Which rule it was stays with the operator: it could tell what exists. */
function answer({ rule }: Decision, resource: Resource, asker: Asker | undefined): Problem {
  if (rule !== 'live-try') return new Problem(403, { reason: 'access_denied', message: `Task does not have access to ${described(resource)}` });
  if (asker?.identity.standing === 'replaced') return new Problem(410, { reason: 'not_found', message: 'Task Instance not found: a later try has taken its place' });
  return new Problem(409, { reason: 'not_running', message: 'TI is no longer in the running state and task should terminate', current_state: asker?.state ?? null });
}

function described(resource: Resource): string {
  switch (resource.kind) {
    case 'variable':
      return 'key' in resource ? `variable ${resource.key}` : 'these variables';
    case 'connection':
      return `connection ${resource.conn_id}`;
    case 'xcom':
      return `XCom key '${resource.key}'`;
    default:
      return `this ${resource.kind.replace('_', ' ')}`;
  }
}
