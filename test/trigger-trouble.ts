// Triggers that block the process they share, end it or crowd it out.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TriggerHostOptions } from '../lib/hosts/index.js';
import { until } from './helpers/processes.js';
import { Bundles, nextId, Watched } from './helpers/triggers.js';

const host = suite('trigger-trouble');
const bundles = new Bundles();
host.after(() => bundles.remove());

/** Quick to notice, and still patient with a machine that is busy. */
const watch = (options: Partial<TriggerHostOptions> = {}): Watched => new Watched({ teams: bundles.teams, pollMs: 200, blockedMs: 3_000, ...options });

const block = 'for (;;);';
const troubles: readonly [what: string, source: string, says: RegExp][] = [
  ['blocks', `export default async () => { await null; ${block} };`, /blocked the process that it shares for more than 3000 ms/],
  ['blocks while it is loaded', `${block} export default async () => {};`, /blocked the process/],
  ['sleeps without waiting', 'export default async () => { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000); };', /blocked the process/],
  ['exits', 'export default async () => process.exit(3);', /exited with code 3/],
  ['kills the process', 'export default async () => { process.kill(process.pid, "SIGKILL"); await new Promise(() => {}); };', /ended by SIGKILL/],
  ['writes garbage to the channel', 'import { writeSync } from "node:fs"; export default async () => { writeSync(0, Buffer.from([0, 0, 0, 1, 0xc1])); await new Promise(() => {}); };', /ERR_BROKER_VIOLATION/],
  ['allocates', 'export default async () => { const kept = []; for (;;) { kept.push(Buffer.alloc(1 << 20, 1)); await new Promise(setImmediate); } };', /limit of memoryBytes/],
];
for (const [what, source, says] of troubles) {
  host(`a trigger that ${what} is found and named, and no other is lost`, async () => {
    await using watched = watch();
    const name = `beside-${nextId()}`;
    const beside = Array.from({ length: 4 }, () => bundles.waiting(name));
    const elsewhere = bundles.waiting(name, { team_name: 'blue' });
    await watched.create(...beside, elsewhere);
    await watched.running('red', 'blue');
    const pids = watched.host.pids('blue');
    const bad = bundles.trigger({ source });
    await watched.create(bad);
    await watched.over(bad);
    assert.match(watched.failures.get(bad.id) ?? '', says);
    bundles.go(name);
    await watched.over(...beside, elsewhere);
    assert.equal(watched.outcomes(...beside, elsewhere), Array(5).fill(['went']));
    assert.equal(watched.host.pids('blue'), pids);
  });
}

/** Each writes, or puts, something else in the place of the note that says whose code runs. */
const liars: readonly [what: string, lie: string][] = [
  ['blames another one', "writeFileSync(note, String(kwargs.blame));"],
  ['leaves no trace', 'unlinkSync(note);'],
  ['leaves a link', "unlinkSync(note); symlinkSync('/dev/zero', note);"],
];
host('a trigger that lies about whose code ran is found all the same, and costs the others a new start', async () => {
  await Promise.all(liars.map(async ([what, lie]) => {
    await using watched = watch();
    const name = `blamed-${nextId()}`;
    const innocent = Array.from({ length: 3 }, () => bundles.waiting(name));
    await watched.create(...innocent);
    await watched.running('red');
    const source = `import { symlinkSync, unlinkSync, writeFileSync } from 'node:fs'; const note = process.env.TMPDIR + '/.running-trigger'; export default async ({ kwargs }) => { await null; ${lie} ${block} };`;
    const bad = bundles.trigger({ source, kwargs: { blame: innocent[0]?.id } });
    await watched.create(bad);
    await watched.over(bad);
    bundles.go(name);
    await watched.over(...innocent);
    assert.equal(watched.outcomes(...innocent), Array(3).fill(['went']), what);
    assert.match(watched.failures.get(bad.id) ?? '', /blocked the process/, what);
  }));
});

host('what a trigger leaves behind when it has finished costs the next one a new start', async () => {
  await using watched = watch();
  const gone = bundles.trigger({ source: 'export default async () => { setTimeout(() => process.exit(7), 1_500); return 1; };' });
  await watched.create(gone);
  await watched.over(gone);
  const [pid] = watched.host.pids('red');
  const next = bundles.waiting('inherited');
  await watched.create(next);
  await until(() => watched.host.pids('red').length === 1 && watched.host.pids('red')[0] !== pid);
  bundles.go('inherited');
  await watched.over(next);
  assert.equal(watched.outcomes(gone, next), [[1], ['went']]);
});

host('where no more processes may be, who is suspected fails', async () => {
  await using watched = watch({ maxProcesses: 1 });
  const beside = bundles.waiting('crowded');
  await watched.create(beside);
  await watched.running('red');
  const bad = bundles.trigger({ source: `export default async () => { await null; ${block} };` });
  await watched.create(bad);
  await watched.over(bad);
  bundles.go('crowded');
  await watched.over(beside);
  assert.equal([watched.outcomes(beside), watched.host.pids('red').length], [[['went']], 1]);
});

host.run();
