// What masking costs: plain logs through a masker with 100 secrets, against the same bytes through one with none; what registering costs, and text that is made to be slow.

import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { performance } from 'node:perf_hooks';
import { Masker } from '../lib/index.js';
import { shuffled, summarize } from './helpers/statistics.js';

const rounds = 30;
const warmUp = 5;
const secrets = 100;
const chunkBytes = 64 << 10;
const chunks = 128; // 8 MiB a round

const words = 'the task has started with rows of table orders loaded in seconds from warehouse to bucket and finished without errors'.split(' ');
const pick = <T>(items: readonly T[]): T => items[Math.floor(Math.random() * items.length)] as T;
const stamp = (): string => new Date(1.79e12 + Math.random() * 1e10).toISOString();
const prose = (): string => Array.from({ length: 6 + Math.floor(Math.random() * 12) }, () => pick(words)).join(' ');

/** MB for each second. The machine may have other work to do, which the clock counts and the processor time does not. */
interface Sample { readonly processor: number; readonly clock: number }

/** What tasks print. */
const kinds = {
  'plain lines': () => `[${stamp()}] INFO - ${prose()} ${Math.floor(Math.random() * 1e6)}\n`,
  'JSON lines': () => `${JSON.stringify({ timestamp: stamp(), level: 'info', event: `${prose()} "${pick(words)}"`, path: `/data/${pick(words)}/part%20${Math.floor(Math.random() * 1e4)}.csv`, rows: Math.floor(Math.random() * 1e6) })}\n`,
  'base64 lines': () => `${randomBytes(57).toString('base64')}\n`,
} satisfies Record<string, () => string>;

/** Passwords, tokens and a few private keys. */
function registered(): Masker {
  const masker = new Masker();
  masker.add(Array.from({ length: secrets }, (_, index) => (index % 20 === 0 ? randomBytes(1200).toString('base64') : index % 2 === 0 ? randomBytes(24).toString('base64url') : `${randomBytes(6).toString('hex')}!%"${randomBytes(4).toString('hex')}`)));
  return masker;
}

function text(line: () => string, secret: string): Buffer[] {
  return Array.from({ length: chunks }, () => {
    let made = '';
    while (made.length < chunkBytes) made += line();
    return Buffer.from(`${made.slice(0, chunkBytes - secret.length - 1)}${secret}\n`);
  });
}

const known = 'a-secret-that-every-chunk-ends-with';
const with100 = registered();
with100.add(known);
const maskers: Record<string, Masker> = { [`${secrets} secrets`]: with100, 'no secret': new Masker() };

console.log(`mask: MB for each second of processor time (of the clock), median [quartiles] of ${rounds} rounds of ${(chunks * chunkBytes) / 1e6} MB in chunks of ${chunkBytes >> 10} KiB, one occurrence in each`);
console.log(`${cpus()[0]?.model ?? 'unknown'}, Linux ${release()}, Node ${process.version}`);
const results: object[] = [];
for (const [kind, line] of Object.entries(kinds)) {
  const samples = new Map<string, Sample[]>(Object.keys(maskers).map((name) => [name, []]));
  const input = text(line, known);
  for (let round = -warmUp; round < rounds; round++) {
    for (const name of shuffled(Object.keys(maskers))) {
      const mask = (maskers[name] as Masker).mask();
      let bytes = 0;
      const start = performance.now();
      const before = process.cpuUsage();
      for (const chunk of input) bytes += mask.push(chunk).length;
      bytes += mask.end().length;
      const { user, system } = process.cpuUsage(before);
      const sample = { processor: (chunks * chunkBytes) / (user + system), clock: (chunks * chunkBytes) / 1e3 / (performance.now() - start) };
      const expected = chunks * (chunkBytes - (name === 'no secret' ? 0 : known.length - 3));
      if (bytes !== expected) throw new Error(`${kind}, ${name}: ${bytes} bytes came out, not ${expected}`);
      if (round >= 0) samples.get(name)?.push(sample);
    }
  }
  for (const [name, values] of samples) {
    const [processor, clock] = [summarize(values.map((value) => value.processor)), summarize(values.map((value) => value.clock))];
    console.log(`  ${kind.padEnd(13)} ${name.padEnd(12)} ${processor.median.toFixed(0).padStart(6)} [${processor.quartiles.map((value) => value.toFixed(0)).join('-')}]  (${clock.median.toFixed(0)})`);
    results.push({ kind, masker: name, megabytesPerSecond: { processor, clock } });
  }
}
for (const masker of Object.values(maskers)) masker.destroy();

const timed = (work: () => void): number => {
  const start = performance.now();
  work();
  return performance.now() - start;
};
const most = (values: readonly number[]): string => `${summarize(values).median.toFixed(1)} (most ${Math.max(...values).toFixed(1)})`;

const many = 2000;
const [atOnce, oneByOne, longest]: number[][] = [[], [], []];
for (let round = -warmUp; round < rounds; round++) {
  const values = Array.from({ length: many }, () => randomBytes(18).toString('base64url'));
  using all = new Masker();
  using each = new Masker();
  const together = timed(() => all.add(values));
  const calls = values.map((value) => timed(() => each.add(value)));
  if (round < 0) continue;
  atOnce?.push(together);
  oneByOne?.push(calls.reduce((sum, ms) => sum + ms, 0));
  longest?.push(Math.max(...calls));
}
console.log(`  registering ${many} values, ms of the clock, median of ${rounds}: at once ${most(atOnce ?? [])}, one by one ${most(oneByOne ?? [])}, the longest call of those ${most(longest ?? [])}`);
results.push({ kind: 'registering', atOnce, oneByOne, longest });

/** Beginnings of what is registered, and escapes of it. */
const slow: Record<string, readonly [registered: readonly string[], text: string]> = {
  'one long value, escaped': [['a'.repeat(60_000)], '%61'],
  'values with one beginning': [Array.from({ length: 250 }, (_, index) => 'a'.repeat(4000 - index)), 'a\\'],
  'many values with one beginning': [Array.from({ length: many }, (_, index) => `sk_live_${index}_`), 'sk_live_%5'],
};
const partBytes = 16 << 10; // what the supervisor gives it in one turn
for (const [name, [values, made]] of Object.entries(slow)) {
  using masker = new Masker();
  masker.add(values);
  const mask = masker.mask();
  const part = Buffer.from(made.repeat(Math.ceil(partBytes / made.length)).slice(0, partBytes));
  const times = Array.from({ length: rounds }, () => timed(() => mask.push(part)));
  console.log(`  ${partBytes >> 10} KiB that are made to be slow, ${name}: ms ${most(times)}`);
  results.push({ kind: 'slow', name, times });
}
const file = process.argv[2];
if (file !== undefined) writeFileSync(file, JSON.stringify(results));
