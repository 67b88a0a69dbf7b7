import { createHmac, generateKeyPairSync, randomBytes, randomUUID, sign as signWith } from 'node:crypto';
import { inspect } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TokenInvalid } from '../lib/errors.js';
import { Secret } from '../lib/secrets/secret.js';
import { TokenIssuer, type TokenRefusal, TokenVerifier } from '../lib/tokens/index.js';

const tokens = suite('tokens');

const keyBytes = randomBytes(64);
const key = (): Secret => Secret.fromBytes(Buffer.from(keyBytes));
const audience = 'urn:airflow.apache.org:task';
const nowSeconds = 1_800_000_000;
const now = (): number => nowSeconds * 1000;
const sub = randomUUID();

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const hs = (bits: number, input: string, bytes: Uint8Array = keyBytes): string => createHmac(`sha${bits}`, bytes).update(input).digest('base64url');

/** A token of our own making, by node:crypto alone. */
function forge(claims: object, header: object = {}, sign = (input: string): string => hs(512, input)): string {
  const input = `${encode({ alg: 'HS512', typ: 'JWT', ...header })}.${encode({ ...good, ...claims })}`;
  return `${input}.${sign(input)}`;
}
const good = { jti: randomUUID().replaceAll('-', ''), aud: audience, sub, scope: 'execution', nbf: nowSeconds, iat: nowSeconds, exp: nowSeconds + 600 };

async function refusalOf(token: string, verifier = new TokenVerifier({ key: key(), now }), options?: Parameters<TokenVerifier['verify']>[1]): Promise<string> {
  try {
    await verifier.verify(token, options);
    return 'accepted';
  } catch (error) {
    if (!(error instanceof TokenInvalid)) throw error;
    // Neither the token nor its signature, in any way of printing it.
    const printed = inspect(error, { depth: Infinity, showHidden: true }) + JSON.stringify(error) + String(error);
    for (const part of token.split('.').filter((each) => each.length > 12)) assert.not.ok(printed.includes(part));
    return error.reason;
  }
}

tokens("an issued token has Airflow's claims and a signature that node:crypto confirms", async () => {
  const token = await new TokenIssuer({ key: key(), now, issuer: 'here' }).issue({ sub, scope: 'workload', dag_id: 'daily' });
  const [header = '', payload = '', signature] = token.split('.');
  assert.is(signature, hs(512, `${header}.${payload}`));
  assert.equal(JSON.parse(Buffer.from(header, 'base64url').toString()), { alg: 'HS512', kid: 'not-used', typ: 'JWT' });
  const { jti, ...claims } = JSON.parse(Buffer.from(payload, 'base64url').toString());
  assert.match(jti, /^[0-9a-f]{32}$/);
  assert.equal(claims, { scope: 'workload', dag_id: 'daily', aud: audience, sub, iss: 'here', nbf: nowSeconds, iat: nowSeconds, exp: nowSeconds + 600 });
});

tokens('no two tokens have the same jti', async () => {
  const issuer = new TokenIssuer({ key: key() });
  const verifier = new TokenVerifier({ key: key() });
  const seen = new Set<string>();
  for (let i = 0; i < 50; i++) seen.add((await verifier.verify(await issuer.issue({ sub, scope: 'execution' }))).jti);
  assert.is(seen.size, 50);
});

tokens('a token signed by another program with the same key is accepted', async () => {
  const claims = await new TokenVerifier({ key: key(), now }).verify(forge({ dag_id: 'daily', another: 1 }));
  assert.equal(claims, { ...good, dag_id: 'daily' });
  assert.ok(Object.isFrozen(claims));
});

tokens('a token without a scope is an execution token', async () => {
  assert.is((await new TokenVerifier({ key: key(), now }).verify(forge({ scope: undefined }))).scope, 'execution');
});

const flipped = (token: string): string => token.slice(0, -40) + (token.at(-40) === 'A' ? 'B' : 'A') + token.slice(-39);
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;

const table: readonly (readonly [string, string, TokenRefusal | 'accepted'])[] = [
  ['as it should be', forge({}), 'accepted'],
  ['expired within the leeway', forge({ exp: nowSeconds - 9 }), 'accepted'],
  ['expired', forge({ exp: nowSeconds - 10 }), 'expired'],
  ['expired long ago', forge({ exp: 1 }), 'expired'],
  ['not valid for a moment within the leeway', forge({ nbf: nowSeconds + 10 }), 'accepted'],
  ['not yet valid', forge({ nbf: nowSeconds + 11 }), 'not-yet-valid'],
  ['issued in the future, within the leeway', forge({ iat: nowSeconds + 10 }), 'accepted'],
  ['issued in the future', forge({ iat: nowSeconds + 11 }), 'not-yet-valid'],
  ['for another audience', forge({ aud: 'urn:other' }), 'audience'],
  ['for no audience', forge({ aud: undefined }), 'audience'],
  ['for several audiences', forge({ aud: ['urn:other', audience] }), 'accepted'],
  ['with algorithm none', forge({}, { alg: 'none' }, () => ''), 'algorithm'],
  ['with algorithm None and a signature', forge({}, { alg: 'None' }), 'algorithm'],
  ['with HS256 of the same key', forge({}, { alg: 'HS256' }, (input) => hs(256, input)), 'algorithm'],
  ['with RS256', forge({}, { alg: 'RS256' }, (input) => signWith('sha256', Buffer.from(input), rsa).toString('base64url')), 'algorithm'],
  ['that says HS512 over an RSA signature', forge({}, {}, (input) => signWith('sha256', Buffer.from(input), rsa).toString('base64url')), 'signature'],
  ['without algorithm', forge({}, { alg: undefined }), 'malformed'],
  ['with an unknown critical header', forge({}, { crit: ['x'], x: 1 }), 'malformed'],
  ['of another key', forge({}, {}, (input) => hs(512, input, randomBytes(64))), 'signature'],
  ['with a bit of the signature changed', flipped(forge({})), 'signature'],
  ['with the claims of another', [forge({}).split('.')[0], encode({ ...good, sub: randomUUID() }), forge({}).split('.')[2]].join('.'), 'signature'],
  ['without signature', `${forge({}).split('.').slice(0, 2).join('.')}.`, 'signature'],
  ['cut short', forge({}).slice(0, -10), 'signature'],
  ['of two parts', forge({}).split('.').slice(0, 2).join('.'), 'malformed'],
  ['of five parts', `${forge({})}.a.b`, 'malformed'],
  ['that is empty', '', 'malformed'],
  ['that is no token', 'hello', 'malformed'],
  ['that is larger than any', forge({ filler: 'x'.repeat(8192) }), 'malformed'],
  ['with a number for exp', forge({ exp: nowSeconds + 0.5 }), 'accepted'],
  ['with text for exp', forge({ exp: '2030' }), 'claims'],
  ['without exp', forge({ exp: undefined }), 'claims'],
  ['without iat', forge({ iat: undefined }), 'claims'],
  ['without jti', forge({ jti: undefined }), 'claims'],
  ['without sub', forge({ sub: undefined }), 'claims'],
  ['whose sub is no task instance', forge({ sub: 'admin' }), 'claims'],
  ['whose dag_id is a number', forge({ dag_id: 7 }), 'claims'],
  ['of a scope that is none', forge({ scope: 'admin' }), 'scope'],
  ['of two scopes', forge({ scope: ['execution', 'workload'] }), 'scope'],
  ['of the other scope', forge({ scope: 'workload' }), 'scope'],
];
for (const [what, token, expected] of table) {
  tokens(`a token ${what}: ${expected}`, async () => {
    assert.is(await refusalOf(token), expected);
  });
}

tokens('a signed payload that is not a claims set is malformed', async () => {
  for (const payload of ['[]', 'null', '"x"', '{', '\xff']) {
    const input = `${encode({ alg: 'HS512' })}.${Buffer.from(payload, 'latin1').toString('base64url')}`;
    assert.is(await refusalOf(`${input}.${hs(512, input)}`), 'malformed');
  }
});

tokens('a verifier with an issuer wants that issuer', async () => {
  const verifier = new TokenVerifier({ key: key(), now, issuer: 'here' });
  assert.is(await refusalOf(forge({ iss: 'here' }), verifier), 'accepted');
  assert.is(await refusalOf(forge({ iss: 'there' }), verifier), 'issuer');
  assert.is(await refusalOf(forge({}), verifier), 'issuer');
});

tokens('the scopes that are asked for are the ones accepted', async () => {
  const workload = forge({ scope: 'workload' });
  assert.is(await refusalOf(workload, undefined, { scopes: ['workload'] }), 'accepted');
  assert.is(await refusalOf(workload, undefined, { scopes: ['workload', 'execution'] }), 'accepted');
  assert.is(await refusalOf(forge({}), undefined, { scopes: ['workload'] }), 'scope');
  assert.is(await refusalOf(forge({}), undefined, { scopes: [] }), 'scope');
});

tokens('no change of a character gets a token accepted with other claims', async () => {
  const verifier = new TokenVerifier({ key: key(), now });
  const token = forge({});
  let state = 20_260_406; // a fixed seed: a failure can be had again
  const random = (below: number): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) % below;
  for (let i = 0; i < 400; i++) {
    const at = random(token.length);
    const changed = token.slice(0, at) + String.fromCharCode(random(4) === 0 ? random(256) : 45 + random(78)) + token.slice(at + 1);
    try {
      assert.equal(await verifier.verify(changed), good);
      assert.ok(changed === token || at === token.length - 1, 'only the unused bits of the last character may differ');
    } catch (error) {
      assert.instance(error, TokenInvalid);
    }
  }
});

tokens('a key shorter than its hash is refused', () => {
  const short = (): Secret => Secret.fromBytes(randomBytes(63));
  for (const make of [() => new TokenIssuer({ key: short() }), () => new TokenVerifier({ key: short() })]) {
    assert.throws(make, (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE');
  }
});

tokens('PEM is no key of this process: with a public key as the bytes of HS512 everybody could sign', () => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const texts = [publicKey.export({ type: 'spki', format: 'pem' }), `\n${String(publicKey.export({ type: 'spki', format: 'pem' }))}`, privateKey.export({ type: 'pkcs8', format: 'pem' })];
  for (const text of texts) {
    const secret = (): Secret => Secret.fromBytes(Buffer.from(text));
    for (const make of [() => new TokenIssuer({ key: secret() }), () => new TokenVerifier({ key: secret() })]) {
      assert.throws(make, (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE' && error.message.includes('PEM'));
    }
  }
  new TokenVerifier({ key: Secret.fromBytes(Buffer.from(String(texts[0]).replaceAll('-----', ''))) }); // control: text of that length
});

tokens('a destroyed key signs and verifies nothing', async () => {
  const secret = key();
  const issuer = new TokenIssuer({ key: secret });
  const verifier = new TokenVerifier({ key: secret });
  secret.destroy();
  for (const attempt of [() => issuer.issue({ sub, scope: 'execution' }), () => verifier.verify(forge({}))]) {
    try {
      await attempt();
      assert.unreachable();
    } catch (error) {
      assert.is((error as NodeJS.ErrnoException).code, 'ERR_SECRET_DESTROYED');
    }
  }
});

tokens.run();
