// Keys that change while a server runs, and what is published of them.
import { createPublicKey, generateKeyPairSync, type JsonWebKey, type KeyObject, randomBytes, verify } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Secret } from '../lib/index.js';
import { createServer } from '../lib/server/index.js';
import { tokensOf } from '../lib/server/server.js';
import { KeyAgent, TokenVerifier } from '../lib/tokens/index.js';
import { ApiServer, dagRun, here, type Reply } from './helpers/api-server.js';

const keys = suite('server-keys');

const things = { variables: { region: 'north' } };
const region = 'variables/region';
const bytes = { old: randomBytes(64), next: randomBytes(64) };
const named = (name: keyof typeof bytes): { key: Secret; kid: string } => ({ key: Secret.fromBytes(Buffer.from(bytes[name])), kid: name });
const signing = (name: keyof typeof bytes): { signingKey: Secret; kid: string } => ({ signingKey: named(name).key, kid: name });
const outcome = ({ status, body }: Reply): string => (status === 200 ? 'accepted' : String((body as { detail: { message: string } }).detail.message.split(': ')[1]));

/** A token of a running task by each key that signs in turn. */
async function issue(api: ApiServer, kid: string): Promise<string> {
  const task = await api.running();
  const token = await api.issuer.issue({ sub: task.id, scope: 'execution', dag_id: dagRun.dag_id });
  assert.is(decodeProtectedHeader(token).kid, kid);
  return token;
}
const ask = async (api: ApiServer, token: string): Promise<string> => outcome(await api.ask('GET', region, token));

keys('HS512 keys overlap: the old one verifies until it is dropped', async () => {
  await using api = await ApiServer.start({ ...signing('old') }, things);
  const first = await issue(api, 'old');
  assert.is(await ask(api, first), 'accepted');
  api.server.useKeys({ ...signing('old'), otherKeys: [named('next')] });
  assert.is(await ask(api, first), 'accepted');
  api.server.useKeys({ ...signing('next'), otherKeys: [named('old')] });
  const second = await issue(api, 'next');
  assert.equal([await ask(api, first), await ask(api, second)], ['accepted', 'accepted']);
  api.server.useKeys({ ...signing('next') });
  // It was in the cache, and is not believed for that.
  assert.equal([await ask(api, first), await ask(api, second)], ['signature', 'accepted']);
});

keys('two servers on one database go over one after the other, and no token is refused on the way', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-keys-'));
  try {
    const database = join(folder, 'db');
    await using one = await ApiServer.start({ database, ...signing('old') }, things);
    await using two = await ApiServer.start({ database, ...signing('old') });
    const tokens = [await issue(one, 'old')];
    const allAccepted = async (): Promise<void> => {
      for (const api of [one, two]) for (const token of tokens) assert.is(await ask(api, token), 'accepted');
    };
    const steps = [{ ...signing('old'), otherKeys: [named('next')] }, { ...signing('next'), otherKeys: [named('old')] }];
    for (const step of steps) {
      one.server.useKeys(step);
      tokens.push(await issue(one, step.kid));
      await allAccepted();
      two.server.useKeys(step);
      tokens.push(await issue(two, step.kid), await issue(one, step.kid));
      await allAccepted();
    }
    // Control: with the first step left out, the other server does not know the key.
    two.server.useKeys({ ...signing('old') });
    assert.is(await ask(two, tokens.at(-1) ?? ''), 'signature');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

keys('a kid that no key has, or another key than it names, is refused', async () => {
  await using api = await ApiServer.start({ ...signing('next'), otherKeys: [named('old')] }, things);
  const good = await issue(api, 'next');
  const [, payload = ''] = good.split('.');
  const { createHmac } = await import('node:crypto');
  const resigned = (kid: string | undefined, key: Buffer): string => {
    const input = `${Buffer.from(JSON.stringify({ alg: 'HS512', typ: 'JWT', ...(kid !== undefined && { kid }) })).toString('base64url')}.${payload}`;
    return `${input}.${createHmac('sha512', key).update(input).digest('base64url')}`;
  };
  assert.is(await ask(api, resigned('next', bytes.next)), 'accepted'); // control: the same claims, signed again
  for (const [kid, key] of [['none', bytes.next], [undefined, bytes.next], ['old', bytes.next], ['next', bytes.old], ['__proto__', bytes.next], ['../../key', bytes.next]] as const) {
    assert.is(await ask(api, resigned(kid, key)), 'signature', String(kid));
  }
});

keys('keys that cannot be are refused, and the old ones stay', async () => {
  await using api = await ApiServer.start({ ...signing('old') }, things);
  const token = await issue(api, 'old');
  const short = Secret.fromBytes(randomBytes(63));
  for (const wrong of [{}, { ...signing('next'), otherKeys: [named('next')] }, { ...signing('next'), kid: 'a b' }, { signingKey: short }, { ...signing('next'), otherKeys: [{ key: short, kid: 'short' }] }, { ...signing('next'), signer: {} }, { ...signing('next'), audience: 'x' }]) {
    assert.throws(() => api.server.useKeys(wrong as never), (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE', JSON.stringify(Object.keys(wrong)));
    assert.is(await ask(api, token), 'accepted');
  }
});

keys('the public keys of an agent are served, verify elsewhere, and change with it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-keys-'));
  const file = (name: string, key: KeyObject): string => {
    writeFileSync(join(folder, name), key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    return join(folder, name);
  };
  const old = { file: file('old', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey), kid: 'old' };
  const next = { file: file('next', generateKeyPairSync('ed25519').privateKey), kid: 'next' };
  const policy = { issuer: 'https://airflow.example', audience: 'urn:tasks' };
  try {
    await using first = await KeyAgent.start({ ...policy, key: old, otherKeys: [next] });
    await using second = await KeyAgent.start({ ...policy, key: next, otherKeys: [old] });
    await using third = await KeyAgent.start({ ...policy, key: next });
    await using stranger = await KeyAgent.start({ key: next });
    const server = await createServer({ signer: first });
    await using api = { server, url: await server.listen(), [Symbol.asyncDispose]: () => server.close() };
    const tokens = tokensOf.get(server);
    assert.ok(tokens);
    const url = new URL('/.well-known/jwks.json', api.url);
    const published = async (): Promise<string[]> => ((await (await fetch(url)).json()) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid);
    const fresh = (): Promise<string> => tokens.issue({ sub: '6f9619ff-8b86-4011-b42d-00c04fc964ff', scope: 'execution', dag_id: 'daily' });
    // Two others who verify: jose by the URL, and node:crypto by what it serves.
    const remote = createRemoteJWKSet(url, { cooldownDuration: 0 });
    const verifiedBy = async (token: string): Promise<string | undefined> => (await jwtVerify(token, remote, policy)).protectedHeader.kid;

    const response = await fetch(url);
    assert.equal([response.status, response.headers.get('content-type'), response.headers.get('cache-control')], [200, 'application/jwk-set+json', 'public, max-age=300']);
    const set = (await response.json()) as { keys: (JsonWebKey & { kid: string; alg: string; use: string })[] };
    assert.equal(set.keys.map(({ kid, alg, use, kty }) => [kid, alg, use, kty]), [['old', 'ES256', 'sig', 'EC'], ['next', 'EdDSA', 'sig', 'OKP']]);
    for (const key of set.keys) assert.not.ok('d' in key);

    const one = await fresh();
    assert.is(await verifiedBy(one), 'old');
    const [header, payload, signature = ''] = one.split('.');
    const jwk = set.keys[0];
    assert.ok(jwk && verify('sha256', Buffer.from(`${header}.${payload}`), { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')));

    server.useKeys({ signer: second });
    const two = await fresh();
    assert.equal([await published(), await verifiedBy(one), await verifiedBy(two)], [['next', 'old'], 'old', 'next']);
    for (const token of [one, two]) assert.is((await tokens.verify(token, ['execution'])).dag_id, 'daily');
    await first.close(); // nobody asks it any more

    server.useKeys({ signer: third });
    assert.equal(await published(), ['next']);
    assert.is((await tokens.verify(two, ['execution'])).dag_id, 'daily');
    for (const verified of [() => tokens.verify(one, ['execution']), () => new TokenVerifier({ jwks: tokens.jwks, ...policy }).verify(one)]) {
      try {
        await verified();
        assert.unreachable();
      } catch (error) {
        assert.is((error as { reason?: string }).reason, 'algorithm'); // no key of it is left
      }
    }
    // With another issuer every token that is out would end at once; with a key, what the agent's name for it is would be lost.
    for (const wrong of [{ signer: stranger }, { ...signing('old') }]) assert.throws(() => server.useKeys(wrong), (error: NodeJS.ErrnoException) => error.code === 'ERR_OUT_OF_RANGE');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

keys('of a secret key nothing is published', async () => {
  await using api = await ApiServer.start({ ...signing('next'), otherKeys: [named('old')] }, things);
  assert.equal(await (await fetch(new URL('/.well-known/jwks.json', api.url))).json(), { keys: [] });
  assert.is((await api.ask('GET', '../.well-known/jwks')).status, 404);
  assert.is((await (await api.task()).run(here)).status, 200);
});

keys.run();
