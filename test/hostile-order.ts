// What a task can send in any order: before its start, after its end, twice, at once, ten thousand at a time. It costs that task alone, and the first word counts.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type AuditRecord, type Outcome, policies, type RunOptions, type Supervisor, type SupervisorOptions } from '../lib/index.js';
import { Life, until } from './helpers/life.js';
import { settled } from './helpers/peer.js';

const hostile = suite('hostile-order');
let world: Life;
hostile.before(async () => {
  world = await Life.start();
  await world.server.seed({ variables: { colour: 'green', slow: 'x' } });
});
hostile.after(() => world[Symbol.asyncDispose]());
hostile.before.each(() => {
  world.proxy.fault = () => 'none';
});

/** Frames past everything that the SDK does. */
const raw = `
  import { readSync, writeSync } from 'node:fs';
  import { decode, encode } from ${JSON.stringify(import.meta.resolve('@msgpack/msgpack'))};
  const pause = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
  const patient = (act) => { for (;;) try { return act(); } catch (error) { if (error.code !== 'EAGAIN') throw error; pause(); } };
  const frame = (id, type, fields = {}) => {
    const body = encode([id, { type, ...fields }]);
    const header = Buffer.alloc(4);
    header.writeUInt32BE(body.length);
    return Buffer.concat([header, body]);
  };
  const send = (...frames) => { for (let rest = Buffer.concat(frames); rest.length > 0; ) rest = rest.subarray(patient(() => writeSync(0, rest))); };
  const exactly = (length) => { const bytes = Buffer.alloc(length); for (let at = 0; at < length; ) at += patient(() => readSync(0, bytes, at, length - at)); return bytes; };
  const receive = () => decode(exactly(exactly(4).readUInt32BE()));
  const codeIn = ([, body, error]) => error?.detail?.code ?? body?.error ?? body?.type ?? 'done';
`;

interface Ran {
  readonly id: string;
  readonly outcome: Outcome;
  readonly lines: readonly string[];
  readonly records: readonly AuditRecord[];
}

async function run(source: string, options: RunOptions = {}, more: Partial<SupervisorOptions> = {}): Promise<Ran> {
  const lines: string[] = [];
  const records: AuditRecord[] = [];
  await using supervisor: Supervisor = world.supervisor({ onLog: ({ line }) => lines.push(line), audit: (record) => records.push(record), killGraceMs: 500, ...more });
  const workload = await world.queued(world.file(source));
  const outcome = await supervisor.run(workload, { token: await world.token(workload.ti.id), ...options });
  return { id: workload.ti.id, outcome, lines, records };
}

hostile('requests that come before the start are answered after it, and no sooner', async () => {
  const early = join(world.bundle, 'early.mjs');
  // Instead of the task's side of this package: it never runs.
  writeFileSync(early, `${raw}
    send(frame(1, 'GetVariable', { key: 'colour' }), frame(2, 'GetVariable', { key: 'other' }), frame(3, 'TaskState', { state: 'skipped' }), frame(4, 'SucceedTask'));
    for (let i = 0; i < 5; i++) { const message = receive(); console.log(JSON.stringify([message[0], codeIn(message)])); }
    process.exit(0);
  `);
  const policy = policies.node({ environment: { NODE_OPTIONS: `--import=${early}` } });
  const { id, outcome, lines } = await run('export default () => { throw new Error("not reached"); };', { policy, grants: { variables: ['colour'] } });
  const [first, ...rest] = lines.map((line) => JSON.parse(line) as [number, string]);
  assert.equal(first, [0, 'StartupDetails']);
  assert.equal(rest.sort(([a], [b]) => a - b), [[1, 'VariableResult'], [2, 'PERMISSION_DENIED'], [3, 'done'], [4, 'ERR_BROKER_DENIED']]);
  assert.equal([outcome.state, outcome.reported, await world.state(id)], ['skipped', true, 'skipped']);
});

hostile('of many final messages at once the first one counts, and each gets one answer', async () => {
  const each = 12;
  const { id, outcome, lines, records } = await run(`${raw}
    export default () => {
      const finals = [['SucceedTask'], ['RetryTask'], ['TaskState', { state: 'skipped' }], ['RescheduleTask', { reschedule_date: '2030-01-01T00:00:00Z' }], ['AwaitInputTask', { next_method: 'go' }]];
      const all = Array.from({ length: ${each} }, () => finals).flat();
      send(...all.map(([type, fields], index) => frame(index + 1, type, fields)));
      const answers = all.map(receive);
      console.log(JSON.stringify(answers.map((answer) => [answer[0], codeIn(answer)]).sort(([a], [b]) => a - b)));
      process.exit(0);
    };
  `);
  const answers = JSON.parse(lines[0] ?? '') as [number, string][];
  assert.equal(answers.map(([number]) => number), Array.from({ length: 5 * each }, (_, index) => index + 1));
  assert.equal(answers.map(([, code]) => code), ['done', ...Array<string>(5 * each - 1).fill('ERR_BROKER_DENIED')]);
  assert.equal([outcome.state, outcome.reported, await world.state(id)], ['success', true, 'success']);
  assert.is(records.length, 5 * each);
  assert.is(world.proxy.passed.filter(({ path }) => path === `task-instances/${id}/state`).length, 1);
});

hostile('what comes after the last word changes nothing of it, and ends with the overtime', async () => {
  const { id, outcome, lines } = await run(`${raw}
    export default () => {
      process.on('SIGTERM', () => {});
      send(frame(1, 'SucceedTask'));
      console.log(codeIn(receive()));
      for (let id = 2; ; id++) { send(frame(id, 'TaskState', { state: 'failed' })); if (codeIn(receive()) !== 'ERR_BROKER_DENIED') console.log('answered'); }
    };
  `, {}, { overtimeMs: 300 });
  assert.equal(lines, ['done']);
  assert.equal([outcome.state, outcome.exit, outcome.reported], ['success', { kind: 'signaled', signal: 'SIGKILL' }, true]);
  assert.is(await world.state(id), 'success');
});

hostile('who would wait for people and has asked nobody is told so, and has failed where it says nothing else', async () => {
  for (const code of [0, 1]) {
    const { id, outcome, lines } = await run(`${raw}
      export default () => {
        send(frame(1, 'AwaitInputTask', { next_method: 'go' }));
        const [, body, error] = receive();
        console.log(JSON.stringify([body, error.detail.status_code]));
        process.exit(${code});
      };
    `);
    assert.equal(lines, ['[null,422]']);
    assert.equal([outcome.state, outcome.reported, await world.state(id)], ['failed', true, 'failed'], `exit ${code}`);
  }
});

hostile('what a task keeps is bounded, by keys and by its life, each answered once', async () => {
  const { id, outcome, lines, records } = await run(`${raw}
    export default () => {
      const counts = {};
      const ask = (id, type, fields) => { send(frame(id, type, fields)); const message = receive(); const [, , error] = message; return error?.detail?.reason ?? codeIn(message); };
      for (let n = 1; n <= 1003; n++) { const what = ask(n, 'SetTaskStateStore', { key: 'k' + n, value: n }); counts[what] = (counts[what] ?? 0) + 1; }
      console.log(JSON.stringify([counts, ask(2000, 'SetTaskStateStore', { key: 'k1', value: 'again' }), ask(2001, 'SucceedTask')]));
      console.log(JSON.stringify([ask(2002, 'SetTaskStateStore', { key: 'k2', value: 'late' }), ask(2003, 'ClearTaskStateStore'), ask(2004, 'GetTaskStateStore', { key: 'k1' })]));
      process.exit(0);
    };
  `);
  const [before, after] = lines.map((line) => JSON.parse(line) as unknown);
  assert.equal(before, [{ OKResponse: 1000, state_store_full: 3 }, 'OKResponse', 'done']);
  assert.equal(after, ['not_running', 'not_running', 'not_running']);
  assert.equal([outcome.state, await world.state(id), records.length], ['success', 'success', 1003 + 2 + 3]);
});

hostile('a number may come again when it was answered, and ends the task before', async () => {
  const source = (together: number): string => `${raw}
    export default () => {
      for (let left = 40; left > 0; left -= ${together}) {
        send(...Array.from({ length: ${together} }, () => frame(7, 'GetVariable', { key: 'colour' })));
        for (let i = 0; i < ${together}; i++) console.log(receive()[1].value);
      }
      send(frame(8, 'SucceedTask')); receive(); process.exit(0);
    };
  `;
  const control = await run(source(1), { grants: { variables: ['colour'] } });
  assert.equal([control.outcome.state, control.lines], ['success', Array(40).fill('green')]);
  const { id, outcome } = await run(source(2), { grants: { variables: ['colour'] } });
  assert.equal([outcome.state, (outcome.error as { code?: string }).code, await world.state(id)], ['failed', 'ERR_BROKER_VIOLATION', 'failed']);
});

hostile('ten thousand requests that nobody answers are sixteen, and others run meanwhile', async () => {
  const source = `${raw}
    export default () => {
      console.log('up');
      for (let id = 1; id <= 10_000; id++) send(frame(id, 'GetVariable', { key: 'slow' }));
      console.log('all sent'); // it never gets here
    };
  `;
  let asked = 0;
  world.proxy.fault = ({ path }) => (path === 'variables/slow' ? (asked++, 'hanging') : 'none');
  const lines: string[] = [];
  const controller = new AbortController();
  await using supervisor = world.supervisor({ api: world.api({ requestTimeoutMs: 120_000 }), onLog: ({ line }) => lines.push(line) });
  const workload = await world.queued(world.file(source));
  const flooding = supervisor.run(workload, { token: await world.token(workload.ti.id), grants: { variables: ['slow'] }, signal: controller.signal });
  await until(() => asked >= 16);
  assert.is(await settled(() => asked), 16);
  const other = await world.queued(world.file('export default () => { console.log("other"); };'));
  const { state } = await supervisor.run(other, { token: await world.token(other.ti.id) });
  assert.equal([state, lines], ['success', ['up', 'other']]);
  controller.abort(new Error('enough'));
  const outcome = await flooding;
  assert.equal([outcome.state, outcome.exit.kind, outcome.reported, await world.state(workload.ti.id)], ['failed', 'ended', true, 'failed']);
});

hostile('a task that sends ten thousand and reads no answer waits for itself', async () => {
  const source = `${raw}
    export default () => {
      console.log('up');
      for (let id = 1; id <= 10_000; id++) send(frame(id, 'GetVariable', { key: 'large' }));
      console.log('all sent');
    };
  `;
  await world.server.seed({ variables: { large: 'x'.repeat(100_000) } });
  const lines: string[] = [];
  const records: AuditRecord[] = [];
  const controller = new AbortController();
  await using supervisor = world.supervisor({ onLog: ({ line }) => lines.push(line), audit: (record) => records.push(record) });
  const workload = await world.queued(world.file(source));
  const flooding = supervisor.run(workload, { token: await world.token(workload.ti.id), grants: { variables: ['large'] }, signal: controller.signal });
  await until(() => records.length > 0);
  const answered = await settled(() => records.length);
  assert.ok(answered < 200, `${answered} answers of 100 kB for a task that reads none`);
  assert.equal(lines, ['up']);
  controller.abort(new Error('enough'));
  assert.equal([(await flooding).state, await world.state(workload.ti.id)], ['failed', 'failed']);
});

hostile.run();
