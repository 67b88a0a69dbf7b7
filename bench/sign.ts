// What it costs that the signing key is in another process: a token by an agent against one signed here, and each algorithm.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Secret } from '../lib/index.js';
import { KeyAgent, TokenIssuer } from '../lib/tokens/index.js';
import { pairedRatio, shuffled, summarize } from './helpers/statistics.js';

const rounds = 40;
const warmUp = 5;
const tokensARound = 50;

const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
const hmacKey = randomBytes(64);
const pem = { type: 'pkcs8', format: 'pem' } as const;
const keys = {
  'agent, HS512': hmacKey,
  'agent, EdDSA': generateKeyPairSync('ed25519').privateKey.export(pem),
  'agent, ES256': generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export(pem),
  'agent, RS256': generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export(pem),
};
const grant = { sub: '6f9619ff-8b86-4011-b42d-00c04fc964ff', scope: 'execution', dag_id: 'daily' } as const;
const here = 'here, HS512';

const agents: KeyAgent[] = [];
const issuers: Record<string, TokenIssuer> = { [here]: new TokenIssuer({ key: Secret.fromBytes(Buffer.from(hmacKey)) }) };
for (const [name, key] of Object.entries(keys)) {
  const file = join(folder, name);
  writeFileSync(file, key, { mode: 0o600 });
  const agent = await KeyAgent.start({ key: { file } });
  agents.push(agent);
  issuers[name] = new TokenIssuer({ agent });
}
rmSync(folder, { recursive: true });

const names = Object.keys(issuers);
const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<string, number[]>;
for (let round = -warmUp; round < rounds; round++) {
  for (const name of shuffled(names)) {
    const start = performance.now();
    for (let i = 0; i < tokensARound; i++) await issuers[name]?.issue(grant);
    if (round >= 0) samples[name]?.push(((performance.now() - start) * 1000) / tokensARound);
  }
}

console.log(`sign: median [quartiles] of ${rounds} rounds of ${tokensARound} tokens, one after the other, in microseconds each; ratio to signing here in the same round (95 % interval of the median)`);
console.log(`${cpus()[0]?.model ?? 'unknown'}, Linux ${release()}, Node ${process.version}`);
const rows = names.map((name) => {
  const { median, quartiles } = summarize(samples[name] ?? []);
  const ratio = pairedRatio(samples[name] ?? [], samples[here] ?? []);
  const against = name === here ? '' : `   ${ratio.median.toPrecision(3)} (${ratio.interval.map((value) => value.toPrecision(3)).join('-')})`;
  console.log(`  ${name.padEnd(14)} ${median.toFixed(0)} [${quartiles.map((value) => value.toFixed(0)).join('-')}]${against}`);
  return { name, microseconds: { median, quartiles }, ratio };
});
if (process.argv[2] !== undefined) writeFileSync(process.argv[2], JSON.stringify({ rounds, tokensARound, rows }));
await Promise.all(agents.map((agent) => agent.close()));
