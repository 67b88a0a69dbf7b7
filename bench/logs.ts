// What keeping a task's lines costs the supervisor: lines through drain() into a LogFile, against the same lines read and dropped, and against their bytes
// written to a file as they are. How long the event loop stands still meanwhile; and how long others wait beside twelve tasks that log wide lines without end.

import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lane } from '../lib/broker/turns.js';
import { Masker } from '../lib/index.js';
import { drain, type LogLine } from '../lib/supervisor/lines.js';
import { LogFile } from '../lib/supervisor/logs/file.js';
import { logFolder, OpenFolder } from '../lib/supervisor/logs/folder.js';
import { quantile, shuffled, summarize } from './helpers/statistics.js';

const rounds = 15;
const warmUp = 3;
const lines = 20_000;
const chunkBytes = 64 << 10;

const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
const printed = (index: number): string => `[2026-01-02T03:04:05] INFO - loaded ${index} rows of table orders from warehouse to bucket without any error\n`;
const structured = (index: number): string => `${JSON.stringify({ timestamp: '2026-01-02T03:04:05.678Z', level: 'info', event: 'loaded rows of a table', logger: 'task', table: 'orders', rows: index, seconds: 1.25 })}\n`;

function chunks(line: (index: number) => string): Buffer[] {
  const all = Buffer.from(Array.from({ length: lines }, (_, index) => line(index)).join(''));
  return Array.from({ length: Math.ceil(all.length / chunkBytes) }, (_, index) => all.subarray(index * chunkBytes, (index + 1) * chunkBytes));
}

async function kept(input: readonly Buffer[], source: LogLine['source'], masker: Masker | undefined): Promise<void> {
  const log = await LogFile.open(await OpenFolder.descend(logFolder(folder), []), 'x.log', { maxBytes: 64 << 20, maxFiles: 2, stallMs: 10_000 });
  await drain(Readable.from(input, { objectMode: true }), 'ti', source, undefined, masker, log);
  const { lines: written } = await log.close();
  if (written !== lines) throw new Error(`${written} lines of ${lines}`);
}

const masker = new Masker();
masker.add('a-secret-that-never-comes');
const ways: Record<string, (input: readonly Buffer[], source: LogLine['source']) => Promise<void>> = {
  'kept, masked': (input, source) => kept(input, source, masker),
  kept: (input, source) => kept(input, source, undefined),
  'cut into lines': (input, source) => drain(Readable.from(input, { objectMode: true }), 'ti', source, () => {}),
  'written as they are': async (input) => {
    const fd = openSync(join(folder, 'floor.log'), 'w');
    for (const chunk of input) {
      writeSync(fd, chunk);
      await new Promise(setImmediate);
    }
    closeSync(fd);
  },
};

console.log(`logs: microseconds of processor time for each line, median [quartiles] of ${rounds} rounds of ${lines} lines in chunks of ${chunkBytes >> 10} KiB`);
console.log(`${cpus()[0]?.model ?? 'unknown'}, Linux ${release()}, Node ${process.version}`);
const results: object[] = [];
const delay = monitorEventLoopDelay({ resolution: 1 });
for (const [kind, line, source] of [['printed lines', printed, 'stdout'], ['records', structured, 'log']] as const) {
  const input = chunks(line);
  const samples = new Map<string, number[]>(Object.keys(ways).map((name) => [name, []]));
  for (let round = -warmUp; round < rounds; round++) {
    for (const name of shuffled(Object.keys(ways))) {
      const before = process.cpuUsage();
      if (name.startsWith('kept')) delay.enable();
      await ways[name]?.(input, source);
      delay.disable();
      const { user, system } = process.cpuUsage(before);
      if (round >= 0) samples.get(name)?.push((user + system) / lines);
    }
  }
  for (const [name, values] of samples) {
    const summary = summarize(values);
    results.push({ kind, name, ...summary });
    console.log(`  ${kind.padEnd(14)} ${name.padEnd(20)} ${summary.median.toFixed(2)} [${summary.quartiles.map((value) => value.toFixed(2)).join(', ')}]`);
  }
}
console.log(`  event loop while lines are kept: p50 ${(delay.percentile(50) / 1e6).toFixed(1)} ms, p99 ${(delay.percentile(99) / 1e6).toFixed(1)} ms, most ${(delay.max / 1e6).toFixed(1)} ms`);
results.push({ kind: 'event loop', p50Ms: delay.percentile(50) / 1e6, p99Ms: delay.percentile(99) / 1e6, maxMs: delay.max / 1e6 });

/** Lines without end, as fast as they are taken. */
function* endless(chunk: Buffer, signal: AbortSignal): Generator<Buffer> {
  while (!signal.aborted) yield chunk;
}
const fields = (count: number): string => JSON.stringify({ token: 'x', ...Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, index])) });
const floods: Record<string, string | undefined> = {
  nobody: undefined,
  'printed lines': printed(1),
  'records of 10 fields': `${fields(10)}\n`,
  'records of 5,000 fields': `${fields(5000)}\n`,
  'nesting of 10,000': `{"token":${'['.repeat(10_000)}${']'.repeat(10_000)}}\n`,
};
const tasks = 12;
const floodMs = 3000;
console.log(`  what others wait while ${tasks} tasks log without end, in ms, median, p99 and most of ${floodMs / 1000} s: a timer, such as a heartbeat's, and a request's turn in the queue`);
for (const [name, line] of Object.entries(floods)) {
  const over = new AbortController();
  const chunk = line && Buffer.from(line.repeat(Math.ceil(chunkBytes / line.length)));
  const flooding = chunk === undefined || chunk === '' ? [] : Array.from({ length: tasks }, () => drain(Readable.from(endless(chunk, over.signal), { objectMode: true }), 'ti', 'log', () => {}, masker));
  const waits: { readonly timer: number[]; readonly turn: number[] } = { timer: [], turn: [] };
  const lane = new Lane();
  for (const until = performance.now() + floodMs; performance.now() < until;) {
    const before = performance.now();
    await sleep(5);
    const due = performance.now();
    await lane.run(() => {});
    waits.timer.push(due - before - 5);
    waits.turn.push(performance.now() - due);
  }
  over.abort();
  await Promise.all(flooding);
  const shown = (values: readonly number[]): string => [quantile(values, 0.5), quantile(values, 0.99), Math.max(...values)].map((value) => value.toFixed(1)).join(', ');
  console.log(`    ${name.padEnd(24)} timer ${shown(waits.timer).padEnd(18)} turn ${shown(waits.turn)}`);
  results.push({ kind: 'beside floods', name, ...waits });
}
masker.destroy();
rmSync(folder, { recursive: true, force: true });
const out = process.argv[2];
if (out !== undefined) writeFileSync(out, JSON.stringify(results));
