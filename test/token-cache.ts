// What a verifier's cache remembers, and for how long.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { getHeapSnapshot, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Secret } from '../lib/index.js';
import { CachedVerifier, type TokenCheck, TokenIssuer, TokenVerifier } from '../lib/tokens/index.js';

const cache = suite('token-cache');

const key = Secret.fromBytes(randomBytes(64));
const sub = randomUUID();
let atSeconds = 1_800_000_000;
const now = (): number => atSeconds * 1000 + 999;
const issuer = new TokenIssuer({ key, now });
const issue = (scope: 'execution' | 'workload' = 'execution'): Promise<string> => issuer.issue({ sub, scope });

/** A cache before a real verifier, which counts. */
function counted(options: { maxTokens?: number; leewaySeconds?: number } = {}): { cached: CachedVerifier; asked: () => number } {
  const { leewaySeconds } = options;
  const verifier = new TokenVerifier({ key, now, ...(leewaySeconds !== undefined && { leewaySeconds }) });
  let asked = 0;
  const counting: TokenCheck = { verify: (...args) => (asked++, verifier.verify(...args)) };
  return { cached: new CachedVerifier(counting, { now, ...options }), asked: () => asked };
}
async function outcome(verifier: TokenCheck, token: string, scopes?: readonly ('execution' | 'workload')[]): Promise<string> {
  try {
    return (await verifier.verify(token, scopes && { scopes })).sub === sub ? 'accepted' : 'of another';
  } catch (error) {
    return (error as { reason: string }).reason;
  }
}

cache('a token is verified once, and means the same each time', async () => {
  const { cached, asked } = counted();
  const [one, two] = [await issue(), await issue()];
  const claims = await cached.verify(one);
  for (let i = 0; i < 5; i++) assert.is(await cached.verify(one), claims);
  assert.is(asked(), 1);
  assert.is.not((await cached.verify(two)).jti, claims.jti);
  assert.ok(Object.isFrozen(claims));
});

cache('what it has accepted for one scope is not accepted for another', async () => {
  const { cached } = counted();
  const [execution, workload] = [await issue(), await issue('workload')];
  for (let i = 0; i < 2; i++) {
    assert.equal([await outcome(cached, execution), await outcome(cached, execution, ['workload']), await outcome(cached, execution, [])], ['accepted', 'scope', 'scope']);
    assert.equal([cached.recall(execution, 'execution')?.scope, cached.recall(execution, 'workload'), cached.recall(workload, 'execution'), cached.recall(await issue(), 'execution')], ['execution', undefined, undefined, undefined]);
    assert.equal([await outcome(cached, workload), await outcome(cached, workload, ['workload']), await outcome(cached, workload, ['execution', 'workload'])], ['scope', 'accepted', 'accepted']);
  }
});

cache('what is refused is asked about again', async () => {
  const { cached, asked } = counted();
  const good = await issue();
  const [header, , signature] = good.split('.');
  const forged = [header, (await issue()).split('.')[1], signature].join('.');
  for (let i = 0; i < 3; i++) assert.is(await outcome(cached, forged), 'signature');
  assert.is(asked(), 3);
  assert.is(await outcome(cached, good), 'accepted'); // control
  assert.is(await outcome(cached, 'x'.repeat(8193)), 'malformed');
  assert.is(asked(), 4); // and what is too long is not even hashed
});

for (const leewaySeconds of [0, 10]) {
  cache(`to the second as a verifier without a cache, with a leeway of ${leewaySeconds}`, async () => {
    const began = atSeconds;
    const plain = new TokenVerifier({ key, now, leewaySeconds });
    const { cached } = counted({ leewaySeconds });
    const token = await issue();
    assert.is(await outcome(cached, token), 'accepted');
    const seen = new Set<string>();
    for (const offset of [1, 300, 599, 600, 609, 610, 611, 5000, -1, -9, -10, -11, -12, 0]) {
      atSeconds = began + offset;
      const expected = await outcome(plain, token);
      seen.add(expected);
      const before = cached.recall(token, 'execution') !== undefined;
      assert.ok(!before || expected === 'accepted', `${offset} seconds`);
      assert.is(await outcome(cached, token), expected, `${offset} seconds`);
      assert.is(cached.recall(token, 'execution') !== undefined, expected === 'accepted', `${offset} seconds`);
    }
    assert.equal(seen, new Set(['accepted', 'expired', 'not-yet-valid']));
    atSeconds = began;
  });
}

cache('the oldest makes room', async () => {
  const { cached, asked } = counted({ maxTokens: 3 });
  const tokens = await Promise.all([issue(), issue(), issue(), issue()]);
  for (const token of tokens) await cached.verify(token);
  for (const token of tokens.slice(1)) await cached.verify(token);
  assert.is(asked(), 4);
  await cached.verify(tokens[0] as string);
  assert.is(asked(), 5);
});

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex');

async function heap(): Promise<string> {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  let text = '';
  for await (const chunk of getHeapSnapshot()) text += chunk;
  return text;
}

cache('it has no token: none is on the heap when its owner has let go of it', async () => {
  const { cached, asked } = counted();
  const digests: string[] = [];
  const held: string[] = [];
  // The half of a signature, told apart by its hash alone once the token is gone.
  const show = async (keep: boolean): Promise<void> => {
    const token = await issue();
    await cached.verify(token);
    digests.push(digestOf(token.slice(-64)));
    if (keep) held.push(token);
  };
  await show(false);
  await show(true);
  const text = await heap();
  const found = new Set([...text.matchAll(/[\w-]{64}(?=")/g)].map(([end]) => digestOf(end)));
  assert.equal(digests.map((digest) => found.has(digest)), [false, true]); // the second is the control
  await cached.verify(held[0] ?? '');
  assert.is(asked(), 2); // and it was in the cache all the while
});

cache.run();
