// The registry's statements against a model of what it is to say, over any sequence of what can happen to tokens.
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openDatabase } from '../lib/server/store/index.js';
import { exchangeToken, getTokenStanding, purgeTokens, registerToken, replaceToken, type Revocation, revokeTokens } from '../lib/server/store/tokens.js';
import type { TokenClaims, TokenRecord, TokenStanding } from '../lib/tokens/index.js';

const registry = suite('token-registry');

interface Known extends TokenRecord {
  readonly worker: string | null;
  standing: TokenStanding;
}

const subjects = ['a', 'b', 'c'];
const workers = [null, 'w1', 'w2'];
/** Which of the tokens there are, modulo their number. */
const which = fc.nat(60);
const step = fc.oneof(
  fc.record({ do: fc.constant('issue' as const), sub: fc.constantFrom(...subjects), scope: fc.constantFrom('workload' as const, 'execution' as const), worker: fc.constantFrom(...workers), exp: fc.integer({ min: 100, max: 109 }) }),
  fc.record({ do: fc.constant('again' as const), which }),
  fc.record({ do: fc.constant('exchange' as const), which, exp: fc.integer({ min: 100, max: 109 }) }),
  fc.record({ do: fc.constant('replace' as const), which, exp: fc.integer({ min: 100, max: 109 }) }),
  fc.record({ do: fc.constant('revoke' as const), by: fc.constantFrom('jti', 'taskInstanceId', 'worker'), which }),
  fc.record({ do: fc.constant('revoke all' as const) }),
  fc.record({ do: fc.constant('purge' as const), before: fc.integer({ min: 100, max: 110 }) }),
);
const newJti = (): string => randomBytes(16).toString('hex');
const asClaims = ({ jti, sub, scope, exp }: TokenRecord): TokenClaims => ({ jti, sub, scope, exp, iat: 0, aud: 'x' });

registry('after anything that can happen, each token stands as it should', () =>
  fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const database = await openDatabase(':memory:');
      const known: Known[] = [];
      const end = (matches: (token: Known) => boolean): number => known.filter((token) => token.standing === 'good' && matches(token)).map((token) => (token.standing = 'revoked')).length;
      for (const each of steps) {
        const token = 'which' in each ? known[each.which % Math.max(known.length, 1)] : undefined;
        if ('which' in each && token === undefined) continue;
        if (each.do === 'issue') {
          const { sub, scope, exp, worker } = each;
          const record = { jti: newJti(), sub, scope, exp };
          await database.run(registerToken(record, 'now', worker));
          known.push({ ...record, worker, standing: 'good' });
        } else if (each.do === 'again' && token !== undefined) {
          // A jti that is there stays whose it was.
          if (token.standing !== 'unregistered') assert.throws(() => database.run(registerToken({ ...token, sub: 'z' }, 'now')));
        } else if (each.do === 'exchange' && token !== undefined) {
          const fresh = { jti: newJti(), sub: token.sub, scope: 'execution' as const, exp: each.exp };
          const possible = token.scope === 'workload' && token.standing === 'good';
          assert.is(await database.transaction(exchangeToken(token.jti, fresh, 'now')), possible);
          if (!possible) continue;
          token.standing = 'used';
          end(({ sub }) => sub === token.sub);
          known.push({ ...fresh, worker: token.worker, standing: 'good' });
        } else if (each.do === 'replace' && token !== undefined) {
          const fresh = { jti: newJti(), sub: token.sub, scope: token.scope, exp: each.exp };
          const possible = token.scope === 'execution' && token.standing === 'good';
          if (token.scope === 'workload') continue; // the gate renews none
          assert.is(await database.transaction(replaceToken(token.jti, fresh, 'now')), possible);
          if (possible) known.push({ ...fresh, worker: token.worker, standing: 'good' });
        } else if (each.do === 'revoke' && token !== undefined) {
          const value = each.by === 'jti' ? token.jti : each.by === 'worker' ? token.worker : token.sub;
          if (value === null) continue;
          const expected = end((other) => (each.by === 'jti' ? other.jti : each.by === 'worker' ? other.worker : other.sub) === value);
          assert.is(await database.transaction(revokeTokens({ [each.by]: value } as unknown as Revocation, 'now')), expected);
        } else if (each.do === 'revoke all') {
          assert.is(await database.transaction(revokeTokens('all', 'now')), end(() => true));
        } else if (each.do === 'purge') {
          await database.run(purgeTokens(each.before));
          for (const old of known) if (old.exp < each.before) old.standing = 'unregistered';
        }
        for (const each of known) {
          assert.is(await database.run(getTokenStanding(asClaims(each))), each.standing);
          // No other claims go with its jti.
          for (const other of [{ sub: 'z' }, { exp: each.exp + 1 }, { scope: each.scope === 'workload' ? 'execution' : 'workload' } as const]) assert.is(await database.run(getTokenStanding({ ...asClaims(each), ...other })), 'unregistered');
        }
      }
      await database.close();
    }),
    { numRuns: 150 },
  ),
);

registry.run();
