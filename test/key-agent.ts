import { spawn } from 'node:child_process';
import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, randomUUID, verify as verifyWith } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launch, policies, Secret } from '../lib/index.js';
import { loadKey } from '../lib/tokens/agent/key.js';
import { KeyAgent, type KeyAgentOptions, TokenIssuer, TokenVerifier } from '../lib/tokens/index.js';
import { ApiServer, here, startDate } from './helpers/api-server.js';
import { Fixture, inChild, withoutCapabilities } from './helpers/fixture.js';
import { marksIn, marksOf } from './helpers/memory.js';
import { until } from './helpers/processes.js';

const agents = suite('key-agent');
const audience = 'urn:airflow.apache.org:task';
const sub = randomUUID();
const grant = { sub, scope: 'execution' } as const;

let folder = '';
agents.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-'));
});
agents.after(() => rmSync(folder, { recursive: true }));

let files = 0;
function file(content: string | Uint8Array): string {
  const path = join(folder, `key-${++files}`);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}
const text = (secret: Buffer): Secret => Secret.fromBytes(Buffer.from(secret));

const ed25519 = generateKeyPairSync('ed25519').privateKey;
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const pem = (key: KeyObject, type: 'pkcs8' | 'pkcs1' | 'sec1' = 'pkcs8'): string => key.export({ type, format: 'pem' } as never) as string;
const jwkOf = (key: KeyObject, more: object = {}): string => JSON.stringify({ ...key.export({ format: 'jwk' }), ...more });
const hmacKey = randomBytes(64);

function parts(token: string): { header: Record<string, unknown>; claims: Record<string, unknown>; input: string; signature: Buffer } {
  const [header = '', payload = '', signature = ''] = token.split('.');
  const parse = (part: string): Record<string, unknown> => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
  return { header: parse(header), claims: parse(payload), input: `${header}.${payload}`, signature: Buffer.from(signature, 'base64url') };
}
/** By node:crypto alone. */
function isSigned(token: string, key: KeyObject | Buffer): boolean {
  const { input, signature } = parts(token);
  if (Buffer.isBuffer(key)) return createHmac('sha512', key).update(input).digest().equals(signature);
  const hash = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  return verifyWith(hash, Buffer.from(input), { key: createPublicKey(key), dsaEncoding: 'ieee-p1363' }, signature);
}

async function codeOf(attempt: () => unknown): Promise<string> {
  try {
    await attempt();
    return 'done';
  } catch (error) {
    const { code, field, reason } = error as { code: string; field?: string; reason?: string };
    return [code, field ?? reason].filter((part) => part !== undefined).join(' ');
  }
}

const forms: readonly (readonly [string, string | Buffer, KeyObject | Buffer, string])[] = [
  ['bytes', hmacKey, hmacKey, 'HS512'],
  ['a JWK of HS512', JSON.stringify({ kty: 'oct', k: hmacKey.toString('base64url') }), hmacKey, 'HS512'],
  ['PKCS #8 of Ed25519', pem(ed25519), ed25519, 'EdDSA'],
  ['a JWK of Ed25519', jwkOf(ed25519), ed25519, 'EdDSA'],
  ['PKCS #8 behind text', `Bag Attributes\n    friendlyName: key\n${pem(ed25519)}`, ed25519, 'EdDSA'],
  ['PKCS #8 of P-256', pem(p256), p256, 'ES256'],
  ['SEC 1 of P-256', pem(p256, 'sec1'), p256, 'ES256'],
  ['PKCS #8 of RSA', pem(rsa), rsa, 'RS256'],
  ['PKCS #1 of RSA', pem(rsa, 'pkcs1'), rsa, 'RS256'],
];
for (const [what, content, key, algorithm] of forms) {
  agents(`signs with ${what}: ${algorithm}, as node:crypto confirms`, async () => {
    await using agent = await KeyAgent.start({ key: { file: file(content) }, issuer: 'here' });
    const token = await new TokenIssuer({ agent }).issue({ ...grant, dag_id: 'daily' });
    assert.ok(isSigned(token, key));
    const { header, claims } = parts(token);
    const { jti, iat, nbf, exp, ...fixed } = claims as Record<string, number>;
    assert.equal(fixed, { scope: 'execution', dag_id: 'daily', aud: audience, sub, iss: 'here' });
    assert.match(String(jti), /^[0-9a-f]{32}$/);
    assert.equal([nbf, exp], [iat, (iat ?? 0) + 600]);
    const [published] = agent.keys;
    assert.equal(header, { alg: algorithm, kid: published?.kid, typ: 'JWT' });
    assert.is(published?.algorithm, algorithm);
    assert.is((await new TokenVerifier({ agent }).verify(token)).sub, sub);

    if (algorithm === 'HS512') {
      assert.is(published?.kid, 'not-used');
      assert.equal(agent.jwks, { keys: [] });
      return;
    }
    const [jwk] = agent.jwks.keys;
    assert.equal(jwk, { ...createPublicKey(key as KeyObject).export({ format: 'jwk' }), kid: published?.kid, alg: algorithm, use: 'sig' });
    assert.is((await new TokenVerifier({ jwks: agent.jwks, issuer: 'here' }).verify(token)).sub, sub);
  });
}

agents("a JWK's kid and one that is asked for stand in the header; the last word is the caller's", async () => {
  const path = file(jwkOf(ed25519, { kid: 'its-own', alg: 'EdDSA', use: 'sig' }));
  for (const [kid, expected] of [[undefined, 'its-own'], ['mine', 'mine']] as const) {
    await using agent = await KeyAgent.start({ key: { file: path, algorithm: 'EdDSA', ...(kid !== undefined && { kid }) } });
    assert.is(parts(await agent.issue(grant)).header['kid'], expected);
  }
});

const refusedKeys: readonly (readonly [string, string | Buffer, RegExp])[] = [
  ['short bytes', randomBytes(63), /shorter than the 64 bytes/],
  ['a public key', createPublicKey(rsa).export({ type: 'spki', format: 'pem' }) as string, /no private key: PUBLIC KEY/],
  ['a public JWK', JSON.stringify(createPublicKey(ed25519).export({ format: 'jwk' })), /public half/],
  ['an encrypted key', ed25519.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }) as string, /is encrypted/],
  ['a key encrypted the old way', rsa.export({ type: 'pkcs1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }) as string, /is encrypted/],
  ['PEM that is damaged', pem(ed25519).replace(/\n[A-Za-z0-9]{8}/, '\nAAAAAAAA'), /cannot read/],
  ['a small RSA key', pem(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey), /at least 2048 bits/],
  ['another curve', pem(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey), /on secp256k1 is none of/],
  ['another kind', pem(generateKeyPairSync('x25519').privateKey), /x25519 key is none of/],
  ['a JWK for encryption', jwkOf(p256, { use: 'enc' }), /another use/],
  ['a JWK of another algorithm', jwkOf(p256, { alg: 'RS256' }), /a key for ES256, not for RS256/],
  ['a public key behind text', `Subject: here\n${createPublicKey(rsa).export({ type: 'spki', format: 'pem' }) as string}`, /no private key: PUBLIC KEY/],
  ['a public key behind a blank line', `\n${createPublicKey(ed25519).export({ type: 'spki', format: 'pem' }) as string}`, /no private key: PUBLIC KEY/],
  ['PEM whose first line does not end', pem(ed25519).replace('-----\n', '\n'), /no private key/],
  ['a private key in DER', rsa.export({ type: 'pkcs8', format: 'der' }), /is DER/],
  ['a private key in SEC 1 DER', p256.export({ type: 'sec1', format: 'der' }), /is DER/],
  ['a public key in DER', createPublicKey(p256).export({ type: 'spki', format: 'der' }), /is DER/],
  ['a public key of OpenSSH', `ssh-ed25519 ${randomBytes(51).toString('base64')} user@host`, /public key as OpenSSH/],
  ['a set of JWKs', JSON.stringify({ keys: [ed25519.export({ format: 'jwk' })] }), /not a set/],
  ['a JWK that is damaged', `${jwkOf(rsa).slice(0, -20)}}`, /no JSON|cannot read/],
  ['a JWK of HS512 without its key', JSON.stringify({ kty: 'oct', kid: 'x'.repeat(64) }), /shorter than the 64 bytes/],
];
agents('a key that is none, or none to sign with, is refused; what is said of it holds nothing of it', async () => {
  for (const [what, content, problem] of refusedKeys) {
    const secret = Secret.fromBytes(Buffer.from(content));
    try {
      await loadKey('the test', secret, {});
      assert.unreachable(what);
    } catch (error) {
      const { code, message, stack = '', cause } = error as NodeJS.ErrnoException;
      assert.is(code, 'ERR_SECRET_REFUSED', `${what}: ${message}`);
      assert.match(message, problem, what);
      assert.is(cause, undefined);
      const all = Buffer.from(content).toString('latin1');
      for (let at = 60; at + 12 < all.length; at += 12) assert.not.ok(stack.includes(all.slice(at, at + 12)), what);
    }
    assert.is(await codeOf(() => secret.use(() => {})), 'ERR_SECRET_DESTROYED', what);
  }
  assert.is((await loadKey('the control', Secret.fromBytes(Buffer.from(pem(ed25519))), { algorithm: 'EdDSA' })).algorithm, 'EdDSA');
  assert.match(await codeOf(() => loadKey('the test', Secret.fromBytes(Buffer.from(pem(ed25519))), { algorithm: 'RS256' })), /^ERR_SECRET_REFUSED/);
});

agents('the policy decides what is signed', async () => {
  const other = randomUUID();
  const policy: Omit<KeyAgentOptions, 'key'> = { scopes: ['execution'], subjects: [sub.toUpperCase()], dagIds: ['daily'], maxLifetimeSeconds: 60 };
  await using agent = await KeyAgent.start({ key: { file: file(hmacKey) }, ...policy });
  const good = { sub, scope: 'execution', dag_id: 'daily' } as const;
  const table: readonly (readonly [object, string])[] = [
    [{}, 'done'],
    [{ lifetimeSeconds: 60 }, 'done'],
    [{ sub: sub.toUpperCase() }, 'done'],
    [{ lifetimeSeconds: 61 }, 'ERR_TOKEN_REFUSED lifetimeSeconds'],
    [{ scope: 'workload' }, 'ERR_TOKEN_REFUSED scope'],
    [{ sub: other }, 'ERR_TOKEN_REFUSED sub'],
    [{ dag_id: 'hourly' }, 'ERR_TOKEN_REFUSED dag_id'],
    [{ dag_id: undefined }, 'ERR_TOKEN_REFUSED dag_id'],
    [{ sub: 'admin' }, 'ERR_OUT_OF_RANGE'],
    [{ scope: 'admin' }, 'ERR_OUT_OF_RANGE'],
    [{ scope: ['execution'] }, 'ERR_OUT_OF_RANGE'],
    [{ lifetimeSeconds: 0 }, 'ERR_OUT_OF_RANGE'],
    [{ lifetimeSeconds: 0.5 }, 'ERR_OUT_OF_RANGE'],
    [{ dag_id: '' }, 'ERR_OUT_OF_RANGE'],
  ];
  for (const [change, expected] of table) assert.is(await codeOf(() => agent.issue({ ...good, ...change } as never)), expected, JSON.stringify(change));
  // What is not a claim of ours goes nowhere.
  const { claims } = parts(await agent.issue({ ...good, admin: true, exp: 9e9, aud: 'urn:other', iss: 'me' } as never));
  assert.equal(Object.keys(claims).sort(), ['aud', 'dag_id', 'exp', 'iat', 'jti', 'nbf', 'scope', 'sub']);
  assert.equal([claims['aud'], Number(claims['exp']) - Number(claims['iat'])], [audience, 60]);

  assert.is(await codeOf(() => new TokenIssuer({ agent, lifetimeSeconds: 61 })), 'ERR_TOKEN_REFUSED lifetimeSeconds');
  assert.is(await codeOf(() => new TokenIssuer({ agent, issuer: 'me' } as never)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => new TokenIssuer({ agent, lifetimeSeconds: 60 }).issue(good)), 'done');
});

agents('wrong options are said before anything is started', async () => {
  const key = { file: file(hmacKey) };
  const table: readonly object[] = [
    {}, { key: {} }, { key: 'file:/x' }, { key: { ...key, descriptor: 7 } }, { key: { descriptor: 1 } }, { key: { secret: 'x' } }, { key: { file: '' } },
    { key: { ...key, algorithm: 'HS256' } }, { key: { ...key, kid: 'a b' } }, { key, keys: [] }, { key, otherKeys: key }, { key, scopes: [] }, { key, scopes: ['admin'] },
    { key, maxLifetimeSeconds: 0 }, { key, subjects: ['admin'] }, { key, dagIds: [] }, { key, audience: '' }, { key, harden: { levels: 1 } }, { key, timeoutMs: 0 },
  ];
  for (const options of table) assert.match(await codeOf(() => KeyAgent.start(options as KeyAgentOptions)), /^ERR_(OUT_OF_RANGE|INVALID_ARG_TYPE)$/, JSON.stringify(options));
});

agents('several keys: the first signs, all verify, the public halves are in the JWKS', async () => {
  const old = randomBytes(64);
  const keys = { key: { file: file(pem(ed25519)), kid: 'now' }, otherKeys: [{ file: file(pem(rsa)), kid: 'next' }, { file: file(old), kid: 'old' }, { file: file(hmacKey), kid: 'older' }] };
  await using agent = await KeyAgent.start(keys);
  assert.equal(agent.keys.map(({ kid }) => kid), ['now', 'next', 'old', 'older']);
  assert.equal(agent.jwks.keys.map(({ kid }) => kid), ['now', 'next']);
  assert.not.match(JSON.stringify(agent.jwks), /"(d|p|q|dp|dq|qi|k)":/);
  const verifier = new TokenVerifier({ agent });
  assert.is(parts(await agent.issue(grant)).header['kid'], 'now');
  await verifier.verify(await agent.issue(grant));
  for (const key of [{ file: file(pem(rsa)), kid: 'next' }, { file: file(old), kid: 'old' }, { file: file(hmacKey), kid: 'older' }]) {
    await using before = await KeyAgent.start({ key });
    assert.is((await verifier.verify(await before.issue(grant))).sub, sub);
  }
  // The same key by another name, another key by the same one, and a public key for an HS512 secret.
  await using renamed = await KeyAgent.start({ key: { file: file(pem(ed25519)), kid: 'unknown' } });
  assert.is(await codeOf(async () => verifier.verify(await renamed.issue(grant))), 'ERR_TOKEN_INVALID signature');
  await using impostor = await KeyAgent.start({ key: { secret: text(randomBytes(64)), kid: 'old' } });
  assert.is(await codeOf(async () => verifier.verify(await impostor.issue(grant))), 'ERR_TOKEN_INVALID signature');
  const known = Buffer.from(JSON.stringify(agent.jwks.keys[1]));
  for (const kid of ['now', 'next', 'old']) {
    await using confused = await KeyAgent.start({ key: { secret: text(known), kid, algorithm: 'HS512' } }).catch(() => KeyAgent.start({ key: { secret: text(Buffer.concat([known, Buffer.of(0)])), kid } }));
    assert.is(await codeOf(async () => verifier.verify(await confused.issue(grant))), 'ERR_TOKEN_INVALID signature');
    assert.match(await codeOf(async () => new TokenVerifier({ jwks: agent.jwks }).verify(await confused.issue(grant))), /algorithm$/);
  }
  assert.is(await codeOf(() => KeyAgent.start({ ...keys, otherKeys: [{ file: file(old), kid: 'now' }] })), 'ERR_KEY_AGENT ERR_OUT_OF_RANGE');
});

agents('a key file is read by the rules of ssh, and no task is granted it', async () => {
  const path = file(hmacKey);
  const policy = policies.command({ read: ['/usr', '/lib', '/lib64', '/bin', path].filter((each) => existsSync(each)) });
  {
    await using control = await launch(['/bin/true'], { policy });
    assert.equal(await control.exited, { kind: 'exited', exitCode: 0 });
  }
  chmodSync(path, 0o640);
  assert.is(await codeOf(() => KeyAgent.start({ key: { file: path } })), 'ERR_KEY_AGENT ERR_SECRET_REFUSED');
  chmodSync(path, 0o600);
  await using agent = await KeyAgent.start({ key: { file: path } });
  assert.ok(await agent.issue(grant));
  assert.match(await codeOf(() => launch(['/bin/true'], { policy })), /^ERR_POLICY_INVALID/);
});

agents('whatever comes of a start, the descriptors and secrets given to it are gone here', async () => {
  const path = file(hmacKey);
  const ours = (): string[] => readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const link = readlinkSync(`/proc/self/fd/${fd}`);
      return link === path || link.startsWith('pipe:') ? [link] : [];
    } catch {
      return [];
    }
  });
  const before = ours();
  for (const kid of ['one', 'two']) {
    const descriptor = openSync(path, 'r');
    const secret = text(hmacKey);
    // Two keys named `two`: it fails when it has read both.
    const started = await codeOf(async () => {
      await using agent = await KeyAgent.start({ key: { descriptor, kid }, otherKeys: [{ secret, kid: 'two' }] });
      assert.ok(isSigned(await agent.issue(grant), hmacKey));
    });
    assert.is(started, kid === 'one' ? 'done' : 'ERR_KEY_AGENT ERR_OUT_OF_RANGE');
    assert.is(await codeOf(() => secret.use(() => {})), 'ERR_SECRET_DESTROYED');
    assert.equal(ours(), before);
  }
});

agents('a start that cannot be is an error of its own, and leaves nothing', async () => {
  const destroyed = text(hmacKey);
  destroyed.destroy();
  assert.is(await codeOf(() => KeyAgent.start({ key: { secret: destroyed } })), 'ERR_SECRET_DESTROYED');
  assert.match(await codeOf(() => KeyAgent.start({ key: { descriptor: 9999 } })), /^ERR_KEY_AGENT/);
  const twice = openSync(file(hmacKey), 'r');
  assert.match(await codeOf(() => KeyAgent.start({ key: { descriptor: twice, kid: 'one' }, otherKeys: [{ descriptor: twice, kid: 'two' }] })), /^ERR_KEY_AGENT ERR_SECRET_REFUSED$/);
  assert.is(await codeOf(() => KeyAgent.start({ key: { file: join(folder, 'absent') } })), 'ERR_KEY_AGENT ERR_SECRET_REFUSED');
  await until(() => readdirSync('/proc').filter((pid) => isAgentOfOurs(pid)).length === 0);
  await using control = await KeyAgent.start({ key: { file: file(hmacKey) } });
  assert.ok(isAgentOfOurs(String(control.pid)));
});

function isAgentOfOurs(pid: string): boolean {
  try {
    return new RegExp(`^PPid:\\s+${process.pid}$`, 'm').test(readFileSync(`/proc/${pid}/status`, 'latin1')) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('agent/main.js');
  } catch {
    return false; // no process
  }
}

agents("systemd's credentials are read by the agent", async () => {
  const path = file(pem(ed25519));
  const before = process.env['CREDENTIALS_DIRECTORY'];
  process.env['CREDENTIALS_DIRECTORY'] = folder;
  try {
    await using agent = await KeyAgent.start({ key: { credential: basename(path) } });
    assert.ok(isSigned(await agent.issue(grant), ed25519));
    assert.is(await codeOf(() => KeyAgent.start({ key: { credential: 'absent' } })), 'ERR_KEY_AGENT ERR_SECRET_REFUSED');
    assert.is(await codeOf(() => KeyAgent.start({ key: { credential: '../../etc/passwd' } })), 'ERR_KEY_AGENT ERR_OUT_OF_RANGE');
  } finally {
    if (before === undefined) delete process.env['CREDENTIALS_DIRECTORY'];
    else process.env['CREDENTIALS_DIRECTORY'] = before;
  }
});

agents('a key that ends in a newline is handed over whole', async () => {
  const key = Buffer.concat([randomBytes(63), Buffer.from('\n')]);
  await using agent = await KeyAgent.start({ key: { secret: text(key) } });
  assert.ok(isSigned(await agent.issue(grant), key));
});

// ---

/** The agent's own program, and its channel as it is. */
class RawAgent {
  readonly child = spawn(process.execPath, [fileURLToPath(new URL('../lib/tokens/agent/main.js', import.meta.url)), JSON.stringify({ parent: process.pid, harden: {} })], {
    env: {},
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  readonly channel = this.child.stdio[3] as Socket;
  readonly exited = once(this.child, 'exit');
  readonly #lines = createInterface({ input: this.channel })[Symbol.asyncIterator]();

  async ready(): Promise<this> {
    this.channel.on('error', () => {});
    this.send({ keys: [{ source: { file: file(hmacKey) } }], policy: { audience, scopes: ['execution'], maxLifetimeSeconds: 60 } });
    assert.ok('ready' in (await this.next()));
    return this;
  }
  send(value: unknown): void {
    this.channel.write(typeof value === 'string' || Buffer.isBuffer(value) ? value : `${JSON.stringify(value)}\n`);
  }
  async next(): Promise<Record<string, unknown>> {
    return JSON.parse((await this.#lines.next()).value as string) as Record<string, unknown>;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.channel.destroy();
    await this.exited;
  }
}

agents('garbage is answered or thrown away, and the next request is served', async () => {
  await using agent = await new RawAgent().ready();
  const issue = { sub, scope: 'execution', lifetimeSeconds: 60 };
  const garbage: readonly (string | Buffer | object)[] = [
    '\n', 'not json\n', '{"id":1\n', '[]\n', 'null\n', '"x"\n', '{"id":1}\n', '{"id":-1,"issue":{}}\n', `${'['.repeat(60_000)}\n`, `{"__proto__":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}}\n`,
    Buffer.concat([Buffer.from(randomBytes(4096).map((byte) => (byte === 10 ? 11 : byte))), Buffer.from('\n')]),
    Buffer.concat([Buffer.alloc(65_537, 'x'), Buffer.from('\n')]),
    Buffer.concat([Buffer.alloc(8_000_000, 'x'), Buffer.from('\n')]),
    { id: 1, issue: { ...issue, sign: 'bytes' } }, { id: 1, issue, verify: {} }, { id: 1, issue: { ...issue, lifetimeSeconds: 1e9 } }, { id: 1, sign: Buffer.from('bytes').toString('base64') },
    { id: 1, issue: { ...issue, sub: `${sub}\n` } }, { keys: [{ source: { file: '/etc/passwd' } }], policy: {} }, { id: 1, verify: { token: 'x', audience, scopes: [], leewaySeconds: 0, atMs: 0 } },
  ];
  for (const bytes of garbage) {
    agent.send(bytes);
    const { error } = (await agent.next()) as { error: { code: string } };
    assert.match(error.code, /^ERR_(OUT_OF_RANGE|TOKEN_REFUSED|TOKEN_INVALID)$/, JSON.stringify(bytes).slice(0, 80));
    agent.send({ id: 7, issue });
    const { id, token } = (await agent.next()) as { id: number; token: string };
    assert.is(id, 7);
    assert.ok(isSigned(token, hmacKey));
  }
  // A line that comes in pieces, and two in one.
  const line = `${JSON.stringify({ id: 8, issue })}\n`;
  agent.send(line.slice(0, 10));
  agent.send(`${line.slice(10)}${line}`);
  for (const _ of [1, 2]) assert.is((await agent.next())['id'], 8);
});

agents('a configuration that is none ends it, and nothing of it is printed', async () => {
  await using agent = new RawAgent();
  let printed = '';
  agent.child.stderr?.on('data', (chunk) => (printed += String(chunk)));
  agent.send('{"keys": "hunter2"}\n');
  assert.is(((await agent.next())['error'] as { code: string }).code, 'ERR_OUT_OF_RANGE');
  assert.is((await agent.exited)[0], 1);
  assert.is(printed, '');
});

// ---

agents('nothing of an agent can be looked into by its own user', async () => {
  await using agent = await KeyAgent.start({ key: { file: file(hmacKey) } });
  // As root, the looker has no capabilities, nor has what it looks into.
  const control = new Fixture('agent-supervisor.js', { args: ['here', file(hmacKey)], through: withoutCapabilities });
  await control.next();
  const open = await inChild<Record<string, string>>('look-into.js', { args: [String(control.pid)], through: withoutCapabilities });
  await control.end();
  assert.equal([...new Set(Object.values(open))], ['open']);
  const shut = await inChild<Record<string, string>>('look-into.js', { args: [String(agent.pid)], through: withoutCapabilities });
  assert.equal([...new Set(Object.values(shut))], ['EACCES'], JSON.stringify(shut));
  const status = readFileSync(`/proc/${agent.pid}/status`, 'latin1');
  for (const set of ['CapEff', 'CapPrm', 'CapInh', 'CapAmb']) assert.match(status, new RegExp(`^${set}:\\s*0+$`, 'm'));
});

agents('the key is nowhere in the memory of a supervisor that signs through an agent', async () => {
  const key = randomBytes(64).map((byte) => byte | 1); // no newline, no NUL
  const path = file(key);
  const named = randomBytes(40).toString('base64url');
  const privatePem = pem(rsa);
  const pemPath = file(privatePem);
  const pemMarks = { text: Buffer.from(privatePem.split('\n')[3] ?? ''), prime: Buffer.from((rsa.export({ format: 'jwk' }).p ?? '').slice(0, 120), 'base64url') };
  const look = async (how: string, paths: readonly string[], marks: Readonly<Record<string, Buffer>>, env = {}): Promise<string[]> => {
    const supervisor = new Fixture('agent-supervisor.js', { args: [how, ...paths], env });
    try {
      const { token } = await supervisor.next<{ token: string }>();
      assert.equal(marksIn(supervisor.pid, { ...marks, token: Buffer.from(token) }).filter((mark) => mark === 'token'), ['token'], how); // the scan sees strings
      const found = marksIn(supervisor.pid, marks);
      const open = readdirSync(`/proc/${supervisor.pid}/fd`).map((fd) => readlinkSync(`/proc/${supervisor.pid}/fd/${fd}`));
      assert.equal(open.filter((link) => paths.includes(link)), [], how);
      supervisor.go();
      assert.ok((await supervisor.next<{ closed: boolean }>()).closed);
      return found;
    } finally {
      await supervisor.end();
    }
  };
  assert.ok((await look('here', [path], marksOf(Buffer.from(key)))).includes('bytes'), 'control: signing in the supervisor');
  assert.ok((await look('careless', [pemPath], pemMarks)).includes('text'), 'control: a file that was read');
  for (const how of ['file', 'descriptor', 'secret']) assert.equal(await look(how, [path, pemPath], { ...marksOf(Buffer.from(key)), ...pemMarks }), [], how);
  assert.equal(await look('environment', [''], marksOf(Buffer.from(named.padEnd(64, 'x'))), { SIGNING_KEY: named.padEnd(64, 'x') }), [], 'environment');
});

agents('PEM is no string in the agent', async () => {
  if (process.getuid?.() !== 0) return; // nobody else can look into it
  const issuer = randomBytes(32).toString('hex');
  for (const text of [pem(ed25519), pem(p256), pem(p256, 'sec1'), pem(rsa)]) {
    const marks = Object.fromEntries(text.split('\n').filter((line) => line.length === 64).map((line, at) => [`line ${at + 1}`, Buffer.from(line.slice(16, 60))]));
    await using agent = await KeyAgent.start({ key: { file: file(text) }, issuer });
    await agent.issue(grant);
    assert.equal(marksIn(agent.pid, { ...marks, issuer: Buffer.from(issuer) }), ['issuer']); // which is a string there: the scan sees strings
  }
});

const gone = (pid: number): boolean => {
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return true; // and its number with it
  }
};

agents('it ends with its supervisor: one that closes it, is killed, or is killed while the agent is stopped', async () => {
  for (const how of ['closes', 'killed', 'killed while it is stopped']) {
    const supervisor = new Fixture('agent-supervisor.js', { args: ['file', file(hmacKey)] });
    const { agent } = await supervisor.next<{ agent: number }>();
    assert.not.ok(gone(agent)); // control
    if (how === 'closes') {
      supervisor.go();
      await supervisor.next();
    } else {
      if (how !== 'killed') process.kill(agent, 'SIGSTOP');
      supervisor.child.kill('SIGKILL');
    }
    await until(() => gone(agent));
    await supervisor.end();
  }
});

agents('an agent that nobody asks does not keep its supervisor alive', async () => {
  const script = `import { KeyAgent } from ${JSON.stringify(new URL('../lib/tokens/index.js', import.meta.url).href)};
    const agent = await KeyAgent.start({ key: { file: process.argv[1] } }); await agent.issue(${JSON.stringify(grant)}); console.log(agent.pid);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, file(hmacKey)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.on('data', (chunk) => (printed += String(chunk)));
  assert.is((await once(child, 'close'))[0], 0);
  await until(() => gone(Number(printed)));
});

agents('an agent that was killed, or does not answer, fails every call from then on', async () => {
  for (const [how, signal, reason] of [['killed', 'SIGKILL', 'ended'], ['stopped', 'SIGSTOP', 'timeout']] as const) {
    await using agent = await KeyAgent.start({ key: { file: file(hmacKey) }, timeoutMs: 10_000 });
    const verifier = new TokenVerifier({ agent });
    const token = await agent.issue(grant); // control
    process.kill(agent.pid, signal);
    // What ended() waits for keeps nothing alive; this does.
    const awake = setInterval(() => {}, 60_000);
    if (how === 'killed') await agent.ended;
    for (const attempt of [() => agent.issue(grant), () => agent.issue(grant), () => verifier.verify(token)]) {
      assert.is(await codeOf(attempt), `ERR_KEY_AGENT ${reason}`, how);
    }
    await agent.ended;
    clearInterval(awake);
    await agent.close();
  }
});

agents('calls at the same time get each its own answer', async () => {
  await using agent = await KeyAgent.start({ key: { file: file(hmacKey) } });
  const subjects = Array.from({ length: 200 }, () => randomUUID());
  const tokens = await Promise.all(subjects.map((each) => agent.issue({ sub: each, scope: 'workload' })));
  assert.equal(tokens.map((token) => parts(token).claims['sub']), subjects);
  assert.is(new Set(tokens.map((token) => parts(token).claims['jti'])).size, subjects.length);
});

agents('a server signs through it, and has no key of its own', async () => {
  for (const key of [hmacKey, pem(ed25519)]) {
    await using signer = await KeyAgent.start({ key: { file: file(key) }, issuer: 'agent' });
    await using api = await ApiServer.start({ signer, signingKey: undefined as never });
    const task = await api.task();
    const workload = await api.server.issueWorkloadToken(task.id);
    assert.ok(isSigned(workload, typeof key === 'string' ? ed25519 : key));
    const started = await task.run({ ...here, start_date: startDate }, workload);
    assert.is(started.status, 200, JSON.stringify(started.body));
    const execution = started.headers.get('refreshed-api-token') ?? '';
    assert.equal([parts(execution).claims['scope'], parts(execution).claims['iss']], ['execution', 'agent']);
    const update = ['PUT', `task-instances/${task.id}/heartbeat`, { hostname: here.hostname, pid: here.pid }] as const;
    const by = async (token: string): Promise<number> => (await api.ask(update[0], update[1], token, update[2])).status;
    assert.is(await by(execution), 204);
    // The helper's own issuer has another key.
    assert.is(await by(task.token), 403);
    const { input } = parts(execution);
    assert.is(await by(`${input}.${randomBytes(64).toString('base64url')}`), 403);
  }
  assert.is(await codeOf(() => ApiServer.start({ signingKey: undefined as never })), 'ERR_OUT_OF_RANGE');
});

agents.run();
