import type { FastifyRequest } from 'fastify';
import type { Action, Decision, Identity, Owner, Resource } from '../authorization/index.js';
import type { TokenClaims, TokenStanding } from '../tokens/index.js';
import type { AccessOptions } from './access.js';
import type { App } from './app.js';
import { type Awaitable, chain } from './awaitable.js';
import { invalidToken, notFound, Problem } from './problem.js';
import { storedNow } from './store/time.js';
import { findIdentity, findOwner, ownerName, type FoundIdentity, type IdentityParts } from './store/identities.js';
import type { Sql } from './store/sql.js';
import { getLastWord, getTokenStanding } from './store/tokens.js';

type GateOptions = Pick<AccessOptions, 'database' | 'memo' | 'tokens' | 'authorization' | 'authorizer' | 'overtimeSeconds' | 'now'>;

/** What is known of who asks, for as long as a request lasts. */
interface Asker {
  readonly identity: Identity;
  readonly state: FoundIdentity['state'];
}

/** What the database says of who asks, and whose it is that he asks about. */
interface Asked {
  readonly row: FoundIdentity | undefined;
  readonly standing: TokenStanding;
  /** Only what was asked for. */
  readonly owner: Owner;
}

function* findAsked(claims: TokenClaims, parts: IdentityParts, owned?: Resource): Sql<Asked> {
  const found = yield* findIdentity(claims, parts, owned);
  if (found === undefined) return { row: undefined, standing: yield* getTokenStanding(claims), owner: undefined };
  return { row: found.identity, standing: found.token, owner: found.owner };
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks, where that has been looked up. */
    asker: Asker | null;
    /** Its handler has asked whether it may. */
    asked: boolean;
  }
}

const unasked: Decision = Object.freeze({ allowed: true, rule: 'airflow', reason: 'not_asked' });

/** Between two heartbeats of a supervisor that lives. Of a token's life no more than a quarter, for it is renewed in the second half. */
const longestSilenceMs = 60_000;

/** States into which a try goes by itself. */
const ended: ReadonlySet<FoundIdentity['state']> = new Set(['success', 'failed', 'skipped', 'up_for_retry', 'up_for_reschedule', 'deferred', 'awaiting_input'] as const);

/** Where a request's claims, the database and the rules meet, and a decision becomes an answer. */
export class Gate {
  readonly #options: GateOptions;
  readonly #parts: IdentityParts;

  constructor(app: App, options: GateOptions) {
    app.decorateRequest('asker', null);
    app.decorateRequest('asked', false);
    this.#options = options;
    this.#parts = { team: options.authorizer.multiTeam, declares: options.authorizer.predeclared };
  }

  /** @throws {Problem} 403, 404, 409 or 410. */
  pass(request: FastifyRequest, claims: TokenClaims, action: Action, resource: Resource): Awaitable<void> {
    return chain(this.decide(request, claims, action, resource), (decision) => {
      if (!decision.allowed) throw answer(decision, resource, request.asker);
    });
  }

  /**
   * The same about the task instance that asks, on a route that is its own.
   *
   * A token that has ended is refused here where the try was heard of since, or shortly before: then its supervisor has another one, for an API
   * that answers renews tokens in time. So what was stolen of a try whose supervisor lives is good for nothing after its end, also between two heartbeats.
   *
   * @param mayBeUsed The route decides about a workload token that was used.
   */
  async passSelf(request: FastifyRequest, claims: TokenClaims, action: Action, mayBeUsed = false): Promise<void> {
    if (this.#options.authorization === 'airflow') return;
    const { dag_id, run_id, task_id } = (await this.#find(request, claims, action, undefined, mayBeUsed)).asker.identity;
    await this.pass(request, claims, action, { kind: 'task_instance', dag_id, run_id, task_id });
  }

  /**
   * The answer to a token that ended because its task went on, which a supervisor says a word with again whose first answer got lost: how its own leg
   * ended, and nothing of what came since.
   */
  async lastWord(claims: TokenClaims): Promise<Problem | undefined> {
    const word = await this.#options.database.run(getLastWord(claims));
    if (word === undefined) return undefined;
    return new Problem(409, { reason: 'not_running', message: 'The task has been put off, and has gone on since', current_state: word, previous_state: word });
  }

  decide(request: FastifyRequest, claims: TokenClaims, action: Action, resource: Resource): Awaitable<Decision> {
    request.asked = true;
    const { authorization, authorizer } = this.#options;
    if (authorization === 'airflow') return unasked;
    return chain(this.#find(request, claims, action, resource), ({ asker, owner }) => authorizer.decide(asker.identity, action, resource, owner));
  }

  /** Whether a token may be renewed: overtime is for last words. */
  async isRunning(request: FastifyRequest, claims: TokenClaims): Promise<boolean> {
    const { asker } = await this.#find(request, claims, 'transition', undefined);
    return asker.state === 'running' && asker.identity.standing === 'live';
  }

  /** Loads who asks once for each request, and with it, in the same statement, whose the resource is where that matters. */
  #find(request: FastifyRequest, claims: TokenClaims, action: Action, resource: Resource | undefined, mayBeUsed = false): Awaitable<{ readonly asker: Asker; readonly owner: Owner }> {
    const { database, authorizer } = this.#options;
    const known = request.asker;
    // What is of the DAG that the claim names needs no looking up: that it is the task instance's own DAG is checked below.
    const owned = resource !== undefined && authorizer.needsOwner({ dag_id: claims.dag_id ?? '' }, resource) ? resource : undefined;
    if (known !== null) return owned === undefined ? { asker: known, owner: undefined } : chain(database.run(findOwner(owned)), (owner) => ({ asker: known, owner }));
    return chain(this.#look(claims, owned, request.late), ({ row, standing, owner }) => {
      const why = standing !== 'good' && !(standing === 'used' && mayBeUsed) ? standing : request.late && this.#wasHeardSince(claims, row) ? 'expired' : undefined;
      if (why !== undefined) {
        authorizer.refuse({ id: claims.sub }, action, resource ?? ownTaskInstance(claims), 'token', why);
        throw invalidToken(why);
      }
      const found = this.#checked(row, claims, action, resource);
      const { id, dag_id, run_id, task_id, map_index, try_number, team, declares, state } = found;
      const asker = { identity: { id, dag_id, run_id, task_id, map_index, try_number, team, standing: this.#standing(found), declares }, state };
      request.asker = asker;
      return { asker, owner };
    });
  }

  /** In one statement, or from what has been read since anything was written. */
  #look(claims: TokenClaims, owned: Resource | undefined, late: boolean): Awaitable<Asked> {
    const { database, memo } = this.#options;
    // What is remembered outlives heartbeats.
    if (late || database.generation() === undefined) return database.run(findAsked(claims, this.#parts, owned));
    // The claims of one token are one object for as long as it is remembered.
    const asked = memo.read(claims, () => findAsked(claims, this.#parts), ({ standing }) => standing === 'good');
    if (owned === undefined) return asked;
    return chain(asked, (who) => chain(memo.read(ownerName(owned), () => findOwner(owned), () => true), (owner) => ({ ...who, owner })));
  }

  #wasHeardSince(claims: TokenClaims, row: FoundIdentity | undefined): boolean {
    const since = this.#options.tokens.endOf(claims) - Math.min(longestSilenceMs, ((claims.exp - claims.iat) * 1000) / 4);
    return row?.last_heartbeat_at != null && row.last_heartbeat_at >= storedNow(since);
  }

  #checked(found: FoundIdentity | undefined, claims: TokenClaims, action: Action, resource = ownTaskInstance(claims)): FoundIdentity {
    const { authorizer } = this.#options;
    const { sub, dag_id } = claims;
    if (found === undefined) {
      authorizer.refuse({ id: sub }, action, resource, 'live-try', 'unknown');
      throw notFound('Task Instance');
    }
    if (dag_id !== undefined && dag_id !== found.dag_id) {
      authorizer.refuse({ ...found, standing: 'ended' }, action, resource, 'live-try', 'other_dag');
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
    return last_heartbeat_at >= storedNow(now() - overtimeSeconds * 1000) ? 'live' : 'ended';
  }
}

const ownTaskInstance = ({ dag_id = '' }: TokenClaims): Resource => ({ kind: 'task_instance', dag_id });

/** Airflow's statuses and words. Which rule it was stays with the operator: it could tell what exists. */
function answer({ rule }: Decision, resource: Resource, asker: Asker | null): Problem {
  if (rule !== 'live-try') return new Problem(403, { reason: 'access_denied', message: `Task does not have access to ${described(resource)}` });
  if (asker?.identity.standing === 'replaced') return new Problem(410, { reason: 'not_found', message: 'Task Instance not found: a later try has taken its place', previous_state: asker.state });
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
