// What is kept of a report, byte by byte; and that none of it, however long, is work that the event loop does at once.
import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type ReportResult, Secret } from '../lib/index.js';
import { Lane } from '../lib/broker/turns.js';
import { toJson } from '../lib/supervisor/json.js';
import { fromFile, type Head, toFile, tokenOf } from '../lib/supervisor/kept-report.js';
import { Life } from './helpers/life.js';

const report = suite('kept-report');

const key = Secret.fromBytes(randomBytes(32));
const head: Head = { version: 2, at: new Date().toISOString(), task: { id: randomUUID(), dag_id: 'd', run_id: 'r', task_id: 't\n"', map_index: -1, try_number: 1 }, owner: { hostname: 'h', pid: 1 }, ended: true, state: 'deferred', credential: 'own' };
const token = Buffer.from('a token');
const lend = <T>(fn: (bytes: Uint8Array) => T): T => fn(Buffer.from(token));
const text = (secret: Secret): string => secret.use((bytes) => Buffer.from(bytes).toString());

/** Every character becomes six. */
const long = { state: 'deferred', classpath: 'a.B', next_method: 'go', trigger_kwargs: { a: '\u0001'.repeat(4 << 20) } };

/** @returns How often another task's channel had a turn meanwhile. */
async function turns(work: () => Promise<unknown>): Promise<number> {
  const other = new Lane();
  let count = 0;
  let done = false;
  const working = work().finally(() => (done = true));
  while (!done) await other.run(() => count++);
  await working;
  return count;
}

report('JSON in pieces is the JSON of JSON.stringify', async () => {
  const names = fc.string({ unit: 'grapheme' });
  await fc.assert(fc.asyncProperty(fc.jsonValue({ stringUnit: 'grapheme' }), fc.dictionary(names, fc.oneof(names, fc.string({ unit: 'binary' }))), fc.integer({ min: 1, max: 9 }), async (value, more, most) => {
    for (const each of [value, more, [value, undefined, more], { a: undefined, value, b: more }]) assert.is((await toJson(each, most)).toString(), JSON.stringify(each));
  }), { numRuns: 200 }); // prettier-ignore
  // Halves of characters, alone and where a piece ends.
  for (const each of ['\ud800', '\ude00\ud83d', 'a\ud83d\ude00b\ud83d', '😀😀😀😀']) for (const most of [1, 2, 3]) assert.is((await toJson({ [each]: each }, most)).toString(), JSON.stringify({ [each]: each }));
});

report('a long report leaves the event loop to others, and a short one does not wait for them', async () => {
  const update = await toJson(long);
  assert.is(update.length, JSON.stringify(long).length);
  assert.ok(update.length > 24 << 20);
  const file = Buffer.concat(await toFile({ head, update }, key, lend));
  const { sealed, ...contents } = fromFile(file);
  const held: readonly (readonly [string, (value: object, bytes: Buffer) => Promise<unknown>])[] = [
    ['toJson', (value) => toJson(value)],
    ['toFile', (_value, bytes) => toFile({ head, update: bytes }, key, lend)],
    ['tokenOf', (_value, bytes) => tokenOf({ head, update: bytes }, sealed ?? '', key).catch(() => {})],
  ];
  for (const [what, work] of held) {
    const [many, few] = [await turns(() => work(long, update)), await turns(() => work({ state: 'success' }, Buffer.from('{}')))];
    assert.ok(many >= 64, `${what}: ${many}`);
    assert.ok(few <= 2, `${what}: ${few}`); // control
  }
  assert.equal(contents.head, head);
  using opened = await tokenOf(contents, sealed ?? '', key);
  assert.is(text(opened), token.toString());
});

report('a token opens with the rest of its file, as it was, and with the key', async () => {
  const update = await toJson({ state: 'success', sealed: 'not this', text: '\n{"sealed":null}\n' });
  const file = Buffer.concat(await toFile({ head, update }, key, lend));
  assert.not.ok(file.includes(token));
  const { sealed, ...contents } = fromFile(file);
  assert.equal(Buffer.from(contents.update), update);
  using opened = await tokenOf(contents, sealed ?? '', key); // control
  assert.is(text(opened), token.toString());
  const others: readonly (readonly [typeof contents, Secret])[] = [
    [{ ...contents, update: await toJson({ state: 'failed' }) }, key],
    [{ ...contents, head: { ...head, state: 'failed' } }, key],
    [{ ...contents, head: { ...head, task: { ...head.task, id: randomUUID() } } }, key],
    [contents, Secret.fromBytes(randomBytes(32))],
  ];
  for (const [each, other] of others) assert.ok(await tokenOf(each, sealed ?? '', other).then(() => false, () => true));
  for (const broken of ['', '{}', '{}\n{}\n{}\n', file.toString().replace('"version":2', '"version":1'), file.toString().split('\n').slice(0, 2).join('\n')]) assert.throws(() => fromFile(Buffer.from(broken)));
});

report('what a task says at length is kept, and told as it was said', async () => {
  await using world = await Life.start({ maxBodyBytes: 32 << 20 });
  const results: ReportResult[] = [];
  const begin = () => world.supervisor({ api: world.api({ requestTimeoutMs: 60_000 }), reports: { folder: join(world.folder, 'reports'), key: Secret.fromBytes(Buffer.alloc(32, 3)), retryDelayMs: 600_000, onReport: (result) => results.push(result) } });
  const source = `
    const said = 'é😀\\u0001'.repeat(400_000);
    export default async () => {
      await globalThis[Symbol.for('sallyport.task.client')].request('DeferTask', { classpath: 't.T', next_method: 'go', trigger_kwargs: { said } });
      process.exit(0);
    };
  `;
  const workload = await world.queued(world.file(source));
  {
    await using supervisor = begin();
    world.proxy.fault = ({ path }) => (path.endsWith('/state') ? 'unavailable' : 'none');
    const outcome = await supervisor.run(workload, { token: await world.token(workload.ti.id), grants: { defers: ['t.T'] } });
    assert.equal([outcome.state, outcome.kept], ['deferred', true]);
  }
  world.proxy.fault = () => 'none';
  await using next = begin();
  await next.drain();
  assert.equal(results.map(({ result, error }) => [result, error]), [['taken', undefined]]);
  assert.is(await world.state(workload.ti.id), 'deferred');
});

report.run();
