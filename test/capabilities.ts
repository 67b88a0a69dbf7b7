import { mkdtempSync, rmSync, writeFileSync, chownSync, chmodSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { dropCapabilities, EnforcementPartial, getCapabilities, type CapabilityReport } from '../lib/index.js';
import { Fixture, inChild } from './helpers/fixture.js';

const capabilities = suite('capabilities');

interface Side {
  main: string;
  workers: string[];
  pool: string[];
  effective: string[];
  caught: string;
}
interface Dropped {
  before: Side;
  report: CapabilityReport;
  again: CapabilityReport;
  after: Side;
  bornLater: string;
  child: string;
}

/** A file that only CAP_DAC_OVERRIDE, or being its owner, opens. */
function withOthersFile<T>(use: (file: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-'));
  const file = join(folder, 'private');
  writeFileSync(file, 'x');
  chmodSync(file, 0);
  chmodSync(folder, 0o755);
  if (isRoot) chownSync(file, 12345, 12345);
  return use(file).finally(() => rmSync(folder, { recursive: true }));
}

const isRoot = process.getuid?.() === 0;
const none = '0'.repeat(16);

capabilities('the sets are those that the kernel tells of this thread', () => {
  const found = getCapabilities();
  assert.is(found.effective.includes('CAP_DAC_OVERRIDE'), isRoot);
  assert.equal(found.ambient, []);
});

capabilities('what is not a capability is refused by name', () => {
  for (const keep of [['CAP_NONSENSE'], ['CAP_64'], ['net_admin']]) {
    try {
      dropCapabilities({ keep: keep as never });
      assert.unreachable();
    } catch (error) {
      assert.is((error as NodeJS.ErrnoException).code, 'ERR_OUT_OF_RANGE');
    }
  }
  assert.throws(() => dropCapabilities({ keep: 'CAP_KILL' as never }), (error: NodeJS.ErrnoException) => error.code === 'ERR_INVALID_ARG_TYPE');
});

capabilities('dropping reaches every thread: the main one, V8, libuv, the workers, and those born later', async () => {
  const { before, report, again, after, bornLater, child } = await withOthersFile((file) => inChild<Dropped>('drop-capabilities.js', { args: [file] }));
  if (isRoot) {
    // Control: each of these threads could open the file.
    assert.equal([before.main, ...before.workers, ...before.pool], Array(8).fill('read'));
    assert.ok(before.effective.every((set) => set !== none));
  }
  assert.equal([after.main, ...after.workers, ...after.pool], Array(8).fill('EACCES'));
  assert.ok(after.effective.length >= 12, `${after.effective.length} threads`);
  assert.ok(after.effective.every((set) => set === none));
  assert.is(bornLater, none);
  assert.is(child, none);
  for (const { effective, permitted, inheritable, ambient, threads } of [report, again]) {
    assert.equal([effective, permitted, inheritable, ambient], [[], [], [], []]);
    assert.ok(threads >= 12);
  }
  if (isRoot) assert.equal([report.bounding, report.missing], [[], []]);
  assert.is(after.caught, before.caught, 'the handler of the reserved signal is gone');
});

capabilities('what is named stays, on every thread, and nothing else', async () => {
  const { report, after } = await withOthersFile((file) => inChild<Dropped>('drop-capabilities.js', { args: [file, 'CAP_DAC_OVERRIDE', 'CAP_41'] }));
  const kept = isRoot ? ['CAP_DAC_OVERRIDE'] : [];
  assert.equal(report.effective, kept);
  assert.equal(report.permitted, kept);
  assert.equal(report.inheritable, []);
  assert.equal([after.main, ...after.workers, ...after.pool], Array(8).fill(isRoot ? 'read' : 'EACCES'));
});

const asRoot = isRoot ? capabilities : capabilities.skip;
if (!isRoot) console.log('skipped: the bounding set of root needs root');

asRoot('without CAP_SETPCAP the bounding set stays, and the report says so', async () => {
  const { report, after } = await withOthersFile((file) =>
    inChild<Dropped>('drop-capabilities.js', { args: [file], through: ['setpriv', '--bounding-set=-setpcap', '--inh-caps=-all'] }));
  assert.equal(report.effective, []);
  assert.ok(report.bounding.includes('CAP_SYS_ADMIN'));
  assert.is(report.missing.length, 1);
  assert.ok(after.effective.every((set) => set === none));
});

capabilities('a thread that cannot be reached is named, and the call refuses', async () => {
  const fixture = new Fixture('unreachable-thread.js', { env: { UV_USE_IO_URING: '1' } });
  const { tids, error } = await fixture.next<{ tids: string[]; error: { code: string; guarantee: string; missing: string } | null }>();
  await fixture.end();
  if (tids.length === 0) return console.log('io_uring is off here: no thread that blocks every signal');
  assert.is(error?.code, new EnforcementPartial('privileges', '').code);
  assert.is(error?.guarantee, 'privileges');
  assert.match(error?.missing ?? '', new RegExp(tids.join('|')));
});

capabilities.run();
