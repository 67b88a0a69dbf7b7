// Properties of the state machine, and of what the routes compute without a database. Any order of any requests.
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Value } from '@sinclair/typebox/value';
import { StateUpdate } from '../lib/execution-api/schema.js';
import { Timestamp } from '../lib/execution-api/schema/common.js';
import { outletChanges } from '../lib/server/outlets.js';
import { picked, sliceOf } from '../lib/server/slice.js';
import { type Change, enterRunning, finished, heartbeat, leaveRunning, resume, type Resumption, shouldRetry, type TaskInstance, type TaskInstanceState } from '../lib/server/state.js';
import { fromStored, secondsBetween, toStored } from '../lib/server/store/time.js';
import { cpuMsSince } from './helpers/cpu.js';

const states = suite('server-states');
const runs = { numRuns: 1000 };

const now = '2026-04-06T00:00:00.000000Z';
const every: readonly TaskInstanceState[] = ['scheduled', 'queued', 'restarting', 'running', 'deferred', 'up_for_retry', 'up_for_reschedule', ...finished];

const who = fc.record({ hostname: fc.constantFrom('a', 'b'), unixname: fc.constantFrom('u', 'v'), pid: fc.constantFrom(1, 2) });
const stored = fc.date({ min: new Date('0001-01-01'), max: new Date('9998-12-31'), noInvalidDate: true }).map((date) => toStored(date.toISOString()));
const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: null });

const taskInstance: fc.Arbitrary<TaskInstance> = fc.record({
  id: fc.uuid(), dag_id: fc.string(), run_id: fc.string(), task_id: fc.string(), map_index: fc.integer({ min: -1, max: 5 }), try_number: fc.integer({ min: 0, max: 5 }), max_tries: fc.integer({ min: 0, max: 5 }),
  queue: fc.string(), state: maybe(fc.constantFrom(...every)), hostname: maybe(fc.constantFrom('a', 'b')), unixname: maybe(fc.constantFrom('u', 'v')), pid: maybe(fc.constantFrom(1, 2)),
  start_date: maybe(stored), end_date: maybe(stored), last_heartbeat_at: maybe(stored), rendered_map_index: maybe(fc.string()), task_reschedule_count: fc.nat(9), reschedule_date: maybe(stored),
  trigger: maybe(fc.json()), next_method: maybe(fc.string()), next_kwargs: maybe(fc.json()), retry_delay_seconds: maybe(fc.nat()), retry_reason: maybe(fc.string()), replaced: fc.constantFrom(0, 0, 0, 1),
}); // prettier-ignore

const ended = { end_date: stored };
const update: fc.Arbitrary<StateUpdate> = fc.oneof(
  fc.record({ state: fc.constantFrom('failed' as const, 'skipped' as const, 'removed' as const, 'upstream_failed' as const), ...ended }),
  fc.record({ state: fc.constant('success' as const), ...ended }),
  fc.record({ state: fc.constant('up_for_retry' as const), ...ended }),
  fc.record({ state: fc.constant('up_for_reschedule' as const), reschedule_date: stored, ...ended }),
  fc.record({ state: fc.constant('deferred' as const), classpath: fc.string(), next_method: fc.string(), next_kwargs: fc.jsonValue() }),
);

type Request = (ti: TaskInstance) => Change;
const request: fc.Arbitrary<{ readonly kind: 'run' | 'heartbeat' | 'state'; readonly ask: Request }> = fc.oneof(
  fc.tuple(who, stored).map(([by, start_date]) => ({ kind: 'run' as const, ask: (ti: TaskInstance) => enterRunning(ti, { state: 'running', ...by, start_date }, now) })),
  who.map(({ hostname, pid }) => ({ kind: 'heartbeat' as const, ask: (ti: TaskInstance) => heartbeat(ti, { hostname, pid }, now) })),
  update.map((to) => ({ kind: 'state' as const, ask: (ti: TaskInstance) => leaveRunning(ti, to) })),
);
const after = (ti: TaskInstance, change: Change): TaskInstance => ('set' in change ? { ...ti, ...change.set } : ti);

states('into running lead queued and restarting alone, and out of it nothing but a word of its own', () => {
  fc.assert(fc.property(taskInstance, request, (ti, { kind, ask }) => {
    const change = ask(ti);
    const next = after(ti, change);
    if (next.state === ti.state) return;
    if (next.state === 'running') assert.ok(kind === 'run' && (ti.state === 'queued' || ti.state === 'restarting'));
    else assert.ok(kind === 'state' && ti.state === 'running');
  }), runs);
});

states('a refusal says what is so, and a try that was replaced is refused whatever it asks', () => {
  fc.assert(fc.property(taskInstance, request, (ti, { kind, ask }) => {
    const change = ask(ti);
    if (ti.replaced === 1) return assert.is('conflict' in change && change.conflict.reason, 'not_found');
    if (!('conflict' in change)) return;
    const { conflict } = change;
    if (conflict.reason === 'invalid_state') assert.ok(kind !== 'heartbeat' && conflict.previous_state === ti.state);
    else if (conflict.reason === 'running_elsewhere') assert.ok(kind === 'heartbeat' && conflict.current_hostname === ti.hostname && conflict.current_pid === ti.pid);
    else assert.ok(conflict.reason === 'not_running' && kind === 'heartbeat' && conflict.current_state === ti.state && ti.state !== 'running');
  }), runs);
});

states('whatever is asked and in whatever order, what has ended stays ended, and who it is stays who it is', () => {
  fc.assert(fc.property(taskInstance, fc.array(request, { maxLength: 20 }), (first, requests) => {
    let ti = first;
    for (const { ask } of requests) {
      const next = after(ti, ask(ti));
      if (ti.state !== null && finished.includes(ti.state)) assert.equal(next, ti);
      for (const field of ['id', 'dag_id', 'run_id', 'task_id', 'map_index', 'try_number', 'max_tries', 'queue', 'replaced'] as const) assert.is(next[field], ti[field]);
      assert.ok(next.task_reschedule_count >= ti.task_reschedule_count);
      ti = next;
    }
  }), runs);
});

states('the same process may ask to run as often as it likes, and no other may', () => {
  fc.assert(fc.property(taskInstance, who, who, stored, (row, by, other, start_date) => {
    const ti: TaskInstance = { ...row, replaced: 0, state: 'queued' };
    const running = after(ti, enterRunning(ti, { state: 'running', ...by, start_date }, now));
    assert.equal([running.state, running.hostname, running.unixname, running.pid, running.end_date], ['running', by.hostname, by.unixname, by.pid, null]);
    const again = enterRunning(running, { state: 'running', ...other, start_date }, now);
    const same = other.hostname === by.hostname && other.unixname === by.unixname && other.pid === by.pid;
    assert.is('set' in again, same);
    assert.equal(after(running, again), running);
    assert.is('set' in heartbeat(running, other, now), other.hostname === by.hostname && other.pid === by.pid);
  }), runs);
});

states('one that was deferred goes on as it left, and one that ends forgets how', () => {
  fc.assert(fc.property(taskInstance, update, who, stored, (row, to, by, later) => {
    const ti: TaskInstance = { ...row, replaced: 0, state: 'running' };
    const change = leaveRunning(ti, to);
    const left = after(ti, change);
    assert.is(left.state, to.state);
    assert.is('reschedule' in change, to.state === 'up_for_reschedule');
    const back = after(left, enterRunning({ ...left, state: 'queued' }, { state: 'running', ...by, start_date: later }, now));
    if (to.state !== 'deferred') return assert.equal([left.next_method, left.next_kwargs, back.start_date], [null, null, later]);
    assert.equal([back.next_method, JSON.parse(back.next_kwargs ?? 'null')], [to.next_method, JSON.parse(JSON.stringify(to.next_kwargs ?? null))]);
    assert.is(back.start_date, ti.start_date ?? later);
  }), runs);
});

const resumption: fc.Arbitrary<Resumption> = fc.oneof(fc.record({ event: fc.jsonValue() }), fc.record({ failure: fc.array(fc.string()) }), fc.constant('timeout' as const));

states('only what waits goes on, once, as the try that it was; with its event it has all that it left with', () => {
  fc.assert(fc.property(fc.record({ row: taskInstance, waits: fc.boolean() }), resumption, resumption, fc.dictionary(fc.string(), fc.jsonValue()), ({ row, waits }, how, again, kwargs) => {
    const ti: TaskInstance = { ...row, ...(waits && { state: 'deferred', next_kwargs: JSON.stringify(kwargs) }) };
    const change = resume(ti, how);
    if (ti.replaced === 1 || ti.state !== 'deferred') return assert.ok('conflict' in change && change.conflict.reason === (ti.replaced === 1 ? 'not_found' : 'invalid_state'));
    const next = after(ti, change);
    assert.equal(next, { ...ti, state: 'queued', trigger: null, next_method: next.next_method, next_kwargs: next.next_kwargs });
    assert.ok('conflict' in resume(next, again));
    if (how === 'timeout' || 'failure' in how) return assert.is(next.next_method, '__fail__');
    assert.is(next.next_method, ti.next_method);
    if (waits && kwargs['__type'] !== 'dict') assert.equal(JSON.parse(next.next_kwargs ?? ''), JSON.parse(JSON.stringify({ ...kwargs, event: how.event })));
  }), runs);
});

states('a failure is tried again as long as there are tries, and always after a clearing', () => {
  fc.assert(fc.property(taskInstance, (ti) => {
    assert.is(shouldRetry(ti), ti.state === 'restarting' || (ti.max_tries !== 0 && ti.try_number <= ti.max_tries));
  }), runs);
});

states('each update that the machine knows is one that the route lets in, and a state that no task may report is not', () => {
  fc.assert(fc.property(update, (to) => assert.ok(Value.Check(StateUpdate, JSON.parse(JSON.stringify(to))))), runs);
  for (const state of ['scheduled', 'queued', 'restarting', 'running', 'SUCCESS', '', null]) assert.not.ok(Value.Check(StateUpdate, { state, end_date: now }));
});

states("a slice is Python's", () => {
  const index = fc.option(fc.integer({ min: -12, max: 12 }), { nil: undefined });
  fc.assert(fc.property(fc.nat(10), index, index, fc.integer({ min: -4, max: 4 }).filter((step) => step !== 0), (count, start, stop, step) => {
    const items = Array.from({ length: count }, (_, at) => at);
    const slice = sliceOf(count, start, stop, step);
    const { first, take } = slice;
    assert.ok(first >= 0 && take >= 0);
    assert.equal(picked(items.slice(first, first + take), slice), pythonSlice(items, start, stop, step));
  }), { numRuns: 5000 });
});

/** By the words of Python's manual (Sequence Types, note 4 and 5): no arithmetic shared with ours. */
function pythonSlice(items: readonly number[], start: number | undefined, stop: number | undefined, step: number): number[] {
  const clamp = (at: number): number => {
    const place = at < 0 ? items.length + at : at;
    if (step > 0) return place < 0 ? 0 : place > items.length ? items.length : place;
    return place < 0 ? -1 : place > items.length - 1 ? items.length - 1 : place;
  };
  const begin = start === undefined ? (step > 0 ? 0 : items.length - 1) : clamp(start);
  const end = stop === undefined ? (step > 0 ? items.length : -1) : clamp(stop);
  const out: number[] = [];
  for (let at = begin; step > 0 ? at < end : at > end; at += step) out.push(items[at] as number);
  return out;
}

states('times sort as text, lose no microsecond and say the same however they were written', () => {
  const moment = fc.record({ ms: fc.integer({ min: Date.parse('1900-01-01'), max: Date.parse('2200-01-01') }).map((ms) => ms - (ms % 1000)), fraction: fc.integer({ min: 0, max: 999_999 }), offset: fc.integer({ min: -23 * 60, max: 23 * 60 }) });
  const write = ({ ms, fraction, offset }: { ms: number; fraction: number; offset: number }): string => {
    const local = new Date(ms + offset * 60_000).toISOString().slice(0, 19);
    const two = (n: number): string => String(n).padStart(2, '0');
    return `${local}.${String(fraction).padStart(6, '0')}${offset < 0 ? '-' : '+'}${two(Math.trunc(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  };
  const micros = ({ ms, fraction }: { ms: number; fraction: number }): bigint => BigInt(ms) * 1000n + BigInt(fraction);
  fc.assert(fc.property(moment, moment, (a, b) => {
    const [left, right] = [toStored(write(a)), toStored(write(b))];
    assert.ok(Value.Check(Timestamp, write(a)));
    assert.is(left < right, micros(a) < micros(b));
    assert.is(toStored(fromStored(left)), left);
    assert.is(secondsBetween(left, right), Number(micros(b) - micros(a)) / 1e6);
  }), runs);
});

states('outlets make one event each, and none that the task did not name', () => {
  const name = fc.constantFrom('a', 'b');
  const outlet = fc.record({ name, uri: name, type: fc.constantFrom('Asset', 'AssetNameRef', 'AssetUriRef', 'AssetAlias', 'else') });
  const event = fc.record({ dest_asset_key: fc.record({ name, uri: name }), source_alias_name: fc.option(name, { nil: undefined }), extra: fc.constantFrom({}, { n: 1 }) })
    .map(({ source_alias_name, ...rest }) => ({ ...rest, ...(source_alias_name !== undefined && { source_alias_name }) })); // prettier-ignore
  fc.assert(fc.property(fc.array(outlet), fc.array(event), (outlets, events) => {
    const changes = outletChanges(outlets, events);
    const named = new Set<string>(outlets.filter(({ type }) => type === 'AssetAlias').map((each) => each.name));
    const plain = new Set(outlets.flatMap(({ type, name: n, uri }) => (type === 'Asset' ? `both ${n} ${uri}` : type === 'AssetNameRef' ? `name ${n} ` : type === 'AssetUriRef' ? `uri  ${uri}` : [])));
    assert.equal(new Set(changes.filter(({ by }) => by !== 'aliases').map((change) => `${change.by} ${change.name} ${change.uri}`)), plain);
    for (const change of changes) if (change.by === 'aliases') assert.ok(change.aliases.length > 0 && change.aliases.every((alias) => named.has(alias)) && new Set(change.aliases).size === change.aliases.length);
    assert.is(new Set(changes.map((change) => JSON.stringify(change))).size, changes.length);
  }), runs);
});

states('what is said of an outlet is the last that was said, however many there are', () => {
  const outlets = Array.from({ length: 30_000 }, (_, n) => ({ name: `a${n}`, uri: `u${n}`, type: 'Asset' }));
  const events = outlets.flatMap(({ name, uri }, n) => [0, n].map((said) => ({ dest_asset_key: { name, uri }, extra: { said } })));
  const aliased = outlets.map((_, n) => ({ dest_asset_key: { name: 'a', uri: 'u' }, source_alias_name: `alias ${n}`, extra: {} }));
  const before = process.cpuUsage();
  const changes = outletChanges([...outlets, ...aliased.map(({ source_alias_name: name }) => ({ name, type: 'AssetAlias' }))], [...events, ...aliased]);
  // Once through each list; once through the other for each of one takes minutes.
  assert.ok(cpuMsSince(before) < 5_000);
  assert.equal([changes.length, changes[7]?.extra], [30_001, '{"said":7}']);
  assert.is((changes.at(-1) as unknown as { readonly aliases: readonly string[] }).aliases.length, 30_000);
});

states.run();
