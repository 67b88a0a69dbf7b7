import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { inChild } from './helpers/fixture.js';

interface Seen {
  before: { environ: boolean; cmdline: boolean };
  first: { bytes: number; seenInProc: boolean };
  second: { bytes: number; seenInProc: boolean };
  third: { bytes: number; seenInProc: boolean };
  after: { environ: string; value: string; same: boolean };
  works: { set: number; changed: string; deleted: string | null; child: boolean };
  argumentsWiped: { bytes: number; seenInProc: boolean }[];
  cmdline: string;
  argv: string;
  environ: string;
}

const environment = suite('environment');

environment('is zero in /proc/self/environ, and process.env goes on working', async () => {
  const seen = await inChild<Seen>('environment.js', { args: ['an-argument'], env: { SALLYPORT_CANARY: 'value', EMPTY: '' } });
  assert.equal(seen.before, { environ: true, cmdline: true }); // control
  assert.equal(seen.after, { environ: '', value: 'value', same: true });
  assert.ok(seen.first.bytes > 0 && seen.first.seenInProc);
  assert.equal(seen.second, seen.first);
  assert.equal(seen.third, seen.first);
  assert.equal(seen.works, { set: 10_000, changed: 'changed', deleted: null, child: true });
  assert.is(seen.environ, '');
});

environment('arguments are gone from /proc/self/cmdline, up to the name, and stay in process.argv', async () => {
  const seen = await inChild<Seen>('environment.js', { args: ['an-argument'] });
  assert.is(seen.before.cmdline, true); // control
  assert.is(seen.cmdline, process.execPath);
  assert.is(seen.argv, 'an-argument');
  assert.ok(seen.argumentsWiped.every(({ seenInProc }) => seenInProc));
});

environment.run();
