// What a token costs a server: to issue and register one, by where the registry and the key are; and to accept one, from its signature and from the cache.

import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Secret } from '../lib/index.js';
import { createServer, type Server, type ServerOptions } from '../lib/server/index.js';
import { tokensOf } from '../lib/server/server.js';
import { CachedVerifier, KeyAgent, TokenIssuer, TokenVerifier } from '../lib/tokens/index.js';
import { Postgres, withoutPostgres } from '../test/helpers/postgres.js';
import { shuffled, summarize } from './helpers/statistics.js';

const rounds = 40;
const warmUp = 5;
const timesARound = 40;

const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
const keyBytes = randomBytes(64);
const signingKey = Secret.fromBytes(Buffer.from(keyBytes));
writeFileSync(join(folder, 'key'), keyBytes, { mode: 0o600 });
await using agent = await KeyAgent.start({ key: { file: join(folder, 'key') } });
await using postgres = withoutPostgres === undefined ? await Postgres.start({ fsync: true }) : undefined;

const grant = { sub: randomUUID(), scope: 'execution', dag_id: 'daily' } as const;
const seed = { taskInstances: [{ id: grant.sub, dag_id: grant.dag_id, run_id: 'r', task_id: 't' }] };
const servers: Server[] = [];
async function issuing(options: ServerOptions): Promise<() => Promise<string>> {
  const server = await createServer(options);
  await server.seed(seed);
  servers.push(server);
  const tokens = tokensOf.get(server);
  if (tokens === undefined) throw new Error('no such server');
  return () => tokens.issue(grant);
}

const issuer = new TokenIssuer({ key: signingKey });
const verifier = new TokenVerifier({ key: signingKey });
const token = await issuer.issue(grant);
const cached = new CachedVerifier(verifier);
const work: Readonly<Record<string, () => Promise<unknown>>> = {
  'sign alone': () => issuer.issue(grant),
  'issue and register, in memory': await issuing({ signingKey }),
  'issue and register, SQLite file': await issuing({ signingKey, database: join(folder, 'db') }),
  'issue and register, SQLite file, key in an agent': await issuing({ signer: agent, database: join(folder, 'db2') }),
  ...(postgres && { 'issue and register, PostgreSQL over a Unix socket': await issuing({ signingKey, database: await postgres.database() }) }),
  'verify': () => verifier.verify(token),
  'verify, from the cache': () => cached.verify(token),
};

const names = Object.keys(work);
const samples: Record<string, number[]> = Object.fromEntries(names.map((name) => [name, []]));
const together: Record<string, number[]> = Object.fromEntries(names.map((name) => [name, []]));
for (let round = -warmUp; round < rounds; round++) {
  for (const name of shuffled(names)) {
    const start = performance.now();
    for (let i = 0; i < timesARound; i++) await work[name]?.();
    const between = performance.now();
    await Promise.all(Array.from({ length: timesARound }, () => work[name]?.()));
    if (round < 0) continue;
    samples[name]?.push(((between - start) * 1000) / timesARound);
    together[name]?.push(((performance.now() - between) * 1000) / timesARound);
  }
}

console.log(`tokens: median [quartiles] of ${rounds} rounds of ${timesARound}, in microseconds each: one after the other; at once`);
console.log(`${cpus()[0]?.model ?? 'unknown'}, Linux ${release()}, Node ${process.version}`);
const rows = names.map((name) => {
  const [microseconds, atOnce] = [summarize(samples[name] ?? []), summarize(together[name] ?? [])];
  const shown = [microseconds, atOnce].map(({ median, quartiles }) => `${median.toFixed(1).padStart(7)} [${quartiles.map((value) => value.toFixed(1)).join('-')}]`.padEnd(28));
  console.log(`  ${name.padEnd(50)} ${shown.join('')}`);
  return { name, microseconds, atOnce };
});
if (withoutPostgres !== undefined) console.log(`  without PostgreSQL: ${withoutPostgres}`);
if (process.argv[2] !== undefined) writeFileSync(process.argv[2], JSON.stringify({ rounds, timesARound, rows }));
await Promise.all(servers.map((server) => server.close()));
rmSync(folder, { recursive: true });
