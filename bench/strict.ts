// What level `strict` adds to a launch, and what a task's own cgroup adds: the kinds take turns in each round.

import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { performance } from 'node:perf_hooks';
import { launch, policies, type Policy } from '../lib/index.js';
import { strictProbe } from '../lib/kernel/probe.js';
import { pairedRatio, shuffled, summarize } from './helpers/statistics.js';

const rounds = 40;
const warmUp = 5;
const node = process.execPath;
const { namespaces, cgroups } = strictProbe();

async function milliseconds(argv: readonly [string, ...string[]], policy: Policy): Promise<number> {
  const start = performance.now();
  await (await launch(argv, { policy, stdout: 'ignore', stderr: 'ignore' })).exited;
  return performance.now() - start;
}

// Who waives `interference` gets no cgroup.
const wishes = { standard: {}, strict: { level: 'strict' }, 'standard, no cgroup': { without: ['interference'] } } as const satisfies Record<string, Policy>;
type Kind = keyof typeof wishes;
const kinds = (Object.keys(wishes) as Kind[]).filter((kind) => (kind === 'strict' ? namespaces?.by !== 'none' : kind === 'standard' || cgroups?.folder !== ''));

async function measure(program: string, argv: readonly [string, ...string[]], preset: (wishes: Policy) => Policy): Promise<object[]> {
  const policyOf = Object.fromEntries(kinds.map((kind) => [kind, preset(wishes[kind])])) as Record<Kind, Policy>;
  const samples = Object.fromEntries(kinds.map((kind) => [kind, [] as number[]])) as Record<Kind, number[]>;
  for (let round = -warmUp; round < rounds; round++) {
    for (const kind of shuffled(kinds)) {
      const sample = await milliseconds(argv, policyOf[kind]);
      if (round >= 0) samples[kind].push(sample);
    }
  }
  return kinds.map((kind) => {
    const { median, quartiles } = summarize(samples[kind]);
    const added = summarize(samples[kind].map((sample, round) => sample - (samples.standard[round] ?? NaN)));
    const ratio = pairedRatio(samples[kind], samples.standard);
    const against = kind === 'standard' ? '' : `   against standard ${added.median.toFixed(2)} [${added.quartiles.map((value) => value.toFixed(2)).join(' to ')}] ms, ${ratio.median.toPrecision(3)} (${ratio.interval.map((value) => value.toPrecision(3)).join('-')})`;
    console.log(`  ${program}, ${kind.padEnd(20)} ${median.toFixed(2)} [${quartiles.map((value) => value.toFixed(2)).join('-')}] ms${against}`);
    return { program, kind, totalMs: { median, quartiles }, addedMs: added, ratio };
  });
}

console.log(`strict: median [quartiles] of ${rounds} rounds, to the end of the task; ratio to standard of the same round (95 % interval of the median)`);
console.log(`${cpus()[0]?.model ?? 'unknown'}, Linux ${release()}, Node ${process.version}; namespaces: ${namespaces?.by}, cgroup: ${cgroups?.folder || 'none'}`);
const rows = [...(await measure('tiny program', ['/bin/true'], policies.command)), ...(await measure('node', [node, '-e', '0'], policies.node))];
if (process.argv[2] !== undefined) writeFileSync(process.argv[2], JSON.stringify({ rounds, namespaces, cgroups, rows }));
