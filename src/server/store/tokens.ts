import { isOurJti, type TokenClaims, type TokenRecord, type TokenStanding } from '../../tokens/index.js';
import type { TaskInstanceState } from '../state.js';
import { all, forUpdate, insertInto, one, quiet, run, type Sql, type Values } from './sql.js';
import { fromStored, shown } from './time.js';

const columns = ['jti', 'sub', 'scope', 'exp', 'issued_at', 'worker', 'given_for'] as const;

/** A jti that is there already registers nothing: no token takes another one's place. Nobody has asked with it yet, so that nothing that is remembered changes. */
const insert = insertInto('tokens', columns, `ON CONFLICT (jti) DO NOTHING RETURNING jti${quiet}`);

/**
 * @param worker Who asked for its task instance's first token.
 * @param given_for Which request of whom it answers, where that may be asked again.
 * @throws Where the jti is there already: the token must not be handed out.
 */
export function* registerToken({ jti, sub, scope, exp }: TokenRecord, now: string, worker: string | null = null, given_for: string | null = null): Sql<void> {
  if ((yield* one(insert, { jti, sub, scope, exp, issued_at: now, worker, given_for })) === undefined) throw new Error('a token with this jti was registered before');
}

/** For a SELECT that knows the claims by {@link standingValues}: null where no such token was registered. */
export const standingColumn = `(SELECT CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN used_at IS NOT NULL THEN 'used' ELSE 'good' END
  FROM tokens WHERE jti = :jti AND sub = :id AND scope = :scope AND exp = :exp)`;

/** The whole record has to be the one that was registered: another token with its jti is none. */
export function standingValues({ jti, sub, scope, exp }: TokenClaims): { readonly id: string; readonly jti: string; readonly scope: string; readonly exp: number } {
  const ours = isOurJti(jti) && Number.isSafeInteger(exp);
  return { id: sub, jti: ours ? jti : '', scope, exp: ours ? exp : 0 };
}

export function* getTokenStanding(claims: TokenClaims): Sql<TokenStanding> {
  const row = yield* one<{ standing: TokenStanding | null }>(`SELECT ${standingColumn} AS standing`, standingValues(claims));
  return row?.standing ?? 'unregistered';
}

const given = 'SELECT worker FROM tokens WHERE sub = :sub AND given_for = :given_for AND revoked_at IS NULL';

const use = "UPDATE tokens SET used_at = :now WHERE jti = :jti AND scope = 'workload' AND used_at IS NULL AND revoked_at IS NULL RETURNING worker";

/**
 * In the transaction in which a task instance starts: its workload token is used up, every other token of it ends, of an earlier
 * leg or for a start that did not come, and the execution token is registered.
 *
 * @param asked Which request of whom: its hash, with the workload token's jti in it. One that is asked again, because its answer was
 *   lost, gets another token as long as the one lives that it did not get; that one stays, for requests may overtake each other.
 * @returns False where somebody was faster: the transaction must not be kept then.
 */
export function* exchangeToken(workloadJti: string, execution: TokenRecord, now: string, asked: { readonly given_for: string | null; readonly again: boolean } = { given_for: null, again: false }): Sql<boolean> {
  yield* all(lock('sub = :sub AND'), { sub: execution.sub });
  const { given_for, again } = asked;
  let used = yield* one<{ worker: string | null }>(use, { jti: workloadJti, now });
  if (used !== undefined) yield* endLeg(execution.sub, now);
  else if (again && given_for !== null) used = yield* one<{ worker: string | null }>(given, { sub: execution.sub, given_for });
  if (used === undefined) return false;
  yield* registerToken(execution, now, used.worker, given_for);
  return true;
}

/** In a transaction. @returns False where the old token has ended meanwhile: the new one must not be handed out. */
export function* replaceToken(oldJti: string, fresh: TokenRecord, now: string): Sql<boolean> {
  // Locked: a revocation waits until the new one is there to be revoked too.
  const old = yield* one<{ revoked_at: string | null; worker: string | null }>(`SELECT revoked_at, worker FROM tokens WHERE jti = :jti${forUpdate}`, { jti: oldJti });
  if (old === undefined || old.revoked_at !== null) return false;
  yield* registerToken(fresh, now, old.worker);
  return true;
}

/** Which tokens: one, those of a task instance, those that came from a worker's first tokens, or all there are. */
export type Revocation = { readonly jti: string } | { readonly taskInstanceId: string } | { readonly worker: string } | 'all';

const live = 'revoked_at IS NULL AND used_at IS NULL';

/** Whoever locks several locks them in this order, so that no two wait for each other. */
const lock = (condition: string): string => `SELECT jti FROM tokens WHERE ${condition} ${live} ORDER BY jti${forUpdate}`;

/** In a transaction. @returns How many have ended by it; what has expired or was used up does not count. */
export function revokeTokens(which: Revocation, now: string): Sql<number> {
  return end(which, ', last_word = NULL', now);
}

/** In a transaction. The task goes on, with tokens of its own; those of the leg before are good for nothing but to be told its {@link getLastWord}. */
export function* endLeg(taskInstanceId: string, now: string): Sql<void> {
  yield* end({ taskInstanceId }, '', now);
}

/**
 * At least twice, and until there is none: a token that was replaced or used while a statement waited for it has a successor,
 * which that statement did not see.
 */
function* end(which: Revocation, more: string, now: string): Sql<number> {
  const [condition, values] = selection(which);
  for (let count = 0, times = 1; ; times++) {
    const ended = yield* all(`UPDATE tokens SET revoked_at = :now${more} WHERE jti IN (${lock(condition)}) RETURNING jti`, { ...values, now });
    if (ended.length === 0 && times > 1) return count;
    count += ended.length;
  }
}

/** In a transaction. The word by which a leg ends that goes on later is kept with its tokens, before they end. */
export function* keepLastWord(taskInstanceId: string, word: TaskInstanceState): Sql<void> {
  yield* run(`UPDATE tokens SET last_word = :word WHERE jti IN (${lock("sub = :sub AND scope = 'execution' AND")})${quiet}`, { sub: taskInstanceId, word });
}

/** By which its leg put itself off, of a token that ended because the task went on since. Undefined for every other one, and where somebody has revoked it. */
export function* getLastWord(claims: TokenClaims): Sql<TaskInstanceState | undefined> {
  const row = yield* one<{ last_word: TaskInstanceState | null }>('SELECT last_word FROM tokens WHERE jti = :jti AND sub = :id AND scope = :scope AND exp = :exp AND revoked_at IS NOT NULL', standingValues(claims));
  return row?.last_word ?? undefined;
}

function selection(which: Revocation): readonly [string, Values] {
  if (which === 'all') return ['', {}];
  if ('jti' in which) return ['jti = :jti AND', { jti: which.jti }];
  return 'worker' in which ? ['worker = :worker AND', { worker: which.worker }] : ['sub = :sub AND', { sub: which.taskInstanceId }];
}

interface TokenRow {
  readonly jti: string;
  readonly task_instance_id: string;
  readonly scope: string;
  readonly exp: number;
  readonly issued_at: string;
  readonly used_at: string | null;
  readonly revoked_at: string | null;
  /** Who asked for its task instance's first token. */
  readonly worker: string | null;
}

/** By jti. */
export function* listTokens(sub: string | undefined, after: string, limit: number): Sql<readonly TokenRow[]> {
  const rows = yield* all<TokenRow>(`SELECT jti, sub AS task_instance_id, scope, exp, issued_at, used_at, revoked_at, worker FROM tokens WHERE jti > :after ${sub === undefined ? '' : 'AND sub = :sub'} ORDER BY jti LIMIT :limit`, { after, limit, ...(sub !== undefined && { sub }) });
  return rows.map((row) => ({ ...row, issued_at: fromStored(row.issued_at), used_at: shown(row.used_at), revoked_at: shown(row.revoked_at) }));
}

/** A purge leaves no lock on many rows. */
export const purgedAtOnce = 1000;
const purge = `DELETE FROM tokens WHERE jti IN (SELECT jti FROM tokens WHERE exp < :before ORDER BY jti LIMIT ${purgedAtOnce}${forUpdate})${quiet}`;

/** Forgets tokens that expired before, in seconds since 1970: nobody accepts them any more, registered or not. */
export function purgeTokens(before: number): Sql<void> {
  return run(purge, { before });
}
